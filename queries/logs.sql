-- What did the containers write to their logs?
-- Entries that could not be read have no time; they come first, unless a time is asked for.
-- What :match looks for: words and "phrases", all of which must be there, anywhere in the line, within longer words and behind colour
-- sequences too, ASCII letters of either case. OR between such groups, NOT before a word; AND and a * behind a word change nothing.
-- There is no index to be made or to miss anything: lines are read as they stand, a million in some tenths of a second.
-- :container  name, id or unique prefix of the id; all when unset
-- :since      ISO 8601, UTC; no lower bound when unset
-- :until      ISO 8601, UTC, exclusive; no upper bound when unset
-- :stream     stdout | stderr; both when unset
-- :match      words to find, e.g. xmrig OR stratum; all when unset
-- :like       an SQL LIKE pattern on the line, e.g. %wget%; all when unset
-- Example: dof query logs --match xmrig
WITH RECURSIVE
token (n, text, quoted, rest) AS (
  SELECT 0, '', 0, ltrim(replace(replace(:match, char(9), ' '), char(10), ' ')) WHERE :match IS NOT NULL
  UNION ALL
  SELECT n + 1,
         iif(substr(rest, 1, 1) = '"', substr(rest, 2, instr(substr(rest, 2) || '"', '"') - 1), rtrim(substr(rest, 1, instr(rest || ' ', ' ') - 1), '*')),
         substr(rest, 1, 1) = '"',
         ltrim(iif(substr(rest, 1, 1) = '"', substr(rest, instr(substr(rest, 2) || '"', '"') + 2), substr(rest, instr(rest || ' ', ' ') + 1)))
    FROM token WHERE rest <> ''),
-- The groups between ORs, numbered from 0, and what each wants of a line.
term (alternative, pattern, negated) AS MATERIALIZED (
  SELECT (SELECT count(*) FROM token o WHERE o.n < t.n AND o.text = 'OR' AND NOT o.quoted),
         '%' || replace(replace(replace(t.text, '\', '\\'), '%', '\%'), '_', '\_') || '%',
         EXISTS (SELECT 1 FROM token p WHERE p.n = t.n - 1 AND p.text = 'NOT' AND NOT p.quoted)
    FROM token t WHERE t.text <> '' AND (t.quoted OR t.text NOT IN ('AND', 'OR', 'NOT'))),
-- One pattern a group that it cannot do without, the longest: four of them are tried on each line before anything else.
lead (alternative, pattern) AS MATERIALIZED (
  SELECT alternative, coalesce(max(iif(negated, NULL, printf('%09d', length(pattern)) || pattern)), '000000001%') FROM term GROUP BY alternative),
first (a, b, c, d) AS MATERIALIZED (
  SELECT iif((SELECT count(*) FROM lead) > 4, '%', (SELECT substr(pattern, 10) FROM lead ORDER BY alternative LIMIT 1)),
         (SELECT substr(pattern, 10) FROM lead ORDER BY alternative LIMIT 1 OFFSET 1), (SELECT substr(pattern, 10) FROM lead ORDER BY alternative LIMIT 1 OFFSET 2),
         (SELECT substr(pattern, 10) FROM lead ORDER BY alternative LIMIT 1 OFFSET 3))
SELECT strftime('%Y-%m-%dT%H:%M:%S', entry.ts / 1000000000 - (entry.ts % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', (entry.ts % 1000000000 + 1000000000) % 1000000000) AS time, c.name AS container, entry.stream, entry.partial, entry.line, a.json AS attrs, h.name AS host
  FROM (SELECT * FROM log_entry
         WHERE ts >= iif(:since IS NULL, -9223372036854775807, (strftime('%s', iif(instr(:since, '.'), substr(:since, 1, instr(:since, '.') - 1) || ltrim(substr(:since, instr(:since, '.') + 1), '0123456789'), :since)) * 1000000000 + iif(instr(:since, '.'), CAST(round(CAST('0.' || substr(:since, instr(:since, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0)))
           AND ts < iif(:until IS NULL, 9223372036854775807, (strftime('%s', iif(instr(:until, '.'), substr(:until, 1, instr(:until, '.') - 1) || ltrim(substr(:until, instr(:until, '.') + 1), '0123456789'), :until)) * 1000000000 + iif(instr(:until, '.'), CAST(round(CAST('0.' || substr(:until, instr(:until, '.') + 1) AS REAL) * 1e9) AS INTEGER), 0)))
           AND (:since IS NOT NULL OR :until IS NOT NULL OR :match IS NULL AND :like IS NULL)
        UNION ALL
        SELECT * FROM log_entry WHERE ts IS NULL AND :since IS NULL AND :until IS NULL AND :match IS NULL AND :like IS NULL
        UNION ALL
        -- Text without a time: all lines, in the order they stand in.
        SELECT whole.* FROM log_entry whole NOT INDEXED CROSS JOIN first need
         WHERE :since IS NULL AND :until IS NULL AND (:match IS NOT NULL OR :like IS NOT NULL)
           AND (:match IS NULL OR whole.line LIKE need.a ESCAPE '\' OR need.b IS NOT NULL AND (whole.line LIKE need.b ESCAPE '\'
                OR need.c IS NOT NULL AND (whole.line LIKE need.c ESCAPE '\' OR need.d IS NOT NULL AND whole.line LIKE need.d ESCAPE '\')))
           AND (:like IS NULL OR whole.line LIKE :like)) entry
  CROSS JOIN log_file lf ON lf.id = entry.log_file_id CROSS JOIN container c ON c.id = lf.container_id
  LEFT JOIN log_attrs a ON a.id = entry.attrs_id CROSS JOIN engine e ON e.id = c.engine_id CROSS JOIN host h ON h.id = e.host_id
 WHERE (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container)
   AND (:stream IS NULL OR entry.stream = :stream) AND (:like IS NULL OR entry.line LIKE :like)
   AND (:match IS NULL
        OR EXISTS (SELECT 1 FROM lead l
                    WHERE NOT EXISTS (SELECT 1 FROM term t WHERE t.alternative = l.alternative AND (entry.line LIKE t.pattern ESCAPE '\') = t.negated)))
 ORDER BY entry.ts, entry.id;
