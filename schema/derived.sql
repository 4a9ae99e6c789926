-- Computed when an ingest ends, from the rows it wrote. :host is the host just ingested.

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
   WHERE s.via = 'mount' AND s.depth < 16
)
SELECT tree_id, container_id, container_path, via FROM seen ORDER BY depth, tree_id, container_id;

INSERT INTO tree_label (tree_id, prefix, container, image, host, layer)
SELECT t.id,
       CASE WHEN t.kind = 'layer' THEN ''
            ELSE coalesce((SELECT min(tc.container_path) FROM tree_container tc WHERE tc.tree_id = t.id AND tc.via = 'mount'
                            AND EXISTS (SELECT 1 FROM container_mount m WHERE m.tree_id = t.id AND m.container_id = tc.container_id)),
                          rtrim(t.host_path, '/')) END,
       -- A layer is its container's; a volume or bind source is theirs who mount it itself, not theirs who see it below another.
       (SELECT group_concat(name) FROM (
          SELECT coalesce(c.name, c.full_id) AS name
            FROM tree_container tc JOIN container c ON c.id = tc.container_id
           WHERE tc.tree_id = t.id AND t.kind = 'layer' AND tc.via IN ('own', 'init')
          UNION
          SELECT coalesce(c.name, c.full_id) FROM container_mount m JOIN container c ON c.id = m.container_id WHERE m.tree_id = t.id AND t.kind <> 'layer'
           ORDER BY 1)),
       -- Images that have a name first, four at most, then how many more.
       (SELECT group_concat(name) FROM (
          SELECT iif(n <= 4, name, '+' || (total - 4) || ' more') AS name FROM (
            SELECT name, row_number() OVER (ORDER BY name LIKE 'sha256:%', name) AS n, count(*) OVER () AS total FROM (
              SELECT DISTINCT coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL),
                                       (SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id), substr(i.full_id, 1, 19)) AS name
                FROM image_layer il JOIN image i ON i.id = il.image_id WHERE il.layer_id = t.layer_id))
           WHERE n <= 5 ORDER BY n)),
       (SELECT h.name FROM host h WHERE h.id = t.host_id),
       coalesce(l.cache_id, v.name, t.host_path)
  FROM tree t LEFT JOIN layer l ON l.id = t.layer_id LEFT JOIN volume v ON v.id = t.volume_id
 WHERE t.host_id = :host;

UPDATE image SET size = (
  SELECT iif(count(*) = count(l.size), coalesce(sum(l.size), 0), NULL)
    FROM image_layer il LEFT JOIN layer l ON l.id = il.layer_id WHERE il.image_id = image.id)
 WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
