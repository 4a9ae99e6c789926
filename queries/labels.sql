-- What labels did the containers carry?
-- :container  name or id; all when unset
-- Example: dof query labels
SELECT c.name AS container, c.full_id AS id, l.key, l.value, c.host
  FROM container_label l JOIN container_text c ON c.container_id = l.container_id
 WHERE :container IS NULL
    OR l.container_id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.name, c.full_id, c.container_id, l.key;
