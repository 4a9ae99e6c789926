-- Which files are there, as a body file has them?
-- All layers, volumes and bind sources, each under a name of its own. A row has all times of its
-- file, also those outside :since and :until. Times in nanoseconds; path_hex and link_hex are the
-- exact bytes of names that are not UTF-8. Names begin container/NAME:, init/NAME:,
-- layer/CACHE-ID:, volume/NAME: or bind/HOST-PATH:, since mactime keeps one mode, owner and size
-- a name.
-- :since      ISO 8601, UTC; files with a time from then on; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; files with a time before it; no upper bound when unset
-- :container  name or id: its own layer and its mounts; everything when unset
-- :image      name or id: the files of its layers; everything when unset
-- :path       a GLOB on the path in the container, e.g. /tmp/*; all when unset
-- Example: dof query bodyfile --format bodyfile
WITH root (tree_id, name) AS MATERIALIZED (SELECT tree_id, name FROM bodyfile_root)
SELECT r.name || coalesce(nullif(d.path || iif(f.name = '', '', '/' || f.name), ''), '/') AS path,
       iif(d.path_raw IS NULL AND f.name_raw IS NULL, NULL,
           hex(r.name || coalesce(d.path_raw, d.path)
               || iif(f.name = '', '', '/' || coalesce(f.name_raw, f.name)))) AS path_hex,
       f.inode, f.mode, f.uid, f.gid, f.size, f.atime, f.mtime, f.ctime, f.crtime, f.link,
       iif(f.link_raw IS NULL, NULL, hex(f.link_raw)) AS link_hex, f.overlay
  FROM file f CROSS JOIN directory d ON d.id = f.dir_id CROSS JOIN root r ON r.tree_id = d.tree_id
 WHERE (:container IS NULL
        OR r.tree_id IN (SELECT tree_id FROM own_tree_of WHERE ref = :container))
   AND (:image IS NULL OR r.tree_id IN (SELECT tree_id FROM image_tree_of WHERE ref = :image))
   AND (:path IS NULL OR (SELECT x.path FROM file_text x WHERE x.file_id = f.id) GLOB :path)
   AND f.id IN (
       SELECT file_id FROM event
        WHERE ts >= iif(:since IS NULL, -9223372036854775808,
                        iif(typeof(:since) = 'integer', :since, unixepoch(:since) * 1000000000))
          AND ts <= iif(:until IS NULL, 9223372036854775807,
                       iif(typeof(:until) = 'integer', :until, unixepoch(:until) * 1000000000) - 1))
 ORDER BY f.id;
