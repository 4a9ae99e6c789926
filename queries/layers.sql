-- Which layers are on the disk, and whose are they?
-- Unowned layers belong to no image and no container: leftovers, build caches, or containers
-- whose records are gone.
-- :role       image | init | container | unowned; all when unset
-- Example: dof query layers --role unowned
SELECT role, cache_id, chain_id, diff_id, parent, size, driver, host_path, containers AS container,
       images, files, host
  FROM layer_text
 WHERE :role IS NULL OR role = :role
 ORDER BY role, cache_id, chain_id, layer_id;
