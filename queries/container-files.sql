-- Which files did a container have, each from which layer?
-- All that its layers show, as an overlay mount does, and what was mounted inside: volumes, bind
-- sources. how says by which way it has the file: own (its own layer), init (the engine's own
-- files), image, mount. writable = 1 when the container could write it. layer is the cache ID of
-- the layer the file comes from, the name of the volume, or the host path of the bind source.
-- data_layer holds the content where only the metadata was copied up (metacopy). hidden_by is the
-- mount (place, kind, source) that hid the file from the container; NULL: the container saw it.
-- path_raw has the exact bytes in hex, within the layer, volume or bind source, of a path that is
-- not UTF-8.
-- :container  name, id or unique prefix of the id; all when unset
-- :path       a path or GLOB on the path in the container, e.g. /tmp/*; all when unset
-- Example: dof query container-files --container apache --path '/tmp/*'
SELECT container, path, type, mode, uid, gid, size, atime, mtime, ctime, crtime, link_target,
       layer, role, how, writable, hidden_by, data_layer, path_raw, inode, file_id, host
  FROM container_file
 WHERE (:container IS NULL OR :container IN (container, container_full_id))
   AND (:path IS NULL OR path = :path OR path GLOB :path)
 ORDER BY container_id, path, file_id;
