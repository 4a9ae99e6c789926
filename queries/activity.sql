-- When did how much happen: counts by minute, hour or day?
-- One row a period, kind and container (or what :group says), with its first and last moment.
-- period is where it begins. moments counts rows of the timeline; for files that is one a file
-- and distinct time, and the four columns behind it say how many of those were a modification,
-- an access, a change of the inode, a birth. A log entry without a time counts where the
-- timeline lists it.
-- :by         minute | hour | day; day when unset
-- :group      kind | container | none; both kind and container when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :container  name or id: its own layer, mounts, life and log; everything when unset
-- :image      name or id: its layers' files, build, containers' life and logs; all when unset
-- :path       a GLOB on the path in the container, e.g. /tmp/*; with a path or without when unset
-- :kind       file | container | image | image-step | volume | network | log; all when unset
-- Example: dof query activity --by hour
WITH asked_image (id) AS (SELECT image_id FROM image_ref WHERE ref = :image)
SELECT substr(m.time, 1, a.width) || substr('0000-00-00T00:00:00Z', a.width + 1) AS period,
       iif(coalesce(:group, 'kind') = 'kind', m.kind, NULL) AS kind,
       iif(coalesce(:group, 'container') = 'container', m.container, NULL) AS container,
       count(*) AS moments, sum(m.macb LIKE '%m%') AS modified, sum(m.macb LIKE '%a%') AS accessed,
       sum(m.macb LIKE '%c%') AS changed, sum(m.macb LIKE '%b%') AS born,
       min(m.time) AS first, max(m.time) AS last, m.host
  FROM (SELECT CASE :by WHEN 'minute' THEN 16 WHEN 'hour' THEN 13 ELSE 10 END AS width) a
       CROSS JOIN timeline_of m
 WHERE m.of = coalesce(:container, '')
   AND m.time_ns >= iif(:since IS NULL, -9223372036854775808,
                        iif(typeof(:since) = 'integer', :since, unixepoch(:since) * 1000000000))
   AND m.time_ns <= iif(:until IS NULL, 9223372036854775807,
                        iif(typeof(:until) = 'integer', :until, unixepoch(:until) * 1000000000) - 1)
   AND (:kind IS NULL OR m.kind = :kind)
   AND (:path IS NULL OR m.path GLOB :path)
   AND (:image IS NULL OR m.image_id IN asked_image
        OR m.tree_id IN (SELECT tree_id FROM image_tree_of WHERE ref = :image))
 GROUP BY 1, 2, 3, m.host
 ORDER BY 1, 2, 3, m.host;
