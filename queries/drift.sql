-- What did a container change, and what was there before?
-- change is A (added), C (changed) or D (deleted), as `docker diff` says; columns ..._before say
-- what that replaced. U is what `docker diff` leaves out: another file than before, though size,
-- mtime, mode and owner are as they were. made_in = init: it stands in the layer of the engine's
-- own files below the container's, where the engine makes no such thing. differs says what is
-- different: type, mode, owner, size, content, mtime, device, link, capability, acl, xattr (SELinux
-- labels apart); children: a directory changed only below. same_content compares by hashes: 1 the
-- same, 0 another, NULL not known (ingest with --hash sha256). metadata_only = 1: content and type
-- are the same, as far as that is known. executable: new (none was there), made (by its mode),
-- replaced (another content). gained: setuid, setgid, capability. What was mounted inside is no
-- part of it. path_raw has the exact bytes in hex of a path that is not UTF-8.
-- :container  name, id or unique prefix of the id; all when unset
-- Example: dof query drift --container apache
SELECT x.container, x.path, x.change, x.made_in, x.type, o.type AS type_before, x.differs,
       x.same_content, x.metadata_only, x.executable, x.gained, x.mode, o.mode AS mode_before,
       x.uid, x.gid, o.uid AS uid_before, o.gid AS gid_before, x.size, o.size AS size_before,
       x.mtime, o.mtime AS mtime_before, x.atime, o.atime AS atime_before,
       x.ctime, o.ctime AS ctime_before, x.crtime, o.crtime AS crtime_before,
       x.link_target, o.link_target AS link_target_before,
       x.capability, o.capability AS capability_before,
       coalesce(x.path_raw, o.path_raw) AS path_raw, o.layer AS layer_before, x.host_path,
       x.file_id, x.before_id AS file_id_before, x.hidden_by, x.host
  FROM container_change x LEFT JOIN file_text o ON o.file_id = x.before_id
 WHERE :container IS NULL
    OR x.container_id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY x.container, x.container_full_id, x.container_id, x.path, x.file_id, x.before_id;
