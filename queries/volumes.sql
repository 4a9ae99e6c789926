-- Which volumes were there, and who mounted them?
-- device is what a volume's options mount in its place: a directory of the host, a share, a device.
-- Example: dof query volumes
SELECT v.volume AS name, v.driver, v.mount_point, v.device, v.created,
       v.anonymous, v.labels, v.options, v.in_metadata,
       (SELECT group_concat(container, ', ')
          FROM (SELECT DISTINCT coalesce(c.name, c.full_id) AS container
                  FROM container_mount m JOIN container c ON c.id = m.container_id
                 WHERE m.volume_id = v.volume_id ORDER BY 1)) AS containers,
       (SELECT count(*) FROM volume x JOIN tree_file f ON f.tree_id = x.tree_id
         WHERE x.id = v.volume_id AND f.name <> '') AS files, v.host
  FROM volume_text v
 ORDER BY v.volume, v.volume_id;
