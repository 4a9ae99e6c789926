-- What did this container write to its log, entry by entry, oldest first?
-- raw_hex is the entry as it stands on the disk, where Docker's own encoder would not give it
-- back from the other columns. offset is where in the file (decompressed) the entry begins, size
-- that of the file in bytes, where it is not compressed. An entry that has no time is asked for
-- at the time of the one before it in the log (log_line.time_near).
-- :container  name or id; all when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :stream     stdout | stderr; both when unset
-- :rotated    yes | no; no leaves out all but the newest of the rotated files
-- Example: dof query show-container-log
SELECT g.time, g.time_ns, g.stream, g.line, g.partial, g.attrs, g.raw_hex, g.format,
       g.log_file_id AS file, g.offset, iif(w.compressed, NULL, w.size) AS size
  FROM log_file w CROSS JOIN log_line g ON g.entry_id BETWEEN w.first_entry AND w.last_entry
 WHERE (:container IS NULL
        OR w.container_id IN (SELECT container_id FROM container_ref WHERE ref = :container))
   AND (:stream IS NULL OR g.stream = :stream)
   AND (:rotated IS NULL OR :rotated <> 'no'
        OR w.position = (SELECT max(x.position) FROM log_file x
                          WHERE x.container_id = w.container_id))
   AND (:since IS NULL OR g.listed_ns >=
        iif(typeof(:since) = 'integer', :since, unixepoch(:since) * 1000000000))
   AND (:until IS NULL OR g.listed_ns <
        iif(typeof(:until) = 'integer', :until, unixepoch(:until) * 1000000000))
 ORDER BY w.id, g.entry_id; -- as they are read: nothing is sorted
