-- Which files does an image have, each from which layer?
-- The merged view of its layers: what a container started from it would have.
-- path_raw has the exact bytes, below the root of the layer, of a path that is not UTF-8; it is printed as \xNN, as another may read.
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- :path       a path or GLOB on the path in the image, e.g. /tmp/*; all when unset
-- Example: dof query image-files --image shop/web:1.0 --path '/tmp/*'
SELECT coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL), i.full_id) AS image, v.path,
       CASE v.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket' WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END AS type,
       printf('%04o', v.mode & 4095) AS mode, v.uid, v.gid, v.size,
       strftime('%Y-%m-%dT%H:%M:%S', v.atime / 1000000000 - (v.atime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.atime % 1000000000 + 1000000000) % 1000000000) AS atime,
       strftime('%Y-%m-%dT%H:%M:%S', v.mtime / 1000000000 - (v.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime,
       strftime('%Y-%m-%dT%H:%M:%S', v.ctime / 1000000000 - (v.ctime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime,
       strftime('%Y-%m-%dT%H:%M:%S', v.crtime / 1000000000 - (v.crtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.crtime % 1000000000 + 1000000000) % 1000000000) AS crtime,
       v.link AS link_target, l.layer,
       iif(instr(v.path, '\x'), (SELECT iif(f.name_raw IS NULL AND d.path_raw IS NULL, NULL, lower(hex(coalesce(d.path_raw, d.path)) || iif(f.name = '', '', '2f' || hex(coalesce(f.name_raw, f.name))))) FROM file f CROSS JOIN directory d ON d.id = f.dir_id WHERE f.id = v.file_id), NULL) AS path_raw,
       v.inode, v.file_id, l.host
  FROM image i CROSS JOIN image_file v ON v.image_id = i.id CROSS JOIN tree_label l ON l.tree_id = v.tree_id
 WHERE (:image IS NULL OR :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
        OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest')))
   AND (:path IS NULL OR v.path = :path OR v.path GLOB :path)
 ORDER BY i.id, v.path, v.file_id;
