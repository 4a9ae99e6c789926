-- Whose file is this: which container, image and layer, at which path inside; and where are all versions of it?
-- One row a file and container that has its layer or mounts it; versions in several layers follow each other, topmost first.
-- effective = 1: this is what the container showed there. Else hidden_by is what hid it: a mount, a layer's entry, or it marks a deletion itself.
-- A host path may have the mount's own path in front, lead through overlay2/l or merged (what the layers of that container have), or be of
-- Docker's own files: those of a layer or volume give its root, those of a container or image a row of the role record.
-- path_raw has the exact bytes, below the root of the layer, volume or bind source, of a path that is not UTF-8; it is printed as \xNN, as another may read.
-- Names that are not UTF-8 are told from those that only look like it (\xff) by the file itself, not by the directories above.
-- Of a path given whole the symbolic links on the way, those of a container's layers, are followed too: path then is where they lead. The last
-- name is not followed, nor are links within volumes and bind sources.
-- What a renamed directory (overlay redirect) brought along stands at its new path, in containers that have one; links on the way there are not followed.
-- Without :path every file of every layer, volume and bind source is listed, once for each container that has it: give :container at least.
-- :path       a host path, a path in a container, a fragment of a host path, or a GLOB on either path; all when unset
-- :container  name, id or unique prefix of the id: only what this container has; all when unset
-- Example: dof query whose --path /tmp/trojan
WITH typed (path) AS MATERIALIZED (SELECT rtrim(replace(replace(replace(:path, '//', '/'), '//', '/'), '//', '/'), '/')),
-- As it was typed (a path on the host = 1, in a container = 2), and without what stands before it on the analyst's machine: the
-- mount, or what is before the data root, or before Docker's folders where the data root is another (a link, a disk of its own).
place (path, host_id, side) AS MATERIALIZED (
  SELECT path, NULL, 3 FROM typed WHERE :path GLOB '/*'
   UNION
  SELECT substr(y.path, length(rtrim(h.mount, '/')) + 1), h.id, 1 FROM typed y, host h WHERE substr(y.path || '/', 1, length(rtrim(h.mount, '/')) + 1) = rtrim(h.mount, '/') || '/' AND h.mount <> '/'
   UNION
  SELECT substr(y.path, instr(y.path, eng.data_root || '/')), eng.host_id, 1 FROM typed y, engine eng WHERE instr(y.path, eng.data_root || '/') > 1
   UNION
  SELECT eng.data_root || substr(y.path, instr(y.path, j.value)), eng.host_id, 1
    FROM (SELECT iif(path GLOB '/*', path, '/' || path) AS path FROM typed WHERE path <> '') y, engine eng, json_each(json_array('/' || eng.driver || '/', '/image/' || eng.driver || '/', '/containers/')) j WHERE instr(y.path, j.value)
   UNION
  SELECT eng.data_root || '/' || y.path, eng.host_id, 1 FROM typed y, engine eng WHERE y.path GLOB 'volumes/*'),
-- Containers with a symbolic link on the way; and the way, as schema/derived.sql goes it.
above (path, whole) AS (
  SELECT rtrim(rtrim(path, replace(path, '/', '')), '/'), path FROM place WHERE side & 2
   UNION
  SELECT rtrim(rtrim(path, replace(path, '/', '')), '/'), whole FROM above WHERE path <> ''),
linked (container_id, path) AS MATERIALIZED (
  SELECT DISTINCT k.container_id, a.whole
    FROM above a CROSS JOIN tree t CROSS JOIN directory d ON d.tree_id = t.id AND d.path = rtrim(rtrim(a.path, replace(a.path, '/', '')), '/') CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
         CROSS JOIN tree_container k ON k.tree_id = t.id CROSS JOIN container c ON c.id = k.container_id
   WHERE a.path <> '' AND t.kind = 'layer' AND k.via <> 'mount' AND (f.mode & 61440) = 40960 AND +f.name = replace(a.path, rtrim(a.path, replace(a.path, '/', '')), '')
     AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)),
way (container_id, last, path, rest, floor, links) AS (
  SELECT container_id, replace(path, rtrim(path, replace(path, '/', '')), ''), '', '[' || replace(json_quote(trim(rtrim(path, replace(path, '/', '')), '/')), '/', '","') || ']', 0, 0 FROM linked
  UNION ALL
  SELECT w.container_id, w.last,
         CASE WHEN w.rest ->> 0 IN ('', '.') THEN w.path WHEN w.rest ->> 0 = '..' THEN rtrim(rtrim(w.path, replace(w.path, '/', '')), '/') WHEN top.link IS NULL THEN w.path || '/' || (w.rest ->> 0) ELSE '' END,
         CASE WHEN top.link IS NULL THEN json_remove(w.rest, '$[0]')
              ELSE (SELECT json_group_array(value) FROM (SELECT value FROM json_each('[' || replace(json_quote(iif(top.link LIKE '/%', '', w.path || '/') || top.link), '/', '","') || ']') UNION ALL SELECT value FROM json_each(w.rest) WHERE key > 0)) END,
         CASE WHEN w.rest ->> 0 IN ('', '.') THEN w.floor WHEN w.rest ->> 0 = '..' OR top.link IS NOT NULL THEN 0
              WHEN top.id IS NULL THEN 1000000000
              ELSE max(w.floor, coalesce((SELECT max(s.position + ((f.mode & 61440) <> 16384)) FROM container_stack s CROSS JOIN directory d ON d.tree_id = s.tree_id AND d.path = w.path CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
                        WHERE s.container_id = w.container_id AND s.sees & 1 AND s.position >= w.floor AND +f.name = w.rest ->> 0 AND ((f.mode & 61440) <> 16384 OR f.overlay LIKE '%opaque%')), 0)) END,
         w.links + (top.link IS NOT NULL)
    FROM way w LEFT JOIN file top ON top.id = (
         SELECT x.id FROM (
           SELECT f.id AS id, max(s.position) FROM container_stack s CROSS JOIN directory d ON d.tree_id = s.tree_id AND d.path = w.path CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
            WHERE s.container_id = w.container_id AND s.sees & 1 AND s.position >= w.floor AND +f.name = w.rest ->> 0 AND f.name <> '') x)
   WHERE json_array_length(w.rest) > 0 AND w.links < 40),
-- And through a layer's short name, the folder of a volume that lies elsewhere, and the place of a container's whole view, which is `only`.
typed_as (path, host_id, side, only) AS MATERIALIZED (
  SELECT b.leads || substr(a.path, length(b.place) + 1), coalesce(b.host_id, a.host_id), coalesce(b.side, a.side), b.only
    FROM place a CROSS JOIN (
         SELECT '' AS place, '' AS leads, NULL AS host_id, NULL AS side, NULL AS only
          UNION ALL
         SELECT eng.data_root || '/' || l.driver || '/l/' || l.link, l.host_path, eng.host_id, 1, NULL FROM engine eng CROSS JOIN layer l ON l.engine_id = eng.id
          UNION ALL
         SELECT v.mount_point, rtrim(t.host_path, '/'), t.host_id, 1, NULL FROM volume v CROSS JOIN tree t ON t.volume_id = v.id WHERE t.host_path <> v.mount_point
          UNION ALL
         SELECT iif(l.driver = 'aufs', eng.data_root || '/aufs/mnt/' || l.cache_id, rtrim(l.host_path, replace(l.host_path, '/', '')) || 'merged'), '', eng.host_id, 2, c.id
           FROM container c CROSS JOIN layer l ON l.id = c.layer_id CROSS JOIN engine eng ON eng.id = l.engine_id) b
   WHERE coalesce(a.host_id, b.host_id, 0) = coalesce(b.host_id, a.host_id, 0) AND substr(a.path || '/', 1, length(b.place) + 1) = b.place || '/'),
-- Containers whose merged view is worked out: those with a renamed directory; and when all is asked for, since that is faster.
whole (container_id) AS MATERIALIZED (
  SELECT c.id FROM merged_root r CROSS JOIN container c ON c.id = r.container_id
   WHERE r.what = 'container' AND (r.renames OR :path IS NULL) AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)),
-- Directories that have another name in a container than below, and what that is. All that stands elsewhere in it lies below one of these.
renamed (container_id, place, source) AS MATERIALIZED (
  SELECT DISTINCT s.container_id, d.path, iif(f.redirect GLOB '/*', f.redirect, rtrim(rtrim(d.path, replace(d.path, '/', '')), '/') || '/' || f.redirect)
    FROM whole w CROSS JOIN container_stack s ON s.container_id = w.container_id AND s.sees & 1 CROSS JOIN directory d ON d.tree_id = s.tree_id CROSS JOIN file f ON f.id = d.id
   WHERE :path IS NOT NULL AND f.redirect IS NOT NULL),
-- Where that is, and where links lead (side 4: in what is mounted in that container too): inner is the path in the tree. Where there is a
-- source, what stands at `inner` in container `only` may lie anywhere below that, since a directory was renamed.
wanted (tree_id, inner, only, source) AS MATERIALIZED (
  SELECT b.tree_id, rtrim(substr(a.path, length(b.place) + 1), '/'), iif(b.source IS NULL, a.only, b.container_id), b.source
    FROM (SELECT path, host_id, side, only FROM typed_as
           UNION
          SELECT path || '/' || last, NULL, 6, container_id FROM way WHERE rest = '[]' AND links > 0) a
         CROSS JOIN (
         SELECT id AS tree_id, rtrim(host_path, '/') AS place, host_id, 1 AS side, NULL AS container_id, NULL AS source FROM tree
          UNION ALL
         SELECT id, '', host_id, 2, NULL, NULL FROM tree WHERE kind = 'layer'
          UNION ALL
         SELECT p.tree_id, p.place, t.host_id, 2, p.container_id, NULL FROM mount_place p CROSS JOIN tree t ON t.id = p.tree_id
          UNION ALL
         SELECT DISTINCT s.tree_id, '', t.host_id, 2, r.container_id, r.source FROM renamed r CROSS JOIN container_stack s ON s.container_id = r.container_id AND s.sees & 1 CROSS JOIN tree t ON t.id = s.tree_id) b
   WHERE a.side & b.side AND b.host_id = coalesce(a.host_id, b.host_id) AND substr(a.path || '/', 1, length(b.place) + 1) = b.place || '/'
     -- What is asked, to its first wildcard, lies below a renamed directory, or that below it.
     AND CASE WHEN b.source IS NOT NULL
              THEN coalesce(a.only, b.container_id) = b.container_id
               AND EXISTS (SELECT 1 FROM (SELECT substr(a.path, 1, min(instr(a.path || '*', '*'), instr(a.path || '?', '?'), instr(a.path || '[', '[')) - 1) AS begins) q CROSS JOIN renamed r
                            WHERE r.container_id = b.container_id AND substr(r.place || '/', 1, length(q.begins)) = substr(q.begins, 1, length(r.place) + 1))
              WHEN a.only IS NULL THEN 1 WHEN b.container_id THEN a.side & 4 AND a.only = b.container_id ELSE b.tree_id IN (SELECT s.tree_id FROM container_stack s WHERE s.container_id = a.only AND s.sees & 1) END
   UNION
  SELECT t.id, '', NULL, NULL FROM place a, trace r CROSS JOIN engine eng ON eng.id = r.engine_id, tree t LEFT JOIN layer l ON l.id = t.layer_id LEFT JOIN volume v ON v.id = t.volume_id
   WHERE r.kind IN ('layer', 'layer-record', 'pulled', 'volume') AND t.host_id = eng.host_id AND t.host_id = coalesce(a.host_id, t.host_id) AND substr(a.path || '/', 1, length(r.host_path) + 1) = r.host_path || '/'
     AND CASE r.kind WHEN 'layer' THEN l.cache_id WHEN 'layer-record' THEN l.chain_id WHEN 'pulled' THEN l.diff_id ELSE v.name END = r.belongs
     AND substr(a.path || '/', 1, length(t.host_path) + 1) <> t.host_path || '/' AND (v.mount_point IS NULL OR substr(a.path || '/', 1, length(v.mount_point) + 1) <> v.mount_point || '/')
     AND NOT (r.kind = 'layer' AND l.role = 'container' AND substr(a.path || '/', length(r.host_path) + 1, 8) = '/merged/')),
-- What is no exact path: all, a fragment or a GLOB (8), or a GLOB on paths as above (links are not followed there).
pattern (glob, host_id, side, only) AS MATERIALIZED (
  SELECT NULL, NULL, 0, NULL WHERE :path IS NULL
   UNION ALL
  SELECT :path, NULL, 8, NULL WHERE :path NOT GLOB '/*' AND :path <> ''
   UNION ALL
  SELECT path, host_id, side, only FROM typed_as WHERE path GLOB '/*' AND path GLOB '*[*?[]*'),
shown (container_id, file_id, path) AS MATERIALIZED (
  SELECT w.container_id, f.id, coalesce(m.moved_path, iif(f.name = '', '/', d.path || '/' || f.name))
    FROM whole w CROSS JOIN merged m ON m.what = 'container' AND m.id = w.container_id CROSS JOIN file f ON f.id = m.file_id CROSS JOIN directory d ON d.id = f.dir_id WHERE m.place_id IS NULL),

-- Where a file's name marks a deletion (.wh.NAME), name is that of what it deletes. asked_of is an array of the containers that its
-- path was asked of, where a null stands for all; where there is none, only is the container, or NULL for all. moved is a path or GLOB
-- that it only answers if it stands there.
found (file_id, tree_id, dir_path, name, dir_raw, name_raw, asked_of, only, moved) AS MATERIALIZED (
  SELECT f.id, w.tree_id, d.path, iif(f.name GLOB '.wh.?*' AND f.overlay LIKE '%whiteout%' AND (f.mode & 61440) <> 8192, substr(f.name, 5), f.name), d.path_raw, f.name_raw, w.asked_of, NULL, iif(w.source IS NULL, NULL, w.inner)
    FROM (SELECT tree_id, inner, source, json_group_array(only) AS asked_of, coalesce(source, rtrim(rtrim(inner, replace(inner, '/', '')), '/')) AS above, replace(inner, rtrim(inner, replace(inner, '/', '')), '') AS name,
                 -- What a name must end with: what follows the last wildcard or slash.
                 substr(inner, length(rtrim(inner, replace(replace(replace(replace(replace(inner, '/', ''), '*', ''), '?', ''), '[', ''), ']', ''))) + 1) AS ending
            FROM wanted GROUP BY tree_id, inner, source) w
         CROSS JOIN directory d ON d.tree_id = w.tree_id AND d.path BETWEEN w.above AND iif(w.source IS NULL, w.above, w.above || '0') CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
   WHERE (+f.name = w.name OR +f.name = '.wh.' || w.name AND f.overlay LIKE '%whiteout%' OR w.source IS NOT NULL AND w.inner GLOB '*[*?[]*' AND substr(f.name, length(f.name) - length(w.ending) + 1) = w.ending)
     AND (d.path = w.above OR substr(d.path, 1, length(w.above) + 1) = w.above || '/')
   UNION
  SELECT file_id, tree, dir_path, name, dir_raw, name_raw, NULL, only, NULL
    FROM (SELECT f.id AS file_id, t.id AS tree, t.kind, d.path AS dir_path, iif(f.overlay IS NOT NULL AND f.name GLOB '.wh.?*' AND f.overlay LIKE '%whiteout%' AND (f.mode & 61440) <> 8192, substr(f.name, 5), f.name) AS name, d.path_raw AS dir_raw, f.name_raw,
                 a.only, a.side, a.glob, rtrim(t.host_path, '/') || d.path || iif(f.name = '', '', '/' || f.name) AS on_host
            FROM pattern a CROSS JOIN tree t ON t.host_id = coalesce(a.host_id, t.host_id) CROSS JOIN directory d ON d.tree_id = t.id CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
           WHERE (:container IS NULL OR t.id IN (SELECT k.tree_id FROM tree_container k CROSS JOIN container c ON c.id = k.container_id WHERE :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container))
             AND (a.only IS NULL OR t.id IN (SELECT s.tree_id FROM container_stack s WHERE s.container_id = a.only)))
   WHERE side = 0
      OR side = 8 AND (instr(on_host, glob) OR on_host GLOB glob)
      OR side & 1 AND on_host GLOB glob
      OR side & 2 AND (kind = 'layer' AND dir_path || '/' || name GLOB glob
                       OR kind <> 'layer' AND EXISTS (SELECT 1 FROM mount_place p WHERE p.tree_id = tree AND p.place || dir_path || iif(name = '', '', '/' || name) GLOB glob))),
-- Who has it: by a layer (root = -1), or by a mount. moved is an array of what `moved` above is, NULL where it answers anyway.
seen (file_id, inner, container_id, position, root, dir_raw, name_raw, path, moved) AS MATERIALIZED (
  SELECT file_id, inner, container_id, position, root, dir_raw, name_raw, iif(place || inner = '', '/', place || inner), iif(count(moved) = count(*), json_group_array(moved), NULL)
    FROM (SELECT x.moved, x.file_id, iif(x.name = '', x.dir_path, x.dir_path || '/' || x.name) AS inner, coalesce(s.container_id, p.container_id) AS container_id,
                 s.position, iif(t.kind = 'layer', -1, length(p.place)) AS root, coalesce(p.place, '') AS place, x.dir_raw, x.name_raw
            FROM found x CROSS JOIN tree t ON t.id = x.tree_id LEFT JOIN json_each(x.asked_of) w
                 LEFT JOIN container_stack s ON s.layer_id = t.layer_id AND t.kind = 'layer' AND s.sees & 1 AND s.container_id = coalesce(w.value, x.only, s.container_id)
                 LEFT JOIN mount_place p ON p.tree_id = t.id AND t.kind <> 'layer' AND p.container_id = coalesce(w.value, p.container_id)
           WHERE :container IS NULL OR coalesce(s.container_id, p.container_id) IN (SELECT c.id FROM container c WHERE :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container))
   GROUP BY 1, 2, 3, 4, 5, 6, 7, 8),
-- All versions of a path in a container. sure: 1 = the container's view was worked out and shows it, 0 = and does not, NULL = it was not.
-- lowest is the position below which there is none that is not sure to be seen. A file that answers does so at all its places.
grouped (container_id, inner, dir_raw, name_raw, versions, lowest) AS MATERIALIZED (
  SELECT container_id, inner, dir_raw, name_raw, json_group_array(json_array(file_id, position, root, path, sure, answers)), min(position) FILTER (WHERE sure IS NOT 1)
    FROM (SELECT s.file_id, s.inner, s.container_id, s.position, s.root, s.dir_raw, s.name_raw, coalesce(v.path, s.path) AS path,
                 iif(s.root = -1 AND s.container_id IN (SELECT container_id FROM whole), v.file_id IS NOT NULL, NULL) AS sure,
                 s.moved IS NULL OR v.path <> s.path AND EXISTS (SELECT 1 FROM json_each(s.moved) a WHERE v.path = a.value OR v.path GLOB a.value) AS answers
            FROM seen s LEFT JOIN shown v ON v.container_id = s.container_id AND v.file_id = s.file_id AND s.root = -1)
   GROUP BY container_id, inner, dir_raw, name_raw HAVING max(answers)),
-- What hides all versions of a path further down, once for all of them: the topmost layer's position, a space, and its entry in words.
-- That is an entry of the path or of a directory above it: `near`, looked for in whole directories at once.
parent (path) AS MATERIALIZED (
  SELECT DISTINCT iif(name = '', rtrim(rtrim(dir_path, replace(dir_path, '/', '')), '/'), dir_path) FROM found
   UNION
  SELECT rtrim(rtrim(path, replace(path, '/', '')), '/') FROM parent),
near (tree_id, path, id) AS MATERIALIZED (
  SELECT t.id, d.path || iif(e.name = '', '', '/' || iif(e.name GLOB '.wh.?*' AND e.overlay LIKE '%whiteout%' AND (e.mode & 61440) <> 8192, substr(e.name, 5), e.name)), e.id
    FROM parent p CROSS JOIN tree t ON t.kind = 'layer' CROSS JOIN directory d ON d.tree_id = t.id AND d.path = p.path CROSS JOIN file e ON e.id BETWEEN d.first_file AND d.last_file),
topmost (container_id, inner, dir_raw, name_raw, versions, hides) AS MATERIALIZED (
  SELECT low.container_id, low.inner, low.dir_raw, low.name_raw, low.versions, iif(low.lowest IS NULL, NULL, (
         WITH RECURSIVE up (path) AS (SELECT low.inner UNION ALL SELECT rtrim(rtrim(path, replace(path, '/', '')), '/') FROM up WHERE path <> '')
         SELECT a.position || ' ' || y.cache_id || ' ' || u.path || ' (' || coalesce(e.overlay, CASE e.mode & 61440 WHEN 16384 THEN 'directory' WHEN 32768 THEN 'file' ELSE 'no directory' END) || ')'
           FROM container_stack a CROSS JOIN up u CROSS JOIN near at ON at.tree_id = a.tree_id AND at.path = u.path CROSS JOIN file e ON e.id = at.id CROSS JOIN directory d ON d.id = e.dir_id CROSS JOIN layer y ON y.id = a.layer_id
          WHERE a.container_id = low.container_id AND a.position > low.lowest AND a.sees & 1
            AND (u.path = low.inner OR e.redirect IS NOT NULL OR (e.mode & 61440) <> 16384 OR e.overlay LIKE '%opaque%')
            AND NOT (u.path = '' AND low.inner <> '')
            AND (u.path <> low.inner OR d.path_raw IS low.dir_raw AND (e.name_raw IS low.name_raw OR e.name GLOB '.wh.*'))
          ORDER BY a.position DESC, length(u.path), e.id LIMIT 1))
    FROM grouped low),
-- hiding = what keeps the container from seeing it.
version AS MATERIALIZED (
  SELECT s.file_id, s.position, s.root, s.path, s.sure, s.container_id, coalesce(
           (SELECT iif(h.place = '', '/', h.place) || ' (' || h.kind || coalesce(' ' || h.source, '') || ')' FROM mount_place h
             WHERE h.container_id = s.container_id AND h.kind <> 'nested' AND length(h.place) > s.root AND (h.place = '' OR substr(rtrim(s.path, '/') || '/', 1, length(h.place) + 1) = h.place || '/')
             ORDER BY length(h.place) DESC, h.id LIMIT 1),
           iif(CAST(s.hides AS INTEGER) > s.position AND s.sure IS NOT 1, substr(s.hides, instr(s.hides, ' ') + 1), NULL),
           (SELECT f.overlay FROM file f WHERE f.id = s.file_id AND s.position IS NOT NULL AND (f.overlay LIKE '%whiteout%' OR f.overlay LIKE '%opaque%' AND (f.mode & 61440) <> 16384))) AS hiding
    FROM (SELECT t.container_id, v.value ->> 0 AS file_id, v.value ->> 1 AS position, v.value ->> 2 AS root, v.value ->> 3 AS path, v.value ->> 4 AS sure, t.hides
            FROM topmost t CROSS JOIN json_each(t.versions) v
           WHERE v.value ->> 5 OR EXISTS (SELECT 1 FROM json_each(t.versions) o WHERE o.value ->> 0 = v.value ->> 0 AND o.value ->> 5)) s)
SELECT container, image, layer, role, path, effective, hidden_by, type, mode, uid, gid, size, mtime, ctime, overlay, link_target, path_raw, host_path, file_id, host
  FROM (
  SELECT coalesce(c.name, c.full_id) AS container, l.image, l.layer, l.role, v.path, iif(c.id IS NULL, NULL, v.hiding IS NULL AND v.sure IS NOT 0) AS effective, v.hiding AS hidden_by,
         CASE f.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket' WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END AS type, printf('%04o', f.mode & 4095) AS mode, f.uid, f.gid, f.size,
         strftime('%Y-%m-%dT%H:%M:%S', f.mtime / 1000000000 - (f.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (f.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime, strftime('%Y-%m-%dT%H:%M:%S', f.ctime / 1000000000 - (f.ctime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (f.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime,
         f.overlay, f.link AS link_target, iif(f.name_raw IS NULL AND d.path_raw IS NULL, NULL, lower(hex(coalesce(d.path_raw, d.path)) || iif(f.name = '', '', '2f' || hex(coalesce(f.name_raw, f.name))))) AS path_raw,
         rtrim(t.host_path, '/') || d.path || iif(f.name = '', '', '/' || f.name) AS host_path, f.id AS file_id, l.host,
         c.name AS by_name, c.full_id AS by_full_id, c.id AS by_id, v.root, v.position, t.id AS tree_id
    FROM version v CROSS JOIN file f ON f.id = v.file_id CROSS JOIN directory d ON d.id = f.dir_id CROSS JOIN tree t ON t.id = d.tree_id CROSS JOIN tree_label l ON l.tree_id = t.id
         LEFT JOIN container c ON c.id = v.container_id
   WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
   UNION ALL
  SELECT DISTINCT coalesce(c.name, c.full_id, iif(r.kind IN ('container', 'mount-record', 'task'), r.belongs, NULL)),
         coalesce((SELECT min(y.reference) FROM image_reference y WHERE y.image_id = i.id AND y.tag IS NOT NULL), i.full_id, iif(r.kind IN ('image', 'image-metadata'), r.belongs, NULL)), NULL, 'record', NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, coalesce(a.path, r.host_path), NULL, h.name, c.name, c.full_id, c.id, NULL, NULL, r.id
    FROM (SELECT path, host_id FROM place UNION SELECT NULL, NULL WHERE :path NOT GLOB '/*' AND :path <> '') a, trace r CROSS JOIN engine eng ON eng.id = r.engine_id CROSS JOIN host h ON h.id = eng.host_id
         LEFT JOIN container c ON c.engine_id = eng.id AND c.full_id = r.belongs LEFT JOIN image i ON i.engine_id = eng.id AND i.full_id = r.belongs
   WHERE r.kind IN ('container', 'mount-record', 'image', 'image-metadata', 'task') AND eng.host_id = coalesce(a.host_id, eng.host_id)
     AND iif(a.path IS NULL, instr(r.host_path, :path) OR r.host_path GLOB :path, substr(a.path || '/', 1, length(r.host_path) + 1) = r.host_path || '/')
     AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container))
 ORDER BY by_name, by_full_id, by_id, path, root DESC, position DESC, tree_id, file_id;
