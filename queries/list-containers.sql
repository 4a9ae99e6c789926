-- Which containers were on this host?
-- Running ones first, then by name. Lists are written as the classic toolkit did; VOLUMES is a JSON array.
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query list-containers
SELECT coalesce('/' || c.name, '<no name>') AS "NAME", c.full_id AS "ID", c.status AS "STATE",
       iif(c.hostconfig_source_id IS NULL AND c.restart_policy IS NULL, '<unknown>', coalesce(c.restart_policy, 'no')) AS "RESTART POLICY", coalesce(c.created, '<unknown>') AS "CREATED",
       coalesce(c.image_name, '<none>') AS "IMAGE", coalesce(c.image_full_id, '<none>') AS "IMAGE ID",
       iif(c.entrypoint IS NULL, 'None', '[' || (SELECT coalesce(group_concat(
           CASE WHEN instr(value, '''') AND NOT instr(value, '"') THEN '"' || e || '"' ELSE '''' || replace(e, '''', '\''') || '''' END, ', '), '')
           FROM (SELECT value, replace(replace(replace(replace(value, '\', '\\'), char(10), '\n'), char(13), '\r'), char(9), '\t') AS e FROM json_each(c.entrypoint))) || ']') AS "ENTRYPOINT",
       iif(c.cmd IS NULL, 'None', '[' || (SELECT coalesce(group_concat(
           CASE WHEN instr(value, '''') AND NOT instr(value, '"') THEN '"' || e || '"' ELSE '''' || replace(e, '''', '\''') || '''' END, ', '), '')
           FROM (SELECT value, replace(replace(replace(replace(value, '\', '\\'), char(10), '\n'), char(13), '\r'), char(9), '\t') AS e FROM json_each(c.cmd))) || ']') AS "COMMAND",
       coalesce(c.driver, '<unknown>') AS "STORAGE DRIVER",
       coalesce(rtrim(h.mount, '/') || l.host_path, '<none>') AS "CONTAINER LAYER",
       coalesce(p.ports, '<none>') AS "PORTS",
       (SELECT json_group_array(text) FROM (
          SELECT CASE m.kind WHEN 'bind' THEN 'Host folder ''' || coalesce(m.source, '') || ''''
                             WHEN 'tmpfs' THEN 'Temporary file system'
                             ELSE 'Volume ''' || coalesce(m.name, '') || '''' || coalesce(' (' || nullif(m.source, '') || ')', '') END
                 || ' mounted in Container at ''' || m.destination || '''' || iif(m.rw = 0, ' read-only', '') AS text
            FROM container_mount m WHERE m.container_id = c.id ORDER BY m.destination, m.id)) AS "VOLUMES",
       rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', c.started_at / 1000000000 - (c.started_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (c.started_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS "STARTED",
       rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', c.finished_at / 1000000000 - (c.finished_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (c.finished_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS "FINISHED",
       c.exit_code AS "EXIT CODE", h.name AS "HOST"
  FROM container c JOIN engine e ON e.id = c.engine_id JOIN host h ON h.id = e.host_id
  LEFT JOIN layer l ON l.id = c.layer_id LEFT JOIN container_ports_text p ON p.container_id = c.id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.status <> 'running', c.name, c.full_id, c.id;
