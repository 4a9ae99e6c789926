-- How was this image built, as its config says?
-- Oldest step first; all fields of a step, and layer, the chain ID of the layer it made.
-- :image      repository:tag, digest or id; all images when unset
-- Example: dof query show-image-history
SELECT h.image, i.full_id AS image_id, h.position,
       iif(h.layer IS NULL, h.step, json_set(h.step, '$.layer', h.layer)) AS step
  FROM image i JOIN image_history_text h ON h.image_id = i.id
 WHERE :image IS NULL OR i.id IN (SELECT image_id FROM image_ref WHERE ref = :image)
 ORDER BY i.created_at, i.full_id, i.id, h.position;
