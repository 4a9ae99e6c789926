-- Which files are in the container's volumes and bind mounts, as a body file has them?
-- Times in nanoseconds; path_hex and link_hex are the exact bytes of names that are not UTF-8.
-- What another mount hides is there too, its name followed by (hidden).
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query macrobber-volumes
WITH mounted (tree_id, container_id, container_path, covered) AS MATERIALIZED ( -- covered = 1: something else is mounted within
  SELECT tc.tree_id, c.id, tc.container_path,
         EXISTS (SELECT 1 FROM container_mount m WHERE m.container_id = c.id AND length(rtrim(m.destination, '/')) > length(tc.container_path) AND substr(m.destination, 1, length(tc.container_path) + 1) = tc.container_path || '/')
    FROM container c CROSS JOIN tree_container tc ON tc.container_id = c.id
   WHERE tc.via = 'mount' AND EXISTS (SELECT 1 FROM tree t WHERE t.id = tc.tree_id AND t.kind <> 'layer')
     AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container))
SELECT container, path || hidden AS path, iif(path_raw IS NULL, NULL, hex(path_raw || hidden)) AS path_hex, inode, mode, uid, gid, size, atime, mtime, ctime, crtime, link, link_hex, overlay
  FROM (
SELECT c.full_id AS container, c.id AS container_id, tc.tree_id, tc.container_path, f.id AS file_id,
       iif(f.name = '', iif(tc.container_path || d.path = '', '/', tc.container_path || d.path), tc.container_path || d.path || '/' || f.name) AS path,
       iif(d.path_raw IS NULL AND f.name_raw IS NULL, NULL, tc.container_path || coalesce(d.path_raw, d.path) || '/' || coalesce(f.name_raw, f.name)) AS path_raw,
       iif(tc.covered AND EXISTS (SELECT 1 FROM container_mount m WHERE m.container_id = c.id AND length(rtrim(m.destination, '/')) > length(tc.container_path)
                      AND substr(tc.container_path || d.path || '/' || f.name || '/', 1, length(rtrim(m.destination, '/')) + 1) = rtrim(m.destination, '/') || '/'), ' (hidden)', '') AS hidden,
       f.inode, f.mode, f.uid, f.gid, f.size, f.atime, f.mtime, f.ctime, f.crtime, f.link, iif(f.link_raw IS NULL, NULL, hex(f.link_raw)) AS link_hex, f.overlay
  FROM mounted tc CROSS JOIN container c ON c.id = tc.container_id CROSS JOIN directory d ON d.tree_id = tc.tree_id CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
 -- The root of a tree within a tree is an entry of the outer one already.
 WHERE NOT (f.name = '' AND EXISTS (SELECT 1 FROM tree_nesting n JOIN tree_container o ON o.tree_id = n.outer_id WHERE n.inner_id = tc.tree_id AND o.container_id = c.id AND o.via = 'mount' AND o.container_path || n.path = tc.container_path))
)
 ORDER BY container, container_id, tree_id, container_path, file_id;
