-- What was there once and is gone: containers, images, layers, volumes, networks, or parts of them?
-- One row a thing that other records still name, with what names it, and from when to when they show it: it was there until
-- about last, or later. detail has the names and addresses a container had, where they are known.
-- what = build-container: an image says it was committed from it, as each step of the legacy builder does. what = something: a folder's own
-- time says that an entry was removed from it then, not which. A copy of a disk made file by file has no such rows.
-- what = record: the record of which layers a container has; volume-files: the files of a volume whose folder is there; log: that of a
-- container that has run, with its folder's time; link: the short name by which a layer is mounted. Where the record of a container's
-- layers is gone, a layer of no known container may be that one's, and says so.
-- :what       container | build-container | image | layer | volume | network | record | volume-files | log | link | something; all when unset
-- Example: dof query gaps --what container
WITH living (host_id, full_id) AS MATERIALIZED (
  SELECT g.host_id, c.full_id FROM container c JOIN engine g ON g.id = c.engine_id WHERE c.source_id IS NOT NULL),
own_layer (engine_id, container, last) AS (
  SELECT m.engine_id, m.belongs, (SELECT max(f.mtime) FROM tree t JOIN directory d ON d.tree_id = t.id JOIN file f ON f.id BETWEEN d.first_file AND d.last_file WHERE t.layer_id = y.id)
    FROM trace m CROSS JOIN layer y ON y.engine_id = m.engine_id AND y.cache_id = m.detail ->> 'mount_id' AND y.role = 'container'
   WHERE m.kind = 'mount-record'),
-- Drivers with an image store. (The CAST lets SQLite look a driver up.)
store (engine_id, driver) AS MATERIALIZED (
  SELECT DISTINCT engine_id, CAST(substr(name, 7, instr(substr(name, 7), '/') - 1) AS TEXT) FROM trace WHERE kind = 'folder' AND name LIKE 'image/%/%'),
-- What is in a folder, whose path ends with a slash here.
entry (engine_id, folder, crtime, ctime) AS MATERIALIZED (
  SELECT engine_id, substr(host_path, 1, length(host_path) - length(name)), crtime, ctime FROM trace WHERE kind <> 'folder'),
recordless (engine_id, driver, layer_id, full_id, name, last) AS (
  SELECT c.engine_id, c.driver, c.layer_id, c.full_id, coalesce(c.name, c.full_id), coalesce(max(c.created_at, c.started_at), c.created_at)
    FROM container c
   WHERE c.source_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM trace m WHERE m.engine_id = c.engine_id AND m.kind = 'mount-record' AND m.belongs = c.full_id)
     AND EXISTS (SELECT 1 FROM store s WHERE s.engine_id = c.engine_id AND s.driver = c.driver)),
-- Whose a layer of no record may be: twenty names at most.
may_be (engine_id, driver, names) AS (
  SELECT engine_id, driver, json_object('may_be', group_concat(iif(n <= 20, name, 'one of ' || (total - 20) || ' more'), ' or '))
    FROM (SELECT r.*, row_number() OVER w AS n, count(*) OVER (PARTITION BY r.engine_id, r.driver) AS total FROM recordless r WHERE r.layer_id IS NULL
          WINDOW w AS (PARTITION BY r.engine_id, r.driver ORDER BY r.name, r.full_id) ORDER BY 1, 2, n)
   WHERE n <= 21 GROUP BY engine_id, driver),
-- The records that name a layer: an image's by its path, a container's own two by their names.
layer_record (engine_id, layer, mtime) AS MATERIALIZED (
  SELECT engine_id, host_path || '/cache-id', mtime FROM trace WHERE kind = 'layer-record'
  UNION ALL
  SELECT engine_id, detail ->> 'mount_id', mtime FROM trace WHERE kind = 'mount-record'
  UNION ALL
  SELECT engine_id, detail ->> 'init_id', mtime FROM trace WHERE kind = 'mount-record'),
-- Containers that images were committed from and of which nothing else is left than their network.
built (engine_id, id) AS (
  SELECT i.engine_id, i.container FROM image i WHERE i.container IS NOT NULL
  EXCEPT
  SELECT t.engine_id, t.belongs FROM trace t WHERE t.kind IN ('container', 'mount-record', 'task')),
sign (what, id, name, evidence, first, last, detail, engine_id) AS (
  SELECT iif((t.engine_id, t.belongs) IN (SELECT b.engine_id, b.id FROM built b), 'build-container', 'container'), t.belongs, NULL, t.kind, coalesce(min(t.crtime, t.mtime), t.mtime), t.mtime, t.detail, t.engine_id
    FROM trace t WHERE t.kind IN ('container', 'mount-record', 'task', 'sandbox', 'sandbox-freed') AND length(t.belongs) = 64
  UNION ALL
  SELECT 'container', o.container, NULL, 'container-layer', o.last, o.last, NULL, o.engine_id FROM own_layer o
  UNION ALL
  SELECT 'container', NULL, t.name, t.kind, NULL, NULL, t.detail, t.engine_id
    FROM trace t WHERE t.kind = 'endpoint-freed' AND t.name <> '' AND t.name NOT LIKE 'gateway\_%' ESCAPE '\'
     AND NOT EXISTS (SELECT 1 FROM container c WHERE c.engine_id = t.engine_id AND c.name = t.name)
  UNION ALL
  -- An own layer and its -init, of which no record tells whose they were.
  SELECT 'container', NULL, NULL, 'container-layer ' || t.name, coalesce(min(t.crtime, t.mtime), t.mtime),
         max(t.mtime, coalesce((SELECT max(f.mtime) FROM tree r JOIN directory d ON d.tree_id = r.id JOIN file f ON f.id BETWEEN d.first_file AND d.last_file WHERE r.layer_id = y.id), t.mtime)),
         (SELECT b.names FROM may_be b WHERE b.engine_id = y.engine_id AND b.driver = y.driver), t.engine_id
    FROM layer y CROSS JOIN trace t ON t.engine_id = y.engine_id AND t.kind = 'layer' AND t.belongs = y.cache_id CROSS JOIN trace i ON i.engine_id = t.engine_id AND i.kind = 'layer' AND i.belongs = t.name || '-init'
   WHERE y.role = 'unowned'
  UNION ALL
  SELECT iif((i.engine_id, i.container) IN (SELECT b.engine_id, b.id FROM built b), 'build-container', 'container'), i.container, NULL, 'image ' || i.full_id, i.created_at, i.created_at, NULL, i.engine_id FROM image i WHERE i.container IS NOT NULL
  UNION ALL
  SELECT 'image', c.image_full_id, c.image_name, 'container ' || coalesce(c.name, c.full_id), c.created_at, c.created_at, NULL, c.engine_id
    FROM container c WHERE c.image_full_id IS NOT NULL AND c.engine_id IN (SELECT s.engine_id FROM store s) -- else the images are containerd's
  UNION ALL
  SELECT 'image', r.image_full_id, r.reference, 'repositories.json', NULL, NULL, NULL, r.engine_id FROM image_reference r
  UNION ALL
  SELECT 'image', i.parent_full_id, NULL, 'parent of ' || i.full_id, i.created_at, i.created_at, NULL, i.engine_id FROM image i WHERE i.parent_full_id IS NOT NULL
  UNION ALL
  SELECT 'image', t.belongs, NULL, t.kind, coalesce(min(t.crtime, t.mtime), t.mtime), t.mtime, NULL, t.engine_id FROM trace t WHERE t.kind = 'image-metadata'
  UNION ALL
  SELECT 'image', NULL, j.value, 'pulled layer ' || t.belongs, t.mtime, t.mtime, NULL, t.engine_id
    FROM trace t JOIN json_each(t.detail, '$.repositories') j
   WHERE t.kind = 'pulled' AND NOT EXISTS (SELECT 1 FROM layer y WHERE y.engine_id = t.engine_id AND y.diff_id = t.belongs)
  UNION ALL
  SELECT 'layer', y.cache_id, coalesce(y.chain_id, y.role || ' layer'), iif(y.role = 'image', 'layer-record', 'mount-record'), t.mtime, t.mtime, NULL, y.engine_id
    FROM layer y LEFT JOIN source s ON s.id = y.source_id LEFT JOIN layer_record t ON t.engine_id = y.engine_id AND t.layer = iif(y.role = 'image', s.path, y.cache_id)
   WHERE y.role <> 'unowned' AND y.host_path IS NULL AND y.cache_id IS NOT NULL AND EXISTS (SELECT 1 FROM trace l WHERE l.engine_id = y.engine_id AND l.kind = 'folder' AND l.name >= y.driver AND l.name < y.driver || '~')
  UNION ALL
  SELECT 'layer', t.belongs, NULL, 'link ' || t.name, coalesce(min(t.crtime, t.mtime), t.mtime), t.mtime, NULL, t.engine_id
    FROM trace t WHERE t.kind = 'link' AND NOT EXISTS (SELECT 1 FROM trace l WHERE l.engine_id = t.engine_id AND l.kind = 'layer' AND l.belongs = t.belongs)
  UNION ALL
  SELECT 'link', y.cache_id, y.link, y.role || ' layer', coalesce(min(t.crtime, t.mtime), t.mtime), coalesce(min(t.crtime, t.mtime), t.mtime), NULL, y.engine_id
    FROM layer y CROSS JOIN trace t ON t.engine_id = y.engine_id AND t.kind = 'layer' AND t.belongs = y.cache_id
   WHERE y.role <> 'unowned' AND y.link <> '' AND NOT EXISTS (SELECT 1 FROM trace l WHERE l.engine_id = y.engine_id AND l.kind = 'link' AND l.name = y.link)
  UNION ALL
  SELECT 'record', r.full_id, r.name, 'container ' || r.name, r.last, r.last, NULL, r.engine_id FROM recordless r
  UNION ALL
  SELECT 'log', c.full_id, coalesce(c.name, c.full_id), 'folder ' || t.host_path, NULL, t.mtime, NULL, c.engine_id
    FROM container c JOIN trace t ON t.engine_id = c.engine_id AND t.kind = 'container' AND t.belongs = c.full_id
   WHERE c.started_at IS NOT NULL AND c.log_driver IN ('json-file', 'local') AND NOT EXISTS (SELECT 1 FROM log_file f WHERE f.container_id = c.id)
  UNION ALL
  SELECT 'volume-files', v.name, v.name, 'folder ' || t.host_path, NULL, t.mtime, NULL, v.engine_id
    FROM volume v JOIN trace t ON t.engine_id = v.engine_id AND t.kind = 'volume' AND t.belongs = v.name WHERE v.driver = 'local' AND v.mount_point IS NULL
  UNION ALL
  SELECT 'volume', m.name, m.name, 'container ' || coalesce(c.name, c.full_id), c.created_at, coalesce(max(c.created_at, c.started_at), c.created_at), NULL, c.engine_id
    FROM container_mount m JOIN container c ON c.id = m.container_id
   WHERE m.kind = 'volume' AND m.name IS NOT NULL AND coalesce(m.driver, 'local') = 'local'
  UNION ALL
  SELECT 'volume', v.name, v.name, 'volumes/metadata.db', NULL, NULL, NULL, v.engine_id FROM volume v WHERE v.in_metadata AND v.driver = 'local'
  UNION ALL
  -- The default network gets another id at each start, and a swarm's networks are the managers'.
  SELECT 'network', n.network_full_id, n.name, 'container ' || coalesce(c.name, c.full_id), c.created_at, coalesce(max(c.created_at, c.started_at), c.created_at), NULL, c.engine_id
    FROM container_network n JOIN container c ON c.id = n.container_id
   WHERE n.network_full_id <> '' AND n.name <> 'bridge' AND NOT EXISTS (SELECT 1 FROM swarm_node w WHERE w.engine_id = c.engine_id)
  UNION ALL
  -- Later than the birth, or the move into it, of everything in the folder: it was a removal that changed it.
  -- Not so for the others: the engine tries things out in them when it starts.
  SELECT 'something', NULL, t.name, 'folder ' || t.host_path, NULL, t.mtime, NULL, t.engine_id
    FROM trace t
   WHERE t.kind = 'folder' AND (t.name IN ('containers', 'volumes', 'overlay2/l', 'fuse-overlayfs/l') OR t.name LIKE 'image/%/layerdb/mounts' OR t.name LIKE 'image/%/layerdb/sha256' OR t.name LIKE 'image/%/imagedb/content/sha256') AND t.mtime - t.crtime > 50000000
     AND NOT EXISTS (SELECT 1 FROM entry k WHERE k.engine_id = t.engine_id AND k.folder = t.host_path || '/'
                      AND (k.crtime IS NULL OR abs(k.crtime - t.mtime) < 50000000 OR abs(k.ctime - t.mtime) < 50000000 OR k.crtime > t.mtime))
     AND t.engine_id IN (SELECT k.engine_id FROM entry k)),
gone (what, id, name, evidence, first, last, detail, engine_id) AS (
  SELECT s.what, s.id, max(s.name), json_group_array(DISTINCT s.evidence), min(s.first), max(s.last), max(s.detail) FILTER (WHERE coalesce(json_extract(s.detail, '$.names'), json_extract(s.detail, '$.may_be')) IS NOT NULL), s.engine_id
    FROM sign s JOIN engine g ON g.id = s.engine_id
   WHERE (:what IS NULL OR s.what = :what)
     AND NOT (s.id IS NOT NULL AND s.what IN ('container', 'build-container') AND EXISTS (SELECT 1 FROM living v WHERE v.host_id = g.host_id AND v.full_id = s.id))
     AND NOT (s.id IS NOT NULL AND s.what = 'image' AND EXISTS (SELECT 1 FROM image i WHERE i.engine_id = s.engine_id AND i.full_id = s.id))
     AND NOT (s.what = 'volume' AND EXISTS (SELECT 1 FROM trace t WHERE t.engine_id = s.engine_id AND t.kind = 'volume' AND t.belongs = s.id))
     AND NOT (s.what = 'network' AND EXISTS (SELECT 1 FROM network n WHERE n.engine_id = s.engine_id AND n.full_id = s.id))
   GROUP BY s.what, s.id, s.engine_id, iif(s.id IS NULL, coalesce(s.name, s.evidence), NULL))
SELECT n.what, coalesce(n.name, n.detail ->> '$.names[0]') AS name, n.id,
       strftime('%Y-%m-%dT%H:%M:%S', n.first / 1000000000 - (n.first % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.first % 1000000000 + 1000000000) % 1000000000) AS first,
       strftime('%Y-%m-%dT%H:%M:%S', n.last / 1000000000 - (n.last % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.last % 1000000000 + 1000000000) % 1000000000) AS last, (SELECT group_concat(value) FROM (SELECT value FROM json_each(n.evidence) ORDER BY value)) AS evidence, n.detail,
       CASE WHEN n.what = 'something' THEN 'something was removed from ' || n.name || ' at '
            WHEN n.what = 'layer' THEN 'the files of layer ' || n.id || ' are gone; they were there at '
            WHEN n.what = 'link' THEN 'the link ' || n.name || ' of layer ' || n.id || ' is gone; it was there at '
            WHEN n.what = 'record' THEN 'the record of which layers container ' || n.name || ' has is gone; it was there at '
            WHEN n.what = 'log' THEN 'the log of container ' || n.name || ' is gone; its folder was last changed at '
            WHEN n.what = 'volume-files' THEN 'the files of volume ' || n.name || ' are gone; its folder was last changed at '
            ELSE 'there was ' || iif(n.what = 'image', 'an ', 'a ') || n.what || ' ' || coalesce(n.name, n.detail ->> '$.names[0]', n.id, 'of no known name') || ' here, until ' END
       || coalesce(strftime('%Y-%m-%dT%H:%M:%S', n.last / 1000000000 - (n.last % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.last % 1000000000 + 1000000000) % 1000000000) || iif(n.what IN ('something', 'volume-files', 'log'), '', ' or later'), 'a time nothing tells')
       || coalesce('; or it is that of ' || (n.detail ->> '$.may_be') || ', whose record of its layers is gone', '') AS says, h.name AS host
  FROM gone n JOIN engine g ON g.id = n.engine_id JOIN host h ON h.id = g.host_id
 ORDER BY n.what, n.last, n.id, n.name, evidence, n.engine_id;
