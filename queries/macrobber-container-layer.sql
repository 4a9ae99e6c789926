-- Which files are in the container's own layer, as a body file has them?
-- Times in nanoseconds; path_hex and link_hex are the exact bytes of names that are not UTF-8.
-- What a mount hides is there too, its name followed by (hidden). Marks by names (.wh.NAME) are
-- the deletions they stand for.
-- :container  name or id; all when unset
-- Example: dof query macrobber-container-layer
SELECT c.full_id AS container, b.path || b.hidden AS path,
       iif(b.path_raw IS NULL, NULL, hex(b.path_raw || b.hidden)) AS path_hex, f.inode, f.mode,
       f.uid, f.gid, f.size, f.atime, f.mtime, f.ctime, f.crtime, f.link,
       iif(f.link_raw IS NULL, NULL, hex(f.link_raw)) AS link_hex, f.overlay
  FROM container c CROSS JOIN own_layer_file b ON b.container_id = c.id
       CROSS JOIN file f ON f.id = b.file_id
 WHERE :container IS NULL OR c.id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.full_id, c.id, b.tree_id, b.container_path, f.id;
