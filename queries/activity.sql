-- When did how much happen: counts by minute, hour or day?
-- One row a period, kind and container (or what :group says), with its first and last moment. period is where it begins.
-- moments counts rows of the timeline; for files that is one a file and distinct time, and the four columns behind it say
-- how many of those were a modification, an access, a change of the inode, a birth. A log entry without a time counts where
-- the timeline lists it.
-- :by         minute | hour | day; day when unset
-- :group      kind | container | none; both kind and container when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :container  name, id or unique prefix of the id: its own layer, its mounts, its life and its log; everything when unset
-- :image      repository:tag, digest, id or a prefix of the id: the files of its layers, its build, and the life and logs of containers made from it; everything when unset
-- :path       a GLOB on the path in the container, e.g. /tmp/*; everything, with a path or without, when unset
-- :kind       file | container | image | image-step | volume | network | log; all when unset
-- Example: dof query activity --by hour
WITH bounds (first, last, unit) AS MATERIALIZED (
  SELECT iif(:since IS NULL, -9223372036854775807, (strftime('%s', iif(instr(:since, '.'), substr(:since, 1, instr(:since, '.') - 1) || ltrim(substr(:since, instr(:since, '.') + 1), '0123456789'), :since)) * 1000000000 + iif(instr(:since, '.'), CAST(round(CAST('0.' || substr(:since, instr(:since, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0))),
         iif(:until IS NULL, 9223372036854775807, (strftime('%s', iif(instr(:until, '.'), substr(:until, 1, instr(:until, '.') - 1) || ltrim(substr(:until, instr(:until, '.') + 1), '0123456789'), :until)) * 1000000000 + iif(instr(:until, '.'), CAST(round(CAST('0.' || substr(:until, instr(:until, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0)) - 1),
         CASE :by WHEN 'minute' THEN 60 WHEN 'hour' THEN 3600 ELSE 86400 END * 1000000000),
wanted (id) AS MATERIALIZED (
  SELECT c.id FROM container c WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)),
wanted_image (id) AS MATERIALIZED (
  SELECT i.id FROM image i
   WHERE :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
      OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest'))),
wanted_tree (id) AS MATERIALIZED (
  SELECT t.id FROM tree t
   WHERE (:image IS NULL OR t.layer_id IN (SELECT il.layer_id FROM image_layer il WHERE il.image_id IN (SELECT id FROM wanted_image)))
     AND (:container IS NULL OR t.id IN (SELECT tc.tree_id FROM tree_container tc WHERE tc.via IN ('own', 'init', 'mount') AND tc.container_id IN (SELECT id FROM wanted)))),
of_tree (period, tree_id, moments, modified, accessed, changed, born, first, last) AS (
  -- Files from their index, counted by tree before anything is named: what the timeline says of each is not needed, and costs.
  SELECT e.ts / b.unit - (e.ts % b.unit < 0), d.tree_id,
         count(*), sum(e.macb & 2 > 0), sum(e.macb & 1 > 0), sum(e.macb & 4 > 0), sum(e.macb & 8 > 0), min(e.ts), max(e.ts)
    FROM bounds b CROSS JOIN event e ON e.ts >= b.first AND e.ts <= b.last
         CROSS JOIN file f ON f.id = e.file_id CROSS JOIN directory d ON d.id = f.dir_id
   WHERE (:kind IS NULL OR :kind = 'file') AND d.tree_id IN (SELECT id FROM wanted_tree)
     AND (:path IS NULL OR (SELECT iif(f.name = '', iif(l.prefix || d.path = '', '/', l.prefix || d.path), l.prefix || d.path || '/' || f.name) FROM tree_label l WHERE l.tree_id = d.tree_id) GLOB :path)
   GROUP BY 1, 2),
part (period, kind, container, moments, modified, accessed, changed, born, first, last, host) AS (
  SELECT o.period, 'file', l.container, o.moments, o.modified, o.accessed, o.changed, o.born, o.first, o.last, l.host
    FROM of_tree o CROSS JOIN tree_label l ON l.tree_id = o.tree_id
  UNION ALL
  SELECT t.ts / b.unit - (t.ts % b.unit < 0), t.kind, t.container, count(*), 0, 0, 0, 0, min(t.ts), max(t.ts), t.host
    FROM timeline t CROSS JOIN bounds b
   WHERE t.kind <> 'file' AND t.ts >= (SELECT first FROM bounds) AND t.ts <= (SELECT last FROM bounds)
     AND (:kind IS NULL OR t.kind = :kind)
     AND (:path IS NULL OR t.path GLOB :path)
     AND (:container IS NULL OR t.container_id IN (SELECT id FROM wanted) OR t.tree_id IN (SELECT id FROM wanted_tree))
     AND (:image IS NULL OR t.image_id IN (SELECT id FROM wanted_image))
   GROUP BY 1, 2, 3, t.host),
counted (period, kind, container, moments, modified, accessed, changed, born, first, last, host) AS (
  SELECT p.period, iif(:group IS NULL OR :group = 'kind', p.kind, NULL), iif(:group IS NULL OR :group = 'container', p.container, NULL),
         sum(p.moments), sum(p.modified), sum(p.accessed), sum(p.changed), sum(p.born), min(p.first), max(p.last), p.host
    FROM part p
   GROUP BY 1, 2, 3, p.host)
SELECT strftime('%Y-%m-%dT%H:%M:%SZ', n.period * (b.unit / 1000000000), 'unixepoch') AS period, n.kind, n.container, n.moments,
       n.modified, n.accessed, n.changed, n.born,
       strftime('%Y-%m-%dT%H:%M:%S', n.first / 1000000000 - (n.first % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.first % 1000000000 + 1000000000) % 1000000000) AS first,
       strftime('%Y-%m-%dT%H:%M:%S', n.last / 1000000000 - (n.last % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (n.last % 1000000000 + 1000000000) % 1000000000) AS last, n.host
  FROM counted n CROSS JOIN bounds b
 ORDER BY n.period, n.kind, n.container, n.host;
