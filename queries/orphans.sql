-- What is on the disk that no container or image owns any more, or whose own record is gone?
-- born, modified and changed are the thing's own times, last_file the latest modification among its files; a copy of a disk
-- made file by file has its own time of copying in born and changed. ordinary = 1 where Docker leaves such things behind in
-- everyday use (a volume nobody mounts, an image without a name); 0 where only a deletion by hand, a crash or a fault does.
-- :ordinary   yes | no; both when unset
-- Example: dof query orphans --ordinary no
WITH living (host_id, engine_id, full_id, id) AS MATERIALIZED (
  SELECT g.host_id, g.id, c.full_id, c.id FROM container c JOIN engine g ON g.id = c.engine_id WHERE c.source_id IS NOT NULL),
made_from (engine_id, image, container) AS MATERIALIZED (SELECT i.engine_id, i.parent_full_id, i.container FROM image i),
attached (engine_id, network, name) AS MATERIALIZED (
  SELECT c.engine_id, cn.network_full_id, cn.name FROM container_network cn JOIN container c ON c.id = cn.container_id),
-- Folders in which the engine tries its storage at each start; a power cut leaves them.
trial (name) AS (VALUES ('moby-detect-%'), ('check-overlayfs-%'), ('opaque-bug-check%'), ('metacopy-check%'), ('userxattr-check%')),
found (kind, name, belongs, ordinary, why, engine_id, host_path, born, modified, changed, tree_id) AS (
  SELECT 'container', t.name, t.name, 0, 'a container''s folder without config.v2.json', t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM trace t JOIN container c ON c.engine_id = t.engine_id AND c.full_id = t.name
   WHERE t.kind = 'container' AND c.source_id IS NULL
  UNION ALL
  SELECT 'container', c.name, c.full_id, 1, 'its image ' || coalesce(c.image_name || ' ', '') || '(' || c.image_full_id || ') is gone', c.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM container c LEFT JOIN trace t ON t.engine_id = c.engine_id AND t.kind = 'container' AND t.name = c.full_id
   WHERE c.image_full_id IS NOT NULL AND c.image_id IS NULL AND c.engine_id IN (SELECT s.engine_id FROM trace s WHERE s.kind = 'folder' AND s.name LIKE 'image/%')
  UNION ALL
  SELECT 'mount-record', t.name, t.belongs, 0, 'names the layers of a container that has no record', t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM trace t WHERE t.kind = 'mount-record' AND NOT EXISTS (SELECT 1 FROM living v WHERE v.engine_id = t.engine_id AND v.full_id = t.belongs)
  UNION ALL
  SELECT CASE y.role WHEN 'container' THEN 'container-layer' ELSE 'init-layer' END, t.name, m.belongs, 0, 'a layer of a container that has no record', t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, r.id
    FROM trace m CROSS JOIN trace t ON t.engine_id = m.engine_id AND t.kind = 'layer' AND t.belongs IN (m.detail ->> 'mount_id', m.detail ->> 'init_id')
         CROSS JOIN layer y ON y.engine_id = t.engine_id AND y.cache_id = t.name AND y.role IN ('container', 'init') LEFT JOIN tree r ON r.layer_id = y.id
   WHERE m.kind = 'mount-record' AND NOT EXISTS (SELECT 1 FROM living v WHERE v.engine_id = m.engine_id AND v.full_id = m.belongs)
  UNION ALL
  SELECT iif(EXISTS (SELECT 1 FROM trial p WHERE t.name LIKE p.name), 'unfinished', iif(t.name LIKE '%-init', 'init-layer', iif(EXISTS (SELECT 1 FROM trace i WHERE i.engine_id = t.engine_id AND i.kind = 'layer' AND i.belongs = t.name || '-init'), 'container-layer', 'layer'))),
         t.name, NULL, t.detail ->> 'buildkit' OR EXISTS (SELECT 1 FROM trial p WHERE t.name LIKE p.name),
         CASE WHEN EXISTS (SELECT 1 FROM trial p WHERE t.name LIKE p.name) THEN 'the engine tried its storage at a start, which did not end'
              WHEN t.detail ->> 'buildkit' THEN 'only BuildKit''s cache knows this layer' ELSE 'no record knows this layer' END, t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, r.id
    FROM layer y CROSS JOIN trace t ON t.engine_id = y.engine_id AND t.kind = 'layer' AND t.belongs = y.cache_id AND t.detail ->> 'driver' = y.driver LEFT JOIN tree r ON r.layer_id = y.id
   WHERE y.role = 'unowned'
  UNION ALL
  SELECT 'layer-record', t.belongs, NULL, 0, 'no image and no container has this layer', t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, r.id
    FROM trace t LEFT JOIN layer y ON y.engine_id = t.engine_id AND y.chain_id = t.belongs LEFT JOIN tree r ON r.layer_id = y.id
   WHERE t.kind = 'layer-record' AND NOT EXISTS (SELECT 1 FROM image_layer il WHERE il.layer_id = y.id) AND NOT EXISTS (SELECT 1 FROM container_layer cl WHERE cl.layer_id = y.id)
  UNION ALL
  SELECT 'link', t.name, t.belongs, 0, 'leads to a layer that is gone', t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM trace t WHERE t.kind = 'link' AND NOT EXISTS (SELECT 1 FROM trace l WHERE l.engine_id = t.engine_id AND l.kind = 'layer' AND l.belongs = t.belongs)
  UNION ALL
  SELECT 'image-metadata', t.belongs, NULL, 0, 'of an image that is gone', t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM trace t WHERE t.kind = 'image-metadata' AND NOT EXISTS (SELECT 1 FROM trace i WHERE i.engine_id = t.engine_id AND i.kind = 'image' AND i.belongs = t.belongs)
  UNION ALL
  SELECT 'image-reference', r.reference, r.image_full_id, 0, 'names an image that is gone', r.engine_id, s.path, NULL, s.mtime, NULL, NULL
    FROM image_reference r LEFT JOIN source s ON s.id = r.source_id WHERE r.image_id IS NULL
  UNION ALL
  SELECT 'image', i.full_id, NULL, 1, 'no name leads to it, no container and no other image is made from it', i.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM image i LEFT JOIN trace t ON t.engine_id = i.engine_id AND t.kind = 'image' AND t.belongs = i.full_id
   WHERE NOT EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id) AND i.id NOT IN (SELECT c.image_id FROM container c WHERE c.image_id IS NOT NULL)
     AND NOT EXISTS (SELECT 1 FROM made_from k WHERE k.engine_id = i.engine_id AND k.image = i.full_id)
  UNION ALL
  SELECT 'volume', v.name, NULL, v.in_metadata, iif(v.in_metadata, 'no container mounts it', 'volumes/metadata.db does not know it'), v.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, r.id
    FROM volume v CROSS JOIN trace t ON t.engine_id = v.engine_id AND t.kind = 'volume' AND t.belongs = v.name LEFT JOIN tree r ON r.id = v.tree_id
   WHERE NOT v.in_metadata OR v.id NOT IN (SELECT m.volume_id FROM container_mount m WHERE m.volume_id IS NOT NULL)
  UNION ALL
  SELECT 'volume-record', v.name, NULL, 0, 'volumes/metadata.db knows it, its folder is gone', v.engine_id, s.path, NULL, NULL, NULL, NULL
    FROM volume v LEFT JOIN source s ON s.id = v.source_id
   WHERE v.driver = 'local' AND v.in_metadata AND NOT EXISTS (SELECT 1 FROM trace t WHERE t.engine_id = v.engine_id AND t.kind = 'volume' AND t.belongs = v.name)
  UNION ALL
  SELECT 'network', n.name, n.full_id, 1, 'no container is attached to it', n.engine_id, NULL, n.created_at, NULL, NULL, NULL
    FROM network n
   WHERE n.name NOT IN ('bridge', 'host', 'none', 'docker_gwbridge', 'ingress')
     AND NOT EXISTS (SELECT 1 FROM attached a WHERE a.engine_id = n.engine_id AND a.network = n.full_id)
     AND NOT EXISTS (SELECT 1 FROM attached a WHERE a.engine_id = n.engine_id AND a.name = n.name)
  UNION ALL
  -- Those of the legacy builder's containers, which their images name, may stay when the step is done.
  SELECT t.kind, t.name, t.belongs, b.step, iif(b.step, 'of a container that an image was committed from, as each step of a build is', 'of a container that has no record'), t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM trace t JOIN engine g ON g.id = t.engine_id
         JOIN (SELECT t.id AS id, t.kind = 'sandbox' AND EXISTS (SELECT 1 FROM made_from i WHERE i.engine_id = t.engine_id AND i.container = t.belongs)
                      AND NOT EXISTS (SELECT 1 FROM trace k WHERE k.engine_id = t.engine_id AND k.kind IN ('container', 'mount-record', 'task') AND k.belongs = t.belongs) AS step FROM trace t) b ON b.id = t.id
   WHERE t.kind IN ('task', 'sandbox') AND length(t.belongs) = 64 AND NOT EXISTS (SELECT 1 FROM living v WHERE v.host_id = g.host_id AND v.full_id = t.belongs)
  UNION ALL
  SELECT t.kind, t.name, NULL, EXISTS (SELECT 1 FROM trial p WHERE t.name LIKE p.name),
         iif(EXISTS (SELECT 1 FROM trial p WHERE t.name LIKE p.name), 'the engine tried its storage at a start, which did not end', 'work that did not end: a pull, a load, a build'), t.engine_id, t.host_path, t.crtime, t.mtime, t.ctime, NULL
    FROM trace t WHERE t.kind = 'unfinished')
SELECT f.kind, f.name, f.belongs, f.ordinary, f.why, f.host_path AS path,
       strftime('%Y-%m-%dT%H:%M:%S', f.born / 1000000000 - (f.born % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (f.born % 1000000000 + 1000000000) % 1000000000) AS born,
       strftime('%Y-%m-%dT%H:%M:%S', f.modified / 1000000000 - (f.modified % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (f.modified % 1000000000 + 1000000000) % 1000000000) AS modified,
       strftime('%Y-%m-%dT%H:%M:%S', f.changed / 1000000000 - (f.changed % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (f.changed % 1000000000 + 1000000000) % 1000000000) AS changed,
       (SELECT strftime('%Y-%m-%dT%H:%M:%S', x.last / 1000000000 - (x.last % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (x.last % 1000000000 + 1000000000) % 1000000000) FROM (SELECT max(i.mtime) AS last FROM directory d CROSS JOIN file i ON i.id BETWEEN d.first_file AND d.last_file WHERE d.tree_id = f.tree_id) x) AS last_file,
       (SELECT count(*) FROM directory d CROSS JOIN file i ON i.id BETWEEN d.first_file AND d.last_file WHERE d.tree_id = f.tree_id AND i.name <> '') AS files,
       (SELECT sum(i.size) FROM directory d CROSS JOIN file i ON i.id BETWEEN d.first_file AND d.last_file WHERE d.tree_id = f.tree_id AND i.mode & 61440 = 32768) AS size, h.name AS host
  FROM found f JOIN engine g ON g.id = f.engine_id JOIN host h ON h.id = g.host_id
 WHERE :ordinary IS NULL OR f.ordinary = (:ordinary = 'yes')
 ORDER BY f.ordinary, f.kind, f.name, f.belongs, f.host_path, f.engine_id;
