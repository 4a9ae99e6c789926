-- Containers: config.v2.json and hostconfig.json, whose whole texts are source.content of the two
-- source ids.

CREATE TABLE container (
  id                INTEGER PRIMARY KEY,
  engine_id         INTEGER NOT NULL REFERENCES engine(id),
  full_id           TEXT NOT NULL,  -- 64 hex; the directory's name
  name              TEXT,           -- without the leading slash
  image_name        TEXT,           -- what the user asked for
  image_full_id     TEXT,           -- sha256:...
  image_id          INTEGER REFERENCES image(id), -- NULL when the image is gone
  created_at        INTEGER,
  created           TEXT,           -- as Docker wrote it
  started_at        INTEGER,
  finished_at       INTEGER,
  -- State. A host whose power was cut still says running.
  status            TEXT NOT NULL,  -- created, running, paused, restarting, removing, exited, dead:
                                    -- derived as `docker ps` does; unknown when config.v2.json
                                    -- cannot be read
  running           INTEGER NOT NULL,
  paused            INTEGER NOT NULL,
  restarting        INTEGER NOT NULL,
  removing          INTEGER NOT NULL,
  dead              INTEGER NOT NULL,
  oom_killed        INTEGER NOT NULL,
  pid               INTEGER,
  exit_code         INTEGER,
  error             TEXT,
  health            TEXT,           -- none, starting, healthy, unhealthy; Docker does not persist
                                    -- checks
  restart_count     INTEGER,
  restart_policy    TEXT,
  restart_max       INTEGER,
  started_before    INTEGER,        -- HasBeenStartedBefore
  stopped_by_user   INTEGER,        -- HasBeenManuallyStopped
  auto_remove       INTEGER,
  -- What it runs. JSON arrays are NULL where Docker has null.
  path              TEXT,
  args              TEXT,           -- JSON array
  entrypoint        TEXT,           -- JSON array
  cmd               TEXT,           -- JSON array
  user              TEXT,
  working_dir       TEXT,
  hostname          TEXT,
  domainname        TEXT,
  tty               INTEGER,
  open_stdin        INTEGER,
  stop_signal       TEXT,
  stop_timeout      INTEGER,        -- seconds
  healthcheck       TEXT,           -- JSON
  os                TEXT,
  driver            TEXT,           -- storage driver
  layer_id          INTEGER REFERENCES layer(id), -- its own, topmost layer
  -- Isolation.
  privileged        INTEGER,
  readonly_rootfs   INTEGER,
  cap_add           TEXT,           -- JSON array
  cap_drop          TEXT,           -- JSON array
  security_opt      TEXT,           -- JSON array
  no_new_privileges INTEGER,
  apparmor_profile  TEXT,
  seccomp_profile   TEXT,
  mount_label       TEXT,
  process_label     TEXT,
  network_mode      TEXT,
  pid_mode          TEXT,
  ipc_mode          TEXT,
  uts_mode          TEXT,
  userns_mode       TEXT,
  cgroupns_mode     TEXT,
  cgroup_parent     TEXT,
  devices           TEXT,           -- JSON array
  device_requests   TEXT,           -- JSON array
  device_rules      TEXT,           -- JSON array
  group_add         TEXT,           -- JSON array
  runtime           TEXT,
  init              INTEGER,
  sysctls           TEXT,           -- JSON object
  masked_paths      TEXT,           -- JSON array
  readonly_paths    TEXT,           -- JSON array
  -- Limits, 0 or NULL = none.
  memory            INTEGER,        -- bytes
  memory_reservation INTEGER,       -- bytes
  memory_swap       INTEGER,        -- bytes
  nano_cpus         INTEGER,
  cpu_shares        INTEGER,
  cpu_period        INTEGER,        -- microseconds
  cpu_quota         INTEGER,        -- microseconds
  cpuset_cpus       TEXT,
  cpuset_mems       TEXT,
  blkio_weight      INTEGER,
  pids_limit        INTEGER,
  shm_size          INTEGER,        -- bytes
  oom_kill_disable  INTEGER,
  oom_score_adj     INTEGER,
  ulimits           TEXT,           -- JSON array
  -- As asked for on the command line.
  binds             TEXT,           -- JSON array
  mounts_requested  TEXT,           -- JSON array
  tmpfs             TEXT,           -- JSON object
  volumes_from      TEXT,           -- JSON array
  publish_all       INTEGER,
  links             TEXT,           -- JSON array
  dns               TEXT,           -- JSON array
  extra_hosts       TEXT,           -- JSON array
  sandbox_id        TEXT,
  -- Log.
  log_driver        TEXT,
  log_in_files      INTEGER,        -- 1 when that driver keeps the log in files beside the
                                    -- container, 0 when not; NULL when not known
  log_options       TEXT,           -- JSON object
  log_path          TEXT,           -- as Docker wrote it; may be stale
  source_id         INTEGER REFERENCES source(id), -- config.v2.json
  hostconfig_source_id INTEGER REFERENCES source(id)
) STRICT;

CREATE TABLE container_env (
  container_id INTEGER NOT NULL REFERENCES container(id),
  position     INTEGER NOT NULL,
  key          TEXT NOT NULL,
  value        TEXT,                -- NULL when there was no =
  PRIMARY KEY (container_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE container_label (
  container_id INTEGER NOT NULL REFERENCES container(id),
  key          TEXT NOT NULL,
  value        TEXT,
  PRIMARY KEY (container_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE container_port (
  id           INTEGER PRIMARY KEY,
  container_id INTEGER NOT NULL REFERENCES container(id),
  kind         TEXT NOT NULL,       -- exposed (Config.ExposedPorts), requested
                                    -- (HostConfig.PortBindings), active (NetworkSettings.Ports)
  port         INTEGER,             -- in the container; first of a range
  protocol     TEXT NOT NULL,       -- tcp, udp, sctp
  host_ip      TEXT,                -- NULL when not published
  host_port    TEXT                 -- a number, or a range as asked for; NULL when not published
) STRICT;

CREATE TABLE container_mount (
  id           INTEGER PRIMARY KEY,
  container_id INTEGER NOT NULL REFERENCES container(id),
  kind         TEXT NOT NULL,       -- bind, volume, tmpfs, npipe, cluster
  name         TEXT,                -- of a volume
  source       TEXT,                -- on the host; NULL for tmpfs
  destination  TEXT NOT NULL,       -- in the container
  driver       TEXT,
  mode         TEXT,                -- Relabel: z, Z, ro, ... as written
  rw           INTEGER,
  propagation  TEXT,
  volume_id    INTEGER REFERENCES volume(id),
  tree_id      INTEGER REFERENCES tree(id) -- its files, where they were ingested
) STRICT;

CREATE TABLE container_network (
  container_id    INTEGER NOT NULL REFERENCES container(id),
  name            TEXT NOT NULL,
  network_full_id TEXT,
  renewed         INTEGER NOT NULL, -- 1 when the engine gives this network another id at each
                                    -- start, as Docker its `bridge`
  endpoint_id     TEXT,
  gateway         TEXT,
  ip_address      TEXT,
  ip_prefix_len   INTEGER,
  ipv6_gateway    TEXT,
  ipv6_address    TEXT,
  ipv6_prefix_len INTEGER,
  mac_address     TEXT,
  aliases         TEXT,             -- JSON array
  links           TEXT,             -- JSON array
  dns_names       TEXT,             -- JSON array
  ipam_config     TEXT,             -- JSON: the fixed addresses asked for
  PRIMARY KEY (container_id, name)
) STRICT, WITHOUT ROWID;
