-- Views with the names and columns of osquery's docker_* tables, so that queries written for a live
-- host run on a dead disk. As there: times of creation in Unix seconds, layer_order 1 = base, names
-- with their leading slash. What only a live engine knows (statistics, processes) has no view;
-- status says no "ago", for a disk has no now.

CREATE VIEW docker_containers AS
SELECT c.full_id AS id, '/' || c.name AS name, c.image AS image, c.image_full_id AS image_id,
       c.path || coalesce((SELECT ' ' || group_concat(value, ' ') FROM json_each(c.args)), '')
         AS command,
       c.created_ns / 1000000000 AS created, c.status AS state,
       CASE c.status WHEN 'exited' THEN 'Exited (' || coalesce(c.exit_code, '?') || ')'
                     WHEN 'running' THEN 'Up' WHEN 'paused' THEN 'Up (Paused)'
                     WHEN 'restarting' THEN 'Restarting (' || coalesce(c.exit_code, '?') || ')'
                     WHEN 'created' THEN 'Created' WHEN 'dead' THEN 'Dead'
                     WHEN 'removing' THEN 'Removal In Progress' ELSE c.status END AS status,
       coalesce(c.pid, 0) AS pid, c.path AS path,
       (SELECT group_concat(value, ', ') FROM json_each(c.entrypoint)) AS config_entrypoint,
       coalesce(c.started_short, '0001-01-01T00:00:00Z') AS started_at,
       coalesce(c.finished_short, '0001-01-01T00:00:00Z') AS finished_at,
       coalesce(c.privileged, 0) AS privileged,
       (SELECT group_concat(value, ', ') FROM json_each(c.security_opt)) AS security_options,
       (SELECT group_concat(kv, ', ')
          FROM (SELECT e.key || coalesce('=' || e.value, '') AS kv FROM container_env e
                 WHERE e.container_id = c.container_id ORDER BY e.position)) AS env_variables,
       coalesce(c.readonly_rootfs, 0) AS readonly_rootfs
  FROM container_text c;

CREATE VIEW docker_container_mounts AS
SELECT c.full_id AS id, m.kind AS type, coalesce(m.name, '') AS name,
       coalesce(m.source, '') AS source, m.destination AS destination,
       coalesce(m.driver, '') AS driver, coalesce(m.mode, '') AS mode, m.rw AS rw,
       coalesce(m.propagation, '') AS propagation
  FROM container_mount m JOIN container c ON c.id = m.container_id;

CREATE VIEW docker_container_ports AS
SELECT c.full_id AS id, p.protocol AS type, p.port AS port, coalesce(p.host_ip, '') AS host_ip,
       CAST(coalesce(p.host_port, 0) AS INTEGER) AS host_port
  FROM container_port p JOIN container c ON c.id = p.container_id WHERE p.kind = 'active';

CREATE VIEW docker_container_envs AS
SELECT c.full_id AS id, e.key AS key, coalesce(e.value, '') AS value
  FROM container_env e JOIN container c ON c.id = e.container_id;

CREATE VIEW docker_container_labels AS
SELECT c.full_id AS id, l.key AS key, l.value AS value
  FROM container_label l JOIN container c ON c.id = l.container_id;

CREATE VIEW docker_container_networks AS
SELECT c.full_id AS id, n.name AS name, n.network_full_id AS network_id,
       n.endpoint_id AS endpoint_id, n.gateway AS gateway, n.ip_address AS ip_address,
       n.ip_prefix_len AS ip_prefix_len, n.ipv6_gateway AS ipv6_gateway,
       n.ipv6_address AS ipv6_address, n.ipv6_prefix_len AS ipv6_prefix_len,
       n.mac_address AS mac_address
  FROM container_network n JOIN container c ON c.id = n.container_id;

CREATE VIEW docker_images AS
SELECT i.full_id AS id, i.created_ns / 1000000000 AS created, i.size AS size_bytes,
       (SELECT coalesce(group_concat(value, ','), '') FROM json_each(i.tags)) AS tags
  FROM image_text i;

CREATE VIEW docker_image_labels AS
SELECT i.full_id AS id, j.key AS key, j.value AS value FROM image i, json_each(i.labels) j;

-- One row a build step; id is the image's. Tags stand at the newest step.
CREATE VIEW docker_image_history AS
SELECT i.full_id AS id, h.created_ns / 1000000000 AS created, h.size AS size,
       coalesce(h.created_by, '') AS created_by,
       iif(h.position = (SELECT max(position) FROM image_history x WHERE x.image_id = h.image_id),
           (SELECT coalesce(group_concat(value, ','), '') FROM json_each(i.tags)), '') AS tags,
       coalesce(h.comment, '') AS comment
  FROM image_text i JOIN image_history_text h ON h.image_id = i.image_id;

CREATE VIEW docker_image_layers AS
SELECT i.full_id AS id, il.diff_id AS layer_id, il.position AS layer_order
  FROM image i JOIN image_layer il ON il.image_id = i.id;

CREATE VIEW docker_volumes AS
SELECT v.name AS name, v.driver AS driver, coalesce(v.mount_point, '') AS mount_point,
       coalesce(json_extract(v.options, '$.type'), '') AS type
  FROM volume v;

CREATE VIEW docker_volume_labels AS
SELECT v.name AS name, j.key AS key, j.value AS value FROM volume v, json_each(v.labels) j;

CREATE VIEW docker_networks AS
SELECT n.full_id AS id, n.name AS name, n.driver AS driver, n.created_at / 1000000000 AS created,
       coalesce(n.ipv6, 0) AS enable_ipv6, json_extract(n.ipam, '$[0].Subnet') AS subnet,
       json_extract(n.ipam, '$[0].Gateway') AS gateway
  FROM network n;

CREATE VIEW docker_network_labels AS
SELECT n.full_id AS id, j.key AS key, j.value AS value FROM network n, json_each(n.labels) j;
