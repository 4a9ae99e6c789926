-- What is gone, what is left over, and what lacks a part: records are compared with each other.
-- `gone`, `orphan`, `container_lack` and `image_lack` are for people. The other views are for dof's
-- own use.

-- Machinery: the files of each tree, its root among them.
CREATE VIEW tree_file AS
SELECT t.id AS tree_id, t.layer_id AS layer_id, f.id AS file_id, f.name AS name,
       f.mode & 61440 = 32768 AS is_regular, f.size AS size, f.mtime AS mtime
  FROM tree t CROSS JOIN directory d ON d.tree_id = t.id
       CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file;

-- Machinery: traces, and from when to when each shows its thing.
CREATE VIEW trace_span AS
SELECT id, engine_id, kind, name, belongs, is_id, detail, host_path,
       coalesce(min(crtime, mtime), mtime) AS first, mtime AS last
  FROM trace;

-- Machinery: containers under the name they are told by, and from when to when their record
-- shows them.
CREATE VIEW container_span AS
SELECT id, engine_id, full_id, coalesce(name, full_id) AS name, image_full_id, image_name, driver,
       layer_id, started_at, log_in_files, source_id IS NOT NULL AS has_record,
       created_at AS first, coalesce(max(created_at, started_at), created_at) AS last
  FROM container;

-- Machinery: what is there, by the id that others name it by. A container may be another
-- engine's of its host.
CREATE VIEW thing_there (what, engine_id, id) AS
SELECT 'container', e.id, c.full_id
  FROM engine e CROSS JOIN engine g ON g.host_id = e.host_id
       CROSS JOIN container c ON c.engine_id = g.id
 WHERE c.source_id IS NOT NULL
 UNION ALL
SELECT 'image', engine_id, full_id FROM image
 UNION ALL
SELECT 'volume', engine_id, belongs FROM trace WHERE kind = 'volume'
 UNION ALL
SELECT 'network', engine_id, full_id FROM network;

-- Machinery: containers that images were committed from, as each step of the legacy builder
-- is, and of which nothing else is left than their network.
CREATE VIEW build_container (engine_id, id) AS
SELECT engine_id, container FROM image WHERE container IS NOT NULL
EXCEPT
SELECT engine_id, belongs FROM trace WHERE kind IN ('container', 'mount-record', 'task');

-- Machinery: containers that lack the record of which layers they have.
CREATE VIEW container_without_layers AS
SELECT c.engine_id, c.driver, c.layer_id, c.full_id, c.name, c.last
  FROM container_span c
 WHERE c.has_record
   AND NOT EXISTS (SELECT 1 FROM trace m WHERE m.engine_id = c.engine_id
                    AND m.kind = 'mount-record' AND m.belongs = c.full_id)
   AND (c.engine_id, c.driver) IN (SELECT s.engine_id, s.driver FROM image_store s);

-- Machinery: whose a layer without a record may be: twenty names at most.
CREATE VIEW possible_owner (engine_id, driver, names) AS
SELECT engine_id, driver,
       group_concat(iif(n <= 20, name, 'one of ' || (total - 20) || ' more'), ' or ')
  FROM (SELECT engine_id, driver, name, row_number() OVER w AS n,
               count(*) OVER (PARTITION BY engine_id, driver) AS total
          FROM container_without_layers WHERE layer_id IS NULL
        WINDOW w AS (PARTITION BY engine_id, driver ORDER BY name, full_id)
         ORDER BY engine_id, driver, n)
 WHERE n <= 21
 GROUP BY engine_id, driver;

-- Machinery: layers on the disk that no record knows.
CREATE VIEW unknown_layer AS
SELECT y.id AS layer_id, y.engine_id AS engine_id, y.driver AS driver, y.looks_like AS looks_like,
       t.id AS trace_id, t.name AS name, t.made_by AS made_by
  FROM layer y CROSS JOIN trace t ON t.engine_id = y.engine_id AND t.kind = 'layer'
                                 AND t.belongs = y.cache_id AND t.driver = y.driver
 WHERE y.role = 'unowned';

-- Machinery: short names of layers that are gone.
CREATE VIEW broken_link (trace_id) AS
SELECT t.id FROM trace t
 WHERE t.kind = 'link' AND NOT EXISTS (SELECT 1 FROM trace l WHERE l.engine_id = t.engine_id
                                        AND l.kind = 'layer' AND l.belongs = t.belongs);

-- Machinery: the layers a container's record names: its own and the -init below it.
CREATE VIEW layer_of_mount_record (engine_id, driver, container, cache_id, last) AS
SELECT engine_id, driver, belongs, detail ->> 'mount_id', mtime
  FROM trace WHERE kind = 'mount-record'
 UNION ALL
SELECT engine_id, driver, belongs, detail ->> 'init_id', mtime
  FROM trace WHERE kind = 'mount-record';

-- Machinery: the records that name a layer: an image's by its chain ID, a container's
-- two by the driver's names for them.
CREATE VIEW layer_record (engine_id, driver, layer, last) AS
SELECT engine_id, driver, belongs, mtime FROM trace WHERE kind = 'layer-record'
 UNION ALL
SELECT engine_id, driver, cache_id, last FROM layer_of_mount_record;

-- Machinery: what names a container.
CREATE VIEW sign_of_container (id, name, evidence, first, last, detail, engine_id) AS
SELECT belongs, NULL, kind, first, last, detail, engine_id
  FROM trace_span WHERE is_id
 UNION ALL -- the newest file in its layer
SELECT container, NULL, 'container-layer', last, last, NULL, engine_id
  FROM (SELECT m.engine_id, m.belongs AS container,
               (SELECT max(f.mtime) FROM tree_file f WHERE f.layer_id = y.id) AS last
          FROM trace m CROSS JOIN layer y ON y.engine_id = m.engine_id
                                         AND y.cache_id = m.detail ->> 'mount_id'
         WHERE m.kind = 'mount-record' AND y.role = 'container')
 UNION ALL -- an address it had
SELECT NULL, t.name, t.kind, NULL, NULL, t.detail, t.engine_id
  FROM trace t
 WHERE t.kind = 'endpoint-freed' AND t.name <> '' AND t.name NOT LIKE 'gateway\_%' ESCAPE '\'
   AND NOT EXISTS (SELECT 1 FROM container c WHERE c.engine_id = t.engine_id AND c.name = t.name)
 UNION ALL -- a layer of its own, of which no record tells whose it was
SELECT NULL, NULL, 'container-layer ' || t.name, t.first,
       max(t.last, coalesce((SELECT max(f.mtime) FROM tree_file f WHERE f.layer_id = u.layer_id),
                            t.last)),
       (SELECT json_object('may_be', o.names) FROM possible_owner o
         WHERE o.engine_id = u.engine_id AND o.driver = u.driver), u.engine_id
  FROM unknown_layer u CROSS JOIN trace_span t ON t.id = u.trace_id
 WHERE u.looks_like = 'container'
 UNION ALL
SELECT container, NULL, 'image ' || full_id, created_at, created_at, NULL, engine_id
  FROM image WHERE container IS NOT NULL;

-- Machinery: what names an image. An engine without an image store has its images with
-- containerd.
CREATE VIEW sign_of_image (id, name, evidence, first, last, engine_id) AS
SELECT image_full_id, image_name, 'container ' || name, first, first, engine_id
  FROM container_span
 WHERE image_full_id IS NOT NULL
   AND engine_id IN (SELECT s.engine_id FROM image_store s)
 UNION ALL
SELECT image_full_id, reference, 'repositories.json', NULL, NULL, engine_id FROM image_reference
 UNION ALL
SELECT parent_full_id, NULL, 'parent of ' || full_id, created_at, created_at, engine_id
  FROM image WHERE parent_full_id IS NOT NULL
 UNION ALL
SELECT belongs, NULL, kind, first, last, engine_id FROM trace_span WHERE kind = 'image-metadata'
 UNION ALL
SELECT NULL, j.value, 'pulled layer ' || t.belongs, t.last, t.last, t.engine_id
  FROM trace_span t JOIN json_each(t.detail, '$.repositories') j
 WHERE t.kind = 'pulled' AND NOT EXISTS (SELECT 1 FROM layer y WHERE y.engine_id = t.engine_id
                                          AND y.diff_id = t.belongs);

-- Machinery: what names a volume or a network. A swarm's networks are the managers', and
-- some get another id at each start.
CREATE VIEW sign_of_volume_or_network (what, id, name, evidence, first, last, engine_id) AS
SELECT 'volume', m.name, m.name, 'container ' || c.name, c.first, c.last, c.engine_id
  FROM container_mount m JOIN container_span c ON c.id = m.container_id
 WHERE m.kind = 'volume' AND m.name IS NOT NULL AND coalesce(m.driver, 'local') = 'local'
 UNION ALL
SELECT 'volume', name, name, 'volumes/metadata.db', NULL, NULL, engine_id
  FROM volume WHERE in_metadata AND driver = 'local'
 UNION ALL
SELECT 'network', n.network_full_id, n.name, 'container ' || c.name, c.first, c.last, c.engine_id
  FROM container_network n JOIN container_span c ON c.id = n.container_id
 WHERE n.network_full_id <> '' AND NOT n.renewed
   AND NOT EXISTS (SELECT 1 FROM swarm_node w WHERE w.engine_id = c.engine_id);

-- Machinery: what is missing of a layer, container or volume that is known: files, links,
-- records, logs.
CREATE VIEW sign_of_part (what, id, name, evidence, first, last, engine_id) AS
SELECT 'layer', y.cache_id, coalesce(y.chain_id, y.role || ' layer'),
       iif(y.role = 'image', 'layer-record', 'mount-record'), r.last, r.last, y.engine_id
  FROM layer y
       LEFT JOIN layer_record r ON r.engine_id = y.engine_id AND r.driver = y.driver
                               AND r.layer = iif(y.role = 'image', y.chain_id, y.cache_id)
 WHERE y.role <> 'unowned' AND y.host_path IS NULL AND y.cache_id IS NOT NULL
   AND (y.engine_id, y.driver) IN (SELECT f.engine_id, f.driver FROM trace f
                                    WHERE f.kind = 'folder' AND f.holds = 'layer')
 UNION ALL
SELECT 'layer', t.belongs, NULL, 'link ' || t.name, t.first, t.last, t.engine_id
  FROM broken_link b CROSS JOIN trace_span t ON t.id = b.trace_id
 UNION ALL
SELECT 'link', y.cache_id, y.link, y.role || ' layer', t.first, t.first, y.engine_id
  FROM layer y CROSS JOIN trace_span t ON t.engine_id = y.engine_id AND t.kind = 'layer'
                                      AND t.belongs = y.cache_id
 WHERE y.role <> 'unowned' AND y.link <> ''
   AND NOT EXISTS (SELECT 1 FROM trace l WHERE l.engine_id = y.engine_id AND l.kind = 'link'
                    AND l.name = y.link)
 UNION ALL
SELECT 'record', full_id, name, 'container ' || name, last, last, engine_id
  FROM container_without_layers
 UNION ALL
SELECT 'log', c.full_id, c.name, 'folder ' || t.host_path, NULL, t.last, c.engine_id
  FROM container_span c JOIN trace_span t ON t.engine_id = c.engine_id AND t.kind = 'container'
                                         AND t.belongs = c.full_id
 WHERE c.started_at IS NOT NULL AND c.log_in_files
   AND NOT EXISTS (SELECT 1 FROM log_file f WHERE f.container_id = c.id)
 UNION ALL
SELECT 'volume-files', v.name, v.name, 'folder ' || t.host_path, NULL, t.last, v.engine_id
  FROM volume v JOIN trace_span t ON t.engine_id = v.engine_id AND t.kind = 'volume'
                                 AND t.belongs = v.name
 WHERE v.driver = 'local' AND v.mount_point IS NULL;

-- Machinery: folders that something was removed from. Such a folder was changed later than
-- anything in it was born there or moved there.
CREATE VIEW folder_with_removal AS
WITH entry (engine_id, folder_id, crtime, ctime) AS MATERIALIZED (
  SELECT engine_id, folder_id, crtime, ctime FROM trace WHERE kind <> 'folder')
SELECT t.engine_id, t.name, t.host_path, t.mtime
  FROM trace t
 WHERE t.kind = 'folder' AND t.removal AND t.mtime - t.crtime > 50000000
   AND NOT EXISTS (SELECT 1 FROM entry k
                    WHERE k.folder_id = t.id
                      AND (k.crtime IS NULL OR abs(k.crtime - t.mtime) < 50000000
                           OR abs(k.ctime - t.mtime) < 50000000 OR k.crtime > t.mtime))
   AND t.engine_id IN (SELECT k.engine_id FROM entry k);

-- Machinery: every record that names a thing, there or gone.
CREATE VIEW sign (what, id, name, evidence, first, last, detail, engine_id) AS
SELECT 'container', id, name, evidence, first, last, detail, engine_id FROM sign_of_container
 UNION ALL
SELECT 'image', id, name, evidence, first, last, NULL, engine_id FROM sign_of_image
 UNION ALL
SELECT what, id, name, evidence, first, last, NULL, engine_id FROM sign_of_volume_or_network
 UNION ALL
SELECT what, id, name, evidence, first, last, NULL, engine_id FROM sign_of_part
 UNION ALL
SELECT 'something', NULL, name, 'folder ' || host_path, NULL, mtime, NULL, engine_id
  FROM folder_with_removal;

-- What records still name and is not there: it was there from first on, until last or later.
-- `dof query gaps --sql` tells what each `what` is. evidence lists the records, detail what they
-- say.
CREATE VIEW gone AS
SELECT x.what AS what, coalesce(x.name, x.detail ->> '$.names[0]') AS name, x.id AS id,
       iso(x.first) AS first, x.first AS first_ns, iso(x.last) AS last, x.last AS last_ns,
       (SELECT group_concat(value)
          FROM (SELECT value FROM json_each(x.evidence) ORDER BY value)) AS evidence,
       x.detail AS detail, e.host AS host, x.engine_id AS engine_id
  FROM (SELECT iif(s.what = 'container' AND (s.engine_id, s.id) IN (SELECT b.engine_id, b.id
                     FROM build_container b), 'build-container', s.what) AS what,
               s.id AS id, max(s.name) AS name, json_group_array(DISTINCT s.evidence) AS evidence,
               min(s.first) AS first, max(s.last) AS last,
               max(s.detail) FILTER (WHERE coalesce(json_extract(s.detail, '$.names'),
                 json_extract(s.detail, '$.may_be')) IS NOT NULL) AS detail,
               s.engine_id AS engine_id
          FROM sign s
         WHERE NOT EXISTS (SELECT 1 FROM thing_there k WHERE k.what = s.what
                            AND k.engine_id = s.engine_id AND k.id = s.id)
         GROUP BY 1, s.id, s.engine_id, iif(s.id IS NULL, coalesce(s.name, s.evidence), NULL)) x
       JOIN engine_host e ON e.engine_id = x.engine_id;

-- Machinery: networks that containers are attached to.
CREATE VIEW network_in_use AS
SELECT DISTINCT c.engine_id AS engine_id, n.network_full_id AS id, n.name AS name
  FROM container_network n JOIN container c ON c.id = n.container_id;

-- Machinery: images that others were built on.
CREATE VIEW parent_image AS
SELECT DISTINCT engine_id, parent_full_id AS id FROM image WHERE parent_full_id IS NOT NULL;

-- Machinery: containers' own files, layers and records that are left over.
CREATE VIEW leftover_of_container (kind, name, belongs, ordinary, why, engine_id, trace_id, tree_id)
AS
SELECT 'container', t.name, t.name, 0, 'a container''s folder without config.v2.json',
       t.engine_id, t.id, NULL
  FROM trace t JOIN container c ON c.engine_id = t.engine_id AND c.full_id = t.name
 WHERE t.kind = 'container' AND c.source_id IS NULL
 UNION ALL
SELECT 'container', c.name, c.full_id, 1,
       'its image ' || coalesce(c.image_name || ' ', '') || '(' || c.image_full_id || ') is gone',
       c.engine_id, t.id, NULL
  FROM container c LEFT JOIN trace t ON t.engine_id = c.engine_id AND t.kind = 'container'
                                    AND t.name = c.full_id
 WHERE c.image_full_id IS NOT NULL AND c.image_id IS NULL
   AND c.engine_id IN (SELECT s.engine_id FROM image_store s)
 UNION ALL
SELECT 'mount-record', t.name, t.belongs, 0, 'names the layers of a container that has no record',
       t.engine_id, t.id, NULL
  FROM trace t
 WHERE t.kind = 'mount-record'
   AND NOT EXISTS (SELECT 1 FROM container c WHERE c.engine_id = t.engine_id
                    AND c.full_id = t.belongs AND c.source_id IS NOT NULL)
 UNION ALL
SELECT y.role || '-layer', t.name, m.container, 0, 'a layer of a container that has no record',
       t.engine_id, t.id, (SELECT r.id FROM tree r WHERE r.layer_id = y.id)
  FROM layer_of_mount_record m
       CROSS JOIN trace t ON t.engine_id = m.engine_id AND t.kind = 'layer'
                         AND t.belongs = m.cache_id
       CROSS JOIN layer y ON y.engine_id = t.engine_id AND y.cache_id = t.name
 WHERE y.role IN ('container', 'init')
   AND NOT EXISTS (SELECT 1 FROM container c WHERE c.engine_id = m.engine_id
                    AND c.full_id = m.container AND c.source_id IS NOT NULL)
 UNION ALL -- the legacy builder may leave those of its containers when a step is done
SELECT x.kind, x.name, x.belongs, x.is_step,
       iif(x.is_step, 'of a container that an image was committed from, as each step of a build is',
           'of a container that has no record'), x.engine_id, x.id, NULL
  FROM (SELECT t.*, iif(t.kind = 'sandbox' AND (t.engine_id, t.belongs) IN
                          (SELECT b.engine_id, b.id FROM build_container b), 1, 0) AS is_step
          FROM trace t WHERE t.kind IN ('task', 'sandbox') AND t.is_id) x
 WHERE NOT EXISTS (SELECT 1 FROM thing_there k WHERE k.what = 'container'
                    AND k.engine_id = x.engine_id AND k.id = x.belongs);

-- Machinery: layers, images and volumes that are left over, and their records.
CREATE VIEW leftover_of_image (kind, name, belongs, ordinary, why, engine_id, trace_id, tree_id) AS
SELECT coalesce(u.looks_like || '-layer', 'layer'), u.name, NULL, u.made_by IS NOT NULL,
       iif(u.made_by IS NULL, 'no record knows this layer',
           'only BuildKit''s cache knows this layer'),
       u.engine_id, u.trace_id, (SELECT r.id FROM tree r WHERE r.layer_id = u.layer_id)
  FROM unknown_layer u WHERE u.made_by IS NOT 'trial'
 UNION ALL
SELECT 'unfinished', t.name, NULL, coalesce(t.made_by = 'trial', 0),
       iif(t.made_by = 'trial', 'the engine tried its storage at a start, which did not end',
           'work that did not end: a pull, a load, a build'), t.engine_id, t.id,
       (SELECT r.id FROM layer y CROSS JOIN tree r ON r.layer_id = y.id
         WHERE y.engine_id = t.engine_id AND y.cache_id = t.belongs AND y.role = 'unowned')
  FROM trace t WHERE t.kind = 'unfinished' OR t.kind = 'layer' AND t.made_by = 'trial'
 UNION ALL
SELECT 'layer-record', t.belongs, NULL, 0, 'no image and no container has this layer',
       t.engine_id, t.id, (SELECT r.id FROM tree r WHERE r.layer_id = y.id)
  FROM trace t LEFT JOIN layer y ON y.engine_id = t.engine_id AND y.chain_id = t.belongs
 WHERE t.kind = 'layer-record'
   AND NOT EXISTS (SELECT 1 FROM image_layer i WHERE i.layer_id = y.id)
   AND NOT EXISTS (SELECT 1 FROM container_layer c WHERE c.layer_id = y.id)
 UNION ALL
SELECT 'link', t.name, t.belongs, 0, 'leads to a layer that is gone', t.engine_id, t.id, NULL
  FROM broken_link b CROSS JOIN trace t ON t.id = b.trace_id
 UNION ALL
SELECT 'image-metadata', t.belongs, NULL, 0, 'of an image that is gone', t.engine_id, t.id, NULL
  FROM trace t
 WHERE t.kind = 'image-metadata'
   AND NOT EXISTS (SELECT 1 FROM trace i WHERE i.engine_id = t.engine_id AND i.kind = 'image'
                    AND i.belongs = t.belongs)
 UNION ALL
SELECT 'image', i.full_id, NULL, 1,
       'no name leads to it, no container and no other image is made from it',
       i.engine_id, t.id, NULL
  FROM image i LEFT JOIN trace t ON t.engine_id = i.engine_id AND t.kind = 'image'
                                AND t.belongs = i.full_id
 WHERE NOT EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id)
   AND NOT EXISTS (SELECT 1 FROM container c WHERE c.image_id = i.id)
   AND NOT EXISTS (SELECT 1 FROM parent_image p WHERE p.engine_id = i.engine_id
                    AND p.id = i.full_id)
 UNION ALL
SELECT 'volume', v.name, NULL, v.in_metadata,
       iif(v.in_metadata, 'no container mounts it', 'volumes/metadata.db does not know it'),
       v.engine_id, t.id, v.tree_id
  FROM volume v CROSS JOIN trace t ON t.engine_id = v.engine_id AND t.kind = 'volume'
                                  AND t.belongs = v.name
 WHERE NOT v.in_metadata
    OR NOT EXISTS (SELECT 1 FROM container_mount m WHERE m.volume_id = v.id);

-- Machinery: all that is left over, with its own times.
CREATE VIEW leftover (kind, name, belongs, ordinary, why, path, crtime, mtime, ctime, tree_id,
                      engine_id) AS
SELECT x.kind, x.name, x.belongs, x.ordinary, x.why, t.host_path, t.crtime, t.mtime, t.ctime,
       x.tree_id, x.engine_id
  FROM (SELECT * FROM leftover_of_container UNION ALL SELECT * FROM leftover_of_image) x
       LEFT JOIN trace t ON t.id = x.trace_id
 UNION ALL
SELECT 'image-reference', r.reference, r.image_full_id, 0, 'names an image that is gone',
       s.path, NULL, s.mtime, NULL, NULL, r.engine_id
  FROM image_reference r LEFT JOIN source s ON s.id = r.source_id WHERE r.image_id IS NULL
 UNION ALL
SELECT 'volume-record', v.name, NULL, 0, 'volumes/metadata.db knows it, its folder is gone',
       s.path, NULL, NULL, NULL, NULL, v.engine_id
  FROM volume v LEFT JOIN source s ON s.id = v.source_id
 WHERE v.driver = 'local' AND v.in_metadata
   AND NOT EXISTS (SELECT 1 FROM trace t WHERE t.engine_id = v.engine_id AND t.kind = 'volume'
                    AND t.belongs = v.name)
 UNION ALL
SELECT 'network', n.name, n.full_id, 1, 'no container is attached to it',
       NULL, n.created_at, NULL, NULL, NULL, n.engine_id
  FROM network n
 WHERE NOT n.predefined
   AND NOT EXISTS (SELECT 1 FROM network_in_use u WHERE u.engine_id = n.engine_id
                    AND u.id = n.full_id)
   AND NOT EXISTS (SELECT 1 FROM network_in_use u WHERE u.engine_id = n.engine_id
                    AND u.name = n.name);

-- What is on the disk that no container or image owns any more. crtime, mtime and ctime are the
-- thing's own; last_file, files and size tell of the files in it. ordinary = 1 where everyday use
-- leaves such things behind.
CREATE VIEW orphan AS
SELECT x.kind AS kind, x.name AS name, x.belongs AS belongs, x.ordinary AS ordinary, x.why AS why,
       x.path AS path, iso(x.crtime) AS crtime, x.crtime AS crtime_ns, iso(x.mtime) AS mtime,
       x.mtime AS mtime_ns, iso(x.ctime) AS ctime, x.ctime AS ctime_ns,
       (SELECT iso(f.last) FROM (SELECT max(mtime) AS last FROM tree_file
                                  WHERE tree_id = x.tree_id) f) AS last_file,
       (SELECT max(f.mtime) FROM tree_file f WHERE f.tree_id = x.tree_id) AS last_file_ns,
       (SELECT count(*) FROM tree_file f WHERE f.tree_id = x.tree_id AND f.name <> '') AS files,
       (SELECT sum(f.size) FROM tree_file f WHERE f.tree_id = x.tree_id AND f.is_regular) AS size,
       e.host AS host, x.engine_id AS engine_id
  FROM leftover x JOIN engine_host e ON e.engine_id = x.engine_id;

-- Containers, and how many of their layers are not there (0: none): those that the records, or
-- overlay2's lower, name. own_unknown = 1 where not even its own layer is known.
CREATE VIEW container_lack AS
SELECT c.id AS container_id, coalesce(c.name, c.full_id) AS container, c.full_id AS full_id,
       c.layer_id IS NULL AS own_unknown,
       max(0, coalesce((SELECT y.below FROM layer y WHERE y.id = c.layer_id),
                       (SELECT count(*) FROM image_layer i WHERE i.image_id = c.image_id))
              - (SELECT count(*) FROM container_layer s JOIN layer l ON l.id = s.layer_id
                  WHERE s.container_id = c.id
                    AND (l.role = 'image' OR l.role <> 'container' AND EXISTS (
                         SELECT 1 FROM layer y WHERE y.id = c.layer_id AND y.below IS NOT NULL))))
       + (SELECT count(*) FROM container_layer s JOIN layer l ON l.id = s.layer_id
           WHERE s.container_id = c.id AND l.host_path IS NULL) AS missing,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = c.engine_id) AS host
  FROM container c;

-- Images, and how many of their layers are not there (0: none).
CREATE VIEW image_lack AS
SELECT i.id AS image_id, (SELECT n.name FROM image_name n WHERE n.image_id = i.id) AS image,
       i.full_id AS full_id,
       (SELECT count(*) FROM image_layer s LEFT JOIN layer l ON l.id = s.layer_id
         WHERE s.image_id = i.id AND l.host_path IS NULL) AS missing,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = i.engine_id) AS host
  FROM image i;
