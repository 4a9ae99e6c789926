-- What did the containers write to their logs?
-- By time. An entry without one (time is empty) is listed, and asked for, at that of the one before
-- it in its log: time_near. Those of one container, where no time is asked for, are in its order,
-- that of docker logs. entry_id is the row of log_entry, which knows the file and the offset.
-- Words (:match, which is dof's alone; sqlite3 has :like and :regexp): all of them and "phrases"
-- must be in a line, within longer words too, ASCII letters in either case. OR between, NOT before
-- one, and parentheses: NOT binds closest, then AND, then OR. Escape sequences hide nothing.
-- :container  name or id; all when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :stream     stdout | stderr; both when unset
-- :match      words to find, e.g. xmrig OR (stratum NOT example); all when unset or empty
-- :like       an SQL LIKE pattern on the line, e.g. %wget%; all when unset
-- :regexp     a regular expression to find in the line, e.g. wget|curl; all when unset
-- :first      entry_id to begin with, e.g. some before one that was found; the first when unset
-- :last       entry_id to end with; the last when unset
-- Example: dof query logs --match xmrig
WITH own (container_id) AS (SELECT container_id FROM container_ref WHERE ref = :container),
ask (since, until, first, last, way) AS (SELECT iif(:since IS NULL, -9223372036854775808,
    iif(typeof(:since) = 'integer', :since, unixepoch(:since) * 1000000000)),
  iif(:until IS NULL, 9223372036854775807,
    iif(typeof(:until) = 'integer', :until, unixepoch(:until) * 1000000000) - 1),
  coalesce(CAST(:first AS INTEGER), 0), coalesce(CAST(:last AS INTEGER), 9223372036854775807),
  CASE WHEN coalesce(:since, :until) IS NOT NULL THEN 'time' WHEN :container IS NOT NULL THEN 'file'
       WHEN coalesce(:match, :like, :regexp, :first, :last) IS NOT NULL THEN 'line' ELSE 'time' END)
SELECT time, container, stream, partial, line, attrs, host, entry_id, time_near FROM (
  SELECT * FROM (SELECT * FROM log_line -- a window, or all there is: as the index has them
   WHERE listed_ns BETWEEN (SELECT since FROM ask WHERE way = 'time') AND (SELECT until FROM ask)
     AND +entry_id BETWEEN (SELECT first FROM ask) AND (SELECT last FROM ask)
   ORDER BY listed_ns, entry_id) UNION ALL
  SELECT * FROM (SELECT * FROM log_line -- a text or a run: as lines stand, then sorted
   WHERE entry_id BETWEEN (SELECT first FROM ask WHERE way = 'line') AND (SELECT last FROM ask)
   ORDER BY +listed_ns, entry_id) UNION ALL
  SELECT * FROM (SELECT l.* FROM log_file w NOT INDEXED CROSS JOIN log_line l -- a container
      ON l.entry_id BETWEEN max(w.first_entry, (SELECT first FROM ask WHERE way = 'file'))
                        AND min(w.last_entry, (SELECT last FROM ask))
   WHERE w.container_id IN own ORDER BY w.id, l.entry_id))
 WHERE (:container IS NULL OR container_id IN own) AND (:stream IS NULL OR stream = :stream)
   AND (:like IS NULL OR line LIKE :like) AND (:regexp IS NULL OR line REGEXP :regexp)
   AND (:match IS NULL OR line MATCH :match);
