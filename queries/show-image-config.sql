-- What is this image's whole config, as it stands on the disk?
-- :image      repository:tag, digest or id; all images when unset
-- Example: dof query show-image-config
SELECT n.name AS image, i.full_id AS image_id, s.path, s.content AS config
  FROM image i JOIN image_name n ON n.image_id = i.id JOIN source s ON s.id = i.source_id
 WHERE :image IS NULL OR i.id IN (SELECT image_id FROM image_ref WHERE ref = :image)
 ORDER BY i.created_at, i.full_id, i.id;
