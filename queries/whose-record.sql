-- Which container or image does a file of the engine's own belong to: a configuration, a log?
-- :path       a path on the host, a fragment of one or a GLOB
-- :container  name, id or unique prefix of the id: only its own; all when unset
-- :asked      other spellings of the path, as dof fills in: JSON objects with path, side, container
-- Example: dof query whose-record --path config.v2.json
WITH asked (path, side) AS (
  SELECT :path, NULL WHERE :asked IS NULL
   UNION ALL
  SELECT value ->> 'path', value ->> 'side' FROM json_each(coalesce(:asked, '[]')))
SELECT DISTINCT coalesce(c.container, iif(r.of = 'container', r.belongs, NULL)) AS container,
       coalesce(n.name, iif(r.of = 'image', r.belongs, NULL)) AS image,
       NULL AS layer, 'record' AS role, NULL AS path, NULL AS effective, NULL AS hidden_by,
       NULL AS type, NULL AS mode, NULL AS uid, NULL AS gid, NULL AS size, NULL AS mtime,
       NULL AS ctime, NULL AS overlay, NULL AS link_target, NULL AS path_raw,
       iif(a.path GLOB '/*' AND instr(a.path, r.host_path), a.path, r.host_path) AS host_path,
       NULL AS file_id, r.host
  FROM asked a CROSS JOIN engine_record r
       LEFT JOIN container_text c ON c.engine_id = r.engine_id AND c.full_id = r.belongs
       LEFT JOIN image i ON i.engine_id = r.engine_id AND i.full_id = r.belongs
       LEFT JOIN image_name n ON n.image_id = i.id
 WHERE coalesce(a.side, 'host') = 'host'
   AND (substr(a.path || '/', 1, length(r.host_path) + 1) = r.host_path || '/'
        OR a.path NOT GLOB '/*' AND instr(r.host_path, a.path) OR r.host_path GLOB a.path)
   AND (:container IS NULL OR :container IN (c.container, c.full_id))
 ORDER BY container, image, host_path;
