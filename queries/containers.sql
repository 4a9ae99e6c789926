-- Which containers were there, in what state, and with which privileges?
-- :container  name or id; all when unset
-- Example: dof query containers --format jsonl
SELECT t.name, t.full_id AS id, t.status, t.exit_code, t.oom_killed, t.image,
       t.image_full_id AS image_id, t.created, t.started, t.finished, t.restart_policy,
       t.restart_max, t.restart_count, t.path, t.args, t.entrypoint, t.cmd, t.user, t.working_dir,
       t.hostname, t.privileged, t.cap_add, t.cap_drop, t.security_opt, c.no_new_privileges,
       t.apparmor_profile, t.seccomp_profile, c.mount_label, c.process_label, t.readonly_rootfs,
       t.masked_paths, t.readonly_paths, t.network_mode, t.pid_mode, t.ipc_mode, c.uts_mode,
       t.userns_mode, t.cgroupns_mode, c.cgroup_parent, t.runtime, c.group_add, c.sysctls,
       t.devices, c.device_requests, c.device_rules, t.memory, t.nano_cpus, t.pids_limit,
       t.log_driver, t.log_options, t.health, t.driver, t.layer, t.host
  FROM container_text t JOIN container c ON c.id = t.container_id
 WHERE :container IS NULL
    OR c.id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY c.created_at, c.full_id, c.id;
