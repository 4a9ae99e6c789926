-- Layers: those of images, the two a container has of its own, and directories no record owns.

CREATE TABLE layer (
  id               INTEGER PRIMARY KEY,
  engine_id        INTEGER NOT NULL REFERENCES engine(id),
  role             TEXT NOT NULL,   -- image, init (Docker's own files under a container), container, unowned (on disk, in no record)
  chain_id         TEXT,            -- of image layers
  diff_id          TEXT,            -- of image layers
  parent_chain_id  TEXT,            -- the layer below; NULL at the base
  cache_id         TEXT,            -- the driver's name for it: cache-id, mount-id, init-id or the directory's name
  size             INTEGER,         -- bytes as the layer store says
  driver           TEXT NOT NULL,
  host_path        TEXT,            -- the layer's root directory on the host
  link             TEXT,            -- overlay2's short name
  lower            TEXT,            -- overlay2's `lower` file: the layers below, topmost first
  source_id        INTEGER REFERENCES source(id)
) STRICT;

-- The layers a container's file system is made of, as the engine mounts them (overlay2's `lower`; else the records); the
-- container's own is the last.
CREATE TABLE container_layer (
  container_id INTEGER NOT NULL REFERENCES container(id),
  position     INTEGER NOT NULL,    -- 1 = base
  layer_id     INTEGER NOT NULL REFERENCES layer(id),
  PRIMARY KEY (container_id, position)
) STRICT, WITHOUT ROWID;

-- The layers a container's own was begun on, where it does not stand on these now: someone changed its `lower`, or that of its
-- -init layer. The engine tells by them what the container changed.
CREATE TABLE container_before (
  container_id INTEGER NOT NULL REFERENCES container(id),
  position     INTEGER NOT NULL,    -- 1 = base
  layer_id     INTEGER NOT NULL REFERENCES layer(id),
  PRIMARY KEY (container_id, position)
) STRICT, WITHOUT ROWID;
