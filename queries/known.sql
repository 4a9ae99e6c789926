-- Which files are on a list of known hashes?
-- Files are hashed by dof ingest --hash sha256, lists added by dof known FILE. known_as is what
-- the list calls the content.
-- :list       file name of a list; all when unset
-- :container  name or id: its own layer and its mounts; everything when unset
-- Example: dof query known
SELECT k.list, k.name AS known_as, f.sha256, f.container, f.image, f.layer, f.path, f.size,
       f.mtime, f.host_path, f.host
  FROM file_hash x CROSS JOIN known_hash k ON k.sha256 = x.sha256
       CROSS JOIN file_text f ON f.file_id = x.file_id
 WHERE (:list IS NULL OR k.list = :list)
   AND (:container IS NULL
        OR f.tree_id IN (SELECT tree_id FROM own_tree_of WHERE ref = :container))
 ORDER BY x.file_id, k.id;
