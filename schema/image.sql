-- Images, their names, history and layers.

CREATE TABLE image (
  id             INTEGER PRIMARY KEY,
  engine_id      INTEGER NOT NULL REFERENCES engine(id),
  full_id        TEXT NOT NULL,     -- sha256:<64 hex>, the digest of the config
  hex            TEXT NOT NULL,     -- the same without its algorithm
  created_at     INTEGER,
  os             TEXT,
  os_version     TEXT,
  architecture   TEXT,
  variant        TEXT,
  parent_full_id TEXT,              -- the image this was built on by the legacy builder
  author         TEXT,
  comment        TEXT,
  docker_version TEXT,              -- of the engine that built it
  container      TEXT,              -- full id of the container it was committed from
  size           INTEGER,           -- bytes, sum of its layers as the layer store says; NULL when
                                    -- one of them is unknown. Not the sum of image_file.size: here
                                    -- what a layer above hides counts too, a file of several names
                                    -- once, and a directory not at all
  entrypoint     TEXT,              -- JSON array, NULL when none
  cmd            TEXT,              -- JSON array, NULL when none
  env            TEXT,              -- JSON array of KEY=VALUE
  user           TEXT,
  working_dir    TEXT,
  exposed_ports  TEXT,              -- JSON object as Docker writes it
  volumes        TEXT,              -- JSON object as Docker writes it
  labels         TEXT,              -- JSON object
  stop_signal    TEXT,
  healthcheck    TEXT,              -- JSON
  config         TEXT,              -- the image's "config" object, JSON
  last_tagged_at INTEGER,           -- imagedb/metadata/.../lastUpdated
  built_locally  INTEGER NOT NULL,  -- 1 when the engine noted that it was built here
  source_id      INTEGER REFERENCES source(id) -- the whole image config in source.content
) STRICT;

-- A name of an image: repository:tag or repository@digest. The image may be gone.
CREATE TABLE image_reference (
  id            INTEGER PRIMARY KEY,
  engine_id     INTEGER NOT NULL REFERENCES engine(id),
  repository    TEXT NOT NULL,
  reference     TEXT NOT NULL,      -- as repositories.json has it
  tag           TEXT,               -- one of tag and digest is set
  digest        TEXT,
  image_full_id TEXT NOT NULL,
  image_id      INTEGER REFERENCES image(id), -- NULL when no such image is on the disk
  source_id     INTEGER REFERENCES source(id)
) STRICT;

CREATE TABLE image_history (
  image_id    INTEGER NOT NULL REFERENCES image(id),
  position    INTEGER NOT NULL,     -- 1 = oldest step
  created_at  INTEGER,
  created_by  TEXT,
  author      TEXT,
  comment     TEXT,
  empty_layer INTEGER NOT NULL,     -- 1 when the step made no layer
  layer_id    INTEGER REFERENCES layer(id), -- the layer it made, where known
  step        TEXT NOT NULL,        -- JSON: all of the step, as Docker reads it
  PRIMARY KEY (image_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE image_layer (
  image_id  INTEGER NOT NULL REFERENCES image(id),
  position  INTEGER NOT NULL,       -- 1 = base
  diff_id   TEXT NOT NULL,          -- digest of the uncompressed layer tar
  chain_id  TEXT NOT NULL,          -- computed from the diff IDs up to here
  layer_id  INTEGER REFERENCES layer(id), -- NULL when the layer store has no such layer
  PRIMARY KEY (image_id, position)
) STRICT, WITHOUT ROWID;
