//! Volumes, binds and tmpfs: where they are mounted and what they hide.

use crate::support::made::Host;
use crate::support::{ingest, open, rows, str_of};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A file of a mount is hidden by what is mounted above it, and by nothing beside it, whose name only begins alike.
#[test]
fn what_hides_a_file_of_a_mount() {
    let host = Host::of("overlay2");
    for path in ["srv/a/sub/f", "srv/a/sub0", "srv/b/g", "srv/c/h"] {
        host.write(path, "");
    }
    fs::create_dir_all(host.layer("own")).unwrap();
    host.stack("c", &["own".into()]);
    let binds = [
        ("/srv/a", "/data"),
        ("/srv/b", "/data/sub"),
        ("/srv/c", "/data0"),
    ];
    host.bind("c", &binds.map(|(from, at)| (from.into(), at.into())));
    let (_dir, case) = ingest(host.dir.path(), 0);
    let hidden: BTreeMap<String, String> = rows(&case, &["container-files", "--container", "c"])
        .iter()
        .filter(|r| !r["hidden_by"].is_null())
        .map(|r| (str_of(r, "path"), str_of(r, "hidden_by")))
        .collect();
    let by = "/data/sub (bind /srv/b)".to_owned();
    let truth = ["/data/sub", "/data/sub/f"].map(|path| (path.to_owned(), by.clone()));
    assert_eq!(hidden, BTreeMap::from(truth));
    let listed: BTreeSet<String> = rows(&case, &["macrobber-volumes", "--container", "c"])
        .iter()
        .map(|r| str_of(r, "path"))
        .collect();
    let truth = [
        "/data",
        "/data/sub (hidden)",
        "/data/sub/f (hidden)",
        "/data/sub0",
        "/data/sub",
        "/data/sub/g",
        "/data0",
        "/data0/h",
    ];
    assert_eq!(listed, truth.map(String::from).into());
}

/// What a query of one column gives.
fn texts(db: &rusqlite::Connection, sql: &str) -> BTreeSet<String> {
    let mut stmt = db.prepare(sql).unwrap();
    let rows = stmt.query_map([], |r| r.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Trees within trees are seen sixteen levels deep; that there are deeper ones is a problem, and only then.
#[test]
fn mounts_within_mounts_have_a_limit() {
    for (levels, code) in [(16, 0), (20, 1)] {
        let host = Host::of("overlay2");
        fs::create_dir_all(host.layer("own")).unwrap();
        let nested: Vec<String> = (1..=levels).map(|n| "/d".repeat(n)).collect();
        fs::create_dir_all(host.dir.path().join(format!("srv{}", nested[levels - 1]))).unwrap();
        for (name, binds) in [("outer", &[String::new()][..]), ("inner", &nested)] {
            host.stack(name, &["own".into()]);
            let binds: Vec<_> = binds
                .iter()
                .map(|below| (format!("/srv{below}"), format!("/{name}{below}")))
                .collect();
            host.bind(name, &binds);
        }
        let (_dir, case) = ingest(host.dir.path(), code);
        let db = open(&case);
        let ours = texts(
            &db,
            "SELECT place FROM mount_place m JOIN container c ON c.id = m.container_id WHERE c.name = 'outer' AND m.kind = 'nested'",
        );
        let truth: BTreeSet<String> = nested[..16].iter().map(|p| format!("/outer{p}")).collect();
        assert_eq!(ours, truth);
        let problems: i64 = db
            .query_row("SELECT count(*) FROM problem WHERE what LIKE 'seen in containers through mounts%' AND path LIKE '/srv/d/d/%'", [], |r| r.get(0))
            .unwrap();
        assert_eq!(problems, i64::from(code));
    }
}

/// Links of the layers on the way to the place of a mount are followed as the topmost layer has them, and never for ever.
#[test]
fn the_places_of_mounts() {
    places_of_mounts(0);
    // Names in large directories are looked up another way when there are many mounts.
    places_of_mounts(2_000);
}

/// With as many further entries in each directory, and three times as many further mounts.
fn places_of_mounts(further: usize) {
    use std::os::unix::fs::symlink;
    let host = Host::of("fuse-overlayfs");
    let (base, own) = (host.layer("base"), host.layer("own"));
    for dir in [base.join("var/lib"), base.join("opt"), own.join("opt")] {
        fs::create_dir_all(dir).unwrap();
    }
    symlink("../run", base.join("var/run")).unwrap();
    symlink("/circle", base.join("circle")).unwrap();
    symlink("/var/run/deep", base.join("chain")).unwrap();
    symlink("/nowhere", base.join("opt/old")).unwrap();
    fs::write(own.join("opt/.wh..wh..opq"), "").unwrap();
    for dir in ["", "var", "opt"] {
        for n in 0..further {
            fs::write(base.join(dir).join(format!("further-{n}")), "").unwrap();
        }
    }
    host.stack("c", &["base".into(), "own".into()]);
    let places = [
        ("/var/run", "/run"),
        ("/var/run/x/", "/run/x"),
        ("/chain/../y", "/run/y"),
        ("/circle/z", "/circle/z"),
        ("/opt/old/w", "/opt/old/w"),
        ("/not/there", "/not/there"),
    ];
    let tmpfs: serde_json::Map<String, Value> = places
        .iter()
        .map(|(p, _)| (*p).to_owned())
        .chain((0..3 * further).map(|n| format!("/further/{n}")))
        .map(|p| (p, "".into()))
        .collect();
    let hostconfig = serde_json::json!({ "Tmpfs": tmpfs }).to_string();
    let id = format!("{:x}", Sha256::digest(b"c"));
    host.write(
        &format!("var/lib/docker/containers/{id}/hostconfig.json"),
        &hostconfig,
    );
    let (_dir, case) = ingest(host.dir.path(), 0);
    let db = open(&case);
    let ours = texts(
        &db,
        "SELECT place FROM mount_place WHERE place NOT GLOB '/further/*'",
    );
    let truth: BTreeSet<String> = places.iter().map(|(_, p)| (*p).to_owned()).collect();
    assert_eq!(ours, truth);
}
