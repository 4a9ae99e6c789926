-- Which image layers and images are not as they were shipped?
-- Rows of the last `dof verify`: one a difference, and one without a path for what has none. outcome is that of the whole layer or image.
-- An image is as shipped when its config and all its layers are. One that is named or used and has no config any more has a row as well.
-- :outcome    as shipped | changed | cannot be verified; all when unset
-- :image      repository:tag, digest, id or a prefix of the id; all when unset
-- Example: dof query verify --outcome changed
SELECT iif(v.layer_id IS NULL, 'image', 'layer') AS subject, coalesce(l.chain_id, m.full_id, f.shipped) AS id,
       iif(v.layer_id IS NULL,
           (SELECT group_concat(reference, ', ') FROM (
              SELECT r.reference FROM image_reference r JOIN engine g ON g.id = r.engine_id
               WHERE r.image_id = v.image_id OR v.image_id IS NULL AND g.host_id = v.host_id AND r.image_full_id = f.shipped ORDER BY r.digest IS NOT NULL, 1)),
           (SELECT group_concat(name, ', ') FROM (
              SELECT iif(n <= 4, name, '+' || (total - 4) || ' more') AS name FROM (
                SELECT name, row_number() OVER (ORDER BY name LIKE 'sha256:%', name) AS n, count(*) OVER () AS total FROM (
                  SELECT DISTINCT coalesce((SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id AND r.tag IS NOT NULL),
                                           (SELECT min(r.reference) FROM image_reference r WHERE r.image_id = i.id), substr(i.full_id, 1, 19)) AS name
                    FROM image_layer il JOIN image i ON i.id = il.image_id WHERE il.layer_id = v.layer_id))
               WHERE n <= 5 ORDER BY n))) AS images,
       v.outcome, f.change, '/' || f.path AS path, f.attribute, f.shipped, f.found, v.note, v.full, v.entries, v.bytes, l.host_path, h.name AS host
  FROM verification v LEFT JOIN verification_finding f ON f.verification_id = v.id
  LEFT JOIN layer l ON l.id = v.layer_id LEFT JOIN image m ON m.id = v.image_id JOIN host h ON h.id = v.host_id
 WHERE (:outcome IS NULL OR v.outcome = :outcome)
   AND (:image IS NULL OR v.image_id IN (SELECT i.id FROM image i WHERE :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
          OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest')))
        OR v.layer_id IN (SELECT il.layer_id FROM image i JOIN image_layer il ON il.image_id = i.id WHERE :image = i.full_id OR substr(i.full_id, 8, length(:image)) = :image
          OR EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference = :image OR r.reference = :image || ':latest'))))
 ORDER BY v.id, f.id;
