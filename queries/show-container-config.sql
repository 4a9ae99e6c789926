-- What are this container's config.v2.json and hostconfig.json, as they stand on the disk?
-- :container  name or id; all when unset
-- Example: dof query show-container-config
SELECT c.full_id AS id, s.content AS config, h.content AS hostconfig
  FROM container c LEFT JOIN source s ON s.id = c.source_id
       LEFT JOIN source h ON h.id = c.hostconfig_source_id
 WHERE :container IS NULL
    OR c.id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.full_id, c.id;
