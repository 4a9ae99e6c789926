-- Which containers were there, in what state, and with which privileges?
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query containers --format jsonl
SELECT c.name, c.full_id AS id, c.status, c.exit_code, c.oom_killed, c.image_name AS image, c.image_full_id AS image_id,
       rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', c.created_at / 1000000000 - (c.created_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (c.created_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS created, rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', c.started_at / 1000000000 - (c.started_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (c.started_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS started, rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', c.finished_at / 1000000000 - (c.finished_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (c.finished_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS finished,
       c.restart_policy, c.restart_max, c.restart_count, c.path, c.args, c.entrypoint, c.cmd, c.user, c.working_dir, c.hostname,
       c.privileged, c.cap_add, c.cap_drop, c.security_opt, c.network_mode, c.pid_mode, c.ipc_mode, c.userns_mode, c.devices,
       c.memory, c.nano_cpus, c.pids_limit, c.log_driver, c.log_options, c.health, c.driver, l.cache_id AS layer, h.name AS host
  FROM container c JOIN engine e ON e.id = c.engine_id JOIN host h ON h.id = e.host_id LEFT JOIN layer l ON l.id = c.layer_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
 ORDER BY c.created_at, c.full_id, c.id;
