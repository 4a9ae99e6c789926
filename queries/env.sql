-- What stood in the containers' environments?
-- :container  name or id; all when unset
-- Example: dof query env
SELECT c.name AS container, c.full_id AS id, e.key, e.value, c.host
  FROM container_env e JOIN container_text c ON c.container_id = e.container_id
 WHERE :container IS NULL
    OR e.container_id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.name, c.full_id, c.container_id, e.position;
