-- Which ports did containers expose, ask for, and really have?
-- kind: exposed (image or --expose), requested (-p), active (bound when the disk was taken).
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query ports
SELECT c.name AS container, c.full_id AS id, c.status, p.kind, p.port, p.protocol, p.host_ip, p.host_port, h.name AS host
  FROM container_port p JOIN container c ON c.id = p.container_id JOIN engine g ON g.id = c.engine_id JOIN host h ON h.id = g.host_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.name, c.full_id, p.port, p.protocol, p.kind, p.host_ip, p.host_port, p.id;
