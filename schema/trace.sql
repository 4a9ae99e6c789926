-- What the engine keeps of containers, layers, images, volumes and their networks, owned or not: a directory, file, link or
-- record a row, with its own times. What belongs to nothing here any more tells of what was deleted (queries/orphans.sql,
-- queries/gaps.sql).
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
  -- pulled          image/DRIVER/distribution/v2metadata-by-diffid/sha256/DIFF-ID: where a layer was pulled from; stays when the image goes
  -- volume          volumes/NAME; the engine's own files there too, which belong to none
  -- task            containerd's folder of a running container
  -- unfinished      what layerdb/tmp and tmp hold: work that did not end
  -- sandbox         a running container's network in network/files/local-kv.db
  -- sandbox-freed   the same in pages the database has freed: of a container that was stopped or removed
  -- endpoint-freed  in freed pages, an address a container had, its sandbox overwritten
  -- folder          a folder that holds such things: its time of modification is that of the last addition or removal
  name      TEXT NOT NULL,          -- its own name; of a folder, its path below the data root
  belongs   TEXT,                   -- to whom: container id, chain ID (sha256:...), cache ID, image id (sha256:...), diff ID, volume
  detail    TEXT,                   -- JSON: what else it says, e.g. mount_id, init_id, repositories, names, addresses
  host_path TEXT NOT NULL,
  atime     INTEGER,                -- its own times; NULL for records in a database
  mtime     INTEGER,
  ctime     INTEGER,
  crtime    INTEGER
) STRICT;
