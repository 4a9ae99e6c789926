-- The hosts of this case and the container engines found on them. In these and all base tables a
-- time is an INTEGER: nanoseconds since 1970-01-01 UTC, NULL where the evidence has none. Views
-- have it as text too.

CREATE TABLE host (
  id            INTEGER PRIMARY KEY,
  identity      TEXT NOT NULL,        -- SHA-256 over machine id, host name and engine ids: the same
                                      -- host again replaces its rows
  mount         TEXT NOT NULL,        -- where the host was mounted when it was ingested, absolute
  name          TEXT,                 -- /etc/hostname
  machine_id    TEXT,                 -- /etc/machine-id
  os            TEXT,                 -- PRETTY_NAME of os-release
  os_id         TEXT,                 -- ID of os-release: debian, ubuntu, rhel, ...
  os_version    TEXT,                 -- VERSION_ID of os-release
  timezone      TEXT,                 -- IANA name from /etc/localtime or /etc/timezone
  dof_version   TEXT NOT NULL,        -- the dof that ingested it
  arguments     TEXT NOT NULL,        -- its arguments, a JSON array
  ingest_start  INTEGER NOT NULL,
  ingest_end    INTEGER               -- set when the ingest was complete
) STRICT;

CREATE TABLE engine (
  id              INTEGER PRIMARY KEY,
  host_id         INTEGER NOT NULL REFERENCES host(id),
  kind            TEXT NOT NULL,      -- docker
  data_root       TEXT NOT NULL,      -- on the host, e.g. /var/lib/docker
  found_by        TEXT NOT NULL,      -- what named this data root: default, daemon.json, a unit
                                      -- file, --docker-home, ...
  driver          TEXT,               -- storage driver: overlay2, vfs, btrfs, ...
  engine_id       TEXT,               -- the daemon's own ID, as `docker info` shows it
  client_version  TEXT,               -- read from the docker binary, which is never run
  client_path     TEXT,
  daemon_version  TEXT,               -- read from the dockerd binary, which is never run
  daemon_path     TEXT,
  rootless        INTEGER NOT NULL,   -- 1 when the data root lies in a user's home
  comparison      TEXT NOT NULL,      -- what its `diff` takes for a directory: directory-bit (every
                                      -- entry whose mode has the bit S_IFDIR, sockets and block
                                      -- devices too) or file-type (directories)
  folders         TEXT NOT NULL,      -- JSON array: folders below the data root by which its paths
                                      -- are known when what stands before the data root is another
                                      -- (a copy, a disk of its own)
  daemon_config_source_id INTEGER REFERENCES source(id) -- daemon.json, its text in source.content
) STRICT;

-- The stores of images and layers that dof has read, by storage driver. An image or layer that is
-- in none of them is gone, if the store of its container's driver is one of them. It may be in a
-- store that dof does not read.
CREATE TABLE image_store (
  engine_id INTEGER NOT NULL REFERENCES engine(id),
  driver    TEXT NOT NULL,
  PRIMARY KEY (engine_id, driver)
) STRICT, WITHOUT ROWID;

-- The host's membership in a Docker Swarm; no row when it is in none.
CREATE TABLE swarm_node (
  engine_id      INTEGER PRIMARY KEY REFERENCES engine(id),
  node_id        TEXT,                -- from the node's certificate
  cluster_id     TEXT,                -- from the node's certificate
  role           TEXT,                -- manager or worker, from the node's certificate
  local_addr     TEXT,
  listen_addr    TEXT,
  advertise_addr TEXT,
  remote_addr    TEXT,
  data_path_port INTEGER,
  peers          TEXT NOT NULL,       -- JSON array of {node_id, addr} from state.json
  source_id      INTEGER REFERENCES source(id)
) STRICT;
