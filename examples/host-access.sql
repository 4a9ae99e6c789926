-- Which containers could reach the host?
-- Privileged ones, those with added capabilities or host namespaces, and those that mount the Docker socket or the host's root.
-- :status     running, exited, ...; all when unset
-- Example: dof query examples/host-access.sql --status running
SELECT c.name, c.status, c.privileged, c.cap_add, c.network_mode, c.pid_mode, m.source, m.destination, m.rw
  FROM container c
  LEFT JOIN container_mount m ON m.container_id = c.id AND (m.source = '/' OR m.source LIKE '%docker.sock' OR m.source LIKE '/etc%' OR m.source LIKE '/root%')
 WHERE (c.privileged = 1 OR c.cap_add IS NOT NULL OR c.network_mode = 'host' OR c.pid_mode = 'host' OR m.id IS NOT NULL)
   AND (:status IS NULL OR c.status = :status)
 ORDER BY c.name, m.destination, c.id;
