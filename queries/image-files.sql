-- Which files does an image have, each from which layer?
-- All that its layers show: what a container started from it would have.
-- path_raw has the exact bytes in hex, within the layer, of a path that is not UTF-8.
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- :path       a path or GLOB on the path in the image, e.g. /tmp/*; all when unset
-- Example: dof query image-files --image shop/web:1.0 --path '/tmp/*'
SELECT image, path, type, mode, uid, gid, size, atime, mtime, ctime, crtime, link_target, layer,
       path_raw, inode, file_id, host
  FROM image_file
 WHERE (:image IS NULL OR :image IN (image, image_full_id))
   AND (:path IS NULL OR path = :path OR path GLOB :path)
 ORDER BY image_id, path, file_id;
