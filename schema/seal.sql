-- The seal: what says that the case is as dof left it. One row; `dof check` holds the file against it.

CREATE TABLE seal (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  serial      INTEGER NOT NULL,  -- how many times dof wrote to this case
  sealed_at   INTEGER NOT NULL,
  dof_version TEXT NOT NULL,     -- the dof that sealed it
  rows        TEXT NOT NULL,     -- JSON object: how many rows each table has
  digest      TEXT               -- SHA-256 of the SHA-256s, in order, of each MiB of the file (the last may be shorter); without this table's own page and with bytes 24-27 and 92-99 of the file as zeros, which count changes; NULL until it is worked out
) STRICT;
