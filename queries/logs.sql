-- What did the containers write to their logs?
-- By time. An entry that has none (time is empty) is listed, and asked for, at the time of the one before it in its log: time_near.
-- Of the first ones it is that of the one behind; of a log without any, the time of the file. Those of one container, where no time is asked for, as it wrote
-- them, in the order of docker logs. entry_id is the row of log_entry, which knows the file and the offset.
-- What :match looks for: words and "phrases" (two quotes within are one), anywhere in the line, within longer words, ASCII letters of
-- either case. All of them must be there; OR between words or groups, NOT before one, and parentheses: NOT binds closest, then AND, then OR.
-- Escape sequences of a terminal (7-bit and 8-bit) are looked past: colours within a word hide nothing. What is wrong in an expression dof refuses.
-- In sqlite3, which checks nothing, :match is that without parentheses: groups of words between ORs.
-- There is no index to be made or to miss anything: lines are read as they stand; where they are many, dof has each core read a run of them.
-- :container  name or id; all when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :stream     stdout | stderr; both when unset
-- :match      words to find, e.g. xmrig OR (stratum NOT example); all when unset or empty
-- :like       an SQL LIKE pattern on the line, e.g. %wget%; all when unset
-- :first      entry_id to begin with, e.g. some before one that was found; the first when unset
-- :last       entry_id to end with; the last when unset
-- Example: dof query logs --match xmrig
WITH RECURSIVE
-- Each token of :match, the number of ORs before it, and whether it comes after a NOT.
token (text, quoted, alternative, negated, rest) AS (
  SELECT '', 1, 0, 0, ltrim(:match) WHERE :match <> ''
  UNION ALL
  SELECT iif(substr(rest, 1, 1) = '"', replace(substr(replace(substr(rest, 2), '""', char(1)), 1, instr(replace(substr(rest, 2), '""', char(1)) || '"', '"') - 1), char(1), '"'),
             trim(substr(rest, 1, instr(rest || ' ', ' ') - 1), '*')),
         substr(rest, 1, 1) = '"', alternative + (text = 'OR' AND NOT quoted), text = 'NOT' AND NOT quoted,
         ltrim(iif(substr(rest, 1, 1) = '"', replace(substr(replace(substr(rest, 2), '""', char(1)), instr(replace(substr(rest, 2), '""', char(1)) || '"', '"') + 1), char(1), '""'),
                   substr(rest, instr(rest || ' ', ' ') + 1)))
    FROM token WHERE rest <> ''),
-- What each group wants of a line. What has the word has its letters one after the other, whatever stands between (loose).
term (alternative, negated, size, pattern, loose) AS MATERIALIZED (
  SELECT t.alternative, t.negated, length(t.text), '%' || replace(replace(replace(t.text, '\', '\\'), '%', '\%'), '_', '\_') || '%',
         (WITH RECURSIVE letters (n, text) AS (
            SELECT 0, '%' UNION ALL SELECT n + 1, text || iif(instr('\%_', substr(t.text, n + 1, 1)), '\', '') || substr(t.text, n + 1, 1) || '%' FROM letters WHERE n < min(length(t.text), 30))
          SELECT text FROM letters ORDER BY n DESC LIMIT 1)
    FROM token t WHERE t.text <> '' AND (t.quoted OR t.text NOT IN ('AND', 'OR', 'NOT'))),
-- One word a group that it cannot do without, the longest: those of four groups are tried on each line before anything else.
lead (n, alternative, pattern, loose) AS MATERIALIZED (
  SELECT row_number() OVER (ORDER BY alternative), alternative, iif(size < 0, '%', pattern), iif(size < 0, '%', loose)
    FROM (SELECT alternative, pattern, loose, max(iif(negated, -1, size)) AS size FROM term GROUP BY alternative)),
tried (pattern1, loose1, pattern2, loose2, pattern3, loose3, pattern4, loose4) AS MATERIALIZED (
  SELECT iif(count(*) BETWEEN 1 AND 4, max(pattern) FILTER (WHERE n = 1), '%'), iif(count(*) BETWEEN 1 AND 4, max(loose) FILTER (WHERE n = 1), '%'),
         max(pattern) FILTER (WHERE n = 2), max(loose) FILTER (WHERE n = 2), max(pattern) FILTER (WHERE n = 3), max(loose) FILTER (WHERE n = 3),
         max(pattern) FILTER (WHERE n = 4), max(loose) FILTER (WHERE n = 4) FROM lead)
SELECT (SELECT t.time FROM log_time t WHERE t.entry_id = found.entry_id) AS time, container, stream, partial, line, attrs, host, entry_id,
       (SELECT t.time_near FROM log_time t WHERE t.entry_id = found.entry_id) AS time_near
  FROM (
  -- Parts of which one has rows. They are in its own order, which SQLite keeps where a subquery is all of FROM; one for all would
  -- have each row handed through a merge. Of them only what is found in all lines is sorted.
  SELECT * FROM (
    SELECT * FROM (
    -- A time, and whatever else.
    SELECT g.ts_listed, g.ts, g.ts_near, c.name AS container, g.stream, g.partial, g.line, a.json AS attrs, h.name AS host, g.id AS entry_id
      FROM log_entry g CROSS JOIN log_file w ON w.id = g.log_file_id CROSS JOIN container c ON c.id = w.container_id CROSS JOIN engine e ON e.id = c.engine_id CROSS JOIN host h ON h.id = e.host_id LEFT JOIN log_attrs a ON a.id = g.attrs_id
     WHERE g.ts_listed >= iif(:since IS NULL, -9223372036854775807, iif(typeof(:since) = 'integer', :since, unixepoch(:since) * 1000000000))
       AND g.ts_listed <= iif(:until IS NULL, 9223372036854775807, iif(typeof(:until) = 'integer', :until, unixepoch(:until) * 1000000000) - 1)
       AND (:since IS NOT NULL OR :until IS NOT NULL)
       AND (:container IS NULL OR c.id IN (SELECT container_id FROM container_ref WHERE ref = :container))
       AND (:stream IS NULL OR g.stream = :stream) AND (:like IS NULL OR g.line LIKE :like)
       AND (:first IS NULL OR g.id >= CAST(:first AS INTEGER)) AND (:last IS NULL OR g.id <= CAST(:last AS INTEGER))
     ORDER BY g.ts_listed, g.id)
    UNION ALL
    -- A text, or a run of entries, without a time and a container: all lines are read as they stand, and what is found is sorted by time.
    SELECT * FROM (
    SELECT g.ts_listed, g.ts, g.ts_near, c.name AS container, g.stream, g.partial, g.line, a.json AS attrs, h.name AS host, g.id AS entry_id
      FROM tried need CROSS JOIN log_entry g NOT INDEXED CROSS JOIN log_file w ON w.id = g.log_file_id CROSS JOIN container c ON c.id = w.container_id CROSS JOIN engine e ON e.id = c.engine_id CROSS JOIN host h ON h.id = e.host_id LEFT JOIN log_attrs a ON a.id = g.attrs_id
     WHERE :since IS NULL AND :until IS NULL AND :container IS NULL AND (trim(coalesce(:match, '')) <> '' OR :like IS NOT NULL OR :first IS NOT NULL OR :last IS NOT NULL)
       AND g.id BETWEEN iif(:first IS NULL, -9223372036854775808, CAST(:first AS INTEGER)) AND iif(:last IS NULL, 9223372036854775807, CAST(:last AS INTEGER))
       AND (g.line LIKE need.loose1 ESCAPE '\' AND (g.line LIKE need.pattern1 ESCAPE '\' OR g.line LIKE '%' || char(27) || '%' OR instr(CAST(g.line AS BLOB), x'c2'))
            OR need.loose2 IS NOT NULL AND (g.line LIKE need.loose2 ESCAPE '\' AND (g.line LIKE need.pattern2 ESCAPE '\' OR g.line LIKE '%' || char(27) || '%' OR instr(CAST(g.line AS BLOB), x'c2'))
            OR need.loose3 IS NOT NULL AND (g.line LIKE need.loose3 ESCAPE '\' AND (g.line LIKE need.pattern3 ESCAPE '\' OR g.line LIKE '%' || char(27) || '%' OR instr(CAST(g.line AS BLOB), x'c2'))
            OR need.loose4 IS NOT NULL AND g.line LIKE need.loose4 ESCAPE '\' AND (g.line LIKE need.pattern4 ESCAPE '\' OR g.line LIKE '%' || char(27) || '%' OR instr(CAST(g.line AS BLOB), x'c2')))))
       AND (:like IS NULL OR g.line LIKE :like) AND (:stream IS NULL OR g.stream = :stream)
     ORDER BY g.ts_listed, g.id)
    UNION ALL
    -- A container and no time: its files, as they stand.
    SELECT * FROM (
    SELECT g.ts_listed, g.ts, g.ts_near, c.name AS container, g.stream, g.partial, g.line, a.json AS attrs, h.name AS host, g.id AS entry_id
      FROM log_file w NOT INDEXED CROSS JOIN container c ON c.id = w.container_id CROSS JOIN engine e ON e.id = c.engine_id CROSS JOIN host h ON h.id = e.host_id
           CROSS JOIN log_entry g ON g.id BETWEEN iif(:first IS NULL, w.first_entry, max(w.first_entry, CAST(:first AS INTEGER))) AND iif(:last IS NULL, w.last_entry, min(w.last_entry, CAST(:last AS INTEGER)))
           LEFT JOIN log_attrs a ON a.id = g.attrs_id
     WHERE :since IS NULL AND :until IS NULL AND c.id IN (SELECT container_id FROM container_ref WHERE ref = :container)
       AND (:stream IS NULL OR g.stream = :stream) AND (:like IS NULL OR g.line LIKE :like)
     ORDER BY w.id, g.id)
  )
   WHERE (:match IS NULL OR trim(:match) = ''
        OR EXISTS (SELECT 1 FROM lead l
                    WHERE line LIKE l.loose ESCAPE '\'
                      AND NOT EXISTS (SELECT 1 FROM term t
                                       WHERE t.alternative = l.alternative
                                         AND (line LIKE t.pattern ESCAPE '\'
                                              OR line LIKE t.loose ESCAPE '\' AND (line LIKE '%' || char(27) || '%' OR instr(CAST(line AS BLOB), x'c2')) AND (
                                                -- The line without escape sequences: ESC [ ... to a letter; ESC ] ... to a BEL, a ST (ESC \) or another ESC, and ESC P, X, ^ and _ ... to
                                                -- the latter two; else ESC and a character. An ESC within one begins anew. What is one character in the 8-bit form (x'c2..') is two here.
                                                WITH RECURSIVE plain (text, rest) AS (
                                                  SELECT '', iif(instr(CAST(line AS BLOB), x'c2'), replace(replace(replace(replace(replace(replace(replace(line,
                                                             char(155), char(27) || '['), char(157), char(27) || ']'), char(144), char(27) || 'P'), char(152), char(27) || 'X'),
                                                             char(158), char(27) || '^'), char(159), char(27) || '_'), char(156), char(27) || '\'), line)
                                                  UNION ALL
                                                  SELECT text || substr(rest, 1, instr(rest, char(27)) - 1), CASE substr(rest, instr(rest, char(27)) + 1, 1)
                                                           WHEN '[' THEN (SELECT substr(last, 1 + (substr(last, 1, 1) <> char(27)))
                                                                            FROM (SELECT ltrim(ltrim(substr(rest, instr(rest, char(27)) + 2), '0123456789:;<=>?'), ' !"#$%&''()*+,-./') AS last))
                                                           WHEN ']' THEN substr(rest, instr(rest, char(27)) + min(instr(substr(rest, instr(rest, char(27)) + 1) || char(7), char(7)) + 1, instr(substr(rest, instr(rest, char(27)) + 1) || char(27), char(27))))
                                                           WHEN 'P' THEN substr(rest, instr(rest, char(27)) + instr(substr(rest, instr(rest, char(27)) + 1) || char(27), char(27)))
                                                           WHEN 'X' THEN substr(rest, instr(rest, char(27)) + instr(substr(rest, instr(rest, char(27)) + 1) || char(27), char(27)))
                                                           WHEN '^' THEN substr(rest, instr(rest, char(27)) + instr(substr(rest, instr(rest, char(27)) + 1) || char(27), char(27)))
                                                           WHEN '_' THEN substr(rest, instr(rest, char(27)) + instr(substr(rest, instr(rest, char(27)) + 1) || char(27), char(27)))
                                                           ELSE (SELECT substr(last, 1 + (substr(last, 1, 1) <> char(27)))
                                                                   FROM (SELECT ltrim(substr(rest, instr(rest, char(27)) + 1), ' !"#$%&''()*+,-./') AS last)) END
                                                    FROM plain WHERE instr(rest, char(27)))
                                                SELECT text || rest FROM plain WHERE NOT instr(rest, char(27))) LIKE t.pattern ESCAPE '\')
                                             = t.negated)))
   UNION ALL
  -- All, as the index has them.
  SELECT * FROM (
  SELECT g.ts_listed, g.ts, g.ts_near, c.name, g.stream, g.partial, g.line, a.json, h.name, g.id
    FROM log_entry g CROSS JOIN log_file w ON w.id = g.log_file_id CROSS JOIN container c ON c.id = w.container_id
         CROSS JOIN engine e ON e.id = c.engine_id CROSS JOIN host h ON h.id = e.host_id LEFT JOIN log_attrs a ON a.id = g.attrs_id
   WHERE :since IS NULL AND :until IS NULL AND trim(coalesce(:match, '')) = '' AND :like IS NULL AND :container IS NULL AND :first IS NULL AND :last IS NULL
     AND (:stream IS NULL OR g.stream = :stream)
   ORDER BY g.ts_listed, g.id)) found;
