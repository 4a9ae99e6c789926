-- Files: every entry of every layer, volume and bind source, once.

-- One walked file tree.
CREATE TABLE tree (
  id        INTEGER PRIMARY KEY,
  host_id   INTEGER NOT NULL REFERENCES host(id),
  kind      TEXT NOT NULL,          -- layer; volume (a volume's own folder, or a place only volumes
                                    -- lead to); bind (any other place of the host). How a container
                                    -- has it: container_mount.kind
  host_path TEXT NOT NULL,          -- the tree's root on the host
  dev       INTEGER NOT NULL,       -- (major << 32) | minor of the device it lies on, as it was
                                    -- mounted
  layer_id  INTEGER REFERENCES layer(id) -- of a layer. Whose volume a tree is, volume.tree_id says;
                                         -- several may share it
) STRICT;

-- A tree whose root lies inside another tree (a bind of / holds every layer): walked once, as
-- `inner`.
CREATE TABLE tree_nesting (
  outer_id INTEGER NOT NULL REFERENCES tree(id),
  inner_id INTEGER NOT NULL REFERENCES tree(id),
  path     TEXT NOT NULL,           -- of inner's root within outer, with a leading slash
  PRIMARY KEY (outer_id, inner_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE directory (
  id         INTEGER PRIMARY KEY,   -- the id of its own row in file
  tree_id    INTEGER NOT NULL REFERENCES tree(id),
  path       TEXT NOT NULL,         -- within the tree, with a leading slash; empty for its root;
                                    -- bytes that are not UTF-8 as \xNN
  path_raw   BLOB,                  -- the exact bytes, where they are not UTF-8
  dev        INTEGER,               -- (major << 32) | minor of the device it lies on; NULL when the
                                    -- same as its tree's root
  first_file INTEGER NOT NULL,      -- what is in it: file WHERE id BETWEEN first_file AND
                                    -- last_file, the same rows as WHERE dir_id = id and found
                                    -- without an index
  last_file  INTEGER NOT NULL       -- less than first_file when nothing is in it
) STRICT;

CREATE TABLE file (
  id       INTEGER PRIMARY KEY,     -- in order of the walk: a tree's files are one run of ids, and
                                    -- a directory's
  dir_id   INTEGER NOT NULL REFERENCES directory(id),
  name     TEXT NOT NULL,           -- empty for the tree's own root; bytes that are not UTF-8 as
                                    -- \xNN
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

-- Extended attributes of directories and regular files, of layers, volumes and bind sources: file
-- capabilities, access control lists, notes. Not here: overlayfs's own in layers (see overlay and
-- redirect above), SELinux labels, and those of other files.
CREATE TABLE file_xattr (
  file_id INTEGER NOT NULL,         -- REFERENCES file(id), not declared: see event
  name    TEXT NOT NULL,            -- e.g. security.capability; bytes that are not UTF-8 as \xNN
  value   BLOB NOT NULL,
  PRIMARY KEY (file_id, name)
) STRICT, WITHOUT ROWID;

-- The time index: one row a file and distinct time. Query this by ts, then join file.
CREATE TABLE event (
  ts      INTEGER NOT NULL,
  file_id INTEGER NOT NULL,         -- REFERENCES file(id), not declared: the load is measured in
                                    -- millions of rows a second
  macb    INTEGER NOT NULL,         -- 1 = accessed, 2 = modified, 4 = changed, 8 = born
  PRIMARY KEY (ts, file_id)
) STRICT, WITHOUT ROWID;

-- What a tree is called when its files are listed; filled when an ingest ends.
CREATE TABLE tree_label (
  tree_id   INTEGER PRIMARY KEY REFERENCES tree(id),
  prefix    TEXT NOT NULL,          -- empty for layers; else where its root stands in a container
                                    -- that mounts it (the first such path), or on the host
  container TEXT,                   -- comma-joined: of a layer, the container whose own it is; else
                                    -- all that see it
  image     TEXT,                   -- comma-joined names of the images that hold it: four at most,
                                    -- then how many more (+7 more)
  host      TEXT,                   -- name of its host
  layer     TEXT,                   -- cache ID of a layer, names of volumes, host path of a bind
                                    -- source
  role      TEXT NOT NULL           -- of a layer: container, init, image, unowned; else volume or
                                    -- bind
) STRICT;

-- Where a tree is seen in a container; filled when an ingest ends.
CREATE TABLE tree_container (
  tree_id        INTEGER NOT NULL REFERENCES tree(id),
  container_id   INTEGER NOT NULL REFERENCES container(id),
  container_path TEXT NOT NULL,     -- of the tree's root, without a trailing slash; empty for /
  via            TEXT NOT NULL,     -- own (the container's layer), init, image, mount
  PRIMARY KEY (tree_id, container_id, container_path)
) STRICT, WITHOUT ROWID;
