-- Which files are in a container's own layer and mounts, or in any layer, volume or bind source?
-- :container  name, id or unique prefix of the id: its own layer and its mounts; every tree when unset
-- :path       a GLOB on the path in the container, e.g. /tmp/*; all when unset
-- :sha256     a hash in hex, of files whose contents were hashed; all when unset
-- Example: dof query files --path '/tmp/*'
SELECT p.container, p.image, p.layer, p.path, p.type, printf('%04o', p.permissions) AS mode, p.uid, p.gid, p.size, p.inode, p.nlink,
       strftime('%Y-%m-%dT%H:%M:%S', p.mtime / 1000000000 - (p.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (p.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime, strftime('%Y-%m-%dT%H:%M:%S', p.atime / 1000000000 - (p.atime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (p.atime % 1000000000 + 1000000000) % 1000000000) AS atime, strftime('%Y-%m-%dT%H:%M:%S', p.ctime / 1000000000 - (p.ctime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (p.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime, strftime('%Y-%m-%dT%H:%M:%S', p.crtime / 1000000000 - (p.crtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (p.crtime % 1000000000 + 1000000000) % 1000000000) AS crtime,
       p.link, p.overlay, p.rdev, iif(x.sha256 IS NULL, NULL, lower(hex(x.sha256))) AS sha256, p.host_path, p.host
  FROM file_path p LEFT JOIN file_hash x ON x.file_id = p.file_id
 WHERE (:path IS NULL OR p.path GLOB :path)
   AND (:container IS NULL OR p.tree_id IN (SELECT tc.tree_id FROM tree_container tc JOIN container c ON c.id = tc.container_id WHERE tc.via IN ('own', 'init', 'mount') AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)))
   AND (:sha256 IS NULL OR p.file_id IN (SELECT y.file_id FROM file_hash y WHERE hex(y.sha256) = upper(:sha256)))
 ORDER BY p.file_id;
