-- What of the host did containers see?
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query mounts
SELECT c.name AS container, c.full_id AS id, m.kind, m.name, m.source, m.destination, m.driver, m.mode, m.rw, m.propagation,
       (SELECT count(*) FROM directory d JOIN file f ON f.id BETWEEN d.first_file AND d.last_file WHERE d.tree_id = m.tree_id AND f.name <> '') AS files, h.name AS host
  FROM container_mount m JOIN container c ON c.id = m.container_id JOIN engine g ON g.id = c.engine_id JOIN host h ON h.id = g.host_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.name, c.full_id, m.destination, m.id;
