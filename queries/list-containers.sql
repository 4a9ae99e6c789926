-- Which containers were on this host?
-- Running ones first, then by name. Lists are written as the classic toolkit did; VOLUMES is a JSON
-- array.
-- :container  name or id; all when unset
-- Example: dof query list-containers
SELECT coalesce('/' || c.name, '<no name>') AS "NAME", c.full_id AS "ID", c.status AS "STATE",
       iif(c.hostconfig_source_id IS NULL AND c.restart_policy IS NULL, '<unknown>',
           coalesce(c.restart_policy, 'no')) AS "RESTART POLICY",
       coalesce(c.created, '<unknown>') AS "CREATED", coalesce(c.image_name, '<none>') AS "IMAGE",
       coalesce(c.image_full_id, '<none>') AS "IMAGE ID",
       (SELECT l.text FROM container_command_list l
         WHERE l.container_id = c.id AND l.what = 'entrypoint') AS "ENTRYPOINT",
       (SELECT l.text FROM container_command_list l
         WHERE l.container_id = c.id AND l.what = 'cmd') AS "COMMAND",
       coalesce(c.driver, '<unknown>') AS "STORAGE DRIVER",
       coalesce((SELECT rtrim(h.mount, '/') || y.host_path
                   FROM layer y JOIN engine_host e ON e.engine_id = y.engine_id
                        JOIN host h ON h.id = e.host_id
                  WHERE y.id = c.layer_id), '<none>') AS "CONTAINER LAYER",
       coalesce(p.ports, '<none>') AS "PORTS",
       (SELECT m.mounts FROM container_mount_list m WHERE m.container_id = c.id) AS "VOLUMES",
       t.started_short AS "STARTED", t.finished_short AS "FINISHED", c.exit_code AS "EXIT CODE",
       t.host AS "HOST"
  FROM container c JOIN container_text t ON t.container_id = c.id
       LEFT JOIN container_ports_text p ON p.container_id = c.id
 WHERE :container IS NULL
    OR c.id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.status <> 'running', c.name, c.full_id, c.id;
