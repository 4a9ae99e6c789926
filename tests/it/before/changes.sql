-- What containers changed: container_change, and what `docker diff` says, under osquery's name and columns.
--
-- Docker compares two merged trees: the container's, and that of all below its own layer (the image's layers and the
-- -init layer). A = only in the former. D = only in the latter; what lay below a deleted directory is not listed.
-- C = in both, with another mode, owner, device number or file capability or, unless a directory, another size or time of
-- modification; and each directory with a change below it. Docker stops there, so container_change adds
-- U = in both, nothing of that differs, and yet another file than before: the container's own layer has it, since it was
-- copied up and left as it was, or written and its time set back. A directory is U when its own layer has it, empty: what was
-- made in it is gone again, or its times, mode or owner were set. Other extended attributes than before make each of both a U.
-- Where each layer is a full copy all files are others than before; only another content, link or attribute counts.

-- One row a change. file_id is the file there is now, below_id what it replaced. same_content compares regular files by their
-- hashes, NULL where one has none; a metacopy has the content of what it was copied from. Each container is worked out by
-- itself, as one JSON array, so that WHERE container_id = ... costs what that container costs.
CREATE VIEW container_change AS
SELECT c.id AS container_id, j.value ->> 0 AS path, j.value ->> 1 AS change, j.value ->> 2 AS file_id, j.value ->> 3 AS below_id, j.value ->> 4 AS same_content
  FROM merged_root c
       CROSS JOIN json_each((
    WITH RECURSIVE
    -- n = what is there now, o = what was there before. Then up the path: a directory with a change below it is changed.
    -- parent is the path above where nothing was moved; else it is worked out from the path.
    change (path, kind, file_id, below_id, parent) AS (
      SELECT coalesce(m.moved_path, d.path || '/' || x.name),
             CASE WHEN o.id IS NULL THEN 'A' WHEN n.id IS NULL THEN 'D'
                  WHEN n.mode <> o.mode OR n.uid <> o.uid OR n.gid <> o.gid OR n.rdev IS NOT o.rdev
                    OR (o.mode & c.kind_bits) <> 16384
                       AND (n.size <> o.size
                         -- A time without nanoseconds may have lost them in an archive: then its second decides.
                         OR NOT (n.mtime = o.mtime
                              OR n.mtime % 1000000000 = 0 AND o.mtime - n.mtime BETWEEN 0 AND 999999999
                              OR o.mtime % 1000000000 = 0 AND n.mtime - o.mtime BETWEEN 0 AND 999999999))
                    OR n.id <> o.id
                       AND (SELECT a.value FROM file_xattr a WHERE a.file_id = n.id AND a.name = 'security.capability')
                           IS NOT (SELECT a.value FROM file_xattr a WHERE a.file_id = o.id AND a.name = 'security.capability') THEN 'C' END,
             n.id, o.id, iif(m.moved_path IS NULL, d.path, NULL)
        FROM merged m LEFT JOIN file n ON n.id = m.file_id LEFT JOIN file o ON o.id = m.below_id
             CROSS JOIN file x ON x.id = coalesce(m.file_id, m.below_id) CROSS JOIN directory d ON d.id = x.dir_id
       WHERE m.what = 'change' AND m.id = c.id AND x.name <> ''
      UNION
      SELECT coalesce(parent, rtrim(rtrim(path, replace(path, '/', '')), '/')), 'C', NULL, NULL, NULL -- its parent: rtrim takes off all that is no slash, then the slash
        FROM change WHERE kind IS NOT NULL AND path LIKE '/%/%'),
    -- What is changed, and what is another file than before.
    pair (path, kind, file_id, below_id, same_content) AS (
      SELECT path, coalesce(kind, below), file_id, below_id,
             (SELECT CASE WHEN (n.mode & 61440) <> 32768 OR (o.mode & 61440) <> 32768 THEN NULL
                          WHEN n.overlay LIKE '%metacopy%' THEN iif(n.redirect IS NULL OR n.redirect IN (o.name, path), 1, NULL)
                          ELSE (SELECT a.sha256 = b.sha256 FROM file_hash a CROSS JOIN file_hash b ON b.file_id = o.id WHERE a.file_id = n.id) END
                FROM file n CROSS JOIN file o ON o.id = below_id WHERE n.id = file_id)
        FROM (SELECT *, max(iif(file_id IS NULL AND below_id IS NULL, kind, NULL)) OVER (PARTITION BY path) AS below FROM change)
       WHERE coalesce(file_id, below_id) IS NOT NULL AND (coalesce(kind, below) IS NOT NULL OR file_id <> below_id))
    SELECT json_group_array(json_array(path, coalesce(kind, 'U'), file_id, below_id, same_content))
      FROM pair
     WHERE kind IS NOT NULL OR same_content = 0
        OR (SELECT coalesce(n.link_raw, n.link) IS NOT coalesce(o.link_raw, o.link)
                OR (SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = n.id ORDER BY name) a)
                   IS NOT (SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = o.id ORDER BY name) a)
                OR l.driver NOT IN ('vfs', 'btrfs', 'zfs', 'devicemapper')
                   AND ((n.mode & 61440) <> 16384 OR NOT EXISTS (SELECT 1 FROM directory own CROSS JOIN file e ON e.id BETWEEN own.first_file AND own.last_file WHERE own.id = n.id AND ((e.mode & 61440) = 16384 OR e.overlay IS NOT 'opaque')))
              FROM file n CROSS JOIN file o ON o.id = below_id
                   CROSS JOIN directory d ON d.id = n.dir_id CROSS JOIN tree t ON t.id = d.tree_id CROSS JOIN layer l ON l.id = t.layer_id WHERE n.id = file_id)
  )) j
 WHERE c.what = 'change';

CREATE VIEW docker_container_fs_changes AS
SELECT c.full_id AS id, x.path AS path, x.change AS change_type
  FROM container c CROSS JOIN container_change x ON x.container_id = c.id
 WHERE x.change <> 'U';
