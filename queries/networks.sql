-- Which networks were there, and which containers were attached with which address?
-- :container  name, id or unique prefix of the id; all networks when unset
-- Example: dof query networks
SELECT n.name AS network, n.full_id AS id, n.driver, n.scope, n.internal, n.ipam, rtrim(rtrim(strftime('%Y-%m-%dT%H:%M:%S', n.created_at / 1000000000 - (n.created_at % 1000000000 < 0), 'unixepoch') || printf('.%09d', (n.created_at % 1000000000 + 1000000000) % 1000000000), '0'), '.') || 'Z' AS created,
       c.name AS container, cn.ip_address, cn.ip_prefix_len, cn.gateway, cn.ipv6_address, cn.mac_address, cn.aliases, c.status, h.name AS host
  FROM network n JOIN engine g ON g.id = n.engine_id JOIN host h ON h.id = g.host_id
  LEFT JOIN (container_network cn JOIN container c ON c.id = cn.container_id) ON cn.network_full_id = n.full_id AND c.engine_id = n.engine_id
 WHERE :container IS NULL OR (c.id IS NOT NULL AND (:container IS NULL OR :container IN (c.name, '/' || c.name) OR substr(c.full_id, 1, length(:container)) = :container))
 ORDER BY n.name, n.full_id, n.id, c.name, c.full_id;
