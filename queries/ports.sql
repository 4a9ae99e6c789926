-- Which ports did containers expose, ask for, and really have?
-- kind: exposed (image or --expose), requested (-p), active (bound when the disk was taken).
-- :container  name or id; all when unset
-- Example: dof query ports
SELECT c.name AS container, c.full_id AS id, c.status, p.kind, p.port, p.protocol, p.host_ip,
       p.host_port, c.host
  FROM container_port p JOIN container_text c ON c.container_id = p.container_id
 WHERE :container IS NULL
    OR p.container_id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.name, c.full_id, p.port, p.protocol, p.kind, p.host_ip, p.host_port, p.id;
