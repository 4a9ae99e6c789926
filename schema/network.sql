-- The networks that the engine knows.

CREATE TABLE network (
  id          INTEGER PRIMARY KEY,
  engine_id   INTEGER NOT NULL REFERENCES engine(id),
  full_id     TEXT NOT NULL,
  name        TEXT NOT NULL,
  predefined  INTEGER NOT NULL,     -- 1 when the engine makes it by itself
  driver      TEXT,
  scope       TEXT,                 -- local, swarm, global
  created_at  INTEGER,
  internal    INTEGER,
  attachable  INTEGER,
  ingress     INTEGER,
  ipv6        INTEGER,
  config_only INTEGER,
  ipam_driver TEXT,
  ipam        TEXT,                 -- JSON array of {Subnet, Gateway, IPRange, AuxAddress}
  options     TEXT,                 -- JSON object
  labels      TEXT,                 -- JSON object
  source_id   INTEGER REFERENCES source(id)
) STRICT;
