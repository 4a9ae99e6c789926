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

INSERT INTO tree_label (tree_id, prefix, container, image, layer)
SELECT t.id,
       CASE WHEN t.kind = 'layer' THEN ''
            ELSE coalesce((SELECT min(tc.container_path) FROM tree_container tc WHERE tc.tree_id = t.id AND tc.via = 'mount'
                            AND EXISTS (SELECT 1 FROM container_mount m WHERE m.tree_id = t.id AND m.container_id = tc.container_id)),
                          rtrim(t.host_path, '/')) END,
       (SELECT group_concat(name) FROM (
          SELECT DISTINCT coalesce(c.name, c.full_id) AS name
            FROM tree_container tc JOIN container c ON c.id = tc.container_id
           WHERE tc.tree_id = t.id AND ((t.kind = 'layer' AND tc.via IN ('own', 'init'))
              OR (t.kind <> 'layer' AND tc.via = 'mount'))
           ORDER BY 1)),
       (SELECT group_concat(name) FROM (
          SELECT DISTINCT coalesce((SELECT r.reference FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL ORDER BY r.reference LIMIT 1),
                                   (SELECT r.reference FROM image_reference r WHERE r.image_id = i.id ORDER BY r.reference LIMIT 1), i.full_id) AS name
            FROM image_layer il JOIN image i ON i.id = il.image_id WHERE il.layer_id = t.layer_id
           ORDER BY 1)),
       coalesce(l.cache_id, v.name, t.host_path)
  FROM tree t LEFT JOIN layer l ON l.id = t.layer_id LEFT JOIN volume v ON v.id = t.volume_id
 WHERE t.host_id = :host;

UPDATE image SET size = (
  SELECT iif(count(*) = count(l.size), coalesce(sum(l.size), 0), NULL)
    FROM image_layer il LEFT JOIN layer l ON l.id = il.layer_id WHERE il.image_id = image.id)
 WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
