-- What of the host did containers see?
-- device is what a volume's options mount in its place: a directory of the host, a share, a device.
-- :container  name or id; all when unset
-- Example: dof query mounts
SELECT c.name AS container, c.full_id AS id, m.kind, m.name, m.source, m.device, m.destination,
       m.driver, m.mode, m.rw, m.propagation, m.files, m.host
  FROM container_mount_text m JOIN container c ON c.id = m.container_id
 WHERE :container IS NULL
    OR m.container_id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.name, c.full_id, m.destination, m.mount_id;
