-- Which files are there, as a body file has them?
-- All layers, volumes and bind sources, each under a name of its own.
-- A row has all times of its file, also those outside :since and :until.
-- Times in nanoseconds; path_hex and link_hex are the exact bytes of names that are not UTF-8.
-- Names begin container/NAME:, init/NAME:, layer/CACHE-ID:, volume/NAME: or bind/HOST-PATH:, since mactime keeps one mode, owner and size a name.
-- :since      ISO 8601, UTC; files with a time from then on; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; files with a time before it; no upper bound when unset
-- :container  name, id or unique prefix of the id: its own layer and its mounts; everything when unset
-- :image      repository:tag, digest, id or a prefix of the id: the files of its layers; everything when unset
-- :path       a GLOB on the path in the container, e.g. /tmp/*; all when unset
-- Example: dof query bodyfile --format bodyfile
WITH named (tree_id, name) AS (
  SELECT t.id, iif((SELECT count(*) FROM host) > 1, coalesce(h.name, 'host ' || h.id) || '/', '')
               || CASE WHEN l.role IN ('container', 'init')
                       THEN iif(l.role = 'init', 'init/', 'container/') || coalesce((SELECT min(coalesce(c.name, c.full_id)) FROM container_layer cl JOIN container c ON c.id = cl.container_id WHERE cl.layer_id = l.id), l.cache_id, t.host_path)
                       WHEN l.id IS NOT NULL THEN 'layer/' || coalesce(l.cache_id, t.host_path)
                       ELSE coalesce((SELECT 'volume/' || min(v.name) FROM volume v WHERE v.tree_id = t.id AND t.kind = 'volume'), t.kind || t.host_path) END
    FROM tree t JOIN host h ON h.id = t.host_id LEFT JOIN layer l ON l.id = t.layer_id),
root (tree_id, name) AS (
  SELECT tree_id, name || iif(count(*) OVER (PARTITION BY name) > 1, '#' || tree_id, '') || ':' FROM named)
SELECT r.name || iif(d.path = '' AND f.name = '', '/', d.path || iif(f.name = '', '', '/' || f.name)) AS path,
       iif(d.path_raw IS NULL AND f.name_raw IS NULL, NULL, hex(r.name || coalesce(d.path_raw, d.path) || iif(f.name = '', '', '/' || coalesce(f.name_raw, f.name)))) AS path_hex,
       f.inode, f.mode, f.uid, f.gid, f.size, f.atime, f.mtime, f.ctime, f.crtime, f.link, iif(f.link_raw IS NULL, NULL, hex(f.link_raw)) AS link_hex, f.overlay
  FROM file f CROSS JOIN directory d ON d.id = f.dir_id CROSS JOIN root r ON r.tree_id = d.tree_id
 WHERE (:container IS NULL
        OR r.tree_id IN (SELECT tc.tree_id FROM tree_container tc JOIN container c ON c.id = tc.container_id WHERE tc.via IN ('own', 'init', 'mount') AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)))
   AND (:image IS NULL
        OR r.tree_id IN (SELECT t.id FROM tree t JOIN image_layer il ON il.layer_id = t.layer_id WHERE il.image_id IN (SELECT i.id FROM image i WHERE :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest')))))
   AND (:path IS NULL OR (SELECT iif(f.name = '', iif(l.prefix || d.path = '', '/', l.prefix || d.path), l.prefix || d.path || '/' || f.name) FROM tree_label l WHERE l.tree_id = d.tree_id) GLOB :path)
   AND f.id IN (SELECT file_id FROM event
                 WHERE ts >= iif(:since IS NULL, -9223372036854775807, iif(typeof(:since) = 'integer', :since, unixepoch(:since) * 1000000000))
                   AND ts <= iif(:until IS NULL, 9223372036854775807, iif(typeof(:until) = 'integer', :until, unixepoch(:until) * 1000000000) - 1))
 ORDER BY f.id;
