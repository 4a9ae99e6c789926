-- How was each image built?
-- Oldest step first. id is what `docker history` shows for the step: the image, a parent the legacy
-- builder left, or <missing>.
-- :image      repository:tag, digest or id; all when unset
-- Example: dof query image-history
WITH RECURSIVE ancestor (image_id, back, id, engine_id, parent_full_id) AS (
  SELECT id, 0, full_id, engine_id, parent_full_id FROM image
   UNION ALL
  SELECT a.image_id, a.back + 1, p.full_id, p.engine_id, p.parent_full_id
    FROM ancestor a JOIN image p ON p.engine_id = a.engine_id AND p.full_id = a.parent_full_id
   WHERE a.back < 1000),
last_step (image_id, position) AS (
  SELECT image_id, max(position) FROM image_history GROUP BY image_id)
SELECT h.image, i.full_id AS image_id, h.position AS step, coalesce(a.id, '<missing>') AS id,
       h.created, h.created_by, h.empty_layer, h.size, h.layer, h.diff_id, h.author, h.comment
  FROM image i JOIN image_history_text h ON h.image_id = i.id
       JOIN last_step s ON s.image_id = i.id
       LEFT JOIN ancestor a ON a.image_id = i.id AND a.back = s.position - h.position
 WHERE :image IS NULL OR i.id IN (SELECT image_id FROM image_ref WHERE ref = :image)
 ORDER BY i.created_at, i.full_id, i.id, h.position;
