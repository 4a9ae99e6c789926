-- Whose file is this: which container, image and layer, at which path inside; and where are all versions of it?
-- One row a file and container that has its layer or mounts it; versions in several layers follow each other, topmost first.
-- effective = 1: this is what the container showed there. Else hidden_by is what hid it: a mount, a layer's entry, or it marks a deletion itself.
-- Names that are not UTF-8 are told from those that only look like it (\xff) by the file itself, not by the directories above.
-- Versions are those at one path within each layer: what a renamed directory (overlay redirect) brought along stands at its old path.
-- :path       a host path, a path in a container, a fragment of a host path, or a GLOB on the host path; all when unset
-- :container  name, id or unique prefix of the id: only what this container has; all when unset
-- Example: dof query whose --path /tmp/trojan
WITH wanted (tree_id, inner) AS (
  SELECT t.id, substr(rtrim(:path, '/'), length(t.host_path) + 1) FROM tree t
   WHERE :path GLOB '/*' AND :path NOT GLOB '*[*?[]*' AND substr(rtrim(:path, '/') || '/', 1, length(t.host_path) + 1) = t.host_path || '/'
   UNION
  SELECT t.id, rtrim(:path, '/') FROM tree t
   WHERE :path GLOB '/*' AND :path NOT GLOB '*[*?[]*' AND t.kind = 'layer'
   UNION
  SELECT p.tree_id, substr(rtrim(:path, '/'), length(p.place) + 1) FROM mount_place p
   WHERE :path GLOB '/*' AND :path NOT GLOB '*[*?[]*' AND p.tree_id IS NOT NULL AND substr(rtrim(:path, '/') || '/', 1, length(p.place) + 1) = p.place || '/'),
-- inner = the path within the tree; where a file's name marks a deletion (.wh.NAME), that of what it deletes.
found (file_id, tree_id, dir_path, name, dir_raw, name_raw) AS (
  SELECT f.id, w.tree_id, d.path, iif(f.name GLOB '.wh.?*' AND f.overlay LIKE '%whiteout%' AND (f.mode & 61440) <> 8192, substr(f.name, 5), f.name), d.path_raw, f.name_raw
    FROM wanted w CROSS JOIN directory d ON d.tree_id = w.tree_id AND d.path = rtrim(rtrim(w.inner, replace(w.inner, '/', '')), '/') CROSS JOIN file f ON f.dir_id = d.id
   WHERE f.name = replace(w.inner, rtrim(w.inner, replace(w.inner, '/', '')), '') OR f.name = '.wh.' || replace(w.inner, rtrim(w.inner, replace(w.inner, '/', '')), '') AND f.overlay LIKE '%whiteout%'
   UNION ALL
  SELECT f.id, t.id, d.path, iif(f.name GLOB '.wh.?*' AND f.overlay LIKE '%whiteout%' AND (f.mode & 61440) <> 8192, substr(f.name, 5), f.name), d.path_raw, f.name_raw
    FROM tree t CROSS JOIN directory d ON d.tree_id = t.id CROSS JOIN file f ON f.dir_id = d.id
   WHERE (:path IS NULL OR :path NOT GLOB '/*' OR :path GLOB '*[*?[]*')
     AND (:path IS NULL OR iif(:path GLOB '*[*?[]*', t.host_path || d.path || '/' || f.name GLOB :path, instr(t.host_path || d.path || '/' || f.name, :path)))),
-- Who has it: by a layer (root = -1), or by a mount.
seen (file_id, tree_id, inner, container_id, position, root, dir_raw, name_raw, path) AS (
  SELECT file_id, tree_id, inner, container_id, position, root, dir_raw, name_raw, iif(place || inner = '', '/', place || inner)
    FROM (SELECT x.file_id, x.tree_id, iif(x.name = '', x.dir_path, x.dir_path || '/' || x.name) AS inner, s.container_id, s.position, -1 AS root, '' AS place, x.dir_raw, x.name_raw
            FROM found x LEFT JOIN tree t ON t.id = x.tree_id LEFT JOIN container_stack s ON s.layer_id = t.layer_id AND s.sees & 1 WHERE t.kind = 'layer'
           UNION ALL
          SELECT x.file_id, x.tree_id, iif(x.name = '', x.dir_path, x.dir_path || '/' || x.name), p.container_id, NULL, length(p.place), coalesce(p.place, ''), x.dir_raw, x.name_raw
            FROM found x JOIN tree t ON t.id = x.tree_id LEFT JOIN mount_place p ON p.tree_id = t.id WHERE t.kind <> 'layer')),
-- hiding = what keeps the container from seeing it.
version AS (
  SELECT s.*, coalesce(
           (SELECT iif(h.place = '', '/', h.place) || ' (' || h.kind || coalesce(' ' || h.source, '') || ')' FROM mount_place h
             WHERE h.container_id = s.container_id AND h.kind <> 'nested' AND length(h.place) > s.root AND (h.place = '' OR substr(rtrim(s.path, '/') || '/', 1, length(h.place) + 1) = h.place || '/')
             ORDER BY length(h.place) DESC, h.id LIMIT 1),
           (WITH RECURSIVE up (path) AS (SELECT s.inner UNION ALL SELECT rtrim(rtrim(path, replace(path, '/', '')), '/') FROM up WHERE path <> '')
            SELECT y.cache_id || ' ' || u.path || ' (' || coalesce(e.overlay, CASE e.mode & 61440 WHEN 16384 THEN 'directory' WHEN 32768 THEN 'file' ELSE 'no directory' END) || ')'
              FROM up u CROSS JOIN container_stack a ON a.container_id = s.container_id AND a.position > s.position AND a.sees & 1
                   CROSS JOIN directory d ON d.tree_id = a.tree_id AND d.path = rtrim(rtrim(u.path, replace(u.path, '/', '')), '/') CROSS JOIN file e ON e.dir_id = d.id CROSS JOIN layer y ON y.id = a.layer_id
             WHERE s.position IS NOT NULL
               AND (e.name = replace(u.path, rtrim(u.path, replace(u.path, '/', '')), '') OR e.name = '.wh.' || replace(u.path, rtrim(u.path, replace(u.path, '/', '')), '') AND e.overlay LIKE '%whiteout%')
               AND (u.path = s.inner OR e.redirect IS NOT NULL OR (e.mode & 61440) <> 16384 OR e.overlay LIKE '%opaque%')
               AND NOT (u.path = '' AND s.inner <> '')
               AND (u.path <> s.inner OR d.path_raw IS s.dir_raw AND (e.name_raw IS s.name_raw OR e.name GLOB '.wh.*'))
             ORDER BY a.position DESC, length(u.path), e.id LIMIT 1),
           (SELECT f.overlay FROM file f WHERE f.id = s.file_id AND s.position IS NOT NULL AND (f.overlay LIKE '%whiteout%' OR f.overlay LIKE '%opaque%' AND (f.mode & 61440) <> 16384))) AS hiding
    FROM seen s)
SELECT coalesce(c.name, c.full_id) AS container, l.image, l.layer, l.role, v.path, iif(c.id IS NULL, NULL, v.hiding IS NULL) AS effective, v.hiding AS hidden_by,
       CASE f.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket' WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END AS type, printf('%04o', f.mode & 4095) AS mode, f.uid, f.gid, f.size,
       replace(datetime(f.mtime / 1000000000 - (f.mtime % 1000000000 < 0), 'unixepoch'), ' ', 'T') || printf('.%09dZ', (f.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime, replace(datetime(f.ctime / 1000000000 - (f.ctime % 1000000000 < 0), 'unixepoch'), ' ', 'T') || printf('.%09dZ', (f.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime,
       f.overlay, f.link AS link_target, t.host_path || d.path || iif(f.name = '', '', '/' || f.name) AS host_path, f.id AS file_id, l.host
  FROM version v CROSS JOIN file f ON f.id = v.file_id CROSS JOIN directory d ON d.id = f.dir_id CROSS JOIN tree t ON t.id = d.tree_id CROSS JOIN tree_label l ON l.tree_id = t.id
       LEFT JOIN container c ON c.id = v.container_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.name, c.full_id, c.id, v.path, v.root DESC, v.position DESC, t.id, f.id;
