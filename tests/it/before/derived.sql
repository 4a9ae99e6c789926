-- What the old schema/derived.sql filled mount_place and merged_root with; :host, :levels and :nested as there.

-- A name in a directory is found by going through its run. Many mounts below directories of very many entries would cost the product
-- of both: directories where that could be more than some ten million rows get an index, for the time of these statements.
CREATE TEMP TABLE crowded (dir_id INTEGER, name TEXT, id INTEGER, PRIMARY KEY (dir_id, name, id)) WITHOUT ROWID;
INSERT INTO crowded
WITH mounts (n) AS MATERIALIZED (SELECT (SELECT count(*) FROM container_mount) + (SELECT coalesce(sum(length(tmpfs)) / 8, 0) FROM container))
SELECT d.id, f.name, f.id
  FROM mounts m CROSS JOIN tree t CROSS JOIN directory d ON d.tree_id = t.id CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
 WHERE m.n > 100 AND t.host_id = :host AND t.kind = 'layer' AND d.last_file - d.first_file > 10000000 / m.n;

INSERT INTO mount_place (container_id, place, kind, source, tree_id)
WITH RECURSIVE mount (id, container_id, kind, source, destination, tree_id) AS (
  SELECT row_number() OVER (), * FROM (
    SELECT m.container_id, m.kind, coalesce(m.name, m.source), m.destination, m.tree_id FROM container_mount m JOIN container c ON c.id = m.container_id JOIN engine g ON g.id = c.engine_id WHERE g.host_id = :host
     UNION ALL
    SELECT c.id, 'tmpfs', NULL, j.key, NULL FROM container c JOIN engine g ON g.id = c.engine_id, json_each(iif(json_valid(c.tmpfs), c.tmpfs, '{}')) j WHERE g.host_id = :host)),
-- From the root down, one name at a time: `path` is the way so far, without links, `rest` what is still to go, `floor` the
-- position of the layer below which nothing counts there. A link begins anew at the root. What is not there is taken as it is
-- written, and so is a place behind links that lead in a circle. Redirects are not followed, nor are links within what is mounted.
way (id, container_id, path, rest, floor, links) AS (
  SELECT id, container_id, '', '[' || replace(json_quote(trim(destination, '/')), '/', '","') || ']', 0, 0 FROM mount
  UNION ALL
  SELECT w.id, w.container_id,
         CASE WHEN w.rest ->> 0 IN ('', '.') THEN w.path WHEN w.rest ->> 0 = '..' THEN rtrim(rtrim(w.path, replace(w.path, '/', '')), '/') WHEN top.link IS NULL THEN w.path || '/' || (w.rest ->> 0) ELSE '' END,
         CASE WHEN top.link IS NULL THEN json_remove(w.rest, '$[0]')
              ELSE (SELECT json_group_array(value) FROM (SELECT value FROM json_each('[' || replace(json_quote(iif(top.link LIKE '/%', '', w.path || '/') || top.link), '/', '","') || ']') UNION ALL SELECT value FROM json_each(w.rest) WHERE key > 0)) END,
         CASE WHEN w.rest ->> 0 IN ('', '.') THEN w.floor WHEN w.rest ->> 0 = '..' OR top.link IS NOT NULL THEN 0
              WHEN top.id IS NULL THEN 1000000000
              ELSE max(w.floor, coalesce((SELECT max(s.position + ((f.mode & 61440) <> 16384)) FROM container_stack s CROSS JOIN directory d ON d.tree_id = s.tree_id AND d.path = w.path CROSS JOIN file f ON f.id IN (
                          SELECT x.id FROM file x WHERE x.id BETWEEN d.first_file AND iif(EXISTS (SELECT 1 FROM crowded k WHERE k.dir_id = d.id), 0, d.last_file) AND +x.name = w.rest ->> 0
                           UNION ALL SELECT k.id FROM crowded k WHERE k.dir_id = d.id AND k.name = w.rest ->> 0)
                        WHERE s.container_id = w.container_id AND s.sees & 1 AND s.position >= w.floor AND ((f.mode & 61440) <> 16384 OR f.overlay LIKE '%opaque%')), 0)) END,
         w.links + (top.link IS NOT NULL)
    FROM way w LEFT JOIN file top ON top.id = (
         SELECT x.id FROM (
           SELECT f.id AS id, max(s.position) FROM container_stack s CROSS JOIN directory d ON d.tree_id = s.tree_id AND d.path = w.path CROSS JOIN file f ON f.id IN (
                          SELECT x.id FROM file x WHERE x.id BETWEEN d.first_file AND iif(EXISTS (SELECT 1 FROM crowded k WHERE k.dir_id = d.id), 0, d.last_file) AND +x.name = w.rest ->> 0
                           UNION ALL SELECT k.id FROM crowded k WHERE k.dir_id = d.id AND k.name = w.rest ->> 0)
            WHERE s.container_id = w.container_id AND s.sees & 1 AND s.position >= w.floor AND f.name <> '') x)
   WHERE json_array_length(w.rest) > 0 AND w.links < 40),
seen (container_id, place, kind, source, tree_id, depth) AS (
  SELECT m.container_id, coalesce((SELECT w.path FROM way w WHERE w.id = m.id AND w.rest = '[]'), rtrim(m.destination, '/')), m.kind, m.source, m.tree_id, 0 FROM mount m
  UNION ALL
  SELECT s.container_id, s.place || n.path, 'nested', t.host_path, t.id, s.depth + 1
    FROM seen s JOIN tree_nesting n ON n.outer_id = s.tree_id JOIN tree t ON t.id = n.inner_id
   WHERE t.kind <> 'layer' AND s.depth < :levels
   ORDER BY 6 LIMIT (SELECT count(*) FROM mount) + :nested)
SELECT container_id, place, kind, source, tree_id FROM seen ORDER BY container_id, place, depth, tree_id, source;
DROP TABLE crowded;

-- To Docker before 28 (and where the version is not known) all with the bit S_IFDIR, sockets and block devices too, is a directory.
INSERT INTO merged_root (what, id, container_id, image_id, views, kind_bits, renames)
WITH renamed (layer_id) AS MATERIALIZED (
  SELECT DISTINCT t.layer_id FROM tree t CROSS JOIN directory d ON d.tree_id = t.id CROSS JOIN file f ON f.id = d.id
   WHERE f.redirect IS NOT NULL AND t.host_id = :host)
SELECT 'container', c.id, c.id, NULL, 1, 0, EXISTS (SELECT 1 FROM container_layer x WHERE x.container_id = c.id AND x.layer_id IN (SELECT layer_id FROM renamed))
  FROM container c JOIN engine g ON g.id = c.engine_id WHERE g.host_id = :host
UNION ALL
SELECT 'change', c.id, c.id, NULL, 3, iif(CAST(g.daemon_version AS INTEGER) >= 28, 61440, 16384), EXISTS (SELECT 1 FROM container_layer x WHERE x.container_id = c.id AND x.layer_id IN (SELECT layer_id FROM renamed))
  FROM container c JOIN engine g ON g.id = c.engine_id WHERE g.host_id = :host
UNION ALL
SELECT 'image', i.id, NULL, i.id, 1, 0, EXISTS (SELECT 1 FROM image_layer x WHERE x.image_id = i.id AND x.layer_id IN (SELECT layer_id FROM renamed))
  FROM image i JOIN engine g ON g.id = i.engine_id WHERE g.host_id = :host;
