-- What are this container's config.v2.json and hostconfig.json, as they stand on the disk?
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query show-container-config
SELECT c.full_id AS id, s.content AS config, h.content AS hostconfig
  FROM container c LEFT JOIN source s ON s.id = c.source_id LEFT JOIN source h ON h.id = c.hostconfig_source_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.full_id, c.id;
