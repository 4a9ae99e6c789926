-- Which images were there, with every name they have?
-- Example: dof query images --format csv
SELECT i.full_id AS id,
       (SELECT json_group_array(reference) FROM (SELECT reference FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL ORDER BY 1)) AS tags,
       (SELECT json_group_array(reference) FROM (SELECT reference FROM image_reference r WHERE r.image_id = i.id AND r.digest IS NOT NULL ORDER BY 1)) AS digests,
       rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', i.created_at / 1000000000 - (i.created_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (i.created_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS created, i.size, i.os, i.architecture, i.variant, i.parent_full_id AS parent, i.author, i.docker_version,
       i.entrypoint, i.cmd, i.env, i.user, i.working_dir, i.labels, rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', i.last_tagged_at / 1000000000 - (i.last_tagged_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (i.last_tagged_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS last_tagged,
       (SELECT count(*) FROM image_layer il WHERE il.image_id = i.id) AS layers, h.name AS host
  FROM image i JOIN engine e ON e.id = i.engine_id JOIN host h ON h.id = e.host_id
 ORDER BY i.created_at, i.full_id, i.id;
