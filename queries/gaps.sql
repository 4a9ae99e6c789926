-- What was there once and is gone: containers, images, layers, volumes, networks, or parts of them?
-- One row a thing that other records still name, with what names it, and from when to when they
-- show it: it was there until about last, or later. detail has the names and addresses a container
-- had, where they are known.
-- build-container: an image says it was committed from it, as each step of the legacy builder does.
-- something: a folder's own time says that an entry was removed from it then, not which. A copy of
-- a disk made file by file has no such rows.
-- record: of which layers a container has. Without it, a layer of no known container may be its.
-- volume-files: of a volume whose folder is there. log: of a container that has run, with its
-- folder's time. link: the short name by which a layer is mounted.
-- :what       container | build-container | image | layer | volume | network | record |
--             volume-files | log | link | something; all when unset
-- Example: dof query gaps --what container
SELECT what, name, id, first, last, evidence, detail,
       CASE what WHEN 'something' THEN 'something was removed from ' || name || ' at '
         WHEN 'layer' THEN 'the files of layer ' || id || ' are gone; they were there at '
         WHEN 'link' THEN 'the link ' || name || ' of layer ' || id || ' is gone; it was there at '
         WHEN 'record' THEN 'the record of which layers container ' || name
                            || ' has is gone; it was there at '
         WHEN 'log' THEN 'the log of container ' || name
                         || ' is gone; its folder was last changed at '
         WHEN 'volume-files' THEN 'the files of volume ' || name
                                  || ' are gone; its folder was last changed at '
         ELSE 'there was ' || iif(what = 'image', 'an ', 'a ') || what || ' '
              || coalesce(name, id, 'of no known name') || ' here, until ' END
       || coalesce(last || iif(what IN ('something', 'volume-files', 'log'), '', ' or later'),
                   'a time nothing tells')
       || coalesce('; or it is that of ' || (detail ->> '$.may_be')
                   || ', whose record of its layers is gone', '') AS says, host
  FROM gone
 WHERE :what IS NULL OR what = :what
 ORDER BY what, last_ns, id, name, evidence, engine_id;
