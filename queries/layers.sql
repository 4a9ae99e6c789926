-- Which layers are on the disk, and whose are they?
-- Unowned layers belong to no image and no container: leftovers, build caches, or containers whose records are gone.
-- :role       image | init | container | unowned; all when unset
-- Example: dof query layers --role unowned
SELECT l.role, l.cache_id, l.chain_id, l.diff_id, l.parent_chain_id AS parent, l.size, l.driver, l.host_path,
       (SELECT group_concat(name, ', ') FROM (SELECT DISTINCT coalesce(c.name, c.full_id) AS name FROM container_layer cl JOIN container c ON c.id = cl.container_id WHERE cl.layer_id = l.id AND l.role IN ('container', 'init') ORDER BY 1)) AS container,
       (SELECT group_concat(name, ', ') FROM (SELECT DISTINCT coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), i.full_id) AS name FROM image_layer il JOIN image i ON i.id = il.image_id WHERE il.layer_id = l.id ORDER BY 1)) AS images,
       (SELECT count(*) FROM tree t JOIN directory d ON d.tree_id = t.id JOIN file f ON f.id BETWEEN d.first_file AND d.last_file WHERE t.layer_id = l.id AND f.name <> '') AS files, h.name AS host
  FROM layer l JOIN engine g ON g.id = l.engine_id JOIN host h ON h.id = g.host_id
 WHERE :role IS NULL OR l.role = :role
 ORDER BY l.role, l.cache_id, l.chain_id, l.id;
