-- Which files are in the container's own layer, as a body file has them?
-- Times in nanoseconds; path_hex and link_hex are the exact bytes of names that are not UTF-8.
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query macrobber-container-layer
SELECT c.full_id AS container,
       iif(f.name = '', iif(tc.container_path || d.path = '', '/', tc.container_path || d.path), tc.container_path || d.path || '/' || f.name) AS path,
       iif(d.path_raw IS NULL AND f.name_raw IS NULL, NULL, hex(tc.container_path || coalesce(d.path_raw, d.path) || '/' || coalesce(f.name_raw, f.name))) AS path_hex,
       f.inode, f.mode, f.uid, f.gid, f.size, f.atime, f.mtime, f.ctime, f.crtime, f.link, iif(f.link_raw IS NULL, NULL, hex(f.link_raw)) AS link_hex, f.overlay
  FROM container c CROSS JOIN tree_container tc ON tc.container_id = c.id CROSS JOIN directory d ON d.tree_id = tc.tree_id CROSS JOIN file f ON f.dir_id = d.id
 WHERE tc.via = 'own'
   AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.full_id, c.id, tc.tree_id, tc.container_path, f.id;
