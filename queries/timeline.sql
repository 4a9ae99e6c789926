-- What happened, in order of time?
-- File times (mtime, atime, ctime, birth as macb), container life, image builds, volumes, networks and log lines.
-- ts is the time in nanoseconds, ref the row id of the file, container, image, volume, network or log entry.
-- A log entry that has no time of its own is listed at that of the one before it, and says (no time).
-- path is the path in the container; a file of an image layer names its images instead of a container.
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :container  name, id or unique prefix of the id: its own layer, its mounts, its life and its log; everything when unset
-- :image      repository:tag, digest, id or a prefix of the id: the files of its layers, its build, and the life and logs of containers made from it; everything when unset
-- :path       a GLOB on the column path, e.g. /tmp/*; everything, with a path or without, when unset
-- :kind       file | container | image | image-step | volume | network | log; all when unset
-- :logs       yes | no; no leaves log lines out
-- Example: dof query timeline --since 2019-06-01
SELECT strftime('%Y-%m-%dT%H:%M:%S', ts / 1000000000 - (ts % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (ts % 1000000000 + 1000000000) % 1000000000) AS time,
       macb, kind, container, image, layer, path, detail, host, ts, ref
  FROM timeline
 WHERE ts >= iif(:since IS NULL, -9223372036854775807, (strftime('%s', iif(instr(:since, '.'), substr(:since, 1, instr(:since, '.') - 1) || ltrim(substr(:since, instr(:since, '.') + 1), '0123456789'), :since)) * 1000000000 + iif(instr(:since, '.'), CAST(round(CAST('0.' || substr(:since, instr(:since, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0)))
   AND ts <= iif(:until IS NULL, 9223372036854775807, (strftime('%s', iif(instr(:until, '.'), substr(:until, 1, instr(:until, '.') - 1) || ltrim(substr(:until, instr(:until, '.') + 1), '0123456789'), :until)) * 1000000000 + iif(instr(:until, '.'), CAST(round(CAST('0.' || substr(:until, instr(:until, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0)) - 1)
   AND (:kind IS NULL OR kind = :kind)
   AND (:logs IS NULL OR :logs <> 'no' OR kind <> 'log')
   AND (:path IS NULL OR path GLOB :path)
   AND (:container IS NULL
        OR container_id IN (SELECT c.id FROM container c WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container))
        OR tree_id IN (SELECT tc.tree_id FROM tree_container tc JOIN container c ON c.id = tc.container_id WHERE tc.via IN ('own', 'init', 'mount') AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)))
   AND (:image IS NULL
        OR image_id IN (SELECT i.id FROM image i WHERE :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
                         OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest')))
        OR tree_id IN (SELECT t.id FROM tree t JOIN image_layer il ON il.layer_id = t.layer_id WHERE il.image_id IN (SELECT i.id FROM image i WHERE :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest')))))
 ORDER BY ts, ref, kind, macb, detail; -- what the indexes give: nothing is sorted
