-- What could not be read or parsed?
-- Example: dof query problems
SELECT p.severity, p.path, p.offset, p.what, p.kept, h.name AS host
  FROM problem p JOIN host h ON h.id = p.host_id
 ORDER BY p.id;
