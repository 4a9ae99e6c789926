-- docker_container_fs_changes: what `docker diff` says of each container, under osquery's name and columns.
--
-- Docker compares two merged trees: the container's, and that of all below its own layer (the image's layers and the
-- -init layer). A = only in the former. D = only in the latter; what lay below a deleted directory is not listed.
-- C = in both, with another mode, owner or device number or, unless a directory, another size or time of modification;
-- and each directory with a change below it. What was copied up and left as it was is no change.
--
-- Only directories of the own layer can hold changes, so only these are compared. Each container is worked out by
-- itself, as one JSON object of path to kind, so that WHERE id = ... costs what that container costs.
-- The order of the joins matters and is fixed by CROSS JOIN.
CREATE VIEW docker_container_fs_changes AS
SELECT c.full_id AS id, j.key AS path, j.value AS change_type
  FROM ( -- To Docker before 28 (and where the version is not known) all with the bit S_IFDIR, sockets and block devices too, is a directory.
        SELECT x.id, x.full_id, iif(CAST(g.daemon_version AS INTEGER) >= 28, 61440, 16384) AS kind_bits
          FROM container x CROSS JOIN engine g ON g.id = x.engine_id) c
       CROSS JOIN json_each((
    WITH RECURSIVE
    -- The trees the container's file system is made of; own = 1 for the topmost.
    stack (position, tree_id, own, driver) AS (
      SELECT cl.position, t.id, l.role = 'container', l.driver
        FROM container_layer cl CROSS JOIN layer l ON l.id = cl.layer_id CROSS JOIN tree t ON t.layer_id = l.id
       WHERE cl.container_id = c.id),
    -- The own layer's directories, from the root down. Of the layers below, those under position `floor` are hidden there,
    -- by an opaque directory (which shows its own entries), or by a whiteout or a non-directory (which show none), there or
    -- further up the path. `cut` = 1 where the own directory lets nothing of them through. Where each layer is a full copy,
    -- only the one right below counts, and nothing of it comes through. All children of a directory come at once, as JSON.
    dir (path, floor, cut) AS (
      SELECT '', iif(driver IN ('vfs', 'btrfs', 'zfs', 'devicemapper'), position - 1, 0), driver IN ('vfs', 'btrfs', 'zfs', 'devicemapper')
        FROM stack WHERE own
      UNION ALL
      SELECT d.path || '/' || (k.value ->> 0), max(d.floor, k.value ->> 1), d.cut OR (k.value ->> 2)
        FROM dir d CROSS JOIN json_each((
             SELECT json_group_array(json_array(name, floor, cut))
               FROM (SELECT f.name AS name,
                            max(iif(s.own, 0, s.position + ((f.mode & 61440) <> 16384))) AS floor,
                            max(s.own AND ((f.mode & 61440) <> 16384 OR coalesce(f.overlay, '') LIKE '%opaque%')) AS cut
                       FROM stack s CROSS JOIN directory sd ON sd.tree_id = s.tree_id AND sd.path = d.path CROSS JOIN file f ON f.dir_id = sd.id
                      WHERE s.position >= d.floor AND f.name <> ''
                        AND iif(s.own, (f.mode & c.kind_bits) = 16384, (f.mode & 61440) <> 16384 OR f.overlay LIKE '%opaque%')
                      GROUP BY f.name HAVING max(s.own)))) k),
    -- All that any layer says of a name in these directories, the topmost first, each with the next one below.
    entry (path, nth, own, cut, file_id, below_id) AS (
      SELECT d.path || '/' || f.name, row_number() OVER down, s.own, d.cut, f.id, lead(f.id) OVER down
        FROM dir d CROSS JOIN stack s CROSS JOIN directory sd ON sd.tree_id = s.tree_id AND sd.path = d.path CROSS JOIN file f ON f.dir_id = sd.id
       WHERE s.position >= d.floor AND f.name <> ''
      WINDOW down AS (PARTITION BY d.path, f.name ORDER BY s.position DESC)),
    -- n = what is there now, o = what was there below. Then up the path: a directory with a change below it is changed.
    change (path, kind) AS (
      SELECT e.path, CASE WHEN o.id IS NULL THEN 'A' WHEN n.id IS NULL THEN 'D' ELSE 'C' END
        FROM entry e
             LEFT JOIN file n ON n.id = iif(e.own, e.file_id, NULL) AND coalesce(n.overlay, '') NOT LIKE '%whiteout%'
             LEFT JOIN file o ON o.id = iif(e.own, e.below_id, e.file_id) AND coalesce(o.overlay, '') NOT LIKE '%whiteout%'
       WHERE e.nth = 1 AND (e.own OR e.cut)
         AND CASE WHEN n.id IS NULL OR o.id IS NULL THEN n.id IS NOT o.id
                  ELSE n.mode <> o.mode OR n.uid <> o.uid OR n.gid <> o.gid OR n.rdev IS NOT o.rdev
                    OR (o.mode & c.kind_bits) <> 16384
                       AND (n.size <> o.size
                         -- A time without nanoseconds may have lost them in an archive: then its second decides.
                         OR NOT (n.mtime = o.mtime
                              OR n.mtime % 1000000000 = 0 AND o.mtime - n.mtime BETWEEN 0 AND 999999999
                              OR o.mtime % 1000000000 = 0 AND n.mtime - o.mtime BETWEEN 0 AND 999999999)) END
      UNION
      SELECT rtrim(rtrim(path, replace(path, '/', '')), '/'), 'C' -- its parent: rtrim takes off all that is no slash, then the slash
        FROM change WHERE path LIKE '/%/%')
    SELECT json_group_object(path, kind)
      FROM (SELECT path, min(kind) AS kind FROM change GROUP BY path) -- A goes before C: an added directory is only that
  )) j;
