//! A real engine, asked and then killed: what dof reads from its disk equals what it said, field by field.

use crate::support::engine::Engine;
use crate::support::oracle::ask;
use crate::support::truth::differences;
use crate::support::{Need, dof, has, ingest, one, open, run};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// `docker images --digests`: a row a tag and digest of each repository.
fn images_digests(engine: &Engine) -> BTreeSet<(String, String, String, String)> {
    let format = "{{.Repository}}|{{.Tag}}|{{.Digest}}|{{.ID}}";
    let out = engine
        .docker(&[
            "images",
            "-a",
            "--digests",
            "--no-trunc",
            "--format",
            format,
        ])
        .lines();
    let row = |l: &str| {
        let mut parts = l.split('|').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        (next(), next(), next(), next())
    };
    out.iter().map(|l| row(l)).collect()
}

#[test]
fn a_live_engine_and_its_disk_agree() {
    if !has(&[Need::Engine, Need::Program("getfattr")]) {
        return;
    }
    let mut engine = Engine::start("live").expect("an engine");
    engine.story();
    let truth = ask(&engine);
    let digests = images_digests(&engine);
    let ps = engine
        .docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--format",
            "{{.ID}}|{{.Names}}|{{.Image}}|{{.State}}",
        ])
        .lines();
    engine.kill();
    engine.install_binaries().expect("binaries");

    assert!(
        truth.containers.len() >= 10,
        "at least ten containers: {}",
        truth.containers.len()
    );
    let states: BTreeSet<&str> = truth
        .containers
        .iter()
        .filter_map(|c| c["State"]["Status"].as_str())
        .collect();
    for state in ["running", "paused", "exited", "created"] {
        assert!(states.contains(state), "{state} is among {states:?}");
    }

    let (_dir, case) = ingest(&engine.root(), 0);
    let db = open(&case);
    let found = differences(&db, &truth);
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );

    let sql = "
        WITH named AS (SELECT DISTINCT image_id, repository FROM image_reference WHERE image_id IS NOT NULL)
        SELECT coalesce(n.repository, '<none>'), coalesce(t.tag, '<none>'), coalesce(d.digest, '<none>'), i.full_id
          FROM image i LEFT JOIN named n ON n.image_id = i.id
          LEFT JOIN image_reference t ON t.image_id = i.id AND t.repository = n.repository AND t.tag IS NOT NULL
          LEFT JOIN image_reference d ON d.image_id = i.id AND d.repository = n.repository AND d.digest IS NOT NULL";
    let mut stmt = db.prepare(sql).unwrap();
    let ours: BTreeSet<_> = stmt
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(ours, digests, "docker images --digests");

    // What `docker ps` shows, for all that stand still.
    for line in &ps {
        let parts: Vec<&str> = line.split('|').collect();
        let [id, names, image, state] = parts[..] else {
            panic!("{line}")
        };
        if truth
            .moving
            .contains(&format!("/{}", names.split(',').next().unwrap_or_default()))
        {
            continue;
        }
        let row: (String, String, String) = db
            .query_row(
                "SELECT name, image_name, status FROM container WHERE full_id = ?",
                [id],
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
            )
            .unwrap();
        assert!(names.split(',').any(|n| n == row.0), "{line}: {row:?}");
        assert_eq!(row.2, state, "{line}");
        // A tag that moved on, or is gone, shows as the image's id.
        assert!(
            image == row.1
                || image.len() >= 12
                    && truth.containers.iter().any(|c| c["Id"] == json!(id)
                        && c["Image"]
                            .as_str()
                            .is_some_and(|i| i.contains(image.trim_start_matches("sha256:")))),
            "{line}: {row:?}"
        );
    }

    // The same at a straight command, and nothing lost on the way.
    let listing = dof([Path::new("list-containers"), &engine.root()])
        .with(0)
        .out;
    assert_eq!(listing.matches("    ID: ").count(), truth.containers.len());
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM problem WHERE severity <> 'note'"),
        0
    );

    overlay_marks(&engine, &db);
}

/// Whiteouts and opaque directories, against the raw metadata that other tools show.
fn overlay_marks(engine: &Engine, db: &rusqlite::Connection) {
    let root = engine.root().join("var/lib/docker/overlay2");
    let count = |args: &[&str]| {
        run("find", &[&[root.to_str().unwrap()], args].concat())
            .expect("find")
            .with(0)
            .out
            .lines()
            .count() as i64
    };
    let whiteouts = count(&["-path", "*/diff/*", "-type", "c", "-links", "-9999"]);
    let ours: i64 = one(
        db,
        "SELECT count(*) FROM file f JOIN directory d ON d.id = f.dir_id JOIN tree t ON t.id = d.tree_id WHERE t.kind = 'layer' AND f.mode & 61440 = 8192",
    );
    assert_eq!(ours, whiteouts, "character devices in layers");
    assert!(
        one::<i64>(db, "SELECT count(*) FROM file WHERE overlay = 'whiteout'") > 0,
        "the story deletes files of its image"
    );
    let out = run(
        "getfattr",
        &[
            "-R",
            "-h",
            "-n",
            "trusted.overlay.opaque",
            "--absolute-names",
            root.to_str().unwrap(),
        ],
    )
    .expect("getfattr");
    let opaque = out
        .out
        .lines()
        .filter(|l| l.starts_with("# file: ") && l.contains("/diff"))
        .count() as i64;
    assert_eq!(
        one::<i64>(db, "SELECT count(*) FROM file WHERE overlay = 'opaque'"),
        opaque,
        "opaque directories"
    );
}
