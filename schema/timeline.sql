-- What a person asks for by name. Times are ISO 8601 in UTC here.

-- What a container's or an image's life, its files and its logs say, one moment a row. Order it by ts.
-- The CASTs give each column one affinity in all arms: SQLite then merges the arms in order of time as they are read, by
-- their indexes, where it would otherwise gather all rows and sort them.
CREATE VIEW timeline AS
SELECT e.ts AS ts,
       substr('.....a..m...ma....c..ac.m.c.mac....b.a.bm..bma.b..cb.acbm.cbmacb', e.macb * 4 + 1, 4) AS macb,
       'file' AS kind, l.container AS container, l.image AS image, l.layer AS layer,
       CAST(iif(f.name = '', iif(l.prefix || d.path = '', '/', l.prefix || d.path), l.prefix || d.path || '/' || f.name) AS TEXT) AS path,
       printf('%06o %d:%d %d bytes', f.mode, f.uid, f.gid, f.size) || coalesce(' -> ' || f.link, '') || coalesce(' (' || f.overlay || ')', '') AS detail,
       CAST(NULL AS INTEGER) AS container_id, CAST(NULL AS INTEGER) AS image_id, d.tree_id AS tree_id, e.file_id AS ref, l.host AS host
  FROM event e CROSS JOIN file f ON f.id = e.file_id CROSS JOIN directory d ON d.id = f.dir_id CROSS JOIN tree_label l ON l.tree_id = d.tree_id
UNION ALL
SELECT c.created_at, '', 'container', c.name, c.image_name, CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       'created: ' || coalesce(c.path, '') || coalesce(' ' || c.args, ''), c.id, c.image_id, CAST(NULL AS INTEGER), c.id, CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = c.engine_id) AS TEXT)
  FROM container c WHERE c.created_at IS NOT NULL
UNION ALL
SELECT c.started_at, '', 'container', c.name, c.image_name, CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       'started (last): ' || coalesce(c.path, '') || coalesce(' ' || c.args, ''), c.id, c.image_id, CAST(NULL AS INTEGER), c.id, CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = c.engine_id) AS TEXT)
  FROM container c WHERE c.started_at IS NOT NULL
UNION ALL
SELECT c.finished_at, '', 'container', c.name, c.image_name, CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       'finished (last): ' || iif(c.running, 'running again since', 'exit code ' || coalesce(c.exit_code, 'unknown') || iif(c.oom_killed, ', out of memory', '')), c.id, c.image_id, CAST(NULL AS INTEGER), c.id, CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = c.engine_id) AS TEXT)
  FROM container c WHERE c.finished_at IS NOT NULL
UNION ALL
SELECT i.created_at, '', 'image', CAST(NULL AS TEXT), CAST(coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), i.full_id) AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       'image created', CAST(NULL AS INTEGER), i.id, CAST(NULL AS INTEGER), i.id, CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = i.engine_id) AS TEXT)
  FROM image i WHERE i.created_at IS NOT NULL
UNION ALL
SELECT i.last_tagged_at, '', 'image', CAST(NULL AS TEXT), CAST(coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), i.full_id) AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       'image last tagged', CAST(NULL AS INTEGER), i.id, CAST(NULL AS INTEGER), i.id, CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = i.engine_id) AS TEXT)
  FROM image i WHERE i.last_tagged_at IS NOT NULL
UNION ALL
SELECT h.created_at, '', 'image-step', CAST(NULL AS TEXT), CAST(coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), i.full_id) AS TEXT), CAST((SELECT y.cache_id FROM layer y WHERE y.id = h.layer_id) AS TEXT), CAST(NULL AS TEXT),
       'build step ' || h.position || ': ' || coalesce(h.created_by, ''), CAST(NULL AS INTEGER), i.id, CAST(NULL AS INTEGER), CAST(i.id * 10000 + h.position AS INTEGER), CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = i.engine_id) AS TEXT)
  FROM image_history h CROSS JOIN image i ON i.id = h.image_id WHERE h.created_at IS NOT NULL
UNION ALL
SELECT v.created_at, '', 'volume', CAST(NULL AS TEXT), CAST(NULL AS TEXT), v.name, v.mount_point,
       'volume created', CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), v.tree_id, v.id, CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = v.engine_id) AS TEXT)
  FROM volume v WHERE v.created_at IS NOT NULL
UNION ALL
SELECT n.created_at, '', 'network', CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       'network created: ' || n.name || coalesce(' (' || n.driver || ')', ''), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), n.id, CAST((SELECT o.name FROM engine g JOIN host o ON o.id = g.host_id WHERE g.id = n.engine_id) AS TEXT)
  FROM network n WHERE n.created_at IS NOT NULL
UNION ALL
SELECT g.ts_listed, '', 'log', c.name, c.image_name, CAST(NULL AS TEXT), CAST(NULL AS TEXT),
       coalesce(g.stream, '') || iif(g.ts IS NULL, ' (no time)', '') || ': ' || g.line, c.id, c.image_id, CAST(NULL AS INTEGER), g.id, o.name
  FROM log_entry g CROSS JOIN log_file lf ON lf.id = g.log_file_id CROSS JOIN container c ON c.id = lf.container_id CROSS JOIN engine e ON e.id = c.engine_id CROSS JOIN host o ON o.id = e.host_id WHERE g.ts_listed IS NOT NULL;
