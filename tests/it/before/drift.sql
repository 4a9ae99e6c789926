-- What did a container change, and what was there before?
-- change is A (added), C (changed) or D (deleted), these rows are those of `docker diff`; the columns ..._before say what it replaced.
-- U is what `docker diff` leaves out, since size, mtime, mode and owner are as they were, and yet it is another file than before: copied up
-- into the container's own layer and left as it was, or its content replaced and its mtime set back, or given other extended attributes.
-- ctime and crtime say when. A directory is U when it is empty in that layer: what was made in it is gone, or only its times were set, or its
-- mode and owner to what they were; and when its extended attributes are others.
-- differs names what is different: type, mode, owner, size, content, mtime, device, link, capability, acl (access control lists), xattr
-- (other extended attributes; those of regular files and directories, SELinux labels apart); children: a directory changed only below.
-- same_content compares regular files by their hashes: 1 the same, 0 another, NULL not known (ingest with --hash sha256).
-- metadata_only = 1: content and type are the same, as same_content says, else as far as size and time of modification tell; NULL for a U not hashed.
-- executable: new (none was there), made (by a change of mode), replaced (another content). gained: setuid, setgid, capability.
-- capability is the attribute security.capability in hex. What was mounted inside is no part of it.
-- path_raw has the exact bytes, below the root of the layer, of a path that is not UTF-8; it is printed as \xNN, as another may read.
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query drift --container apache
SELECT coalesce(c.name, c.full_id) AS container, x.path, x.change,
       iif(n.id IS NULL, NULL, CASE n.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket' WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END) AS type,
       iif(o.id IS NULL, NULL, CASE o.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket' WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END) AS type_before,
       CASE WHEN x.change NOT IN ('C', 'U') THEN NULL ELSE coalesce(nullif(rtrim(
            iif((n.mode & 61440) <> (o.mode & 61440), 'type,', '') || iif((n.mode & 4095) <> (o.mode & 4095), 'mode,', '') || iif(n.uid <> o.uid OR n.gid <> o.gid, 'owner,', '')
            || iif((o.mode & 61440) <> 16384 AND (n.mode & 61440) <> 16384, iif(n.size <> o.size, 'size,', '') || iif(x.same_content = 0, 'content,', '') || iif(n.mtime <> o.mtime, 'mtime,', ''), '')
            || iif(n.rdev IS NOT o.rdev, 'device,', '') || iif(coalesce(n.link_raw, n.link) IS NOT coalesce(o.link_raw, o.link), 'link,', '')
            || iif((SELECT a.value FROM file_xattr a WHERE a.file_id = n.id AND a.name = 'security.capability') IS NOT (SELECT a.value FROM file_xattr a WHERE a.file_id = o.id AND a.name = 'security.capability'), 'capability,', '')
            || iif((SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = n.id AND name IN ('system.posix_acl_access', 'system.posix_acl_default') ORDER BY name) a) IS NOT (SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = o.id AND name IN ('system.posix_acl_access', 'system.posix_acl_default') ORDER BY name) a), 'acl,', '')
            || iif((SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = n.id AND name NOT IN ('security.capability', 'system.posix_acl_access', 'system.posix_acl_default') ORDER BY name) a) IS NOT (SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = o.id AND name NOT IN ('security.capability', 'system.posix_acl_access', 'system.posix_acl_default') ORDER BY name) a), 'xattr,', ''), ','), ''), iif(x.change = 'C', 'children', NULL)) END AS differs,
       x.same_content,
       CASE WHEN x.change NOT IN ('C', 'U') OR (n.mode & 61440) <> (o.mode & 61440) THEN 0
            WHEN (n.mode & 61440) = 16384
            THEN n.mode <> o.mode OR n.uid <> o.uid OR n.gid <> o.gid
              OR (SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = n.id ORDER BY name) a) IS NOT (SELECT group_concat(hex(a.name) || hex(a.value)) FROM (SELECT * FROM file_xattr WHERE file_id = o.id ORDER BY name) a)
            WHEN (n.mode & 61440) = 32768 THEN coalesce(x.same_content, iif(x.change = 'C', n.size = o.size AND n.mtime = o.mtime, NULL))
            ELSE n.size = o.size AND n.mtime = o.mtime AND n.rdev IS o.rdev AND coalesce(n.link_raw, n.link) IS coalesce(o.link_raw, o.link) END AS metadata_only,
       CASE WHEN n.id IS NULL OR (n.mode & 61440) <> 32768 OR n.mode & 73 = 0 THEN NULL
            WHEN o.id IS NULL OR (o.mode & 61440) <> 32768 THEN 'new'
            WHEN o.mode & 73 = 0 THEN 'made'
            WHEN coalesce(x.same_content = 0, x.change = 'C' AND (n.size <> o.size OR n.mtime <> o.mtime)) THEN 'replaced' END AS executable,
       iif((n.mode & 61440) = 32768, nullif(rtrim(
            iif(n.mode & 2048 AND NOT coalesce((o.mode & 61440) = 32768 AND o.mode & 2048, 0), 'setuid,', '') || iif(n.mode & 1024 AND NOT coalesce((o.mode & 61440) = 32768 AND o.mode & 1024, 0), 'setgid,', '')
            || iif((SELECT a.value FROM file_xattr a WHERE a.file_id = n.id AND a.name = 'security.capability') IS NOT NULL AND (SELECT a.value FROM file_xattr a WHERE a.file_id = n.id AND a.name = 'security.capability') IS NOT (SELECT a.value FROM file_xattr a WHERE a.file_id = o.id AND a.name = 'security.capability'), 'capability,', ''), ','), ''), NULL) AS gained,
       iif(n.id IS NULL, NULL, printf('%04o', n.mode & 4095)) AS mode, iif(o.id IS NULL, NULL, printf('%04o', o.mode & 4095)) AS mode_before, n.uid, n.gid, o.uid AS uid_before, o.gid AS gid_before, n.size, o.size AS size_before,
       strftime('%Y-%m-%dT%H:%M:%S', n.mtime / 1000000000 - (n.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime,
       strftime('%Y-%m-%dT%H:%M:%S', o.mtime / 1000000000 - (o.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (o.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime_before,
       strftime('%Y-%m-%dT%H:%M:%S', n.atime / 1000000000 - (n.atime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.atime % 1000000000 + 1000000000) % 1000000000) AS atime,
       strftime('%Y-%m-%dT%H:%M:%S', o.atime / 1000000000 - (o.atime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (o.atime % 1000000000 + 1000000000) % 1000000000) AS atime_before,
       strftime('%Y-%m-%dT%H:%M:%S', n.ctime / 1000000000 - (n.ctime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime,
       strftime('%Y-%m-%dT%H:%M:%S', o.ctime / 1000000000 - (o.ctime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (o.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime_before,
       strftime('%Y-%m-%dT%H:%M:%S', n.crtime / 1000000000 - (n.crtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.crtime % 1000000000 + 1000000000) % 1000000000) AS crtime,
       strftime('%Y-%m-%dT%H:%M:%S', o.crtime / 1000000000 - (o.crtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (o.crtime % 1000000000 + 1000000000) % 1000000000) AS crtime_before,
       n.link AS link_target, o.link AS link_target_before, (SELECT hex(a.value) FROM file_xattr a WHERE a.file_id = n.id AND a.name = 'security.capability') AS capability, (SELECT hex(a.value) FROM file_xattr a WHERE a.file_id = o.id AND a.name = 'security.capability') AS capability_before,
       (SELECT iif(f.name_raw IS NULL AND d.path_raw IS NULL, NULL, lower(hex(coalesce(d.path_raw, d.path)) || '2f' || hex(coalesce(f.name_raw, f.name)))) FROM file f CROSS JOIN directory d ON d.id = f.dir_id WHERE f.id = coalesce(x.file_id, x.below_id)) AS path_raw,
       (SELECT l.layer FROM directory d CROSS JOIN tree_label l ON l.tree_id = d.tree_id WHERE d.id = o.dir_id) AS layer_before,
       (SELECT t.host_path || d.path || '/' || n.name FROM directory d CROSS JOIN tree t ON t.id = d.tree_id WHERE d.id = n.dir_id) AS host_path,
       x.file_id, x.below_id AS file_id_before, h.name AS host
  FROM container c CROSS JOIN container_change x ON x.container_id = c.id CROSS JOIN engine g ON g.id = c.engine_id CROSS JOIN host h ON h.id = g.host_id
       LEFT JOIN file n ON n.id = x.file_id LEFT JOIN file o ON o.id = x.below_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.name, c.full_id, c.id, x.path, x.file_id, x.below_id;
