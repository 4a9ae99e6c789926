-- What did this container write to its log, entry by entry, oldest first?
-- raw_hex is the entry as it stands on the disk, where Docker's own encoder would not give it back from the other columns.
-- offset is where in the file (decompressed) the entry begins, size that of the file in bytes, where it is not compressed.
-- An entry that has no ts is asked for at the time of the one before it in the log (log_entry.ts_near).
-- :container  name, id or unique prefix of the id; all when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :stream     stdout | stderr; both when unset
-- :rotated    yes | no; no leaves out all but the newest of the rotated files
-- Example: dof query show-container-log
SELECT g.ts AS ts, g.stream AS stream, g.line AS line, g.partial AS partial, a.json AS attrs, iif(g.raw IS NULL, NULL, hex(g.raw)) AS raw_hex, lf.format AS format,
       lf.id AS file, g.offset AS offset, iif(lf.compressed, NULL, lf.size) AS size
  FROM log_file lf CROSS JOIN container c ON c.id = lf.container_id CROSS JOIN log_entry g ON g.id BETWEEN lf.first_entry AND lf.last_entry LEFT JOIN log_attrs a ON a.id = g.attrs_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
   AND (:stream IS NULL OR g.stream = :stream)
   AND (:rotated IS NULL OR :rotated <> 'no' OR lf.position = (SELECT max(x.position) FROM log_file x WHERE x.container_id = lf.container_id))
   AND (:since IS NULL OR g.ts_listed >= (strftime('%s', iif(instr(:since, '.'), substr(:since, 1, instr(:since, '.') - 1) || ltrim(substr(:since, instr(:since, '.') + 1), '0123456789'), :since)) * 1000000000 + iif(instr(:since, '.'), CAST(round(CAST('0.' || substr(:since, instr(:since, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0)))
   AND (:until IS NULL OR g.ts_listed < (strftime('%s', iif(instr(:until, '.'), substr(:until, 1, instr(:until, '.') - 1) || ltrim(substr(:until, instr(:until, '.') + 1), '0123456789'), :until)) * 1000000000 + iif(instr(:until, '.'), CAST(round(CAST('0.' || substr(:until, instr(:until, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0)))
 ORDER BY lf.id, g.id; -- as they are read: nothing is sorted
