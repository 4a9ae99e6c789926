-- Which files have the same content as another?
-- Of files whose contents were hashed (dof ingest --hash sha256), empty ones left out. copies counts all with this content in the case,
-- several names of one file (same inode on one device) too; all are rows here, whichever of them a filter names.
-- :container  name, id or unique prefix of the id: contents with a copy in its own layer or its mounts; all when unset
-- :path       a GLOB on the path in the container: contents with a copy there; all when unset
-- Example: dof query duplicates --container apache
WITH several (sha256, copies) AS MATERIALIZED (
  SELECT x.sha256, count(*) FROM file_hash x GROUP BY x.sha256 HAVING count(*) > 1),
wanted (sha256, copies) AS MATERIALIZED (
  SELECT s.sha256, s.copies FROM several s
   WHERE :container IS NULL AND :path IS NULL
      OR EXISTS (SELECT 1 FROM file_hash x CROSS JOIN file_path p ON p.file_id = x.file_id
                  WHERE x.sha256 = s.sha256 AND (:path IS NULL OR p.path GLOB :path)
                    AND (:container IS NULL OR p.tree_id IN (SELECT tc.tree_id FROM tree_container tc JOIN container c ON c.id = tc.container_id WHERE tc.via IN ('own', 'init', 'mount') AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)))))
SELECT lower(hex(w.sha256)) AS sha256, w.copies, p.size, p.container, p.image, p.layer, p.path, p.inode,
       strftime('%Y-%m-%dT%H:%M:%S', p.mtime / 1000000000 - (p.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (p.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime, p.host_path, p.host
  FROM wanted w CROSS JOIN file_hash x ON x.sha256 = w.sha256 CROSS JOIN file_path p ON p.file_id = x.file_id
 WHERE p.size > 0
 ORDER BY w.sha256, p.file_id;
