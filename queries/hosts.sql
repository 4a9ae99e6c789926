-- Which hosts are in this case, and with what were they ingested?
-- Example: dof query hosts
SELECT h.host, h.mount, h.machine_id, h.os, h.timezone, e.kind AS engine, e.data_root, e.found_by,
       e.driver, e.engine_id, e.client_version, e.daemon_version, e.rootless,
       s.role AS swarm_role, s.node_id AS swarm_node, h.ingested, h.dof_version, h.arguments
  FROM host_text h LEFT JOIN engine e ON e.host_id = h.host_id
       LEFT JOIN swarm_node s ON s.engine_id = e.id
 ORDER BY h.host_id, e.id;
