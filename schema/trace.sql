-- What the engine keeps of containers, layers, images, volumes and their networks, owned or not: a
-- directory, file, link or record a row, with its own times. What belongs to nothing here any more
-- tells of what was deleted (`dof query orphans` and `dof query gaps`; --sql prints their SQL).
CREATE TABLE trace (
  id        INTEGER PRIMARY KEY,
  engine_id INTEGER NOT NULL REFERENCES engine(id),
  kind      TEXT NOT NULL,
  -- container       containers/ID
  -- mount-record    image/DRIVER/layerdb/mounts/ID: which layers a container has of its own
  -- layer-record    image/DRIVER/layerdb/sha256/CHAIN-ID
  -- layer           the driver's folder of a layer
  -- link            overlay2/l/NAME, a layer's short name
  -- image           image/DRIVER/imagedb/content/sha256/ID
  -- image-metadata  image/DRIVER/imagedb/metadata/sha256/ID
  -- pulled          image/DRIVER/distribution/v2metadata-by-diffid/sha256/DIFF-ID: where a layer
  --                 was pulled from; stays when the image goes
  -- volume          volumes/NAME; the engine's own files there too, which belong to none
  -- task            containerd's folder of a running container
  -- unfinished      what layerdb/tmp and tmp hold: work that did not end
  -- sandbox         a running container's network in network/files/local-kv.db
  -- sandbox-freed   the same in pages the database has freed: of a container that was stopped or
  --                 removed
  -- endpoint-freed  in freed pages, an address a container had, its sandbox overwritten
  -- folder          a folder that holds such things: its time of modification is that of the last
  --                 addition or removal
  name      TEXT NOT NULL,          -- its own name; of a folder, its path below the data root
  folder_id INTEGER REFERENCES trace(id), -- the folder it stands in; NULL of folders and of records
                                          -- in a database
  driver    TEXT,                   -- the storage driver whose layer or image store it is, or is in
  holds     TEXT,                   -- of a folder: the kind of what it holds
  removal   INTEGER,                -- of a folder: 1 when its time of modification, if later than
                                    -- the births of all it holds, tells of a removal; 0 when the
                                    -- engine makes and removes other things in it too
  belongs   TEXT,                   -- to whom: container id, chain ID (sha256:...), cache ID, image
                                    -- id (sha256:...), diff ID, volume
  is_id     INTEGER,                -- of what belongs to a container: 1 when that is an id as the
                                    -- engine gives them, 0 when another name stands there
  made_by   TEXT,                   -- of a layer or of unfinished work: buildkit (its cache knows
                                    -- the layer), trial (the engine tries its storage in such
                                    -- folders when it starts; a power cut leaves them)
  detail    TEXT,                   -- JSON: what else it says, e.g. mount_id, init_id,
                                    -- repositories, names, addresses
  host_path TEXT NOT NULL,
  atime     INTEGER,                -- its own times; NULL for records in a database
  mtime     INTEGER,
  ctime     INTEGER,
  crtime    INTEGER
) STRICT;
