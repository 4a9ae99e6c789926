-- The seal: what says that the case is as dof left it. `dof check` holds the case against it.
-- Tables and views of your own change nothing that is sealed. VACUUM moves every page, and so
-- breaks the seal.

CREATE TABLE seal (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  serial      INTEGER NOT NULL,  -- how many times dof wrote to this case
  sealed_at   INTEGER NOT NULL,
  dof_version TEXT NOT NULL,     -- the dof that sealed it
  arguments   TEXT NOT NULL,     -- JSON array: how that dof was called
  objects     TEXT NOT NULL,     -- JSON object: each table (but this) and index of dof's with its
                                 -- rows and the SHA-256 of its pages: of each page's number (4
                                 -- bytes, big-endian) and SHA-256, in order of the numbers; SELECT
                                 -- name, pageno FROM dbstat lists them
  own         TEXT NOT NULL,     -- JSON object: tables, views and indexes that were not dof's, with
                                 -- their texts
  digest      TEXT               -- SHA-256 of the six columns before it, from serial on, each with
                                 -- a newline behind it
) STRICT;

-- Changes by others that were there when dof was told to write all the same (--accept-changes).
CREATE TABLE accepted_change (
  id          INTEGER PRIMARY KEY,
  accepted_at INTEGER NOT NULL,
  accepted_by TEXT NOT NULL,     -- user id, the names the environment gave, and the machine
  dof_version TEXT NOT NULL,
  arguments   TEXT NOT NULL,     -- JSON array: how dof was called
  what        TEXT NOT NULL      -- JSON array: what was not as sealed, a line each
) STRICT;
