-- How was this image built, as its config says?
-- Oldest step first; all fields of a step, and layer, the chain ID of the layer it made.
-- :image      repository:tag, digest, id or a prefix of the id; all images when unset
-- Example: dof query show-image-history
SELECT i.full_id AS image, h.position AS position, iif(y.chain_id IS NULL, h.step, json_set(h.step, '$.layer', y.chain_id)) AS step
  FROM image i JOIN image_history h ON h.image_id = i.id
  LEFT JOIN image_layer il ON il.image_id = i.id AND il.layer_id = h.layer_id LEFT JOIN layer y ON y.id = il.layer_id
 WHERE :image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
    OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest'))
 ORDER BY i.created_at, i.full_id, i.id, h.position;
