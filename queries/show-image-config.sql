-- What is this image's whole config, as it stands on the disk?
-- :image      repository:tag, digest, id or a prefix of the id; all images when unset
-- Example: dof query show-image-config
SELECT i.full_id AS image, s.path AS path, s.content AS config
  FROM image i JOIN source s ON s.id = i.source_id
 WHERE :image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
    OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest'))
 ORDER BY i.created_at, i.full_id, i.id;
