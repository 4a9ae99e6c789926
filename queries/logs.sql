-- What did the containers write to their logs?
-- :container  name, id or unique prefix; all when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :stream     stdout or stderr; both when unset
-- :like       an SQL LIKE pattern on the line, e.g. %wget%; all when unset
-- Example: dof query logs --stream stderr
SELECT strftime('%Y-%m-%dT%H:%M:%S', g.ts / 1000000000 - (g.ts % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (g.ts % 1000000000 + 1000000000) % 1000000000) AS time, c.name AS container, g.stream, g.partial, g.line, a.json AS attrs
  FROM log_entry g CROSS JOIN log_file lf ON lf.id = g.log_file_id CROSS JOIN container c ON c.id = lf.container_id LEFT JOIN log_attrs a ON a.id = g.attrs_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
   AND (:stream IS NULL OR g.stream = :stream) AND (:like IS NULL OR g.line LIKE :like)
   AND g.ts >= iif(:since IS NULL, -9223372036854775807, strftime('%s', :since) * 1000000000 + substr(strftime('%f', :since), 4) * 1000000)
   AND g.ts < iif(:until IS NULL, 9223372036854775807, strftime('%s', :until) * 1000000000 + substr(strftime('%f', :until), 4) * 1000000)
 ORDER BY g.ts, g.id;
