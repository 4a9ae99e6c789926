-- Which images were there, with every name they have?
-- Example: dof query images --format csv
SELECT full_id AS id, tags, digests, created, size, os, architecture, variant, parent, author,
       docker_version, entrypoint, cmd, env, user, working_dir, labels, last_tagged, layers, host
  FROM image_text
 ORDER BY created_ns, full_id, image_id;
