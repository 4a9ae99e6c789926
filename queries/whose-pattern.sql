-- Whose files are these: all with this text in their path, or a path like this GLOB?
-- Rows are those of the query whose. Without :path every file of every layer, volume and bind
-- source is listed, once for each container that has it: give :container at least. Symbolic links
-- are not followed here.
-- :path       a fragment of a host path, or a GLOB on the host's or a container's; all when unset
-- :container  name, id or unique prefix of the id: only what this container has; all when unset
-- :asked      other spellings of the path, as dof fills in: JSON objects with path, side, container
-- Example: dof query whose-pattern --path '/tmp/*'
WITH asked (path, side, container_id) AS (
  SELECT :path, NULL, NULL WHERE :asked IS NULL
   UNION ALL
  SELECT value ->> 'path', value ->> 'side', value ->> 'container'
    FROM json_each(coalesce(:asked, '[]'))),
here (tree_id) AS MATERIALIZED (
  SELECT id FROM tree
   WHERE :container IS NULL OR id IN (
         SELECT k.tree_id FROM tree_place k JOIN container_ref r USING (container_id)
          WHERE r.ref = :container)),
found (file_id, container_id) AS (
  SELECT f.file_id, a.container_id
    FROM asked a CROSS JOIN here h CROSS JOIN file_home f ON f.tree_id = h.tree_id
   WHERE a.path IS NULL
      OR coalesce(a.side, 'host') = 'host'
         AND (f.host_path = a.path OR f.host_path GLOB a.path
              OR a.path NOT GLOB '/*' AND instr(f.host_path, a.path))
      OR a.side IS NOT 'host' AND f.kind = 'layer'
         AND (f.tree_path = a.path OR f.tree_path GLOB a.path)
      OR a.side IS NOT 'host' AND EXISTS (
         SELECT 1 FROM file_at p WHERE p.file_id = f.file_id AND p.moved_id IS NOT 0
            AND (a.side IS NOT 'layers' OR p.mount IS NULL)
            AND (p.path = a.path OR p.path GLOB a.path)))
SELECT DISTINCT v.container, f.image, f.layer, v.role, v.path, v.effective, v.hidden_by, f.type,
       f.mode, f.uid, f.gid, f.size, f.mtime, f.ctime, f.overlay, f.link_target, f.path_raw,
       f.host_path, f.file_id, f.host
  FROM found a CROSS JOIN file_seen v ON v.file_id = a.file_id
         AND v.container_id IS coalesce(a.container_id, v.container_id)
       CROSS JOIN file_text f ON f.file_id = a.file_id
 WHERE :container IS NULL OR :container IN (v.container, v.container_full_id)
 ORDER BY v.container, v.container_full_id, v.path, length(v.mount) DESC, v.position DESC,
          f.file_id;
