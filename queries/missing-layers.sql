-- Which containers and images lack layers, so that their files in the case are not all they had?
-- A layer is missing when the records, or overlay2's lower, name it and its files are not there.
-- :kind       container | image; both when unset
-- :container  name or id; all when unset
-- :image      repository:tag, digest or id; all when unset
-- Example: dof query missing-layers
SELECT kind, name, iif(own_unknown, 'its own layer is not known',
                       missing || ' of its layers are not there') AS why, host
  FROM (SELECT 'container' AS kind, container AS name, full_id, own_unknown, missing, host
          FROM container_lack
         WHERE :container IS NULL
            OR container_id IN (SELECT container_id FROM container_ref WHERE ref = :container)
         UNION ALL
        SELECT 'image', image, full_id, 0, missing, host
          FROM image_lack
         WHERE :image IS NULL OR image_id IN (SELECT image_id FROM image_ref WHERE ref = :image))
 WHERE (own_unknown OR missing > 0) AND (:kind IS NULL OR kind = :kind)
 ORDER BY kind, name, full_id, host;
