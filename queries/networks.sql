-- Which networks were there, and which containers were attached with which address?
-- :container  name or id; all networks when unset
-- Example: dof query networks
SELECT n.network, n.full_id AS id, n.driver, n.scope, n.internal, n.ipam, n.created,
       c.name AS container, a.ip_address, a.ip_prefix_len, a.gateway, a.ipv6_address,
       a.mac_address, a.aliases, c.status, n.host
  FROM network_text n
       LEFT JOIN (container_network a JOIN container c ON c.id = a.container_id)
              ON a.network_full_id = n.full_id AND c.engine_id = n.engine_id
 WHERE :container IS NULL
    OR c.id IN (SELECT container_id FROM container_ref WHERE ref = :container)
 ORDER BY n.network, n.full_id, n.network_id, c.name, c.full_id;
