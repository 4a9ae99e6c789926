-- Which volumes were there, and who mounted them?
-- Example: dof query volumes
SELECT v.name, v.driver, v.mount_point, rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', v.created_at / 1000000000 - (v.created_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (v.created_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS created, v.anonymous, v.labels, v.options, v.in_metadata,
       (SELECT group_concat(name, ', ') FROM (SELECT DISTINCT coalesce(c.name, c.full_id) AS name FROM container_mount m JOIN container c ON c.id = m.container_id WHERE m.volume_id = v.id ORDER BY 1)) AS containers,
       (SELECT count(*) FROM directory d CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file WHERE d.tree_id = v.tree_id AND f.name <> '') AS files, h.name AS host
  FROM volume v JOIN engine g ON g.id = v.engine_id JOIN host h ON h.id = g.host_id
 ORDER BY v.name, v.id;
