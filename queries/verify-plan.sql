-- Which images and image layers can `dof verify` look at?
-- wanted is 1 for what --image names, and for all when unset; the layers below are there for drivers that keep full copies.
-- row_id is NULL for images that are gone: repositories.json names them (named), or a container was made from them (used_by).
-- stray = 1: no image and no container has this layer; the engine takes such layers away with their image.
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- Example: dof query verify-plan
WITH asked (id) AS (
  SELECT i.id FROM image i WHERE :image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
      OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest'))),
gone (engine_id, id, name, used_by) AS (
  SELECT engine_id, id, max(name), max(used_by) FROM (
    SELECT r.engine_id AS engine_id, r.image_full_id AS id, r.reference AS name, NULL AS used_by FROM image_reference r WHERE r.image_id IS NULL
    UNION ALL
    SELECT c.engine_id, c.image_full_id, NULL, coalesce(c.name, c.full_id) FROM container c
     WHERE c.image_full_id IS NOT NULL AND c.image_id IS NULL AND EXISTS (SELECT 1 FROM trace s WHERE s.engine_id = c.engine_id AND s.kind = 'folder' AND s.name LIKE 'image/' || c.driver || '/%'))
   GROUP BY engine_id, id)
SELECT 'image' AS subject, i.id IN asked AS wanted, e.data_root, e.rootless, NULL AS driver, i.full_id AS id, s.sha256 AS digest, NULL AS parent, NULL AS cache_id, s.path AS host_path,
       (SELECT json_group_array(chain_id) FROM (SELECT il.chain_id FROM image_layer il WHERE il.image_id = i.id AND il.layer_id IS NULL ORDER BY il.position)) AS lacking,
       (SELECT json_group_array(chain_id) FROM (SELECT il.chain_id FROM image_layer il WHERE il.image_id = i.id AND il.layer_id IS NOT NULL ORDER BY il.position)) AS layers, NULL AS named, NULL AS used_by, i.id AS row_id, e.host_id, NULL AS stray
  FROM image i JOIN engine e ON e.id = i.engine_id LEFT JOIN source s ON s.id = i.source_id
UNION ALL
SELECT 'image', :image IS NULL, e.data_root, e.rootless, NULL, g.id, NULL, NULL, NULL, NULL, '[]', '[]', g.name, g.used_by, NULL, e.host_id, NULL
  FROM gone g JOIN engine e ON e.id = g.engine_id
UNION ALL
SELECT 'layer', :image IS NULL OR l.id IN (SELECT il.layer_id FROM image_layer il WHERE il.image_id IN asked), e.data_root, e.rootless, l.driver, l.chain_id, l.diff_id, l.parent_chain_id, l.cache_id, l.host_path,
       NULL, NULL, NULL, NULL, l.id, e.host_id,
       NOT EXISTS (SELECT 1 FROM image_layer il WHERE il.layer_id = l.id) AND NOT EXISTS (SELECT 1 FROM container_layer cl WHERE cl.layer_id = l.id)
  FROM layer l JOIN engine e ON e.id = l.engine_id WHERE l.role = 'image'
 ORDER BY 1, 16, 3, 5, 6, 15;
