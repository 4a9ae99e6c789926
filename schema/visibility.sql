-- What containers and images show: which files of which layers, what is mounted over them, and what
-- containers changed. Worked out when an ingest ends.

-- What containers changed, by the ids of files: ask the view container_change.
CREATE TABLE file_change (
  id            INTEGER PRIMARY KEY,
  container_id  INTEGER NOT NULL REFERENCES container(id),
  path          TEXT NOT NULL,      -- in the container
  change        TEXT NOT NULL,
  -- A  added, as `docker diff` says it
  -- C  changed, as `docker diff` says it
  -- D  deleted, as `docker diff` says it
  -- U  what that leaves out, since size, mtime, mode and owner are as they were, and yet it is
  --    another file than before: copied up into the container's own layer and left as it was, or
  --    its content replaced and its mtime set back, or given other extended attributes. A directory
  --    is U when it is empty in that layer: what was made in it is gone, or its times were set; or
  --    its attributes are others
  made_in       TEXT NOT NULL,      -- own, the container's layer; init, the layer of the engine's
                                    -- own files below it, where only somebody else than the engine
                                    -- puts such a thing
  file_id       INTEGER REFERENCES file(id), -- what is there now; NULL for D
  before_id     INTEGER REFERENCES file(id), -- what was there before; NULL for A
  differs       TEXT,               -- of C and U, comma-joined: type, mode, owner, size, content,
                                    -- mtime, device, link, capability, acl, xattr; children:
                                    -- changed only below
  same_content  INTEGER,            -- of regular files, by their hashes: 1 the same, 0 another,
                                    -- NULL not known
  metadata_only INTEGER,            -- 1 when content and type are those of before, as same_content
                                    -- says, else as size and mtime tell; NULL not known
  executable    TEXT,               -- of a program: new (none was there), made (by its mode),
                                    -- replaced (another content)
  gained        TEXT                -- comma-joined: setuid, setgid, capability
) STRICT;

-- What is mounted in a container, and where. Docker's own mounts (/proc, /sys, /dev, /etc/hosts,
-- /etc/hostname, /etc/resolv.conf) are not here: they are on no disk, or of no content of the
-- container's.
CREATE TABLE mount_place (
  id           INTEGER PRIMARY KEY,
  container_id INTEGER NOT NULL REFERENCES container(id),
  place        TEXT NOT NULL,       -- in the container, without a trailing slash; symbolic links of
                                    -- the layers on the way followed
  dir          TEXT NOT NULL,       -- the place's directory, empty where that is /; of kind nested
                                    -- the place itself
  name         TEXT NOT NULL,       -- its name there; empty of kind nested
  kind         TEXT NOT NULL,       -- bind, volume, tmpfs, ...; nested = a tree within one that is
                                    -- mounted, which hides nothing
  source       TEXT,                -- name of the volume, path on the host of a bind source or
                                    -- nested tree
  writable     INTEGER,             -- 1 when the container could write there; NULL not known
  tree_id      INTEGER REFERENCES tree(id) -- its files, where they were ingested
) STRICT;

-- Machinery: a stack of layers is a layer and the stack below it. Containers and images on the same
-- layers share stacks.
CREATE TABLE stack (
  id       INTEGER PRIMARY KEY,
  below_id INTEGER REFERENCES stack(id), -- NULL at the base
  layer_id INTEGER NOT NULL REFERENCES layer(id), -- its topmost layer
  tree_id  INTEGER NOT NULL REFERENCES tree(id)   -- the files of that
) STRICT;

-- Machinery: the layers of a container that its file system shows, each with the stack it is the
-- top of. Where each layer is a full copy that is one. A container whose view could not be worked
-- out has none, and a problem says so.
CREATE TABLE container_stack (
  container_id INTEGER NOT NULL REFERENCES container(id),
  position     INTEGER NOT NULL,    -- 1 = base
  stack_id     INTEGER NOT NULL REFERENCES stack(id),
  tree_id      INTEGER NOT NULL REFERENCES tree(id),
  how          TEXT NOT NULL,       -- own, init, image; unowned where another layer was put into
                                    -- the stack
  PRIMARY KEY (container_id, position)
) STRICT, WITHOUT ROWID;

-- Machinery: the same for images.
CREATE TABLE image_stack (
  image_id INTEGER NOT NULL REFERENCES image(id),
  position INTEGER NOT NULL,        -- 1 = base
  stack_id INTEGER NOT NULL REFERENCES stack(id),
  tree_id  INTEGER NOT NULL REFERENCES tree(id),
  PRIMARY KEY (image_id, position)
) STRICT, WITHOUT ROWID;

-- Machinery: a file of a layer that a layer above it hides, once for each stack in which it is the
-- first to do so; and marks of deletions, which show nothing themselves. What a stack shows of a
-- layer is what none of its layers hides.
CREATE TABLE hides (
  file_id  INTEGER NOT NULL,        -- what is hidden
  moved_id INTEGER NOT NULL,        -- at which place: 0 = its own path, else that of the row of
                                    -- moved
  stack_id INTEGER NOT NULL,        -- by the topmost layer of this stack
  by_id    INTEGER NOT NULL,        -- the entry that hides it
  PRIMARY KEY (file_id, moved_id, stack_id)
) STRICT, WITHOUT ROWID;

-- Machinery: the same for all that lies below a hidden directory: a run of files, since a
-- directory's are one.
CREATE TABLE hides_below (
  stack_id   INTEGER NOT NULL,
  moved_id   INTEGER NOT NULL,
  first_file INTEGER NOT NULL,
  last_file  INTEGER NOT NULL,
  by_id      INTEGER NOT NULL,
  PRIMARY KEY (stack_id, moved_id, first_file)
) STRICT, WITHOUT ROWID;

-- Machinery: where a renamed directory (an overlay redirect) of a stack's topmost layer brings the
-- files of layers below it.
CREATE TABLE moved (
  id         INTEGER PRIMARY KEY,
  stack_id   INTEGER NOT NULL REFERENCES stack(id),
  tree_id    INTEGER NOT NULL REFERENCES tree(id), -- of the layer below
  first_file INTEGER NOT NULL,      -- all below its directory there
  last_file  INTEGER NOT NULL,
  from_path  TEXT NOT NULL,         -- of that directory, in its own layer
  to_path    TEXT NOT NULL          -- where it stands in this stack
) STRICT;

-- Machinery: the layer below that has the content of a file of which only the metadata was copied
-- up (metacopy).
CREATE TABLE metacopy (
  file_id    INTEGER NOT NULL,
  stack_id   INTEGER NOT NULL,
  content_id INTEGER NOT NULL,      -- the file that has it
  PRIMARY KEY (file_id, stack_id)
) STRICT, WITHOUT ROWID;

-- Machinery: where files of trees stand in containers: a run of a tree's files and the place of its
-- directory `inner`. One row for each layer of a container, each move in it, each mount (its root
-- apart, which has another name there), and one without a container for a tree that none has.
CREATE TABLE tree_place (
  id           INTEGER PRIMARY KEY,
  tree_id      INTEGER NOT NULL REFERENCES tree(id),
  container_id INTEGER REFERENCES container(id),
  how          TEXT,                -- own, init, image, unowned, mount; NULL without a container
  role         TEXT NOT NULL,       -- as in tree_label; of a mount its own kind
  place        TEXT NOT NULL,       -- in the container, without a trailing slash; empty for /
  inner        TEXT NOT NULL,       -- the directory's path in the tree; empty for its root
  until        TEXT NOT NULL,       -- paths of its directories are BETWEEN inner AND until
  first_file   INTEGER NOT NULL,
  last_file    INTEGER NOT NULL,    -- no less than the last of them
  name         TEXT,                -- of a mount's root, there
  mount        TEXT,                -- place of the mount; NULL for layers
  writable     INTEGER,             -- 1 when the container could write there; NULL not known
  position     INTEGER,             -- of the layer, and its stack: see container_stack; NULL for
                                    -- mounts
  stack_id     INTEGER,
  moved_id     INTEGER              -- 0, or the move that brought the files there; NULL for mounts
) STRICT;

-- Machinery: what is mounted over a place of a container, in words.
CREATE VIEW mount_over AS
SELECT id, container_id, place,
       iif(place = '', '/', place) || ' (' || kind || coalesce(' ' || source, '') || ')' AS says
  FROM mount_place WHERE kind <> 'nested';

-- Machinery: what a container's layers hide, by the entry that hides it.
CREATE VIEW container_hides AS
SELECT x.container_id AS container_id, h.file_id AS file_id, h.moved_id AS moved_id,
       h.by_id AS by_id, x.position AS position
  FROM hides h CROSS JOIN container_stack x ON x.stack_id = h.stack_id;

-- Machinery: the same of images.
CREATE VIEW image_hides AS
SELECT x.image_id AS image_id, h.file_id AS file_id, h.moved_id AS moved_id, h.by_id AS by_id
  FROM hides h CROSS JOIN image_stack x ON x.stack_id = h.stack_id;

-- Machinery: the files of containers with their paths: of layers at their own paths; then what was
-- moved or mounted.
CREATE VIEW container_shown AS
SELECT c.id AS container_id, c.full_id AS container_full_id,
       coalesce(c.name, c.full_id) AS container, c.image_name AS image,
       d.path || '/' || f.name AS path, d.path AS dir, f.name AS name, k.how AS how,
       k.role AS role, k.writable AS writable, k.mount AS mount, k.stack_id AS stack_id,
       d.tree_id AS tree_id, f.id AS file_id
  FROM container c CROSS JOIN tree_place k ON k.container_id = c.id AND k.moved_id = 0
       CROSS JOIN directory d ON d.tree_id = k.tree_id
       CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
 WHERE NOT EXISTS (
       SELECT 1 FROM container_stack x
        WHERE x.container_id = c.id AND x.position > k.position
          AND d.first_file <= (SELECT h.last_file FROM hides_below h
                                WHERE h.stack_id = x.stack_id AND h.moved_id = 0
                                  AND h.first_file <= d.first_file
                                ORDER BY h.first_file DESC LIMIT 1))
   AND NOT EXISTS (SELECT 1 FROM container_hides h
                    WHERE h.file_id = f.id AND h.moved_id = 0 AND h.container_id = c.id)
 UNION ALL
SELECT c.id, c.full_id, coalesce(c.name, c.full_id), c.image_name,
       k.place || substr(d.path, length(k.inner) + 1) || '/' || coalesce(k.name, f.name),
       k.place || substr(d.path, length(k.inner) + 1), coalesce(k.name, f.name), k.how,
       k.role, k.writable, k.mount, k.stack_id, d.tree_id, f.id
  FROM container c CROSS JOIN tree_place k ON k.container_id = c.id AND k.moved_id IS NOT 0
       CROSS JOIN directory d ON d.tree_id = k.tree_id AND d.path BETWEEN k.inner AND k.until
       CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
 WHERE f.id BETWEEN k.first_file AND k.last_file
   AND NOT EXISTS (
       SELECT 1 FROM container_stack x
        WHERE x.container_id = c.id AND x.position >= k.position
          AND d.first_file <= (SELECT h.last_file FROM hides_below h
                                WHERE h.stack_id = x.stack_id AND h.moved_id = k.moved_id
                                  AND h.first_file <= d.first_file
                                ORDER BY h.first_file DESC LIMIT 1))
   AND NOT EXISTS (SELECT 1 FROM container_hides h
                    WHERE h.file_id = f.id AND h.moved_id = k.moved_id AND h.container_id = c.id);

-- Every file of every container as the container has it: what its layers show, and what is mounted.
-- how says by which way: own (its own layer), init (the engine's own files below that), image,
-- mount. hidden_by is the mount that hides the file from the container; add AND hidden_by IS NULL
-- for what it saw. writable = 1 when the container could write it as far as its mounts say; NULL
-- not known. dir is the path of its directory, empty for what stands in /; to search by dir and
-- name is much faster than by path. image is what the user asked for, as in container_text.
CREATE VIEW container_file AS
SELECT v.container AS container, v.path AS path, v.dir AS dir, v.name AS name, v.how AS how,
       v.writable AS writable,
       (SELECT o.says FROM mount_over o
         WHERE o.container_id = v.container_id AND length(o.place) > coalesce(length(v.mount), -1)
           AND substr(v.path || '/', 1, length(o.place) + 1) = o.place || '/'
         ORDER BY length(o.place) DESC, o.id LIMIT 1) AS hidden_by,
       f.type AS type, f.mode AS mode, f.uid AS uid, f.gid AS gid, f.size AS size,
       f.atime AS atime, f.mtime AS mtime, f.ctime AS ctime, f.crtime AS crtime,
       f.atime_ns AS atime_ns, f.mtime_ns AS mtime_ns, f.ctime_ns AS ctime_ns,
       f.crtime_ns AS crtime_ns, f.link_target AS link_target, f.is_executable AS is_executable,
       f.setuid AS setuid, f.setgid AS setgid, l.layer AS layer, v.role AS role,
       (SELECT b.layer FROM metacopy m CROSS JOIN file_text b ON b.file_id = m.content_id
         WHERE m.file_id = v.file_id AND m.stack_id = v.stack_id) AS data_layer,
       f.inode AS inode, f.nlink AS nlink, f.rdev AS rdev,
       iif(instr(v.path, '\x'), f.path_raw, NULL) AS path_raw,
       f.sha256 AS sha256, f.host_path AS host_path, v.image AS image, v.file_id AS file_id,
       v.container_id AS container_id, v.container_full_id AS container_full_id, l.host AS host
  FROM container_shown v CROSS JOIN file_text f ON f.file_id = v.file_id
       CROSS JOIN tree_label l ON l.tree_id = v.tree_id;

-- Machinery: the files of images with their paths, one arm each: of its layers what none above
-- hides; what renamed directories brought along.
CREATE VIEW image_shown AS
SELECT i.id AS image_id, i.full_id AS image_full_id,
       (SELECT n.name FROM image_name n WHERE n.image_id = i.id) AS image,
       d.path || '/' || f.name AS path, d.path AS dir, f.name AS name, s.stack_id AS stack_id,
       d.tree_id AS tree_id, f.id AS file_id
  FROM image i CROSS JOIN image_stack s ON s.image_id = i.id
       CROSS JOIN directory d ON d.tree_id = s.tree_id
       CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
 WHERE NOT EXISTS (
       SELECT 1 FROM image_stack x
        WHERE x.image_id = i.id AND x.position > s.position
          AND d.first_file <= (SELECT h.last_file FROM hides_below h
                                WHERE h.stack_id = x.stack_id AND h.moved_id = 0
                                  AND h.first_file <= d.first_file
                                ORDER BY h.first_file DESC LIMIT 1))
   AND NOT EXISTS (SELECT 1 FROM image_hides h
                    WHERE h.file_id = f.id AND h.moved_id = 0 AND h.image_id = i.id)
 UNION ALL
SELECT i.id, i.full_id, (SELECT n.name FROM image_name n WHERE n.image_id = i.id),
       m.to_path || substr(d.path, length(m.from_path) + 1) || '/' || f.name,
       m.to_path || substr(d.path, length(m.from_path) + 1), f.name, s.stack_id, d.tree_id,
       f.id
  FROM image i CROSS JOIN image_stack s ON s.image_id = i.id
       CROSS JOIN moved m ON m.stack_id = s.stack_id
       CROSS JOIN directory d ON d.tree_id = m.tree_id AND d.path >= m.from_path
                             AND d.path < m.from_path || '0'
                             AND d.first_file BETWEEN m.first_file AND m.last_file
       CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
 WHERE NOT EXISTS (
       SELECT 1 FROM image_stack x
        WHERE x.image_id = i.id AND x.position >= s.position
          AND d.first_file <= (SELECT h.last_file FROM hides_below h
                                WHERE h.stack_id = x.stack_id AND h.moved_id = m.id
                                  AND h.first_file <= d.first_file
                                ORDER BY h.first_file DESC LIMIT 1))
   AND NOT EXISTS (SELECT 1 FROM image_hides h
                    WHERE h.file_id = f.id AND h.moved_id = m.id AND h.image_id = i.id);

-- Every file of every image as a container started from it would have it. image is the one name of
-- image_name; to ask by any: image_id IN (SELECT image_id FROM image_ref WHERE ref = '...'). dir is
-- the path of its directory, empty for what stands in /; to search by dir and name is much faster
-- than by path.
CREATE VIEW image_file AS
SELECT v.image AS image, v.path AS path, v.dir AS dir, v.name AS name, f.type AS type,
       f.mode AS mode, f.uid AS uid, f.gid AS gid,
       f.size AS size, f.atime AS atime, f.mtime AS mtime, f.ctime AS ctime, f.crtime AS crtime,
       f.atime_ns AS atime_ns, f.mtime_ns AS mtime_ns, f.ctime_ns AS ctime_ns,
       f.crtime_ns AS crtime_ns, f.link_target AS link_target, f.is_executable AS is_executable,
       f.setuid AS setuid, f.setgid AS setgid, l.layer AS layer, f.inode AS inode,
       f.nlink AS nlink, f.rdev AS rdev,
       iif(instr(v.path, '\x'), f.path_raw, NULL) AS path_raw, f.sha256 AS sha256,
       f.host_path AS host_path, v.file_id AS file_id, v.image_id AS image_id,
       v.image_full_id AS image_full_id, l.host AS host
  FROM image_shown v CROSS JOIN file_text f ON f.file_id = v.file_id
       CROSS JOIN tree_label l ON l.tree_id = v.tree_id;

-- Machinery: where files lie on the host, and in the layer, volume or bind source that they are of.
CREATE VIEW file_home AS
SELECT f.id AS file_id, t.id AS tree_id, t.kind AS kind,
       rtrim(t.host_path, '/') || d.path || iif(f.name = '', '', '/' || f.name) AS host_path,
       d.path || '/' || iif(f.overlay LIKE '%whiteout%' AND f.name GLOB '.wh.?*' AND f.rdev IS NULL,
                            substr(f.name, 5), f.name) AS tree_path
  FROM tree t CROSS JOIN directory d ON d.tree_id = t.id
       CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file;

-- Machinery: the engine's own files and folders that belong to a container or an image (see trace).
CREATE VIEW engine_record AS
SELECT host_path, belongs, engine_id, host,
       iif(kind IN ('image', 'image-metadata'), 'image', 'container') AS of
  FROM trace_text
 WHERE kind IN ('container', 'mount-record', 'task', 'image', 'image-metadata');

-- Machinery: the paths of files at all their places.
CREATE VIEW file_at AS
SELECT f.id AS file_id, k.container_id AS container_id, k.how AS how, k.role AS role,
       k.moved_id AS moved_id, k.position AS position, k.mount AS mount,
       coalesce(nullif(k.place || substr(d.path, length(k.inner) + 1) || iif(
         coalesce(k.name, f.name) = '', '', '/' || coalesce(k.name,
         iif(f.overlay LIKE '%whiteout%' AND f.name GLOB '.wh.?*' AND f.rdev IS NULL,
             substr(f.name, 5), f.name))), ''), '/') AS path
  FROM file f CROSS JOIN directory d ON d.id = f.dir_id
       CROSS JOIN tree_place k ON k.tree_id = d.tree_id
              AND f.id BETWEEN k.first_file AND k.last_file;

-- Machinery: the same as file_seen, with the id of the entry that hides the file. A whiteout by
-- name (.wh.NAME) has the path of what it deletes.
CREATE VIEW file_place AS
SELECT p.file_id AS file_id, p.container_id AS container_id, p.path AS path, p.how AS how,
       p.role AS role, coalesce(c.name, c.full_id) AS container, c.full_id AS container_full_id,
       (SELECT o.says FROM mount_over o
         WHERE o.container_id = p.container_id AND length(o.place) > coalesce(length(p.mount), -1)
           AND substr(p.path || '/', 1, length(o.place) + 1) = o.place || '/'
         ORDER BY length(o.place) DESC, o.id LIMIT 1) AS by_mount,
       coalesce((SELECT h.by_id FROM container_hides h
                  WHERE h.file_id = p.file_id AND h.moved_id = p.moved_id
                    AND h.container_id = p.container_id ORDER BY h.position LIMIT 1),
                (SELECT h.by_id FROM container_stack x CROSS JOIN hides_below h
                     ON h.stack_id = x.stack_id AND h.moved_id = p.moved_id
                    AND h.first_file <= p.file_id AND h.last_file >= p.file_id
                  WHERE x.container_id = p.container_id AND x.position >= p.position
                  ORDER BY x.position LIMIT 1)) AS by_id,
       p.position AS position, p.mount AS mount
  FROM file_at p LEFT JOIN container c ON c.id = p.container_id;

-- Machinery: an entry of a layer that hides others, in words: layer, path and what it is.
CREATE VIEW hider AS
SELECT file_id, layer || ' ' || iif(whiteout, replace(tree_path, '/.wh.', '/'), tree_path) || ' ('
         || coalesce(overlay, iif(type IN ('file', 'directory'), type, 'no directory')) || ')'
         AS says
  FROM file_text;

-- Every file of every layer, volume and bind source, with each container that has it and the path
-- it has there; without one where none has. effective = 1: this is what the container showed there.
-- Else hidden_by is what hid it: a mount (place, kind, source), an entry of a layer (layer, path,
-- type), or it marks a deletion itself. Ask for it by file_id.
CREATE VIEW file_seen AS
SELECT s.file_id AS file_id, s.container_id AS container_id, s.container AS container,
       s.container_full_id AS container_full_id, s.path AS path, s.how AS how,
       s.role AS role,
       iif(s.container_id IS NULL, NULL, s.by_mount IS NULL AND s.by_id IS NULL) AS effective,
       coalesce(s.by_mount, (SELECT h.says FROM hider h
                              WHERE h.file_id = s.by_id AND h.file_id <> s.file_id),
                (SELECT m.overlay FROM file m WHERE m.id = s.by_id)) AS hidden_by,
       s.position AS position, s.mount AS mount
  FROM file_place s;

-- By which names a tree's root, or where a part of it was moved to, may be asked for: side host, as
-- a path on the host, also with the mount of the host before it, by a layer's short name, or by the
-- place of a container's whole file system; side container, as a path in containers, in that one
-- where container_id says so. inner is what that leads to in the tree.
CREATE VIEW tree_root AS
SELECT id AS tree_id, rtrim(host_path, '/') AS root, 'host' AS side, NULL AS container_id,
       '' AS inner
  FROM tree
 UNION ALL
SELECT t.id, rtrim(h.mount, '/') || rtrim(t.host_path, '/'), 'host', NULL, ''
  FROM tree t JOIN host h ON h.id = t.host_id WHERE h.mount <> '/'
 UNION ALL
SELECT t.id, l.link_path, 'host', NULL, ''
  FROM tree t JOIN layer l ON l.id = t.layer_id WHERE l.link_path IS NOT NULL
 UNION ALL
SELECT v.tree_id, v.mount_point, 'host', NULL, ''
  FROM volume v JOIN tree t ON t.id = v.tree_id WHERE v.mount_point <> t.host_path
 UNION ALL -- a bind source by the links that it was given with
SELECT DISTINCT m.tree_id, rtrim(m.source, '/'), 'host', NULL, ''
  FROM container_mount m JOIN tree t ON t.id = m.tree_id
 WHERE m.kind = 'bind' AND rtrim(m.source, '/') <> rtrim(t.host_path, '/')
 UNION ALL
SELECT k.tree_id, l.mount_point || k.place, 'host', k.container_id, k.inner
  FROM tree_place k JOIN container c ON c.id = k.container_id JOIN layer l ON l.id = c.layer_id
 WHERE l.mount_point IS NOT NULL AND k.mount IS NULL
 UNION ALL
SELECT id, '', 'container', NULL, '' FROM tree WHERE kind = 'layer'
 UNION ALL
SELECT DISTINCT tree_id, place, 'container', NULL, inner FROM tree_place WHERE moved_id > 0
 UNION ALL
SELECT DISTINCT tree_id, place, 'container', NULL, '' FROM mount_place WHERE tree_id IS NOT NULL;

-- What containers changed, with what is there now: file_change says what A, C, D and U mean.
-- hidden_by is the mount that hid it from the container. Join file_text by before_id for what was
-- there before.
CREATE VIEW container_change AS
SELECT coalesce(c.name, c.full_id) AS container, x.path AS path, x.change AS change,
       x.made_in AS made_in, x.differs AS differs, x.same_content AS same_content,
       x.metadata_only AS metadata_only, x.executable AS executable, x.gained AS gained,
       (SELECT o.says FROM mount_over o
         WHERE o.container_id = x.container_id
           AND substr(x.path || '/', 1, length(o.place) + 1) = o.place || '/'
         ORDER BY length(o.place) DESC, o.id LIMIT 1) AS hidden_by,
       n.type AS type, n.mode AS mode, n.uid AS uid, n.gid AS gid, n.size AS size,
       n.atime AS atime, n.mtime AS mtime, n.ctime AS ctime, n.crtime AS crtime,
       n.atime_ns AS atime_ns, n.mtime_ns AS mtime_ns, n.ctime_ns AS ctime_ns,
       n.crtime_ns AS crtime_ns, n.link_target AS link_target, n.capability AS capability,
       n.path_raw AS path_raw, n.sha256 AS sha256, n.host_path AS host_path,
       x.file_id AS file_id, x.before_id AS before_id, x.container_id AS container_id,
       c.full_id AS container_full_id, e.host AS host
  FROM container c CROSS JOIN file_change x ON x.container_id = c.id
       CROSS JOIN engine_host e ON e.engine_id = c.engine_id
       LEFT JOIN file_text n ON n.file_id = x.file_id;

-- What containers changed as `docker diff` says it, under osquery's name and columns.
CREATE VIEW docker_container_fs_changes AS
SELECT c.full_id AS id, x.path AS path, x.change AS change_type
  FROM container c CROSS JOIN file_change x ON x.container_id = c.id
 WHERE x.made_in = 'own' AND x.change <> 'U';
