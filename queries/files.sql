-- Which files are in a container's own layer and mounts, or in any layer, volume or bind source?
-- :container  name or id: its own layer and its mounts; every tree when unset
-- :path       a GLOB on the path in the container, e.g. /tmp/*; all when unset
-- :sha256     a hash in hex, of files whose contents were hashed; all when unset
-- Example: dof query files --path '/tmp/*'
SELECT f.container, f.image, f.layer, f.path, f.type, f.mode, f.uid, f.gid, f.size, f.inode,
       f.nlink, f.mtime, f.atime, f.ctime, f.crtime, f.link_target, f.whiteout, f.opaque,
       f.metacopy, f.rdev, f.sha256, f.host_path, f.host
  FROM file_text f
 WHERE (:path IS NULL OR f.path GLOB :path)
   AND (:container IS NULL
        OR f.tree_id IN (SELECT tree_id FROM own_tree_of WHERE ref = :container))
   AND (:sha256 IS NULL
        OR f.file_id IN (SELECT file_id FROM file_hash WHERE hex(sha256) = upper(:sha256)))
 ORDER BY f.file_id;
