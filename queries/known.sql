-- Which files are on a list of known hashes?
-- Files are hashed by dof ingest --hash sha256, lists added by dof known FILE. known_as is what the list calls the content.
-- :list       file name of a list; all when unset
-- :container  name, id or unique prefix of the id: its own layer and its mounts; everything when unset
-- Example: dof query known
SELECT k.list, k.name AS known_as, lower(hex(k.sha256)) AS sha256, p.container, p.image, p.layer, p.path, p.size,
       strftime('%Y-%m-%dT%H:%M:%S', p.mtime / 1000000000 - (p.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (p.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime, p.host_path, p.host
  FROM file_hash x CROSS JOIN known_hash k ON k.sha256 = x.sha256 CROSS JOIN file_path p ON p.file_id = x.file_id
 WHERE (:list IS NULL OR k.list = :list)
   AND (:container IS NULL OR p.tree_id IN (SELECT tc.tree_id FROM tree_container tc JOIN container c ON c.id = tc.container_id WHERE tc.via IN ('own', 'init', 'mount') AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)))
 ORDER BY x.file_id, k.id;
