-- Which files did a container have, each from which layer?
-- The merged view of its layers, as an overlay mount shows it, and what was mounted inside: volumes, bind sources.
-- layer is the cache ID of the layer the file comes from, the name of the volume, or the host path of the bind source; role says which.
-- hidden_by is the mount (place, kind, source) that hid the file from the container; what the container saw has none there.
-- data_layer is the layer that holds a file's content where only its metadata was copied up (metacopy).
-- path_raw has the exact bytes, below the root of the layer, volume or bind source, of a path that is not UTF-8; it is printed as \xNN, as another may read.
-- :container  name, id or unique prefix of the id; all when unset
-- :path       a path or GLOB on the path in the container, e.g. /tmp/*; all when unset
-- Example: dof query container-files --container apache --path '/tmp/*'
SELECT coalesce(c.name, c.full_id) AS container, v.path, CASE v.mode & 61440 WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket' WHEN 8192 THEN 'chardev' WHEN 24576 THEN 'blockdev' ELSE 'unknown' END AS type,
       printf('%04o', v.mode & 4095) AS mode, v.uid, v.gid, v.size,
       strftime('%Y-%m-%dT%H:%M:%S', v.atime / 1000000000 - (v.atime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.atime % 1000000000 + 1000000000) % 1000000000) AS atime,
       strftime('%Y-%m-%dT%H:%M:%S', v.mtime / 1000000000 - (v.mtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.mtime % 1000000000 + 1000000000) % 1000000000) AS mtime,
       strftime('%Y-%m-%dT%H:%M:%S', v.ctime / 1000000000 - (v.ctime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.ctime % 1000000000 + 1000000000) % 1000000000) AS ctime,
       strftime('%Y-%m-%dT%H:%M:%S', v.crtime / 1000000000 - (v.crtime % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (v.crtime % 1000000000 + 1000000000) % 1000000000) AS crtime,
       v.link AS link_target, l.layer, l.role, v.hidden_by,
       iif(v.overlay LIKE '%metacopy%', (
         SELECT ly.cache_id FROM container_stack own CROSS JOIN container_stack s ON s.container_id = own.container_id AND s.position < own.position CROSS JOIN directory o ON o.id = v.dir_id
                CROSS JOIN directory sd ON sd.tree_id = s.tree_id AND sd.path = iif(v.redirect GLOB '/*', rtrim(rtrim(v.redirect, replace(v.redirect, '/', '')), '/'), o.path)
                CROSS JOIN file g ON g.id BETWEEN sd.first_file AND sd.last_file CROSS JOIN layer ly ON ly.id = s.layer_id
          WHERE own.container_id = c.id AND own.tree_id = v.tree_id
            AND +g.name = iif(v.redirect GLOB '/*', replace(v.redirect, rtrim(v.redirect, replace(v.redirect, '/', '')), ''), coalesce(v.redirect, v.name))
            AND (g.mode & 61440) = 32768 AND coalesce(g.overlay, '') NOT LIKE '%metacopy%'
          ORDER BY s.position DESC LIMIT 1), NULL) AS data_layer,
       iif(instr(v.path, '\x'), (SELECT iif(f.name_raw IS NULL AND d.path_raw IS NULL, NULL, lower(hex(coalesce(d.path_raw, d.path)) || iif(f.name = '', '', '2f' || hex(coalesce(f.name_raw, f.name))))) FROM file f CROSS JOIN directory d ON d.id = f.dir_id WHERE f.id = v.file_id), NULL) AS path_raw,
       v.inode, v.file_id, l.host
  FROM container c CROSS JOIN container_file v ON v.container_id = c.id CROSS JOIN tree_label l ON l.tree_id = v.tree_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
   AND (:path IS NULL OR v.path = :path OR v.path GLOB :path)
 ORDER BY c.id, v.path, v.file_id;
