-- Computed when an ingest ends, from the rows it wrote. :host is the host just ingested. Places of
-- trees within mounted trees are written :levels deep and :nested at most: a thousand containers
-- that have a whole host of a thousand layers mounted see a million.

INSERT OR IGNORE INTO tree_container (tree_id, container_id, container_path, via)
WITH RECURSIVE seen (tree_id, container_id, container_path, via, depth) AS (
  SELECT t.id, cl.container_id, '', CASE l.role WHEN 'container' THEN 'own' ELSE l.role END, 0
    FROM tree t JOIN layer l ON l.id = t.layer_id JOIN container_layer cl ON cl.layer_id = l.id
   WHERE t.host_id = :host
  UNION
  SELECT t.id, m.container_id, rtrim(m.destination, '/'), 'mount', 0
    FROM tree t JOIN container_mount m ON m.tree_id = t.id
   WHERE t.host_id = :host
  UNION
  SELECT n.inner_id, s.container_id, s.container_path || n.path, 'mount', s.depth + 1
    FROM seen s JOIN tree_nesting n ON n.outer_id = s.tree_id
   WHERE s.via = 'mount' AND s.depth < :levels
   ORDER BY 5 LIMIT (SELECT count(*) FROM container_layer)
                  + (SELECT count(*) FROM container_mount) + :nested
)
SELECT tree_id, container_id, container_path, via FROM seen ORDER BY depth, tree_id, container_id;

-- Trees within what is mounted, nearest first. The places of mounts themselves are there already
-- (src/case/visibility/).
INSERT INTO mount_place (container_id, place, dir, name, kind, source, writable, tree_id)
WITH RECURSIVE seen (container_id, place, source, writable, tree_id, depth) AS (
  SELECT p.container_id, p.place, p.source, p.writable, p.tree_id, 0
    FROM mount_place p JOIN tree t ON t.id = p.tree_id WHERE t.host_id = :host
  UNION ALL
  SELECT s.container_id, s.place || n.path, t.host_path, s.writable, t.id, s.depth + 1
    FROM seen s JOIN tree_nesting n ON n.outer_id = s.tree_id JOIN tree t ON t.id = n.inner_id
   WHERE t.kind <> 'layer' AND s.depth < :levels
   ORDER BY 6 LIMIT (SELECT count(*) FROM mount_place) + :nested)
SELECT container_id, place, place, '', 'nested', source, writable, tree_id
  FROM seen WHERE depth > 0 ORDER BY container_id, place, depth, tree_id, source;

INSERT INTO tree_place (tree_id, container_id, how, role, place, inner, until, first_file,
                        last_file, name, mount, writable, position, stack_id, moved_id)
WITH whole (tree_id, role, root, last) AS MATERIALIZED (
  SELECT t.id, coalesce(l.role, t.kind), d.id, 9223372036854775807
    FROM tree t JOIN directory d ON d.tree_id = t.id AND d.path = ''
         LEFT JOIN layer l ON l.id = t.layer_id WHERE t.host_id = :host)
SELECT s.tree_id, s.container_id, s.how, w.role, '', '', '0', w.root, w.last,
       NULL, NULL, 1 - c.readonly_rootfs, s.position, s.stack_id, 0
  FROM whole w JOIN container_stack s ON s.tree_id = w.tree_id
       JOIN container c ON c.id = s.container_id
 UNION ALL -- what was moved
SELECT m.tree_id, s.container_id, b.how, w.role, m.to_path, m.from_path, m.from_path || '0',
       m.first_file, m.last_file, NULL, NULL, 1 - c.readonly_rootfs, s.position, s.stack_id, m.id
  FROM whole w JOIN moved m ON m.tree_id = w.tree_id
       JOIN container_stack s ON s.stack_id = m.stack_id
       JOIN container_stack b ON b.container_id = s.container_id AND b.tree_id = m.tree_id
       JOIN container c ON c.id = s.container_id
 UNION ALL -- what is mounted
SELECT w.tree_id, p.container_id, 'mount', iif(p.kind = 'nested', w.role, p.kind), p.place, '', '0',
       w.root + 1, w.last,
       NULL, p.place, p.writable, NULL, NULL, NULL
  FROM whole w JOIN mount_place p ON p.tree_id = w.tree_id
 UNION ALL -- and its root; that of a tree within is an entry of the outer one
SELECT w.tree_id, p.container_id, 'mount', p.kind, p.dir, '', '', w.root, w.root,
       p.name, p.place, p.writable, NULL, NULL, NULL
  FROM whole w JOIN mount_place p ON p.tree_id = w.tree_id WHERE p.kind <> 'nested'
 UNION ALL -- what no container has
SELECT w.tree_id, NULL, NULL, w.role, '', '', '0', w.root, w.last, NULL, NULL, NULL, NULL, NULL, 0
  FROM whole w
 WHERE NOT EXISTS (SELECT 1 FROM container_stack s WHERE s.tree_id = w.tree_id)
   AND NOT EXISTS (SELECT 1 FROM mount_place p WHERE p.tree_id = w.tree_id);

-- A layer is its container's; a volume or bind source is theirs who see it, below another too.
INSERT INTO tree_label (tree_id, prefix, container, image, host, layer, role)
SELECT t.id,
       iif(t.kind = 'layer', '',
           coalesce((SELECT min(rtrim(m.destination, '/')) FROM container_mount m
                      WHERE m.tree_id = t.id),
                    rtrim(t.host_path, '/'))),
       (SELECT group_concat(name) FROM (
          SELECT DISTINCT coalesce(c.name, c.full_id) AS name
            FROM tree_container k JOIN container c ON c.id = k.container_id
           WHERE k.tree_id = t.id AND (t.kind <> 'layer' OR k.via IN ('own', 'init'))
           ORDER BY 1)),
       (SELECT group_concat(j.value) FROM layer_images x CROSS JOIN json_each(x.images) j
         WHERE x.layer_id = t.layer_id),
       (SELECT h.name FROM host h WHERE h.id = t.host_id),
       coalesce(l.cache_id,
                (SELECT group_concat(name) FROM (
                   SELECT v.name AS name FROM volume v
                    WHERE v.tree_id = t.id AND t.kind = 'volume' ORDER BY 1)),
                t.host_path),
       coalesce(l.role, t.kind)
  FROM tree t LEFT JOIN layer l ON l.id = t.layer_id
 WHERE t.host_id = :host;

UPDATE image SET size = (
  SELECT iif(count(*) = count(l.size), coalesce(sum(l.size), 0), NULL)
    FROM image_layer il LEFT JOIN layer l ON l.id = il.layer_id WHERE il.image_id = image.id)
 WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
