-- Which images were on this host, by repository, and which containers use them?
-- An image in two repositories has a row in each; untagged ones stand under <none>.
-- Example: dof query list-images
SELECT coalesce(r.repository, '<none>') AS "REPOSITORY", substr(i.full_id, 8) AS "ID",
       coalesce((SELECT group_concat(reference, ', ') FROM (SELECT x.reference FROM image_reference x WHERE x.image_id = i.id AND x.repository = r.repository ORDER BY x.digest IS NOT NULL, x.reference)), '<none>') AS "TAGS",
       coalesce((SELECT group_concat(name, ', ') FROM (SELECT '/' || coalesce(c.name, c.full_id) AS name FROM container c WHERE c.image_id = i.id ORDER BY 1)), '<none>') AS "CONTAINERS",
       rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', i.created_at / 1000000000 - (i.created_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (i.created_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS "CREATED",
       i.size AS "SIZE", i.os || '/' || i.architecture || coalesce('/' || i.variant, '') AS "PLATFORM",
       (SELECT count(*) FROM image_layer il WHERE il.image_id = i.id) AS "LAYERS", h.name AS "HOST"
  FROM image i JOIN engine e ON e.id = i.engine_id JOIN host h ON h.id = e.host_id
  LEFT JOIN (SELECT DISTINCT image_id, repository FROM image_reference WHERE image_id IS NOT NULL) r ON r.image_id = i.id
 ORDER BY r.repository IS NOT NULL, r.repository, i.full_id, i.id;
