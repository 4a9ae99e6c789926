-- Whose file is this: which container, image and layer have it, and where are all its versions?
-- One row a file and container that has its layer or mounts it; versions in several layers follow
-- each other, topmost first. effective = 1: this is what the container showed there. Else hidden_by
-- is what hid it: a mount, the first entry of a layer above it to do so, or it marks a deletion
-- itself. path_raw: the exact bytes in hex of a path that is not UTF-8. dof follows symbolic links
-- of layers on the way, takes a path with anything before the data root, or below a layer's or a
-- volume's own folder, asks whose-pattern for a fragment of a host path or a GLOB, and whose-record
-- for the engine's own files.
-- :path       a path in a container or on the host; dof: also a fragment or a GLOB
-- :container  name, id or unique prefix of the id: only what this container has; all when unset
-- :asked      other spellings of the path, as dof fills in: JSON objects with path, side, container
-- Example: dof query whose --path /tmp/trojan
WITH asked (path, side, container_id) AS (
  SELECT :path, NULL, NULL WHERE :asked IS NULL
   UNION ALL
  SELECT value ->> 'path', value ->> 'side', value ->> 'container'
    FROM json_each(coalesce(:asked, '[]'))),
inside (tree_id, path, container_id) AS (
  SELECT r.tree_id, r.inner || substr(a.path, length(r.root) + 1),
         coalesce(a.container_id, r.container_id)
    FROM asked a CROSS JOIN tree_root r ON r.side = coalesce(a.side, r.side)
   WHERE substr(a.path, 1, length(r.root) + 1) IN (r.root, r.root || '/')
     AND coalesce(a.container_id, r.container_id, 0) = coalesce(r.container_id, a.container_id, 0)),
split (tree_id, above, path, container_id) AS (
  SELECT tree_id, rtrim(path, replace(path, '/', '')), path, container_id FROM inside),
found (file_id, container_id) AS (
  SELECT f.id, s.container_id
    FROM split s CROSS JOIN directory d ON d.tree_id = s.tree_id AND d.path = rtrim(s.above, '/')
         CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
   WHERE s.above || f.name = s.path
      OR f.overlay LIKE '%whiteout%' AND s.above || substr(f.name, 5) = s.path)
SELECT DISTINCT v.container, f.image, f.layer, v.role, v.path, v.effective, v.hidden_by, f.type,
       f.mode, f.uid, f.gid, f.size, f.mtime, f.ctime, f.overlay, f.link_target, f.path_raw,
       f.host_path, f.file_id, f.host
  FROM found a CROSS JOIN file_seen v ON v.file_id = a.file_id
         AND v.container_id IS coalesce(a.container_id, v.container_id)
       CROSS JOIN file_text f ON f.file_id = a.file_id
 WHERE :container IS NULL OR :container IN (v.container, v.container_full_id)
 ORDER BY v.container, v.container_full_id, v.path, length(v.mount) DESC, v.position DESC,
          f.file_id;
