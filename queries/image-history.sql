-- How was each image built?
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- Example: dof query image-history
SELECT i.full_id AS image, coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), '<none>') AS tag,
       h.position AS step, rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', h.created_at / 1000000000 - (h.created_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (h.created_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS created, h.created_by, h.empty_layer, l.chain_id AS layer, l.diff_id, l.size, h.author, h.comment
  FROM image i JOIN image_history h ON h.image_id = i.id LEFT JOIN layer l ON l.id = h.layer_id
 WHERE :image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
    OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest'))
 ORDER BY i.created_at, i.full_id, i.id, h.position;
