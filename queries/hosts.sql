-- Which hosts are in this case, and with what were they ingested?
-- Example: dof query hosts
SELECT h.name, h.mount, h.machine_id, h.os, h.timezone, e.kind AS engine, e.data_root, e.found_by, e.driver, e.engine_id, e.client_version, e.daemon_version, e.rootless,
       s.role AS swarm_role, s.node_id AS swarm_node, rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', h.ingest_start / 1000000000 - (h.ingest_start % 1000000000 < 0), 'unixepoch') || printf('.%09d', (h.ingest_start % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS ingested, h.dof_version, h.arguments
  FROM host h LEFT JOIN engine e ON e.host_id = h.id LEFT JOIN swarm_node s ON s.engine_id = e.id
 ORDER BY h.id, e.id;
