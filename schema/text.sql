-- Tables as people read them: names instead of ids, types in words, modes in octal, and a time as
-- two columns: mtime is ISO 8601 in UTC with nine digits of a second, mtime_ns the INTEGER of the
-- table.

-- What a container may be called in a query: its name, /name, its id, the first 12 digits of that.
CREATE VIEW container_ref AS
SELECT id AS container_id, name AS ref FROM container WHERE name <> ''
UNION ALL SELECT id, '/' || name FROM container WHERE name <> ''
UNION ALL SELECT id, full_id FROM container
UNION ALL SELECT id, CAST(substr(full_id, 1, 12) AS TEXT) FROM container;

-- What an image may be called in a query: each of its references, one with :latest also without; a
-- digest; its id, also without sha256:, and the first 12 digits of that.
CREATE VIEW image_ref AS
SELECT image_id, reference AS ref FROM image_reference WHERE image_id IS NOT NULL
UNION ALL
SELECT image_id, repository FROM image_reference WHERE tag = 'latest' AND image_id IS NOT NULL
UNION ALL
SELECT image_id, digest FROM image_reference WHERE digest IS NOT NULL AND image_id IS NOT NULL
UNION ALL SELECT id, full_id FROM image
UNION ALL SELECT id, CAST(substr(full_id, instr(full_id, ':') + 1) AS TEXT) FROM image
UNION ALL SELECT id, CAST(substr(full_id, instr(full_id, ':') + 1, 12) AS TEXT) FROM image;

-- The one name that an image goes by: the first of its tags, else the first of its references, else
-- its id.
CREATE VIEW image_name AS
SELECT i.id AS image_id,
       CAST(coalesce((SELECT min(r.reference) FROM image_reference r
                       WHERE r.image_id = i.id AND r.tag IS NOT NULL),
                     (SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id),
                     i.full_id) AS TEXT) AS name
  FROM image i;

-- Machinery: the same for lists of images, where an id is cut to its first 12 digits.
CREATE VIEW image_short AS
SELECT i.id AS image_id, n.name = i.full_id AS is_id,
       iif(n.name = i.full_id, replace(i.full_id, i.hex, substr(i.hex, 1, 12)), n.name) AS name
  FROM image i CROSS JOIN image_name n ON n.image_id = i.id;

-- Machinery: the name of an engine's host.
CREATE VIEW engine_host AS
SELECT g.id AS engine_id, h.id AS host_id, h.name AS host
  FROM engine g CROSS JOIN host h ON h.id = g.host_id;

-- Hosts.
CREATE VIEW host_text AS
SELECT h.id AS host_id, h.name AS host, h.mount AS mount, h.machine_id AS machine_id, h.os AS os,
       h.timezone AS timezone, iso(h.ingest_start) AS ingested, h.ingest_start AS ingested_ns,
       h.dof_version AS dof_version, h.arguments AS arguments
  FROM host h;

-- Files, each once. path is that in the container: of a file of a container's own layer, or of a
-- volume or bind source that one mounts. Of a file of another layer it is the path in that layer,
-- else that on the host. Where several containers mount it path is the first of their paths: ask
-- file_seen for all. tree_path is the path within the layer, volume or bind source; dir that of its
-- directory, empty for the root. container and image are comma-joined lists; image names four and
-- says how many more (+7 more). path_raw and link_raw are the exact bytes in hex where they are not
-- UTF-8.
CREATE VIEW file_text AS
SELECT f.id AS file_id, f.name AS name,
       (SELECT coalesce(nullif(l.prefix || d.path || iif(f.name = '', '', '/' || f.name), ''), '/')
          FROM directory d CROSS JOIN tree_label l ON l.tree_id = d.tree_id
         WHERE d.id = f.dir_id) AS path,
       iif(f.name = '', '/', (SELECT d.path || '/' || f.name FROM directory d
                               WHERE d.id = f.dir_id)) AS tree_path,
       (SELECT coalesce(nullif(rtrim(t.host_path, '/') || d.path
                               || iif(f.name = '', '', '/' || f.name), ''), '/')
          FROM directory d CROSS JOIN tree t ON t.id = d.tree_id
         WHERE d.id = f.dir_id) AS host_path,
       (SELECT d.path FROM directory d WHERE d.id = f.dir_id) AS dir,
       CASE f.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory'
            WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket'
            WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END AS type,
       printf('%04o', f.mode & 4095) AS mode, f.uid AS uid, f.gid AS gid, f.size AS size,
       f.inode AS inode, f.nlink AS nlink, f.rdev AS rdev,
       iso(f.atime) AS atime, iso(f.mtime) AS mtime, iso(f.ctime) AS ctime, iso(f.crtime) AS crtime,
       f.atime AS atime_ns, f.mtime AS mtime_ns, f.ctime AS ctime_ns, f.crtime AS crtime_ns,
       f.link AS link_target,
       f.overlay IS NOT NULL AND instr(f.overlay, 'whiteout') > 0 AS whiteout,
       f.overlay IS NOT NULL AND instr(f.overlay, 'opaque') > 0 AS opaque,
       f.overlay IS NOT NULL AND instr(f.overlay, 'metacopy') > 0 AS metacopy,
       f.overlay AS overlay, f.redirect AS redirect,
       f.mode & 61440 = 32768 AND f.mode & 73 <> 0 AS is_executable,
       f.mode & 61440 = 32768 AND f.mode & 2048 <> 0 AS setuid,
       f.mode & 61440 = 32768 AND f.mode & 1024 <> 0 AS setgid,
       (SELECT iif(f.name_raw IS NULL AND d.path_raw IS NULL, NULL,
                   lower(hex(coalesce(d.path_raw, d.path))
                         || iif(f.name = '', '', '2f' || hex(coalesce(f.name_raw, f.name)))))
          FROM directory d WHERE d.id = f.dir_id) AS path_raw,
       iif(f.link_raw IS NULL, NULL, lower(hex(f.link_raw))) AS link_raw,
       (SELECT hex(x.value) FROM file_xattr x
         WHERE x.file_id = f.id AND x.name = 'security.capability') AS capability,
       (SELECT lower(hex(x.sha256)) FROM file_hash x WHERE x.file_id = f.id) AS sha256,
       (SELECT d.tree_id FROM directory d WHERE d.id = f.dir_id) AS tree_id,
       (SELECT l.layer FROM directory d CROSS JOIN tree_label l ON l.tree_id = d.tree_id
         WHERE d.id = f.dir_id) AS layer,
       (SELECT l.role FROM directory d CROSS JOIN tree_label l ON l.tree_id = d.tree_id
         WHERE d.id = f.dir_id) AS role,
       (SELECT l.container FROM directory d CROSS JOIN tree_label l ON l.tree_id = d.tree_id
         WHERE d.id = f.dir_id) AS container,
       (SELECT l.image FROM directory d CROSS JOIN tree_label l ON l.tree_id = d.tree_id
         WHERE d.id = f.dir_id) AS image,
       (SELECT l.host FROM directory d CROSS JOIN tree_label l ON l.tree_id = d.tree_id
         WHERE d.id = f.dir_id) AS host
  FROM file f;

-- The files of file_text with modes and times as the tables have them, which are INTEGER.
CREATE VIEW file_path AS
SELECT f.id AS file_id, t.id AS tree_id, t.kind AS tree_kind, x.container AS container,
       x.image AS image, x.layer AS layer, x.path AS path, x.host_path AS host_path, x.host AS host,
       x.type AS type, f.mode & 4095 AS permissions, f.mode AS mode, f.uid AS uid, f.gid AS gid,
       f.size AS size, f.inode AS inode, f.nlink AS nlink, f.rdev AS rdev, f.atime AS atime,
       f.mtime AS mtime, f.ctime AS ctime, f.crtime AS crtime, f.link AS link,
       f.overlay AS overlay, f.redirect AS redirect
  FROM file f CROSS JOIN file_text x ON x.file_id = f.id
       CROSS JOIN directory d ON d.id = f.dir_id CROSS JOIN tree t ON t.id = d.tree_id;

-- Containers. created_short and its like are the times as Docker prints them, without zeros at the
-- end. image is what the user asked for. To ask by any name that the image has:
-- image_id IN (SELECT image_id FROM image_ref WHERE ref = '...').
CREATE VIEW container_text AS
SELECT c.id AS container_id, c.full_id AS full_id, c.name AS name,
       coalesce(c.name, c.full_id) AS container, c.image_name AS image,
       c.image_full_id AS image_full_id, c.image_id AS image_id, c.status AS status,
       c.exit_code AS exit_code, c.oom_killed AS oom_killed, c.error AS error, c.pid AS pid,
       c.health AS health,
       iso(c.created_at) AS created, c.created_at AS created_ns,
       iso_short(c.created_at) AS created_short,
       iso(c.started_at) AS started, c.started_at AS started_ns,
       iso_short(c.started_at) AS started_short,
       iso(c.finished_at) AS finished, c.finished_at AS finished_ns,
       iso_short(c.finished_at) AS finished_short,
       c.restart_policy AS restart_policy, c.restart_max AS restart_max,
       c.restart_count AS restart_count, c.path AS path, c.args AS args,
       c.entrypoint AS entrypoint, c.cmd AS cmd, c.user AS user, c.working_dir AS working_dir,
       c.hostname AS hostname, c.privileged AS privileged, c.readonly_rootfs AS readonly_rootfs,
       c.cap_add AS cap_add, c.cap_drop AS cap_drop, c.security_opt AS security_opt,
       c.apparmor_profile AS apparmor_profile, c.seccomp_profile AS seccomp_profile,
       c.network_mode AS network_mode, c.pid_mode AS pid_mode, c.ipc_mode AS ipc_mode,
       c.userns_mode AS userns_mode, c.cgroupns_mode AS cgroupns_mode, c.devices AS devices,
       c.runtime AS runtime, c.masked_paths AS masked_paths, c.readonly_paths AS readonly_paths,
       c.memory AS memory, c.nano_cpus AS nano_cpus, c.pids_limit AS pids_limit,
       c.log_driver AS log_driver, c.log_options AS log_options, c.driver AS driver,
       (SELECT l.cache_id FROM layer l WHERE l.id = c.layer_id) AS layer, c.engine_id AS engine_id,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = c.engine_id) AS host
  FROM container c;

-- Images. image is the one name an image goes by (image_name); tags and digests are all of them, as
-- JSON arrays. To ask by any name: image_id IN (SELECT image_id FROM image_ref WHERE ref = '...').
CREATE VIEW image_text AS
SELECT i.id AS image_id, i.full_id AS full_id,
       (SELECT n.name FROM image_name n WHERE n.image_id = i.id) AS image,
       (SELECT json_group_array(reference) FROM (
          SELECT r.reference FROM image_reference r
           WHERE r.image_id = i.id AND r.tag IS NOT NULL ORDER BY 1)) AS tags,
       (SELECT json_group_array(reference) FROM (
          SELECT r.reference FROM image_reference r
           WHERE r.image_id = i.id AND r.digest IS NOT NULL ORDER BY 1)) AS digests,
       iso(i.created_at) AS created, i.created_at AS created_ns,
       iso_short(i.created_at) AS created_short,
       iso(i.last_tagged_at) AS last_tagged, i.last_tagged_at AS last_tagged_ns,
       iso_short(i.last_tagged_at) AS last_tagged_short,
       i.size AS size, i.os AS os, i.architecture AS architecture, i.variant AS variant,
       i.parent_full_id AS parent, i.author AS author, i.comment AS comment,
       i.docker_version AS docker_version, i.container AS container, i.entrypoint AS entrypoint,
       i.cmd AS cmd, i.env AS env, i.user AS user, i.working_dir AS working_dir,
       i.exposed_ports AS exposed_ports, i.volumes AS volumes, i.labels AS labels,
       i.built_locally AS built_locally,
       (SELECT count(*) FROM image_layer il WHERE il.image_id = i.id) AS layers,
       i.engine_id AS engine_id,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = i.engine_id) AS host
  FROM image i;

-- The steps an image was built in, the oldest first. size is that of the layer it made.
CREATE VIEW image_history_text AS
SELECT h.image_id AS image_id, h.position AS position,
       (SELECT n.name FROM image_name n WHERE n.image_id = h.image_id) AS image,
       iso(h.created_at) AS created, h.created_at AS created_ns,
       iso_short(h.created_at) AS created_short, h.created_by AS created_by,
       h.empty_layer AS empty_layer, h.layer_id AS layer_id,
       (SELECT l.chain_id FROM layer l WHERE l.id = h.layer_id) AS layer,
       (SELECT l.diff_id FROM layer l WHERE l.id = h.layer_id) AS diff_id,
       iif(h.empty_layer, 0, (SELECT l.size FROM layer l WHERE l.id = h.layer_id)) AS size,
       h.author AS author, h.comment AS comment, h.step AS step
  FROM image_history h;

-- Layers. containers are those whose own layer it is, images those that have it.
CREATE VIEW layer_text AS
SELECT l.id AS layer_id, l.role AS role, l.cache_id AS cache_id, l.chain_id AS chain_id,
       l.diff_id AS diff_id, l.parent_chain_id AS parent, l.size AS size, l.driver AS driver,
       l.host_path AS host_path,
       (SELECT group_concat(name, ', ') FROM (
          SELECT DISTINCT coalesce(c.name, c.full_id) AS name
            FROM container_layer cl JOIN container c ON c.id = cl.container_id
           WHERE cl.layer_id = l.id AND l.role IN ('container', 'init') ORDER BY 1)) AS containers,
       (SELECT group_concat(name, ', ') FROM (
          SELECT DISTINCT n.name AS name
            FROM image_layer il JOIN image_name n ON n.image_id = il.image_id
           WHERE il.layer_id = l.id ORDER BY 1)) AS images,
       (SELECT count(*) FROM tree_file f WHERE f.layer_id = l.id AND f.name <> '') AS files,
       l.engine_id AS engine_id,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = l.engine_id) AS host
  FROM layer l;

-- Machinery: what images that have a layer are called, a JSON array: at most four, those with a
-- name first, then how many more.
CREATE VIEW layer_images AS
SELECT l.id AS layer_id, (
       SELECT json_group_array(iif(n <= 4, name, '+' || (total - 4) || ' more')) FROM (
         SELECT name, row_number() OVER (ORDER BY is_id, name) AS n, count(*) OVER () AS total
           FROM (SELECT DISTINCT i.name AS name, i.is_id AS is_id
                   FROM image_layer x JOIN image_short i ON i.image_id = x.image_id
                  WHERE x.layer_id = l.id) ORDER BY n)
        WHERE n <= 5) AS images
  FROM layer l;

-- Volumes. device is what the options mount in the volume's place: a directory of the host, a
-- share, a block device.
CREATE VIEW volume_text AS
SELECT v.id AS volume_id, v.name AS volume, v.driver AS driver, v.mount_point AS mount_point,
       iso(v.created_at) AS created, v.created_at AS created_ns,
       iso_short(v.created_at) AS created_short, v.anonymous AS anonymous, v.labels AS labels,
       v.options AS options,
       nullif(coalesce(v.options ->> '$.device', v.options ->> '$.MountDevice'), '') AS device,
       v.in_metadata AS in_metadata, v.engine_id AS engine_id,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = v.engine_id) AS host
  FROM volume v;

-- Networks.
CREATE VIEW network_text AS
SELECT n.id AS network_id, n.full_id AS full_id, n.name AS network, n.driver AS driver,
       n.scope AS scope, iso(n.created_at) AS created, n.created_at AS created_ns,
       iso_short(n.created_at) AS created_short, n.internal AS internal, n.ipv6 AS ipv6,
       n.ipam AS ipam, n.options AS options, n.labels AS labels, n.engine_id AS engine_id,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = n.engine_id) AS host
  FROM network n;

-- What the engine keeps of each thing; kinds are told at the table trace.
CREATE VIEW trace_text AS
SELECT t.id AS trace_id, t.kind AS kind, t.name AS name, t.belongs AS belongs, t.detail AS detail,
       t.host_path AS host_path,
       iso(t.atime) AS atime, iso(t.mtime) AS mtime, iso(t.ctime) AS ctime, iso(t.crtime) AS crtime,
       t.atime AS atime_ns, t.mtime AS mtime_ns, t.ctime AS ctime_ns, t.crtime AS crtime_ns,
       t.engine_id AS engine_id,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = t.engine_id) AS host
  FROM trace t;

-- The evidence files that rows were made from.
CREATE VIEW source_text AS
SELECT s.id AS source_id, s.path AS path, s.size AS size, iso(s.mtime) AS mtime,
       s.mtime AS mtime_ns, s.sha256 AS sha256, s.content AS content, s.host_id AS host_id,
       (SELECT h.name FROM host h WHERE h.id = s.host_id) AS host
  FROM source s;

-- Log lines. An entry may have no time: time_near is then that of the one before it in its log,
-- else of the next, else that of the file; listed_ns is the one or the other, with an index. image
-- is what the user asked for, as in container_text.
CREATE VIEW log_line AS
SELECT g.id AS entry_id, c.id AS container_id, coalesce(c.name, c.full_id) AS container,
       c.image_name AS image, iso(g.ts) AS time, g.ts AS time_ns, iso(g.ts_near) AS time_near,
       g.ts_listed AS listed_ns, g.stream AS stream, g.line AS line, g.partial AS partial,
       a.json AS attrs, iif(g.raw IS NULL, NULL, hex(g.raw)) AS raw_hex, w.id AS log_file_id,
       w.path AS log_path, w.format AS format, g.offset AS offset, e.host AS host
  FROM log_entry g CROSS JOIN log_file w ON w.id = g.log_file_id
       CROSS JOIN container c ON c.id = w.container_id
       CROSS JOIN engine_host e ON e.engine_id = c.engine_id
       LEFT JOIN log_attrs a ON a.id = g.attrs_id;

-- A container's ports as text: 80/tcp->0.0.0.0:8080, or 80/tcp-><none> when only exposed.
CREATE VIEW container_ports_text AS
SELECT container_id, group_concat(text, ', ') AS ports FROM (
  SELECT container_id, coalesce(port, '') || '/' || protocol || '->'
         || coalesce(iif(instr(host_ip, ':'), '[' || host_ip || ']', host_ip) || ':' || host_port,
                     '<none>') AS text
    FROM container_port WHERE kind = 'active'
   ORDER BY container_id, port, protocol, host_ip, host_port)
 GROUP BY container_id;

-- Machinery (query bodyfile): what the files of a tree are called in a body file.
CREATE VIEW bodyfile_root AS
WITH named (tree_id, name) AS (
  SELECT t.id,
         iif((SELECT count(*) FROM host) > 1, coalesce(h.name, 'host ' || h.id) || '/', '')
         || CASE WHEN l.role IN ('container', 'init')
                 THEN iif(l.role = 'init', 'init/', 'container/')
                      || coalesce((SELECT min(coalesce(c.name, c.full_id))
                                     FROM container_layer x JOIN container c
                                          ON c.id = x.container_id
                                    WHERE x.layer_id = l.id), l.cache_id, t.host_path)
                 WHEN l.id IS NOT NULL THEN 'layer/' || coalesce(l.cache_id, t.host_path)
                 ELSE coalesce((SELECT 'volume/' || min(v.name) FROM volume v
                                 WHERE v.tree_id = t.id AND t.kind = 'volume'),
                               t.kind || t.host_path) END
    FROM tree t JOIN host h ON h.id = t.host_id LEFT JOIN layer l ON l.id = t.layer_id)
SELECT tree_id,
       name || iif(count(*) OVER (PARTITION BY name) > 1, '#' || tree_id, '') || ':' AS name
  FROM named;

-- Machinery (query verify-plan): images, images that are gone, image layers, and init layers.
CREATE VIEW verify_subject AS
SELECT 'image' AS subject, i.engine_id AS engine_id, NULL AS driver, i.full_id AS id,
       s.sha256 AS digest, NULL AS parent, NULL AS cache_id, s.path AS host_path,
       (SELECT json_group_array(chain_id) FROM (
          SELECT il.chain_id FROM image_layer il
           WHERE il.image_id = i.id AND il.layer_id IS NULL ORDER BY il.position)) AS lacking,
       (SELECT json_group_array(chain_id) FROM (
          SELECT il.chain_id FROM image_layer il
           WHERE il.image_id = i.id AND il.layer_id IS NOT NULL ORDER BY il.position)) AS layers,
       NULL AS named, NULL AS used_by, i.id AS row_id, NULL AS stray
  FROM image i LEFT JOIN source s ON s.id = i.source_id
UNION ALL
SELECT 'image', engine_id, NULL, id, NULL, NULL, NULL, NULL, '[]', '[]', max(name), max(used_by),
       NULL, NULL
  FROM (
  SELECT r.engine_id AS engine_id, r.image_full_id AS id, r.reference AS name, NULL AS used_by
    FROM image_reference r WHERE r.image_id IS NULL
  UNION ALL
  SELECT c.engine_id, c.image_full_id, NULL, coalesce(c.name, c.full_id) FROM container c
   WHERE c.image_full_id IS NOT NULL AND c.image_id IS NULL
     AND EXISTS (SELECT 1 FROM image_store s
                  WHERE s.engine_id = c.engine_id AND s.driver = c.driver))
 GROUP BY engine_id, id
UNION ALL
SELECT 'layer', l.engine_id, l.driver, l.chain_id, l.diff_id, l.parent_chain_id, l.cache_id,
       l.host_path, NULL, NULL, NULL, NULL, l.id,
       NOT EXISTS (SELECT 1 FROM image_layer il WHERE il.layer_id = l.id)
       AND NOT EXISTS (SELECT 1 FROM container_layer cl WHERE cl.layer_id = l.id)
  FROM layer l WHERE l.role = 'image'
UNION ALL
SELECT 'init layer', l.engine_id, l.driver, l.cache_id, NULL, NULL, l.cache_id, l.host_path,
       NULL, NULL, NULL, NULL, l.id, 0
  FROM layer l WHERE l.role = 'init';

-- Machinery (query macrobber-container-layer): the files of a container's own layer. A mark
-- .wh.NAME goes by what it stands for; a file that only marks its directory is left out.
CREATE VIEW own_layer_file AS
WITH named AS (
  SELECT tc.container_id, tc.tree_id, tc.container_path, f.id AS file_id, d.path AS dir, f.name,
         d.path_raw AS dir_raw, f.name_raw,
         iif(f.overlay LIKE '%whiteout%' AND f.name GLOB '.wh.?*' AND f.mode & 61440 <> 8192,
             5, 1) AS begins
    FROM tree_container tc CROSS JOIN directory d ON d.tree_id = tc.tree_id
         CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
   WHERE tc.via = 'own' AND (f.overlay IS NULL OR f.overlay NOT LIKE '%opaque%'
                             OR f.mode & 61440 = 16384))
SELECT n.container_id AS container_id, n.tree_id AS tree_id, n.container_path AS container_path,
       n.file_id AS file_id,
       coalesce(nullif(n.dir || iif(n.name = '', '', '/' || substr(n.name, n.begins)), ''), '/')
         AS path,
       iif(n.dir_raw IS NULL AND n.name_raw IS NULL, NULL,
           coalesce(n.dir_raw, n.dir) || '/' || substr(coalesce(n.name_raw, n.name), n.begins))
         AS path_raw,
       iif(EXISTS (SELECT 1 FROM mount_place p
                    WHERE p.container_id = n.container_id AND p.kind <> 'nested' AND p.place <> ''
                      AND substr(n.dir || '/' || n.name || '/', 1, length(p.place) + 1)
                          = p.place || '/'), ' (hidden)', '') AS hidden
  FROM named n;

-- Machinery (query macrobber-volumes): the files of what is mounted in a container. Where a
-- tree lies within another, its root is an entry of the outer one already.
CREATE VIEW mounted_file AS
WITH over (container_id, place) AS (
  SELECT container_id, rtrim(destination, '/') FROM container_mount),
mounted (tree_id, container_id, container_path, is_covered) AS (
  SELECT tc.tree_id, tc.container_id, tc.container_path,
         EXISTS (SELECT 1 FROM over o
                  WHERE o.container_id = tc.container_id
                    AND length(o.place) > length(tc.container_path)
                    AND substr(o.place, 1, length(tc.container_path) + 1)
                        = tc.container_path || '/')
    FROM tree_container tc CROSS JOIN tree t ON t.id = tc.tree_id
   WHERE tc.via = 'mount' AND t.kind <> 'layer'),
named AS (
  SELECT m.*, f.id AS file_id, f.name, f.name_raw, d.path AS dir, d.path_raw AS dir_raw
    FROM mounted m CROSS JOIN directory d ON d.tree_id = m.tree_id
         CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
   WHERE f.name <> '' OR NOT EXISTS (
         SELECT 1 FROM tree_nesting n JOIN tree_container o ON o.tree_id = n.outer_id
          WHERE n.inner_id = m.tree_id AND o.container_id = m.container_id AND o.via = 'mount'
            AND o.container_path || n.path = m.container_path))
SELECT n.container_id AS container_id, n.tree_id AS tree_id, n.container_path AS container_path,
       n.file_id AS file_id,
       coalesce(nullif(n.container_path || n.dir || iif(n.name = '', '', '/' || n.name), ''), '/')
         AS path,
       iif(n.dir_raw IS NULL AND n.name_raw IS NULL, NULL,
           n.container_path || coalesce(n.dir_raw, n.dir) || '/' || coalesce(n.name_raw, n.name))
         AS path_raw,
       iif(n.is_covered AND EXISTS (
           SELECT 1 FROM over o
            WHERE o.container_id = n.container_id AND length(o.place) > length(n.container_path)
              AND substr(n.container_path || n.dir || '/' || n.name || '/', 1, length(o.place) + 1)
                  = o.place || '/'), ' (hidden)', '') AS hidden
  FROM named n;
