//! The same host gives the same case: whatever the number of threads, whatever else the case holds.

use crate::support::sqlite3::dump;
use crate::support::{Need, dof, folder, has, ingest, one, open, runs_hold, sample};
use std::path::Path;

#[test]
fn the_case_does_not_depend_on_the_number_of_threads() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_host, mount) = sample();
    let dir = folder();
    let mut dumps = Vec::new();
    for jobs in ["1", "2", "7"] {
        let case = dir.path().join(format!("{jobs}.db"));
        dof([
            Path::new("ingest"),
            &mount,
            &case,
            Path::new("--jobs"),
            Path::new(jobs),
        ])
        .with(0);
        dumps.push(dump(&case));
    }
    assert!(dumps[0].len() > 100_000, "there is something in it");
    assert!(
        dumps[0] == dumps[1] && dumps[1] == dumps[2],
        "one thread, two, seven"
    );
}

#[test]
fn the_same_host_again_replaces_its_rows_and_another_is_added() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let counts = |case: &Path| -> Vec<i64> {
        let db = open(case);
        [
            "host",
            "engine",
            "container",
            "image",
            "layer",
            "tree",
            "directory",
            "file",
            "event",
            "log_entry",
            "log_attrs",
            "source",
            "container_env",
            "tree_container",
            "tree_label",
            "network",
            "volume",
            "trace",
        ]
        .iter()
        .map(|t| one(&db, &format!("SELECT count(*) FROM {t}")))
        .collect()
    };
    let first = counts(&case);
    let ran = dof([Path::new("ingest"), &mount, &case]).with(0);
    assert!(ran.err.contains("Replaced"), "{}", ran.err);
    assert_eq!(counts(&case), first, "the same host again");
    // Another host: the same disk of another machine.
    std::fs::write(mount.join("etc/hostname"), "other\n").unwrap();
    dof([Path::new("ingest"), &mount, &case]).with(0);
    let double: Vec<i64> = first.iter().map(|n| n * 2).collect();
    let now = counts(&case);
    assert_eq!(now, double, "twice of everything");
    let db = open(&case);
    let broken: i64 = db
        .prepare("PRAGMA foreign_key_check")
        .unwrap()
        .query_map([], |_| Ok(()))
        .unwrap()
        .count() as i64;
    assert_eq!(broken, 0, "foreign keys hold");
    runs_hold(&db);
    assert_eq!(one::<String>(&db, "PRAGMA integrity_check"), "ok");
    // A container's name is on both hosts now, so it names no one container.
    let name: String = one(&db, "SELECT name FROM container LIMIT 1");
    let ran = dof([
        "query",
        "containers",
        "--case",
        case.to_str().unwrap(),
        "--container",
        &name,
    ]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("may be any of"), "{}", ran.err);
}

/// A command prints the same from a mount and from a case.
#[test]
fn a_mount_and_its_case_answer_alike() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    for command in ["status", "list-containers", "list-images"] {
        for format in [
            None,
            Some("json"),
            Some("jsonl"),
            Some("csv"),
            Some("table"),
        ] {
            let args = |source: &Path| {
                let mut v = vec![command.to_owned(), source.display().to_string()];
                v.extend(
                    format
                        .iter()
                        .flat_map(|f| ["--format".to_owned(), (*f).to_owned()]),
                );
                v
            };
            let (a, b) = (dof(args(&mount)).with(0).out, dof(args(&case)).with(0).out);
            assert!(!a.is_empty());
            assert_eq!(a, b, "{command} {format:?}");
        }
    }
    // From a mount only what concerns the container is read; toolbox and agent see the whole host below /host.
    let mut lines = 0;
    for container in ["web", "toolbox", "agent", "apache", "db", "log-rotated"] {
        for command in [
            "macrobber-container-layer",
            "macrobber-volumes",
            "show-container-log",
            "show-container-config",
        ] {
            let of = |source: &Path| {
                let source = source.to_str().unwrap();
                dof([command, "--container", container, source]).with(0).out
            };
            let (a, b) = (of(&mount), of(&case));
            assert_eq!(a, b, "{command} {container}");
            lines += a.lines().count();
        }
    }
    assert!(lines > 2000, "{lines} lines");
    for command in ["show-image-history", "show-image-config"] {
        let of = |source: &Path| {
            let source = source.to_str().unwrap();
            dof([command, "--image", "shop/web:1.0", source])
                .with(0)
                .out
        };
        assert_eq!(of(&mount), of(&case), "{command}");
    }
}

#[test]
fn a_case_is_sealed_and_says_how_it_was_made() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let db = open(&case);
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM host WHERE ingest_end >= ingest_start AND dof_version <> ''"
        ),
        1
    );
    assert!(one::<String>(&db, "SELECT arguments FROM host").contains("ingest"));
    assert_eq!(
        one::<i64>(&db, "PRAGMA application_id"),
        i64::from(dof::case::APPLICATION_ID)
    );
    let broken = db
        .prepare("PRAGMA foreign_key_check")
        .unwrap()
        .query_map([], |_| Ok(()))
        .unwrap()
        .count();
    assert_eq!(broken, 0);
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["case.db"], "no temporary file is left");
}
