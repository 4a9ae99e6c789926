//! One test a fault that somebody reported, where it is of no subject that has tests of its own.

use crate::support::made::{Host, config};
use crate::support::{dof, ingest, one, open, rows, str_of};
use std::collections::BTreeSet;
use std::fs;

#[test]
fn a_torn_entry_does_not_cost_the_one_behind_it_and_both_are_found() {
    let host = Host::new();
    let id = host.container('a', config("a"));
    host.log(&id, "{\"log\":\"POST /evil{\"log\":\"next\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:01Z\"}\n");
    let (_dir, case) = ingest(&host.mount(), 1);
    let lines = dof([
        "query",
        "logs",
        "--case",
        case.to_str().unwrap(),
        "--format",
        "csv",
    ])
    .with(0)
    .out;
    assert!(
        lines.contains("POST /evil") && lines.contains("stdout,0,next"),
        "{lines}"
    );
    let found = dof([
        "query",
        "logs",
        "--case",
        case.to_str().unwrap(),
        "--like",
        "%evil%",
        "--format",
        "jsonl",
    ])
    .with(0)
    .out;
    assert_eq!(found.lines().count(), 1, "{found}");
}

/// A container whose log holds the lines 1, 2, ... at these offsets, and holes between them.
fn log_with_holes(offsets: &[u64]) -> (Host, fs::File) {
    use std::os::unix::fs::FileExt;
    let host = Host::new();
    let id = host.container('a', config("a"));
    host.log(&id, String::new());
    let path = host.root().join(format!("containers/{id}/{id}-json.log"));
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for (i, &at) in offsets.iter().enumerate() {
        let n = i + 1;
        let line = format!(
            "{{\"log\":\"{n}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:0{n}Z\"}}\n"
        );
        file.write_all_at(line.as_bytes(), at).unwrap();
    }
    (host, file)
}

/// A hole smaller than what is read at once: no line is read twice, from before it and from behind it.
#[test]
fn a_small_hole_in_a_log_doubles_nothing() {
    let (host, _file) = log_with_holes(&[0, 1 << 20, 2 << 20]);
    let (_dir, case) = ingest(&host.mount(), 1);
    let db = open(&case);
    let lines = "SELECT group_concat(line) FROM (SELECT * FROM log_entry ORDER BY id)";
    assert_eq!(one::<String>(&db, lines), "1,2,3");
}

/// A log that is sparse to a terabyte: what was written is read, and the rest takes no time.
#[test]
fn a_sparse_log_is_read_where_it_was_written() {
    let (host, file) = log_with_holes(&[0, 1 << 30, 1 << 40]);
    file.set_len(2 << 40).unwrap();
    let (_dir, case) = ingest(&host.mount(), 1);
    let db = open(&case);
    assert_eq!(
        one::<String>(
            &db,
            "SELECT group_concat(line) FROM (SELECT * FROM log_entry ORDER BY id)"
        ),
        "1,2,3"
    );
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM problem WHERE what LIKE '%never written%'"
        ),
        1
    );
}

/// No bound is one too: what stands at the very last nanosecond there is, is in every window that has no end.
#[test]
fn the_last_nanosecond() {
    let host = Host::new();
    let id = host.container('a', config("x"));
    let entry = |line: &str, time: &str| {
        format!("{{\"log\":\"{line}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
    };
    let (last, before) = (
        "2262-04-11T23:47:16.854775807Z",
        "2262-04-11T23:47:16.854775806Z",
    );
    host.log(&id, entry("last", last) + &entry("before", before));
    let (_dir, case) = ingest(&host.mount(), 0);
    for (words, want) in [
        (vec![], 2),
        (vec!["--since", "2020-01-01"], 2),
        (vec!["--since", before], 2),
        (vec!["--since", last], 1),
        (vec!["--until", last], 1),
        (vec!["--until", before], 0),
    ] {
        assert_eq!(
            rows(&case, &[&["logs"], &words[..]].concat()).len(),
            want,
            "logs {words:?}"
        );
        let with = |query: &'static str| [&[query, "--kind", "log"][..], &words].concat();
        assert_eq!(
            rows(&case, &with("timeline")).len(),
            want,
            "timeline {words:?}"
        );
        let moments = rows(&case, &with("activity"));
        let moments: i64 = moments.iter().filter_map(|r| r["moments"].as_i64()).sum();
        assert_eq!(moments, want as i64, "activity {words:?}");
    }
}

/// A link of one container's leads to what that one has mounted, not to the same in others.
#[test]
fn a_link_to_a_mount_is_its_containers() {
    let host = Host::of("overlay2");
    host.write("srv/v/f", "");
    for (name, at) in [("a", "/data"), ("b", "/data"), ("c", "/other")] {
        let own = host.layer(name);
        fs::create_dir_all(&own).unwrap();
        if name == "a" {
            std::os::unix::fs::symlink("/data", own.join("link")).unwrap();
        }
        host.stack(name, &[name.into()]);
        host.bind(name, &[("/srv/v".into(), at.into())]);
    }
    let (_dir, case) = ingest(host.dir.path(), 0);
    let seen = |path: &str| -> BTreeSet<(String, String)> {
        rows(&case, &["whose", "--path", path])
            .iter()
            .map(|r| (str_of(r, "container"), str_of(r, "path")))
            .collect()
    };
    let at = |container: &str, path: &str| (container.to_owned(), path.to_owned());
    assert_eq!(seen("/link/f"), [at("a", "/data/f")].into());
    // Asked for where it is, it is everybody's who has it, wherever that is.
    let all = [at("a", "/data/f"), at("b", "/data/f"), at("c", "/other/f")];
    assert_eq!(seen("/data/f"), all.into());
}
