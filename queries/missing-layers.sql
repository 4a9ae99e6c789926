-- Which containers and images lack layers, so that their files in the case are not all they had?
-- A layer is missing when the records, or overlay2's lower, name it and its files are not there.
-- :kind       container | image; both when unset
-- :container  name, id or unique prefix of the id; all when unset
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- Example: dof query missing-layers
SELECT x.kind, x.name, iif(x.unknown, 'its own layer is not known', x.gone || ' of its layers are not there') AS why, h.name AS host
  FROM (SELECT 'container' AS kind, coalesce(c.name, c.full_id) AS name, c.full_id, c.engine_id, c.layer_id IS NULL AS unknown,
               max(0, coalesce(length(own.lower) - length(replace(own.lower, ':', '')) + 1,
                               (SELECT count(*) FROM image_layer il WHERE il.image_id = c.image_id), 0)
                      - (SELECT count(*) FROM container_layer cl JOIN layer l ON l.id = cl.layer_id
                          WHERE cl.container_id = c.id AND l.role <> 'container' AND (own.lower IS NOT NULL OR l.role = 'image')))
               + (SELECT count(*) FROM container_layer cl JOIN layer l ON l.id = cl.layer_id WHERE cl.container_id = c.id AND l.host_path IS NULL) AS gone
          FROM container c LEFT JOIN layer own ON own.id = c.layer_id
         WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
        UNION ALL
        SELECT 'image', coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), i.full_id), i.full_id, i.engine_id, 0,
               (SELECT count(*) FROM image_layer il LEFT JOIN layer l ON l.id = il.layer_id WHERE il.image_id = i.id AND l.host_path IS NULL)
          FROM image i
         WHERE (:image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
                OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest')))) x
       CROSS JOIN engine g ON g.id = x.engine_id CROSS JOIN host h ON h.id = g.host_id
 WHERE (x.unknown OR x.gone > 0) AND (:kind IS NULL OR x.kind = :kind)
 ORDER BY x.kind, x.name, x.full_id, h.name;
