-- Where each fact comes from, and what could not be read.

-- An evidence file that rows of this case were made from.
CREATE TABLE source (
  id       INTEGER PRIMARY KEY,
  host_id  INTEGER NOT NULL REFERENCES host(id),
  path     TEXT NOT NULL,      -- on the host; bytes that are not UTF-8 as \xNN
  size     INTEGER NOT NULL,   -- bytes
  mtime    INTEGER NOT NULL,
  sha256   TEXT,               -- of the content, for metadata files
  content  ANY                 -- the content itself, for JSON metadata: TEXT, or BLOB when it is
                               -- not UTF-8 or has NULs
) STRICT;

-- What could not be read or parsed. Nothing is left out in silence.
CREATE TABLE problem (
  id       INTEGER PRIMARY KEY,
  host_id  INTEGER NOT NULL REFERENCES host(id),
  severity TEXT NOT NULL,      -- note (nothing lost), warning (some of it lost), error (the whole
                               -- artifact lost)
  path     TEXT NOT NULL,      -- the evidence file, on the host
  offset   INTEGER,            -- bytes into it, where known
  what     TEXT NOT NULL,      -- what was wrong
  kept     TEXT NOT NULL       -- what was kept all the same
) STRICT;
