-- What happened, in order of time.

-- For dof's own use, the first part: each distinct time of a file. The CASTs give each column one
-- affinity in all parts of the timeline. SQLite then merges the parts in order of time as it reads
-- them from their indexes; else it would gather all rows and sort them.
CREATE VIEW file_event AS
SELECT iso(e.ts) AS time, e.ts AS time_ns,
       CAST(substr('.....a..m...ma....c..ac.m.c.mac....b.a.bm..bma.b..cb.acbm.cbmacb',
                   e.macb * 4 + 1, 4) AS TEXT) AS macb,
       CAST('file' AS TEXT) AS kind, l.container AS container, l.image AS image, l.layer AS layer,
       CAST(coalesce(nullif(l.prefix || d.path || iif(f.name = '', '', '/' || f.name), ''), '/')
            AS TEXT) AS path,
       CAST(printf('%06o %d:%d %d bytes', f.mode, f.uid, f.gid, f.size)
            || coalesce(' -> ' || f.link, '') || coalesce(' (' || f.overlay || ')', '')
            AS TEXT) AS detail,
       l.host AS host, e.file_id AS ref, CAST(NULL AS INTEGER) AS container_id,
       CAST(NULL AS INTEGER) AS image_id, d.tree_id AS tree_id
  FROM event e CROSS JOIN file f ON f.id = e.file_id CROSS JOIN directory d ON d.id = f.dir_id
       CROSS JOIN tree_label l ON l.tree_id = d.tree_id;

-- Machinery: the moments in the life of a container, an image, a volume and a network.
CREATE VIEW moment AS
SELECT c.created_at AS ts, CAST('container' AS TEXT) AS kind, c.id AS ref,
       CAST('created: ' || coalesce(c.path, '') || coalesce(' ' || c.args, '') AS TEXT) AS detail,
       c.id AS container_id, c.image_id AS image_id, NULL AS tree_id,
       c.name AS container, c.image_name AS image, CAST(NULL AS TEXT) AS layer,
       CAST(NULL AS TEXT) AS path, c.engine_id AS engine_id
  FROM container c
UNION ALL
SELECT c.started_at, 'container', c.id,
       'started (last): ' || coalesce(c.path, '') || coalesce(' ' || c.args, ''),
       c.id, c.image_id, NULL, c.name, c.image_name, NULL, NULL, c.engine_id
  FROM container c
UNION ALL
SELECT c.finished_at, 'container', c.id,
       'finished (last): ' || iif(c.running, 'running again since',
         'exit code ' || coalesce(c.exit_code, 'unknown')
         || iif(c.oom_killed, ', out of memory', '')),
       c.id, c.image_id, NULL, c.name, c.image_name, NULL, NULL, c.engine_id
  FROM container c
UNION ALL
SELECT i.created_at, 'image', i.id, 'image created', NULL, i.id, NULL, NULL, n.name, NULL, NULL,
       i.engine_id
  FROM image i CROSS JOIN image_name n ON n.image_id = i.id
UNION ALL
SELECT i.last_tagged_at, 'image', i.id, 'image last tagged', NULL, i.id, NULL, NULL, n.name, NULL,
       NULL, i.engine_id
  FROM image i CROSS JOIN image_name n ON n.image_id = i.id
UNION ALL
SELECT h.created_at, 'image-step', i.id * 10000 + h.position,
       'build step ' || h.position || ': ' || coalesce(h.created_by, ''), NULL, i.id, NULL, NULL,
       n.name, (SELECT y.cache_id FROM layer y WHERE y.id = h.layer_id), NULL, i.engine_id
  FROM image_history h CROSS JOIN image i ON i.id = h.image_id
       CROSS JOIN image_name n ON n.image_id = i.id
UNION ALL
SELECT v.created_at, 'volume', v.id, 'volume created', NULL, NULL,
       v.tree_id, NULL, NULL, v.name, v.mount_point,
       v.engine_id
  FROM volume v
UNION ALL
SELECT n.created_at, 'network', n.id,
       'network created: ' || n.name || coalesce(' (' || n.driver || ')', ''),
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, n.engine_id
  FROM network n;

-- For dof's own use, the second part: the moments as rows of the timeline.
CREATE VIEW moment_event AS
SELECT iso(m.ts) AS time, m.ts AS time_ns, CAST('' AS TEXT) AS macb, m.kind AS kind,
       m.container AS container, m.image AS image, m.layer AS layer,
       m.path AS path, m.detail AS detail, e.host AS host,
       m.ref AS ref, m.container_id AS container_id, m.image_id AS image_id,
       CAST(m.tree_id AS INTEGER) AS tree_id
  FROM moment m CROSS JOIN engine_host e ON e.engine_id = m.engine_id
 WHERE m.ts IS NOT NULL;

-- For dof's own use, the third part: log entries.
CREATE VIEW log_event AS
SELECT iso(g.ts_listed) AS time, g.ts_listed AS time_ns, CAST('' AS TEXT) AS macb,
       CAST('log' AS TEXT) AS kind,
       c.name AS container, c.image_name AS image, CAST(NULL AS TEXT) AS layer,
       CAST(NULL AS TEXT) AS path,
       CAST(coalesce(g.stream, '') || iif(g.ts IS NULL, ' (no time)', '') || ': ' || g.line
            AS TEXT) AS detail,
       e.host AS host, g.id AS ref, c.id AS container_id, c.image_id AS image_id,
       CAST(NULL AS INTEGER) AS tree_id
  FROM log_entry g CROSS JOIN log_file w ON w.id = g.log_file_id
       CROSS JOIN container c ON c.id = w.container_id
       CROSS JOIN engine_host e ON e.engine_id = c.engine_id
 WHERE g.ts_listed IS NOT NULL;

-- What a container's, an image's, a volume's and a network's life, their files and the logs say,
-- one moment a row. kind is file, container, image, image-step, volume, network or log; ref the id
-- of the row of that table (for an image-step: the image's * 10000 + the step). macb says which of
-- a file's times it is. Order by time_ns. Of a file container and image are comma-joined lists, and
-- container_id is NULL: ask by tree_id or ref, or ask timeline_of.
CREATE VIEW timeline AS
SELECT * FROM file_event UNION ALL SELECT * FROM moment_event UNION ALL SELECT * FROM log_event;

-- The timeline of one container: its own layer, its mounts, its life and its log, with each path as
-- that container has it. Always give `of`: what the container may be called (container_ref); the
-- whole timeline has '' there.
CREATE VIEW timeline_of AS
SELECT CAST('' AS TEXT) AS of, e.* FROM file_event e
UNION ALL SELECT CAST('' AS TEXT), e.* FROM moment_event e
UNION ALL SELECT CAST('' AS TEXT), e.* FROM log_event e
UNION ALL
SELECT r.ref, e.time, e.time_ns, e.macb, e.kind, CAST(coalesce(c.name, c.full_id) AS TEXT),
       e.image, e.layer,
       CAST(coalesce((SELECT p.path FROM file_at p
                       WHERE p.file_id = f.id AND p.container_id = c.id
                       ORDER BY p.path LIMIT 1),
                     nullif(o.container_path || d.path || iif(f.name = '', '', '/' || f.name), ''),
                     '/') AS TEXT),
       e.detail, e.host, e.ref, c.id, e.image_id, e.tree_id
  FROM container_ref r CROSS JOIN container c ON c.id = r.container_id
       CROSS JOIN own_tree o ON o.container_id = c.id
       CROSS JOIN directory d ON d.tree_id = o.tree_id
       CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
       CROSS JOIN file_event e ON e.time_ns IN (f.atime, f.mtime, f.ctime, f.crtime)
                              AND e.ref BETWEEN f.id AND f.id -- by the key; = would make an index
UNION ALL
SELECT r.ref, e.*
  FROM container_ref r CROSS JOIN moment_event e
       ON e.container_id = r.container_id
       OR e.tree_id IN (SELECT o.tree_id FROM own_tree o
                         WHERE o.container_id = r.container_id)
UNION ALL
SELECT r.ref, e.*
  FROM container_ref r CROSS JOIN log_file w ON w.container_id = r.container_id
       CROSS JOIN log_event e ON e.ref BETWEEN w.first_entry AND w.last_entry;

-- Machinery: the trees that are a container's own or mounted in it, layers of others within a mount
-- too, and where their roots are; each once, also where two containers of one id, one of them a
-- copy, have it.
CREATE VIEW own_tree AS
SELECT o.container_id AS container_id, o.tree_id AS tree_id, o.container_path AS container_path
  FROM tree_container o CROSS JOIN container c ON c.id = o.container_id
 WHERE o.via <> 'image'
   AND NOT EXISTS (
       SELECT 1 FROM tree_container x CROSS JOIN container y ON y.id = x.container_id
        WHERE x.tree_id = o.tree_id AND x.via <> 'image' AND y.full_id = c.full_id
          AND (x.container_id, x.container_path) < (o.container_id, o.container_path));

-- Machinery: the same by what a container may be called.
CREATE VIEW own_tree_of AS
SELECT r.ref AS ref, o.tree_id AS tree_id
  FROM container_ref r CROSS JOIN own_tree o ON o.container_id = r.container_id;

-- Machinery: the trees of an image's layers, by what the image may be called.
CREATE VIEW image_tree_of AS
SELECT r.ref AS ref, t.id AS tree_id
  FROM image_ref r CROSS JOIN image_layer x ON x.image_id = r.image_id
       CROSS JOIN tree t ON t.layer_id = x.layer_id;
