//! What engines know of their own disk stands in tables, so that no query has to: held against the disk itself.

use crate::support::{ingest, one, open, sample};
use std::collections::BTreeSet;
use std::fs;

#[test]
fn columns_say_what_is_on_the_disk() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    let all = |sql: &str| -> BTreeSet<String> {
        let mut stmt = db.prepare(sql).unwrap();
        let rows = stmt.query_map([], |r| r.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let at = |path: &str| mount.join(path.trim_start_matches('/'));
    let names = |path: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(at(path)).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let data = "/var/lib/docker";

    assert_eq!(
        all("SELECT driver FROM image_store"),
        names(&format!("{data}/image"))
    );
    for folder in all("SELECT value FROM engine, json_each(folders)") {
        assert!(at(&format!("{data}/{folder}")).is_dir(), "{folder}");
    }
    assert_eq!(
        all("SELECT hex FROM image"),
        names(&format!("{data}/image/overlay2/imagedb/content/sha256"))
    );

    // A layer's link leads to its files; the engine mounts a container's whole file system beside them.
    let linked = all("SELECT link_path || ' ' || host_path FROM layer WHERE host_path IS NOT NULL");
    assert!(linked.len() > 50, "{}", linked.len());
    for pair in linked {
        let (link, files) = pair.split_once(' ').unwrap();
        assert_eq!(
            at(link).canonicalize().unwrap(),
            at(files).canonicalize().unwrap()
        );
    }
    let own = "SELECT count(*) FROM layer WHERE (role = 'container') <> (mount_point IS NOT NULL)
                  OR mount_point <> replace(host_path, '/diff', '/merged')";
    assert_eq!(one::<i64>(&db, own), 0);
    for count in all("SELECT cache_id || ' ' || below FROM layer WHERE below IS NOT NULL") {
        let (id, below) = count.split_once(' ').unwrap();
        let lower = fs::read_to_string(at(&format!("{data}/overlay2/{id}/lower"))).unwrap();
        assert_eq!(lower.split(':').count().to_string(), below, "{id}");
    }

    // Folders say what they hold, and what they hold is in them.
    let folders = all(
        "SELECT name || ' ' || holds || coalesce(' ' || driver, '') FROM trace WHERE kind = 'folder'",
    );
    for want in [
        "containers container",
        "volumes volume",
        "tmp unfinished",
        "overlay2 layer overlay2",
        "overlay2/l link overlay2",
        "image/overlay2/layerdb/mounts mount-record overlay2",
        "image/overlay2/layerdb/sha256 layer-record overlay2",
        "image/overlay2/imagedb/content/sha256 image overlay2",
    ] {
        assert!(folders.contains(want), "{want}: {folders:?}");
    }
    let strays = "SELECT count(*) FROM trace t LEFT JOIN trace f ON f.id = t.folder_id
                   WHERE t.kind <> 'folder' AND t.mtime IS NOT NULL
                     AND (f.holds IS NOT t.kind OR f.driver IS NOT t.driver OR f.host_path || '/' || t.name <> t.host_path)";
    assert_eq!(one::<i64>(&db, strays), 0);
    let entries = all(
        "SELECT t.name FROM trace t JOIN trace f ON f.id = t.folder_id WHERE f.name = 'overlay2/l'",
    );
    assert_eq!(entries, names(&format!("{data}/overlay2/l")));

    // Where a driver keeps the log in files, there is one of each container that ran.
    let logs = "SELECT count(*) FROM container c WHERE c.started_at IS NOT NULL
                   AND c.log_in_files IS NOT EXISTS (SELECT 1 FROM log_file f WHERE f.container_id = c.id AND NOT f.cached)";
    assert_eq!(one::<i64>(&db, logs), 0);
    assert_eq!(
        all("SELECT name FROM network WHERE predefined"),
        ["bridge", "host", "none"].map(String::from).into()
    );
}

/// Of a layer that no record knows, its name and its neighbour's tell what it was.
#[test]
fn unowned_layers_look_like_something() {
    let (_host, mount) = sample();
    let layers = mount.join("var/lib/docker/overlay2");
    for name in ["lost", "lost-init", "alone", "other-init", "moby-detect-1"] {
        fs::create_dir_all(layers.join(name).join("diff")).unwrap();
    }
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    let of = |name: &str| -> (Option<String>, Option<String>) {
        let sql = "SELECT l.looks_like, t.made_by FROM layer l JOIN trace t ON t.kind = 'layer' AND t.name = l.cache_id WHERE l.cache_id = ?";
        db.query_row(sql, [name], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap()
    };
    let text = |s: &str| Some(s.to_owned());
    assert_eq!(of("lost"), (text("container"), None));
    assert_eq!(of("lost-init"), (text("init"), None));
    assert_eq!(of("other-init"), (text("init"), None));
    assert_eq!(of("alone"), (None, None));
    assert_eq!(of("moby-detect-1"), (None, text("trial")));
}
