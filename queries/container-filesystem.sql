-- What is a container's file system made of, and where is it on the host?
-- Its layers, topmost first, as an overlay mount stacks them; then what is mounted inside, outer
-- places before inner ones. A host_path of NULL is not on this disk: a tmpfs, a volume of a remote
-- driver, a layer that is gone. A part of NULL: nothing is known.
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query container-filesystem
WITH part (container_id, part, nth, host_path, destination, kind, driver) AS (
  SELECT s.container_id, 'layer', -s.position, l.host_path, NULL, l.role, l.driver
    FROM container_layer s JOIN layer l ON l.id = s.layer_id
   UNION ALL
  SELECT m.container_id, 'mount', length(m.destination), t.host_path, m.destination, m.kind,
         m.driver
    FROM container_mount m LEFT JOIN tree t ON t.id = m.tree_id)
SELECT c.full_id AS container, c.name, p.part, p.host_path, p.destination, p.kind, p.driver,
       c.driver AS storage_driver, g.rootless, g.data_root, h.name AS host, g.kind AS engine
  FROM container c JOIN engine g ON g.id = c.engine_id JOIN host h ON h.id = g.host_id
       LEFT JOIN part p ON p.container_id = c.id
 WHERE :container IS NULL
    OR c.id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.full_id, c.id, p.part, p.nth, p.destination, p.host_path;
