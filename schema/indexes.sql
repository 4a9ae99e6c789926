-- Made after a load, when it is cheapest. What is in a directory or a log file is a run of ids: it needs none.
CREATE INDEX IF NOT EXISTS directory_path ON directory(tree_id, path);
CREATE INDEX IF NOT EXISTS file_hash_sha256 ON file_hash(sha256);
CREATE INDEX IF NOT EXISTS known_hash_sha256 ON known_hash(sha256);
CREATE UNIQUE INDEX IF NOT EXISTS container_full_id ON container(engine_id, full_id);
CREATE INDEX IF NOT EXISTS container_name ON container(name);
CREATE UNIQUE INDEX IF NOT EXISTS image_full_id ON image(engine_id, full_id);
CREATE INDEX IF NOT EXISTS image_reference_image ON image_reference(image_id);
CREATE INDEX IF NOT EXISTS image_layer_layer ON image_layer(layer_id);
CREATE INDEX IF NOT EXISTS container_layer_layer ON container_layer(layer_id);
CREATE INDEX IF NOT EXISTS container_mount_container ON container_mount(container_id);
CREATE INDEX IF NOT EXISTS container_port_container ON container_port(container_id);
CREATE INDEX IF NOT EXISTS log_file_container ON log_file(container_id);
CREATE INDEX IF NOT EXISTS trace_belongs ON trace(kind, belongs);
CREATE INDEX IF NOT EXISTS tree_layer ON tree(layer_id);
CREATE INDEX IF NOT EXISTS tree_container_container ON tree_container(container_id);
CREATE INDEX IF NOT EXISTS mount_place_container ON mount_place(container_id, place);
