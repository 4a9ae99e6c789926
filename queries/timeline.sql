-- What happened, in order of time?
-- File times (mtime, atime, ctime, birth as macb), container life, image builds, volumes,
-- networks and log lines. time_ns is the time in nanoseconds, ref the row id of the file,
-- container, image, volume, network or log entry. A log entry without a time of its own is
-- listed at that of the one before it, and says (no time). path is the path in the container;
-- a file of an image layer names its images instead of a container.
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :container  name or id: its own layer, mounts, life and log; everything when unset
-- :image      name or id: its layers' files, build, containers' life and logs; all when unset
-- :path       a GLOB on the column path, e.g. /tmp/*; with a path or without when unset
-- :kind       file | container | image | image-step | volume | network | log; all when unset
-- :logs       yes | no; no leaves log lines out
-- Example: dof query timeline --since 2019-06-01
WITH asked_image (id) AS (SELECT image_id FROM image_ref WHERE ref = :image)
SELECT time, macb, kind, container, image, layer, path, detail, host, time_ns, ref
  FROM timeline_of
 WHERE of = coalesce(:container, '')
   AND time_ns >= iif(:since IS NULL, -9223372036854775808,
                      iif(typeof(:since) = 'integer', :since, unixepoch(:since) * 1000000000))
   AND time_ns <= iif(:until IS NULL, 9223372036854775807,
                      iif(typeof(:until) = 'integer', :until, unixepoch(:until) * 1000000000) - 1)
   AND (:kind IS NULL OR kind = :kind) AND (:logs IS NULL OR :logs <> 'no' OR kind <> 'log')
   AND (:path IS NULL OR path GLOB :path)
   AND (:image IS NULL OR image_id IN asked_image
        OR tree_id IN (SELECT tree_id FROM image_tree_of WHERE ref = :image))
 ORDER BY time_ns, ref, kind, macb, detail; -- what the indexes give: nothing is sorted
