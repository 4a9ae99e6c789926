-- What labels did the containers carry?
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query labels
SELECT c.name AS container, c.full_id AS id, l.key, l.value, h.name AS host
  FROM container_label l JOIN container c ON c.id = l.container_id JOIN engine g ON g.id = c.engine_id JOIN host h ON h.id = g.host_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.name, c.full_id, c.id, l.key;
