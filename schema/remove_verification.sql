-- Takes the results of an earlier `dof verify` of a host out. :host is its id.

DELETE FROM verification_finding
 WHERE verification_id IN (SELECT id FROM verification WHERE host_id = :host);
DELETE FROM verification WHERE host_id = :host;
