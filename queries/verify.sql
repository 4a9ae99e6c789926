-- Which image layers, images and init layers are not as they were shipped, or made?
-- Rows of the last `dof verify`: one a difference, and one without a path for what has none.
-- outcome is that of the whole layer or image. An image is as shipped when its config and all its
-- layers are. One that is named or used and has no config any more has a row as well. An init layer
-- is what the engine puts between the image and this container.
-- :outcome    as shipped | changed | cannot be verified; all when unset
-- :image      name or id; all when unset
-- Example: dof query verify --outcome changed
WITH asked (id) AS (SELECT image_id FROM image_ref WHERE ref = :image)
SELECT CASE WHEN v.layer_id IS NULL THEN 'image' WHEN l.role = 'init' THEN 'init layer'
            ELSE 'layer' END AS subject,
       coalesce(l.chain_id, iif(l.role = 'init', l.cache_id, m.full_id), f.shipped) AS id,
       iif(v.layer_id IS NOT NULL,
           (SELECT group_concat(j.value, ', ') FROM layer_images x CROSS JOIN json_each(x.images) j
             WHERE x.layer_id = v.layer_id),
           (SELECT group_concat(reference, ', ') FROM (
              SELECT r.reference FROM image_reference r JOIN engine g ON g.id = r.engine_id
               WHERE r.image_id = v.image_id
                  OR v.image_id IS NULL AND g.host_id = v.host_id AND r.image_full_id = f.shipped
               ORDER BY r.digest IS NOT NULL, 1))) AS images,
       iif(l.role = 'init',
           (SELECT min(coalesce(c.name, c.full_id)) FROM container_layer cl
              JOIN container c ON c.id = cl.container_id WHERE cl.layer_id = l.id),
           NULL) AS container,
       v.outcome, f.change, '/' || f.path AS path, f.attribute, f.shipped, f.found, v.note, v.full,
       v.entries, v.bytes, l.host_path, h.name AS host
  FROM verification v JOIN host h ON h.id = v.host_id
       LEFT JOIN verification_finding f ON f.verification_id = v.id
       LEFT JOIN layer l ON l.id = v.layer_id LEFT JOIN image m ON m.id = v.image_id
 WHERE (:outcome IS NULL OR v.outcome = :outcome)
   AND (:image IS NULL OR v.image_id IN asked
        OR v.layer_id IN (SELECT layer_id FROM image_layer WHERE image_id IN asked))
 ORDER BY v.id, f.id;
