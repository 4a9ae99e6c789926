-- Takes a host out of the case again, before a new ingest of it puts its rows back. :host is its
-- id.

DELETE FROM log_entry WHERE id IN (
       SELECT g.id FROM log_file w JOIN container c ON c.id = w.container_id
              JOIN engine e ON e.id = c.engine_id
              CROSS JOIN log_entry g ON g.id BETWEEN w.first_entry AND w.last_entry
        WHERE e.host_id = :host);
DELETE FROM log_file WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM log_attrs WHERE id NOT IN (SELECT attrs_id FROM log_entry WHERE attrs_id IS NOT NULL);
DELETE FROM event WHERE file_id IN (
       SELECT f.id FROM tree t JOIN directory d ON d.tree_id = t.id
              CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
        WHERE t.host_id = :host);
DELETE FROM file_hash WHERE file_id IN (
       SELECT f.id FROM tree t JOIN directory d ON d.tree_id = t.id
              CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
        WHERE t.host_id = :host);
DELETE FROM file_xattr WHERE file_id IN (
       SELECT f.id FROM tree t JOIN directory d ON d.tree_id = t.id
              CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
        WHERE t.host_id = :host);
DELETE FROM file WHERE id IN (
       SELECT f.id FROM tree t JOIN directory d ON d.tree_id = t.id
              CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
        WHERE t.host_id = :host);
DELETE FROM directory WHERE tree_id IN (SELECT id FROM tree WHERE host_id = :host);
DELETE FROM tree_container WHERE tree_id IN (SELECT id FROM tree WHERE host_id = :host);
DELETE FROM tree_nesting WHERE outer_id IN (SELECT id FROM tree WHERE host_id = :host);
DELETE FROM hides WHERE stack_id IN (
       SELECT s.id FROM stack s JOIN tree t ON t.id = s.tree_id WHERE t.host_id = :host);
DELETE FROM hides_below WHERE stack_id IN (
       SELECT s.id FROM stack s JOIN tree t ON t.id = s.tree_id WHERE t.host_id = :host);
DELETE FROM metacopy WHERE stack_id IN (
       SELECT s.id FROM stack s JOIN tree t ON t.id = s.tree_id WHERE t.host_id = :host);
DELETE FROM moved WHERE stack_id IN (
       SELECT s.id FROM stack s JOIN tree t ON t.id = s.tree_id WHERE t.host_id = :host);
DELETE FROM container_stack WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM image_stack WHERE image_id IN (
       SELECT i.id FROM image i JOIN engine e ON e.id = i.engine_id WHERE e.host_id = :host);
DELETE FROM stack WHERE tree_id IN (SELECT id FROM tree WHERE host_id = :host);
DELETE FROM tree_place WHERE tree_id IN (SELECT id FROM tree WHERE host_id = :host);
DELETE FROM file_change WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM mount_place WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM tree_label WHERE tree_id IN (SELECT id FROM tree WHERE host_id = :host);
DELETE FROM container_layer WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM container_before WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM container_env WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM container_label WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM container_port WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM container_mount WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM container_network WHERE container_id IN (
       SELECT c.id FROM container c JOIN engine e ON e.id = c.engine_id WHERE e.host_id = :host);
DELETE FROM image_history WHERE image_id IN (
       SELECT i.id FROM image i JOIN engine e ON e.id = i.engine_id WHERE e.host_id = :host);
DELETE FROM image_layer WHERE image_id IN (
       SELECT i.id FROM image i JOIN engine e ON e.id = i.engine_id WHERE e.host_id = :host);
DELETE FROM image_reference WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM container WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM image WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM layer WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM volume WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM tree WHERE host_id = :host;
DELETE FROM image_store WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM trace WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM network WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM swarm_node WHERE engine_id IN (SELECT id FROM engine WHERE host_id = :host);
DELETE FROM engine WHERE host_id = :host;
DELETE FROM source WHERE host_id = :host;
DELETE FROM problem WHERE host_id = :host;
DELETE FROM host WHERE id = :host;
