-- Which images were on this host, by repository, and which containers use them?
-- An image in two repositories has a row in each; untagged ones stand under <none>.
-- Example: dof query list-images
SELECT coalesce(r.repository, '<none>') AS "REPOSITORY",
       (SELECT x.hex FROM image x WHERE x.id = i.image_id) AS "ID",
       coalesce((SELECT group_concat(reference, ', ')
                   FROM (SELECT x.reference FROM image_reference x
                          WHERE x.image_id = i.image_id AND x.repository = r.repository
                          ORDER BY x.digest IS NOT NULL, x.reference)), '<none>') AS "TAGS",
       coalesce((SELECT group_concat(name, ', ')
                   FROM (SELECT '/' || coalesce(c.name, c.full_id) AS name FROM container c
                          WHERE c.image_id = i.image_id ORDER BY 1)), '<none>') AS "CONTAINERS",
       i.created_short AS "CREATED", i.size AS "SIZE",
       i.os || '/' || i.architecture || coalesce('/' || i.variant, '') AS "PLATFORM",
       i.layers AS "LAYERS", i.host AS "HOST"
  FROM image_text i
       LEFT JOIN (SELECT DISTINCT image_id, repository FROM image_reference
                   WHERE image_id IS NOT NULL) r ON r.image_id = i.image_id
 ORDER BY r.repository IS NOT NULL, r.repository, i.full_id, i.image_id;
