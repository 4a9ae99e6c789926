-- Volumes. The files in one are a tree: tree_id.

CREATE TABLE volume (
  id          INTEGER PRIMARY KEY,
  engine_id   INTEGER NOT NULL REFERENCES engine(id),
  name        TEXT NOT NULL,
  driver      TEXT NOT NULL,
  mount_point TEXT,                 -- on the host; NULL when its directory is gone
  tree_id     INTEGER REFERENCES tree(id), -- its files: those of mount_point, or of the host's
                                           -- directory it is a bind of
  created_at  INTEGER,              -- change time of the volume's directory, which is what Docker
                                    -- answers
  anonymous   INTEGER NOT NULL,     -- 1 when Docker named it
  labels      TEXT,                 -- JSON object
  options     TEXT,                 -- JSON object
  in_metadata INTEGER NOT NULL,     -- 1 when volumes/metadata.db knows it
  source_id   INTEGER REFERENCES source(id)
) STRICT;
