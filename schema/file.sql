-- Files: every entry of every layer, volume and bind source, once.

-- One walked file tree.
CREATE TABLE tree (
  id        INTEGER PRIMARY KEY,
  host_id   INTEGER NOT NULL REFERENCES host,
  kind      TEXT NOT NULL,          -- layer, volume, bind
  host_path TEXT NOT NULL,          -- the tree's root on the host
  dev       INTEGER NOT NULL,       -- (major << 32) | minor of the device it lies on, as it was mounted
  layer_id  INTEGER REFERENCES layer,
  volume_id INTEGER REFERENCES volume
) STRICT;

-- A tree whose root lies inside another tree (a bind of / holds every layer): walked once, as `inner`.
CREATE TABLE tree_nesting (
  outer_id INTEGER NOT NULL REFERENCES tree,
  inner_id INTEGER NOT NULL REFERENCES tree,
  path     TEXT NOT NULL,           -- of inner's root within outer, with a leading slash
  PRIMARY KEY (outer_id, inner_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE directory (
  id       INTEGER PRIMARY KEY,
  tree_id  INTEGER NOT NULL REFERENCES tree,
  path     TEXT NOT NULL,           -- within the tree, with a leading slash; empty for its root; bytes that are not UTF-8 as \xNN
  path_raw BLOB,                    -- the exact bytes, where they are not UTF-8
  dev      INTEGER                  -- (major << 32) | minor of the device it lies on; NULL when the same as its tree's root
) STRICT;

CREATE TABLE file (
  id       INTEGER PRIMARY KEY,     -- in order of the walk: a tree's files are one run of ids
  dir_id   INTEGER NOT NULL REFERENCES directory,
  name     TEXT NOT NULL,           -- empty for the tree's own root; bytes that are not UTF-8 as \xNN
  mode     INTEGER NOT NULL,        -- type and permissions as in st_mode
  uid      INTEGER NOT NULL,
  gid      INTEGER NOT NULL,
  nlink    INTEGER NOT NULL,
  size     INTEGER NOT NULL,        -- bytes
  inode    INTEGER NOT NULL,
  atime    INTEGER NOT NULL,
  mtime    INTEGER NOT NULL,
  ctime    INTEGER NOT NULL,
  crtime   INTEGER,                 -- birth; NULL where the file system keeps none
  link     TEXT,                    -- target of a symbolic link
  overlay  TEXT,                    -- whiteout, opaque, metacopy; several joined by a comma
  redirect TEXT,                    -- overlay redirect of a renamed directory
  rdev     INTEGER,                 -- of devices: (major << 32) | minor
  name_raw BLOB,                    -- the exact bytes of name, where they are not UTF-8
  link_raw BLOB                     -- the exact bytes of link, where they are not UTF-8
) STRICT;

-- The time index: one row a file and distinct time. Query this by ts, then join file.
CREATE TABLE event (
  ts      INTEGER NOT NULL,
  file_id INTEGER NOT NULL,         -- REFERENCES file, not declared: the load is measured in millions of rows a second
  macb    INTEGER NOT NULL,         -- 1 = accessed, 2 = modified, 4 = changed, 8 = born
  PRIMARY KEY (ts, file_id)
) STRICT, WITHOUT ROWID;

-- What a tree is called when its files are listed; filled when an ingest ends (derived.sql).
CREATE TABLE tree_label (
  tree_id   INTEGER PRIMARY KEY REFERENCES tree,
  prefix    TEXT NOT NULL,          -- where its root stands in the container; empty for layers
  container TEXT,                   -- names of the containers that own or mount it, comma-joined
  image     TEXT,                   -- names of the images that hold it, comma-joined
  host      TEXT,                 -- name of its host
  layer     TEXT                    -- cache ID of a layer, name of a volume, host path of a bind source
) STRICT;

-- Where a tree is seen in a container; filled when an ingest ends (derived.sql).
CREATE TABLE tree_container (
  tree_id        INTEGER NOT NULL REFERENCES tree,
  container_id   INTEGER NOT NULL REFERENCES container,
  container_path TEXT NOT NULL,     -- of the tree's root, without a trailing slash; empty for /
  via            TEXT NOT NULL,     -- own (the container's layer), init, image, mount
  PRIMARY KEY (tree_id, container_id, container_path)
) STRICT, WITHOUT ROWID;
