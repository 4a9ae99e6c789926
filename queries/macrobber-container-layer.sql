-- Which files are in the container's own layer, as a body file has them?
-- Times in nanoseconds; path_hex and link_hex are the exact bytes of names that are not UTF-8.
-- What a mount hides is there too, its name followed by (hidden). Marks by names (.wh.NAME) are the deletions they stand for.
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query macrobber-container-layer
SELECT container, path || hidden AS path, iif(path_raw IS NULL, NULL, hex(path_raw || hidden)) AS path_hex, inode, mode, uid, gid, size, atime, mtime, ctime, crtime, link, link_hex, overlay
  FROM (
SELECT c.full_id AS container, c.id AS container_id, tc.tree_id, tc.container_path, f.id AS file_id,
       iif(f.name = '', iif(d.path = '', '/', d.path), d.path || '/' || iif(f.overlay LIKE '%whiteout%' AND f.name GLOB '.wh.?*' AND (f.mode & 61440) <> 8192, substr(f.name, 5), f.name)) AS path,
       iif(d.path_raw IS NULL AND f.name_raw IS NULL, NULL, coalesce(d.path_raw, d.path) || '/' || iif(f.overlay LIKE '%whiteout%' AND f.name GLOB '.wh.?*' AND (f.mode & 61440) <> 8192, substr(coalesce(f.name_raw, f.name), 5), coalesce(f.name_raw, f.name))) AS path_raw,
       iif(EXISTS (SELECT 1 FROM mount_place p WHERE p.container_id = c.id AND p.kind <> 'nested' AND p.place <> '' AND substr(d.path || '/' || f.name || '/', 1, length(p.place) + 1) = p.place || '/'), ' (hidden)', '') AS hidden,
       f.inode, f.mode, f.uid, f.gid, f.size, f.atime, f.mtime, f.ctime, f.crtime, f.link, iif(f.link_raw IS NULL, NULL, hex(f.link_raw)) AS link_hex, f.overlay
  FROM container c CROSS JOIN tree_container tc ON tc.container_id = c.id CROSS JOIN directory d ON d.tree_id = tc.tree_id CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
 WHERE tc.via = 'own'
   AND (f.overlay IS NULL OR f.overlay NOT LIKE '%opaque%' OR (f.mode & 61440) = 16384) -- files that only mark their directory
   AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
)
 ORDER BY container, container_id, tree_id, container_path, file_id;
