-- Which files does an image have, each from which layer?
-- The merged view of its layers: what a container started from it would have.
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- :path       a GLOB on the path in the image, e.g. /tmp/*; all when unset
-- Example: dof query image-files --image shop/web:1.0 --path '/tmp/*'
SELECT coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), i.full_id) AS image, v.path,
       CASE f.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket' WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END AS type,
       printf('%04o', f.mode & 4095) AS mode, f.uid, f.gid, f.size,
       replace(datetime(f.atime / 1000000000 - (f.atime % 1000000000 < 0), 'unixepoch'), ' ', 'T') || printf('.%09dZ', (f.atime % 1000000000 + 1000000000) % 1000000000) AS atime,
       replace(datetime(f.mtime / 1000000000 - (f.mtime % 1000000000 < 0), 'unixepoch'), ' ', 'T') || printf('.%09dZ', (f.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime,
       replace(datetime(f.ctime / 1000000000 - (f.ctime % 1000000000 < 0), 'unixepoch'), ' ', 'T') || printf('.%09dZ', (f.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime,
       replace(datetime(f.crtime / 1000000000 - (f.crtime % 1000000000 < 0), 'unixepoch'), ' ', 'T') || printf('.%09dZ', (f.crtime % 1000000000 + 1000000000) % 1000000000) AS crtime,
       f.link AS link_target, l.layer, f.inode, f.id AS file_id, l.host
  FROM image i CROSS JOIN image_file v ON v.image_id = i.id CROSS JOIN file f ON f.id = v.file_id CROSS JOIN tree_label l ON l.tree_id = v.tree_id
 WHERE (:image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
        OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest')))
   AND (:path IS NULL OR v.path GLOB :path)
 ORDER BY i.id, v.path, f.id;
