-- What the lists of containers show of a container's mounts and commands.

-- What is mounted in a container, as its record says. device is what a volume's own options mount
-- in its place: a directory of the host (a bind), a share, a block device. files counts those that
-- were ingested, without those of trees that lie within (tree_nesting).
CREATE VIEW container_mount_text AS
SELECT m.id AS mount_id, m.container_id AS container_id, coalesce(c.name, c.full_id) AS container,
       m.kind AS kind, m.name AS name, m.source AS source,
       (SELECT v.device FROM volume_text v WHERE v.volume_id = m.volume_id) AS device,
       m.destination AS destination, m.driver AS driver, m.mode AS mode, m.rw AS rw,
       m.propagation AS propagation, m.tree_id AS tree_id,
       (SELECT count(*) FROM tree_file f WHERE f.tree_id = m.tree_id AND f.name <> '') AS files,
       (SELECT e.host FROM engine_host e WHERE e.engine_id = c.engine_id) AS host
  FROM container_mount m CROSS JOIN container c ON c.id = m.container_id;

-- Machinery: a container's mounts as a sentence each, in a JSON array.
CREATE VIEW container_mount_list AS
SELECT c.id AS container_id,
       (SELECT json_group_array(says) FROM (
          SELECT CASE m.kind WHEN 'bind' THEN 'Host folder ''' || coalesce(m.source, '') || ''''
                             WHEN 'tmpfs' THEN 'Temporary file system'
                             ELSE 'Volume ''' || coalesce(m.name, '') || ''''
                                  || coalesce(' (' || nullif(place, '') || ')', '') END
                 || ' mounted in Container at ''' || m.destination || ''''
                 || iif(m.rw = 0, ' read-only', '') AS says
            FROM (SELECT x.*, coalesce(x.source, '')
                         || coalesce(iif(x.source <> '', ', ', '') || 'device ' || x.device, '')
                         AS place
                    FROM container_mount_text x WHERE x.container_id = c.id
                   ORDER BY x.destination, x.mount_id) m)) AS mounts
  FROM container c;

-- Machinery: a container's entrypoint and command, written as Python writes a list of
-- strings: so the classic toolkit printed them.
CREATE VIEW container_command_list AS
SELECT x.container_id AS container_id, x.what AS what,
       iif(x.words IS NULL, 'None', '[' || (
         SELECT coalesce(group_concat(CASE WHEN instr(word, '''') AND NOT instr(word, '"')
                                           THEN '"' || escaped || '"'
                                           ELSE '''' || replace(escaped, '''', '\''') || '''' END,
                                      ', '), '')
           FROM (SELECT w.value AS word,
                        replace(replace(replace(replace(w.value, '\', '\\'), char(10), '\n'),
                                        char(13), '\r'), char(9), '\t') AS escaped
                   FROM json_each(x.words) w)) || ']') AS text
  FROM (SELECT c.id AS container_id, k.what AS what,
               iif(k.what = 'cmd', c.cmd, c.entrypoint) AS words
          FROM (SELECT 'entrypoint' AS what UNION ALL SELECT 'cmd') k CROSS JOIN container c) x;
