-- Which images, image layers and init layers can `dof verify` look at?
-- wanted is 1 for what --image names, and for all when unset; the layers below are there for
-- drivers that keep full copies. row_id is NULL for images that are gone: repositories.json names
-- them (named), or a container was made from them (used_by). stray = 1: no image and no container
-- has this layer; the engine takes such layers away with their image.
-- :image      name or id; all when unset
-- Example: dof query verify-plan
WITH asked (id) AS (
  SELECT image_id FROM image_ref WHERE ref = :image UNION SELECT id FROM image WHERE :image IS NULL)
SELECT s.subject, CASE WHEN s.subject = 'init layer' OR s.row_id IS NULL THEN :image IS NULL
                       WHEN s.subject = 'image' THEN s.row_id IN asked
                       ELSE :image IS NULL OR s.row_id IN (
                         SELECT il.layer_id FROM image_layer il WHERE il.image_id IN asked)
                        END AS wanted,
       e.data_root, e.rootless, s.driver, s.id, s.digest, s.parent, s.cache_id, s.host_path,
       s.lacking, s.layers, s.named, s.used_by, s.row_id, e.host_id, s.stray
  FROM verify_subject s JOIN engine e ON e.id = s.engine_id
 ORDER BY s.subject, e.host_id, e.data_root, s.driver, s.id, s.row_id;
