-- What `dof verify` found: image layers against the record of what they were shipped as, images
-- against their ids, init layers against what the engine makes.

-- One image layer, init layer (layer.role) or image that was verified. One of layer_id and image_id
-- is set, or neither: for an image that is named, or used by a container, and is gone. What is
-- missing then is its config, and verification_finding.shipped its id.
CREATE TABLE verification (
  id       INTEGER PRIMARY KEY,
  host_id  INTEGER NOT NULL REFERENCES host(id),
  layer_id INTEGER REFERENCES layer(id),
  image_id INTEGER REFERENCES image(id),
  outcome  TEXT NOT NULL,      -- as shipped, changed, cannot be verified
  full     INTEGER NOT NULL,   -- 1 when the layer's archive was put together again for its digest
  entries  INTEGER,            -- in the layer's archive, in the init layer; NULL where its record
                               -- could not be read
  bytes    INTEGER NOT NULL,   -- of content read and compared
  note     TEXT                -- why it cannot be verified, or what was not compared
) STRICT;

-- A difference between what was shipped and what is on the disk.
CREATE TABLE verification_finding (
  id              INTEGER PRIMARY KEY,
  verification_id INTEGER NOT NULL REFERENCES verification(id),
  change          TEXT NOT NULL, -- changed, added (not shipped, or made), missing (not there),
                                 -- unreadable
  path            TEXT,          -- in the layer; NULL for the layer or image itself
  path_raw        BLOB,          -- its bytes, where they are not UTF-8
  attribute       TEXT,          -- what of it changed: type, mode, owner, group, size, mtime,
                                 -- content, link target, hard link, device, opaque, xattr NAME; of
                                 -- itself: directory, diff ID, chain ID, archive (its SHA-256),
                                 -- config (its SHA-256), layer (its chain ID: not there, or itself
                                 -- changed), link and lower (where overlay2's files lead: the layer
                                 -- itself, those below it)
  shipped         TEXT,          -- as it was shipped; owners as they are on disk where the engine
                                 -- shifts them
  found           TEXT           -- as it is on the disk
) STRICT;
