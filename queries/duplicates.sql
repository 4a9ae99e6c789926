-- Which files have the same content as another?
-- Of files whose contents were hashed (dof ingest --hash sha256), empty ones left out. copies
-- counts all with this content in the case, several names of one file (same inode on one device)
-- too; all are rows here, whichever of them a filter names.
-- :container  name or id: contents with a copy in its own layer or its mounts; all when unset
-- :path       a GLOB on the path in the container: contents with a copy there; all when unset
-- Example: dof query duplicates --container apache
WITH several (sha256, copies) AS MATERIALIZED (
  SELECT sha256, count(*) FROM file_hash GROUP BY sha256 HAVING count(*) > 1),
wanted (sha256, copies) AS MATERIALIZED (
  SELECT s.sha256, s.copies FROM several s
   WHERE :container IS NULL AND :path IS NULL
      OR EXISTS (SELECT 1 FROM file_hash x CROSS JOIN file_text f ON f.file_id = x.file_id
                  WHERE x.sha256 = s.sha256 AND (:path IS NULL OR f.path GLOB :path)
                    AND (:container IS NULL OR f.tree_id IN (
                         SELECT tree_id FROM own_tree_of WHERE ref = :container))))
SELECT f.sha256, w.copies, f.size, f.container, f.image, f.layer, f.path, f.inode, f.mtime,
       f.host_path, f.host
  FROM wanted w CROSS JOIN file_hash x ON x.sha256 = w.sha256
       CROSS JOIN file_text f ON f.file_id = x.file_id
 WHERE f.size > 0
 ORDER BY w.sha256, f.file_id;
