-- Contents by their hashes: of the files of this case where an ingest was asked for them, and of
-- lists of known files.

-- dof ingest --hash sha256. A row a regular file, also for each of several names of one; none where
-- the content could not be read whole (a problem says so), and none for an overlay metacopy, whose
-- content is another file's.
CREATE TABLE file_hash (
  file_id INTEGER PRIMARY KEY REFERENCES file(id),
  sha256  BLOB NOT NULL             -- 32 bytes; hex(sha256) to read it, x'...' to compare
) STRICT;

-- dof known FILE: a row an entry of a list, good or bad as the list is.
CREATE TABLE known_hash (
  id     INTEGER PRIMARY KEY,
  sha256 BLOB NOT NULL,
  list   TEXT NOT NULL,             -- the list's file name
  name   TEXT                       -- what the list calls it
) STRICT;
