-- Layers: those of images, the two a container has of its own, and directories no record owns.

CREATE TABLE layer (
  id               INTEGER PRIMARY KEY,
  engine_id        INTEGER NOT NULL REFERENCES engine(id),
  role             TEXT NOT NULL,   -- image, init (Docker's own files under a container),
                                    -- container, unowned (on disk, in no record)
  chain_id         TEXT,            -- of image layers
  diff_id          TEXT,            -- of image layers
  parent_chain_id  TEXT,            -- the layer below; NULL at the base
  cache_id         TEXT,            -- the driver's name for it: cache-id, mount-id, init-id or the
                                    -- directory's name
  size             INTEGER,         -- bytes as the layer store says
  driver           TEXT NOT NULL,
  stacking         TEXT,            -- how its driver makes a file system of layers; NULL of a
                                    -- driver dof does not know
  -- each             every layer over those below it
  -- topmost          each layer is a full copy: the topmost alone
  -- upper-over-root  each layer is a full copy: a container's own over the topmost of the image
  marks            TEXT,            -- how deletions are marked in it; NULL of a driver dof does not
                                    -- know
  -- none          not at all: a full copy
  -- overlay       character devices 0/0 and attributes trusted.overlay.*
  -- user-overlay  the same with user.overlay.*, as a user's own engine writes them
  -- fuse-overlay  as fuse-overlayfs has them: these, attributes of its own, names that begin with
  --               .wh.
  -- aufs          names that begin with .wh.
  host_path        TEXT,            -- the layer's root directory on the host
  mount_point      TEXT,            -- of a container's own layer: where on the host its engine
                                    -- mounts the whole file system
  link             TEXT,            -- overlay2's short name
  link_path        TEXT,            -- where on the host that is: a symbolic link to host_path
  lower            TEXT,            -- overlay2's `lower` file: the layers below, topmost first
  below            INTEGER,         -- how many layers that names; NULL where there is no such file
  looks_like       TEXT,            -- of an unowned layer: container or init, where its name says
                                    -- so (a pair of NAME and NAME-init)
  source_id        INTEGER REFERENCES source(id)
) STRICT;

-- The layers a container's file system is made of, as the engine mounts them (overlay2's `lower`;
-- else the records); the container's own is the last.
CREATE TABLE container_layer (
  container_id INTEGER NOT NULL REFERENCES container(id),
  position     INTEGER NOT NULL,    -- 1 = base
  layer_id     INTEGER NOT NULL REFERENCES layer(id),
  PRIMARY KEY (container_id, position)
) STRICT, WITHOUT ROWID;

-- The layers a container's own was begun on, where it does not stand on these now: someone changed
-- its `lower`, or that of its -init layer. The engine tells by them what the container changed.
CREATE TABLE container_before (
  container_id INTEGER NOT NULL REFERENCES container(id),
  position     INTEGER NOT NULL,    -- 1 = base
  layer_id     INTEGER NOT NULL REFERENCES layer(id),
  PRIMARY KEY (container_id, position)
) STRICT, WITHOUT ROWID;
