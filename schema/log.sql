-- Container logs that Docker keeps on the host.

CREATE TABLE log_file (
  id           INTEGER PRIMARY KEY,
  container_id INTEGER NOT NULL REFERENCES container(id),
  path         TEXT NOT NULL,       -- on the host
  format       TEXT NOT NULL,       -- json-file or local
  position     INTEGER NOT NULL,    -- 1 = oldest of the rotated files
  compressed   INTEGER NOT NULL,
  size         INTEGER NOT NULL,    -- bytes on disk
  mtime        INTEGER NOT NULL,
  cached       INTEGER NOT NULL,    -- 1 when it is the daemon's own copy beside a remote driver
  first_entry  INTEGER,             -- its entries: log_entry WHERE id BETWEEN first_entry AND
                                    -- last_entry; NULL when it has none
  last_entry   INTEGER
) STRICT;

CREATE TABLE log_entry (
  id          INTEGER PRIMARY KEY,  -- in the order in which Docker wrote them, container by
                                    -- container
  log_file_id INTEGER NOT NULL REFERENCES log_file(id),
  offset      INTEGER NOT NULL,     -- bytes into the (decompressed) file
  ts          INTEGER,              -- NULL when the entry has no time, or none that can be used
  ts_near     INTEGER,              -- where ts is NULL: that of the entry before it in the same
                                    -- log; else of the next; else the file's mtime
  -- its place in a timeline, with an index
  ts_listed   INTEGER GENERATED ALWAYS AS (coalesce(ts, ts_near)) VIRTUAL,
  stream      TEXT,                 -- stdout, stderr
  line        TEXT NOT NULL,        -- without its newline; NULs and bytes that are not UTF-8 as
                                    -- \xNN
  partial     INTEGER NOT NULL,     -- 1 when the line goes on in the next entry, or never ended
  attrs_id    INTEGER REFERENCES log_attrs(id),
  raw         BLOB                  -- the entry's exact bytes, where Docker's own encoder would not
                                    -- give them back from the other columns
) STRICT;

-- The attributes (labels, env, tag) of log entries, each text once.
CREATE TABLE log_attrs (
  id   INTEGER PRIMARY KEY,
  json TEXT NOT NULL
) STRICT;
