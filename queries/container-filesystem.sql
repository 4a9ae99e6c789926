-- What is a container's file system made of, and where is it on the host?
-- Its layers, topmost first, as an overlay mount stacks them; then what is mounted inside, outer places before inner ones.
-- A host_path of NULL is not on this disk: a tmpfs, a volume of a remote driver, a layer that is gone. A part of NULL: nothing is known.
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query container-filesystem
SELECT c.full_id AS container, c.name, p.part, p.host_path, p.destination, p.kind, p.driver, c.driver AS storage_driver, g.rootless, g.data_root, h.name AS host, g.kind AS engine
  FROM container c JOIN engine g ON g.id = c.engine_id JOIN host h ON h.id = g.host_id
       LEFT JOIN (SELECT cl.container_id, 'layer' AS part, -cl.position AS nth, l.host_path, NULL AS destination, l.role AS kind, l.driver
               FROM container_layer cl JOIN layer l ON l.id = cl.layer_id
              UNION ALL
             SELECT m.container_id, 'mount', length(m.destination), t.host_path, m.destination, m.kind, m.driver
               FROM container_mount m LEFT JOIN tree t ON t.id = m.tree_id) p ON p.container_id = c.id
 WHERE :container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container
 ORDER BY c.full_id, c.id, p.part, p.nth, p.destination, p.host_path;
