-- What did the containers write to their logs?
-- Entries that could not be read have no time; they come first, unless a time is asked for.
-- :container  name, id or unique prefix of the id; all when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :stream     stdout | stderr; both when unset
-- :like       an SQL LIKE pattern on the line, e.entry. %wget%; all when unset
-- Example: dof query logs --stream stderr
SELECT strftime('%Y-%m-%dT%H:%M:%S', entry.ts / 1000000000 - (entry.ts % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (entry.ts % 1000000000 + 1000000000) % 1000000000) AS time, c.name AS container, entry.stream, entry.partial, entry.line, a.json AS attrs, h.name AS host
  FROM (SELECT * FROM log_entry
         WHERE ts >= iif(:since IS NULL, -9223372036854775807, strftime('%s', :since) * 1000000000 + substr(strftime('%f', :since), 4) * 1000000)
           AND ts < iif(:until IS NULL, 9223372036854775807, strftime('%s', :until) * 1000000000 + substr(strftime('%f', :until), 4) * 1000000)
        UNION ALL
        SELECT * FROM log_entry WHERE ts IS NULL AND :since IS NULL AND :until IS NULL) entry
  CROSS JOIN log_file lf ON lf.id = entry.log_file_id CROSS JOIN container c ON c.id = lf.container_id
  LEFT JOIN log_attrs a ON a.id = entry.attrs_id CROSS JOIN engine e ON e.id = c.engine_id CROSS JOIN host h ON h.id = e.host_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
   AND (:stream IS NULL OR entry.stream = :stream) AND (:like IS NULL OR entry.line LIKE :like)
 ORDER BY entry.ts, entry.id;
