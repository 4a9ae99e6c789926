-- The merged view: what a stack of layers shows, as Linux's overlayfs puts it together (fs/overlayfs/namei.c): whiteouts,
-- opaque directories, redirects of renamed directories; and the .wh. names of aufs and fuse-overlayfs. For views that people
-- ask for, see container_file and image_file below and docker_container_fs_changes.

-- The layers that the file system of a container or an image is made of, the highest position topmost. `sees` says in whose
-- view a layer is: 1 = the container's or image's, 2 = what the container was started from, which is all below its own layer, 0 = none.
-- Where each layer is a full copy only one of them counts; the driver `overlay` has the container's over one full copy.
CREATE VIEW container_stack AS
SELECT cl.container_id AS container_id, cl.position AS position, l.id AS layer_id, t.id AS tree_id, d.id AS dir_id,
       CASE WHEN l.role = 'container' THEN 1
            WHEN l.driver IN ('vfs', 'btrfs', 'zfs', 'devicemapper')
            THEN 2 * (cl.position = (SELECT max(x.position) FROM container_layer x CROSS JOIN layer y ON y.id = x.layer_id WHERE x.container_id = cl.container_id AND y.role <> 'container'))
            WHEN l.driver = 'overlay' AND l.role = 'init' THEN 2
            WHEN l.driver = 'overlay'
            THEN 3 * (cl.position = (SELECT max(x.position) FROM container_layer x CROSS JOIN layer y ON y.id = x.layer_id WHERE x.container_id = cl.container_id AND y.role = 'image'))
            WHEN EXISTS (SELECT 1 FROM container_before b WHERE b.container_id = cl.container_id) THEN 1
            ELSE 3 END AS sees
  FROM container_layer cl CROSS JOIN layer l ON l.id = cl.layer_id CROSS JOIN tree t ON t.layer_id = l.id CROSS JOIN directory d ON d.tree_id = t.id AND d.path = '';

CREATE VIEW image_stack AS
SELECT il.image_id AS image_id, il.position AS position, l.id AS layer_id, t.id AS tree_id, d.id AS dir_id,
       l.driver NOT IN ('vfs', 'btrfs', 'zfs', 'devicemapper', 'overlay') OR il.position = (SELECT max(x.position) FROM image_layer x WHERE x.image_id = il.image_id) AS sees
  FROM image_layer il CROSS JOIN layer l ON l.id = il.layer_id CROSS JOIN tree t ON t.layer_id = l.id CROSS JOIN directory d ON d.tree_id = t.id AND d.path = '';

-- Every entry of a merged view once. `what` is
--   container, image   the whole view of the container or image `id`: file_id is the file that is effective there; and for a
--                      container the files of what is mounted, whose place_id says where;
--   change             what of container `id` may differ from what it was started from: file_id is effective now, below_id was
--                      before, NULL where there is nothing. What cannot differ is left out: where both have the same parts;
--                      and what lay below a directory that is gone (`docker diff` does not list that either).
-- moved_path is the path in the layers' view where it is not the file's own path within its layer (below a redirect), else NULL.
-- Each view is worked out by itself, as one JSON array, so that WHERE what = ... AND id = ... costs what that one costs.
--
-- How: a merged directory is the list of the directories it is made of, its parts. A part is a number: the position of its
-- layer * 2^42 + its id in file * 4 + in whose views it is (`sees`); so the greater lies on top. `parts` is one number, or a
-- JSON array of several, or an object while redirects wait to be followed. All entries of one name in the parts are one
-- entry of the view: the topmost is effective, and what lies below a `stop` (a whiteout, an opaque or redirected directory,
-- anything that is no directory) is hidden. The order of the joins is fixed by CROSS JOIN.
-- Numbers: of a part p, p >> 42 is the position, (p & 4398046511103) >> 2 the id in file (that is 2^42 - 1), p & 3 the views;
-- of a mode, & 61440 is the type: 16384 a directory, 8192 a character device.
CREATE VIEW merged AS
SELECT r.what AS what, r.id AS id, nullif(coalesce(j.atom, j.value ->> 0), 0) AS file_id,
       iif(r.what = 'change' AND j.atom IS NULL, nullif(j.value ->> 1, 0), NULL) AS below_id,
       iif(r.what = 'container' AND j.atom IS NULL, nullif(j.value ->> 1, 0), NULL) AS place_id, iif(j.atom IS NULL, j.value ->> 2, NULL) AS moved_path
  FROM merged_root r
       -- The stack of layers as an array of its parts, the roots of the layers, in one row: worked out, and compiled, once.
       CROSS JOIN json_each(json_array(json((
    SELECT json_group_array((position << 42) | (dir_id << 2) | sees) FILTER (WHERE sees)
      FROM (SELECT position, dir_id, sees & r.views AS sees FROM container_stack WHERE container_id = r.container_id
             UNION ALL
            -- What it was begun on, where it does not stand on that now: at positions that no layer of the container's has.
            SELECT b.position + 1000000, d.id, r.views & 2 FROM container_before b CROSS JOIN tree t ON t.layer_id = b.layer_id CROSS JOIN directory d ON d.tree_id = t.id AND d.path = ''
             WHERE b.container_id = r.container_id
             UNION ALL
            SELECT position, dir_id, sees & r.views FROM image_stack WHERE image_id = r.image_id))))) s
       CROSS JOIN json_each((
    WITH RECURSIVE
    stack (part, position, dir_id, sees) AS MATERIALIZED (SELECT value, value >> 42, (value & 4398046511103) >> 2, value & 3 FROM json_each(s.value)),
    root (now, below, parts) AS MATERIALIZED (
      SELECT (max(iif(sees & 1, part, 0)) & 4398046511103) >> 2, (max(iif(sees & 2, part, 0)) & 4398046511103) >> 2, iif(count(*) = 1, max(part), s.value)
        FROM stack HAVING count(*)),
    -- Directories, since only these lead on. What one of several parts holds is worked out once, in a row of its own: `entries` are
    -- an object of parts, NULL for what is no directory, by the ids now and below.
    entry (now, below, parts, path, entries) AS (
      SELECT now, below, parts, NULL, NULL FROM root
      UNION ALL
      -- Directories in a directory of one part.
      SELECT iif(e.parts & 1, f.id, 0), iif(e.parts & 2, f.id, 0),
             CASE WHEN f.redirect IS NULL OR f.overlay LIKE '%opaque%' THEN (e.parts & ~4398046511103) | (f.id << 2) | (e.parts & 3)
                  ELSE json_object('have', (e.parts & ~4398046511103) | (f.id << 2) | (e.parts & 3), 'from', e.parts, 'floors', (e.parts & ~4398046511103) | (f.id << 2) | (e.parts & 3)) END,
             e.path || '/' || f.name, NULL
        FROM entry e CROSS JOIN directory here ON here.id = iif(typeof(e.parts) = 'integer', (e.parts & 4398046511103) >> 2, NULL)
             CROSS JOIN file f ON f.id BETWEEN here.first_file AND here.last_file
       WHERE (f.mode & 61440) = 16384 AND f.name <> '' AND (f.overlay IS NULL OR f.overlay NOT LIKE '%whiteout%')
         AND (r.views = 1 OR e.parts & 3 = 1 OR e.parts & 3 = 2 AND (SELECT n.mode & r.kind_bits FROM file n WHERE n.id = e.now) = 16384)
      UNION ALL
      -- What a directory of several parts holds: all its entries at once.
      SELECT e.now, e.below, NULL, e.path, (
             SELECT json_group_object(iif(top1 >= floor1, (top1 & 4398046511103) >> 2, 0) || ' ' || iif(top2 >= floor2, (top2 & 4398046511103) >> 2, 0),
                    CASE WHEN redirects > 0
                         THEN json_object('have', json(dirs), 'from', json(e.parts), 'floors',
                              iif(floor1 | 3 = floor2 | 3, json_array(floor1), json_array(floor1 & ~2, floor2 & ~1)), 'floor1', floor1, 'floor2', floor2)
                         WHEN dirs IS NULL OR dirs >= '[' AND floor1 = 0 AND floor2 = 0 THEN json(dirs)
                         WHEN dirs < '' AND dirs >= floor1 AND dirs >= floor2 THEN dirs
                         ELSE json((SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN max(part) ELSE json_group_array(part) END
                                      FROM (SELECT (value & ~3) | (value & 1 AND value >= floor1) | ((value & 2 AND value >= floor2) << 1) AS part FROM json_each(dirs))
                                     WHERE part & 3)) END)
               FROM (SELECT max(iif(here & 1 AND NOT gone, here, 0)) AS top1, max(iif(here & 1 AND stop, here, 0)) AS floor1,
                            max(iif(here & 2 AND NOT gone, here, 0)) AS top2, max(iif(here & 2 AND stop, here, 0)) AS floor2,
                            CASE sum(dir) WHEN 0 THEN NULL WHEN 1 THEN max(iif(dir, here, 0)) ELSE json_group_array(here) FILTER (WHERE dir) END AS dirs,
                            count(redirect) AS redirects
                       FROM (SELECT CASE WHEN f.overlay LIKE '%whiteout%' AND f.name GLOB '.wh.?*' AND (f.mode & 61440) <> 8192
                                         THEN substr(coalesce(f.name_raw, f.name), 5) ELSE coalesce(f.name_raw, f.name) END AS name,
                                    (p.value & ~4398046511103) | (f.id << 2) | (p.value & 3) AS here, f.redirect AS redirect,
                                    coalesce(f.overlay LIKE '%whiteout%', 0) AS gone, (f.mode & 61440) = 16384 AS dir,
                                    (f.mode & 61440) <> 16384 OR f.redirect IS NOT NULL OR coalesce(f.overlay LIKE '%opaque%', 0) AS stop
                               FROM json_each(e.parts) p CROSS JOIN directory d ON d.id = (p.value & 4398046511103) >> 2 CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
                              WHERE f.name <> '' AND (f.overlay IS NULL OR f.overlay NOT LIKE '%opaque%' OR (f.mode & 61440) = 16384))
                      GROUP BY name)
              WHERE top1 AND top1 >= floor1 OR top2 AND top2 >= floor2)
        FROM entry e
       WHERE typeof(e.parts) = 'text' AND e.parts < '{'
         AND (r.views = 1 OR (SELECT min(value & 3) < 3 AND (max(value & 1) OR (SELECT n.mode & r.kind_bits FROM file n WHERE n.id = e.now) = 16384) FROM json_each(e.parts)))
      UNION ALL
      -- The directories among these.
      SELECT CAST(k.key AS INTEGER), CAST(substr(k.key, instr(k.key, ' ') + 1) AS INTEGER), k.value,
             iif(e.path IS NULL, NULL, e.path || '/' || (SELECT f.name FROM file f WHERE f.id = iif(CAST(k.key AS INTEGER), CAST(k.key AS INTEGER), CAST(substr(k.key, instr(k.key, ' ') + 1) AS INTEGER)))), NULL
        FROM entry e CROSS JOIN json_each(e.entries) k WHERE e.entries IS NOT NULL AND k.value IS NOT NULL
      UNION ALL
      -- Redirects of the floors: where they lead in the layers below, which may have redirects too.
      SELECT e.now, e.below, (
          WITH RECURSIVE
          -- One name of a path in one layer, the i-th of `way`, looked for in the directory `here`. `next` is the path for the layers
          -- below (and for this one, where way is NULL), which are hidden when `stop` is 1. `part` is set when a layer has a directory at the end of the path.
          seek (sees, position, here, i, way, next, stop, part) AS (
            SELECT w.sees, b.position, b.dir_id, 0, NULL, w.way, 0, NULL
              FROM (SELECT v.value & 3 AS sees,
                           '[' || replace(json_quote(ltrim(iif(x.redirect GLOB '/*', x.redirect, (SELECT d.path || '/' || x.redirect FROM directory d WHERE d.id = (q.part & 4398046511103) >> 2)), '/')), '/', '","') || ']' AS way,
                           iif(x.redirect GLOB '/*', (SELECT max(y.position) FROM stack y WHERE y.position < v.value >> 42 AND y.sees & v.value & 3 = v.value & 3), q.part >> 42) AS position
                      FROM json_each(e.parts, '$.floors') v CROSS JOIN file x ON x.id = (v.value & 4398046511103) >> 2
                           LEFT JOIN (SELECT f.value AS floor, max(p.value) AS part
                                        FROM json_each(e.parts, '$.floors') f CROSS JOIN json_each(e.parts, '$.from') p
                                       WHERE p.value >> 42 < f.value >> 42 AND p.value & f.value & 3 = f.value & 3 GROUP BY f.value) q ON q.floor = v.value
                     WHERE x.redirect IS NOT NULL AND (x.mode & 61440) = 16384 AND coalesce(x.overlay, '') NOT LIKE '%opaque%') w
                   CROSS JOIN stack b ON b.position = w.position
             UNION ALL
            SELECT s.sees, iif(f.id IS NULL OR s.i + 1 = json_array_length(coalesce(s.way, s.next)), b.position, s.position), iif(f.id IS NULL OR s.i + 1 = json_array_length(coalesce(s.way, s.next)), b.dir_id, f.id),
                   iif(f.id IS NULL OR s.i + 1 = json_array_length(coalesce(s.way, s.next)), 0, s.i + 1), iif(f.id IS NULL OR s.i + 1 = json_array_length(coalesce(s.way, s.next)), NULL, coalesce(s.way, s.next)),
                   iif(f.redirect IS NULL, s.next, (
                       SELECT json_group_array(value)
                         FROM (SELECT value FROM json_each(coalesce(s.way, s.next)) WHERE key < s.i AND f.redirect NOT GLOB '/*'
                               UNION ALL SELECT value FROM json_each('[' || replace(json_quote(ltrim(f.redirect, '/')), '/', '","') || ']')
                               UNION ALL SELECT value FROM json_each(coalesce(s.way, s.next)) WHERE key > s.i))),
                   f.id IS NOT NULL AND NOT (s.i + 1 = json_array_length(coalesce(s.way, s.next))) AND (s.stop AND coalesce(f.redirect, '') NOT GLOB '/*' OR coalesce(f.overlay, '') LIKE '%opaque%'),
                   iif(f.id IS NOT NULL AND s.i + 1 = json_array_length(coalesce(s.way, s.next)), (s.position << 42) | (f.id << 2) | s.sees, NULL)
              FROM seek s
                   LEFT JOIN file f ON f.id = coalesce((SELECT max(x.id) FROM directory d CROSS JOIN file x ON x.id BETWEEN d.first_file AND d.last_file WHERE d.id = s.here AND +x.name = coalesce(s.way, s.next) ->> s.i),
                                                       (SELECT max(x.id) FROM directory d CROSS JOIN file x ON x.id BETWEEN d.first_file AND d.last_file WHERE d.id = s.here AND +x.name = '.wh.' || (coalesce(s.way, s.next) ->> s.i) AND x.overlay LIKE '%whiteout%'))
                   LEFT JOIN stack b ON b.position = (SELECT max(y.position) FROM stack y WHERE y.position < s.position AND y.sees & s.sees = s.sees)
                                    AND NOT (s.stop AND coalesce(f.redirect, '') NOT GLOB '/*' OR coalesce(f.overlay, '') LIKE '%opaque%')
             WHERE s.here IS NOT NULL AND (f.id IS NULL OR (f.mode & 61440) = 16384))
          SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN max(part) ELSE json_group_array(part) END
            FROM (SELECT (value & ~3) | (value & 1 AND value >= coalesce(e.parts ->> '$.floor1', 0)) | ((value & 2 AND value >= coalesce(e.parts ->> '$.floor2', 0)) << 1) AS part
                    FROM json_each(e.parts, '$.have')
                  UNION ALL SELECT part FROM seek WHERE part IS NOT NULL)
           WHERE part & 3),
             coalesce(e.path, (SELECT d.path || '/' || f.name FROM file f CROSS JOIN directory d ON d.id = f.dir_id WHERE f.id = iif(e.now, e.now, e.below))), NULL
        FROM entry e WHERE typeof(e.parts) = 'text' AND e.parts >= '{')
    -- What each directory holds; an entry is its id, or an array where there is more to say.
    SELECT json_group_array(iif(below OR path IS NOT NULL, json_array(now, below, path), now))
      FROM (SELECT now, below, NULL AS path FROM root
             UNION ALL
            SELECT coalesce(iif(e.parts & 1, f.id, f.id & 0), CAST(k.key AS INTEGER)), coalesce(iif(e.parts & 2, f.id, f.id & 0), CAST(substr(k.key, instr(k.key, ' ') + 1) AS INTEGER)),
                   iif(e.path IS NULL, NULL, e.path || '/' || coalesce(f.name, (SELECT n.name FROM file n WHERE n.id = iif(CAST(k.key AS INTEGER), CAST(k.key AS INTEGER), CAST(substr(k.key, instr(k.key, ' ') + 1) AS INTEGER)))))
              FROM entry e LEFT JOIN json_each(e.entries) k LEFT JOIN directory here ON here.id = iif(typeof(e.parts) = 'integer', (e.parts & 4398046511103) >> 2, NULL)
                   LEFT JOIN file f ON f.id BETWEEN here.first_file AND here.last_file AND f.name <> ''
                            AND (f.overlay IS NULL OR f.overlay NOT LIKE '%whiteout%' AND (f.overlay NOT LIKE '%opaque%' OR (f.mode & 61440) = 16384))
                            AND (r.views = 1 OR e.parts & 3 = 1 OR e.parts & 3 = 2 AND (SELECT n.mode & r.kind_bits FROM file n WHERE n.id = e.now) = 16384)
             WHERE f.id IS NOT NULL OR k.key IS NOT NULL
             UNION ALL
            SELECT f.id, p.id, NULL FROM mount_place p CROSS JOIN directory d ON d.tree_id = p.tree_id CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
             WHERE r.what = 'container' AND p.container_id = r.id
               AND (p.kind <> 'nested' OR f.name <> '')))) j; -- the root of a tree within a tree is an entry of the outer one

-- Every file of a container as the container has it: what the layers show, and what is mounted. What a mount hides, of the
-- layers or of another mount, is there too, and hidden_by says what hides it: place, kind and source of the mount. Ask for it
-- by container_id.
CREATE VIEW container_file AS
SELECT m.id AS container_id,
       coalesce(m.moved_path, iif(f.name = '', iif(coalesce(p.place, '') || d.path = '', '/', coalesce(p.place, '') || d.path), coalesce(p.place, '') || d.path || '/' || f.name)) AS path,
       f.id AS file_id, d.id AS dir_id, d.tree_id AS tree_id,
       f.mode AS mode, f.uid AS uid, f.gid AS gid, f.size AS size, f.inode AS inode, f.nlink AS nlink, f.rdev AS rdev, f.atime AS atime, f.mtime AS mtime, f.ctime AS ctime, f.crtime AS crtime,
       f.link AS link, f.overlay AS overlay, f.redirect AS redirect, f.name AS name,
       iif(m.id IN (SELECT container_id FROM mount_place), (
        SELECT iif(h.place = '', '/', h.place) || ' (' || h.kind || coalesce(' ' || h.source, '') || ')' FROM mount_place h
         WHERE h.container_id = m.id AND h.kind <> 'nested' AND h.place >= iif(p.place IS NULL, '', p.place || '/') AND h.place < iif(p.place IS NULL, x'', p.place || '0') -- within p, whose '/' comes just before '0'; a blob is greater than all text
           AND (h.place = '' OR h.place || '/' = substr(coalesce(m.moved_path, coalesce(p.place, '') || d.path || iif(f.name = '', '', '/' || f.name)) || '/', 1, length(h.place) + 1))
         ORDER BY length(h.place) DESC, h.id LIMIT 1), NULL) AS hidden_by
  FROM merged m CROSS JOIN file f ON f.id = m.file_id CROSS JOIN directory d ON d.id = f.dir_id LEFT JOIN mount_place p ON p.id = m.place_id
 WHERE m.what = 'container';

-- Every file of an image as a container started from it would see it. Ask for it by image_id.
CREATE VIEW image_file AS
SELECT m.id AS image_id, coalesce(m.moved_path, iif(f.name = '', '/', d.path || '/' || f.name)) AS path, f.id AS file_id, d.id AS dir_id, d.tree_id AS tree_id,
       f.mode AS mode, f.uid AS uid, f.gid AS gid, f.size AS size, f.inode AS inode, f.nlink AS nlink, f.rdev AS rdev, f.atime AS atime, f.mtime AS mtime, f.ctime AS ctime, f.crtime AS crtime,
       f.link AS link, f.overlay AS overlay, f.redirect AS redirect, f.name AS name
  FROM merged m CROSS JOIN file f ON f.id = m.file_id CROSS JOIN directory d ON d.id = f.dir_id
 WHERE m.what = 'image';
