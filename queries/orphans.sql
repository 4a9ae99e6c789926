-- What is on the disk that no container or image owns any more, or whose own record is gone?
-- crtime, mtime and ctime are the thing's own times, last_file the latest modification among its
-- files. A copy of a disk made file by file has its own time of copying in crtime and ctime.
-- ordinary = 1 where Docker leaves such things behind in everyday use (a volume nobody mounts, an
-- image without a name); 0 where only a deletion by hand, a crash or a fault does.
-- :ordinary   yes | no; both when unset
-- Example: dof query orphans --ordinary no
SELECT kind, name, belongs, ordinary, why, path, crtime, mtime, ctime, last_file, files, size, host
  FROM orphan
 WHERE :ordinary IS NULL OR ordinary = (:ordinary = 'yes')
 ORDER BY ordinary, kind, name, belongs, path, engine_id;
