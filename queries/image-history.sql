-- How was each image built?
-- Oldest step first. id is what `docker history` shows for the step: the image, a parent the legacy builder left, or <missing>.
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- Example: dof query image-history
WITH RECURSIVE ancestor (image_id, back, ancestor_id, parent_full_id) AS (
  SELECT id, 0, id, parent_full_id FROM image
  UNION ALL
  SELECT a.image_id, a.back + 1, p.id, p.parent_full_id
    FROM ancestor a JOIN image c ON c.id = a.ancestor_id JOIN image p ON p.engine_id = c.engine_id AND p.full_id = a.parent_full_id
   WHERE a.back < 1000),
last_step (image_id, position) AS (SELECT image_id, max(position) FROM image_history GROUP BY image_id)
SELECT i.full_id AS image, coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), '<none>') AS tag,
       h.position AS step, coalesce((SELECT p.full_id FROM image p WHERE p.id = a.ancestor_id), '<missing>') AS id,
       rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', h.created_at / 1000000000 - (h.created_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (h.created_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS created, h.created_by, h.empty_layer, iif(h.empty_layer, 0, l.size) AS size, l.chain_id AS layer, l.diff_id, h.author, h.comment
  FROM image i JOIN image_history h ON h.image_id = i.id JOIN last_step s ON s.image_id = i.id
  LEFT JOIN layer l ON l.id = h.layer_id LEFT JOIN ancestor a ON a.image_id = i.id AND a.back = s.position - h.position
 WHERE :image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
    OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest'))
 ORDER BY i.created_at, i.full_id, i.id, h.position;
