-- What does this host run, and how much of it?
-- Example: dof query status
SELECT h.name AS "HOST", h.root AS "MOUNT", h.os AS "OS", h.timezone AS "TIME ZONE",
       e.kind AS "ENGINE", e.data_root AS "DATA ROOT", e.driver AS "STORAGE DRIVER",
       e.client_version AS "CLIENT VERSION", h.root || e.client_path AS "CLIENT PATH",
       e.daemon_version AS "DAEMON VERSION", h.root || e.daemon_path AS "DAEMON PATH",
       iif(s.engine_id IS NULL, NULL, coalesce(s.role, 'unknown role')) AS "SWARM ROLE",
       s.node_id AS "SWARM NODE",
       (SELECT count(*) FROM container c
         WHERE c.engine_id = e.id AND c.status = 'running') AS "RUNNING CONTAINERS",
       (SELECT count(*) FROM container c WHERE c.engine_id = e.id) AS "CONTAINERS",
       (SELECT count(*) FROM image i WHERE i.engine_id = e.id) AS "IMAGES",
       (SELECT count(*) FROM image i
         WHERE i.engine_id = e.id
           AND NOT EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id))
         AS "IMAGES WITHOUT REPOSITORY",
       (SELECT count(*) FROM problem p WHERE p.host_id = h.id AND p.severity <> 'note')
         AS "PROBLEMS"
  FROM (SELECT *, rtrim(mount, '/') AS root FROM host) h JOIN engine e ON e.host_id = h.id
       LEFT JOIN swarm_node s ON s.engine_id = e.id
 ORDER BY h.id, e.id;
