//! The timeline by other means: mactime's own text over our body file, and counts and filters made by hand from its rows.

use crate::support::mactime::mactime;
use crate::support::{Need, dof, dof_command, has, ingest, one, open, rows, run, sample};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A query's output, byte for byte.
fn query(case: &Path, words: &[&str]) -> Vec<u8> {
    let out = dof_command()
        .arg("query")
        .args(words)
        .arg("--case")
        .arg(case)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words:?}: {said}");
    out.stdout
}

/// Whether our text equals mactime's over the body file of the same words. Gives the number of lines.
#[track_caller]
fn same(case: &Path, words: &[&str], dates: &[&str]) -> usize {
    let body = query(case, &[words, &["--format", "bodyfile"]].concat());
    let mut lines = 0;
    for (format, flags) in [("mactime", &[][..]), ("mactime-csv", &["-d"][..])] {
        let ours = query(case, &[words, &["--format", format]].concat());
        let theirs = mactime(&body, &[flags, dates].concat());
        let split = |text: &[u8]| -> Vec<String> {
            let line = |l: &[u8]| String::from_utf8_lossy(l).into_owned();
            text.split(|&b| b == b'\n').map(line).collect()
        };
        if ours != theirs {
            let (ours, theirs) = (split(&ours), split(&theirs));
            let at = ours.iter().zip(&theirs).position(|(a, b)| a != b);
            let at = at.unwrap_or(ours.len().min(theirs.len()));
            panic!(
                "{words:?} {format}: line {at} of {} and {}:\nours   {:?}\ntheirs {:?}",
                ours.len(),
                theirs.len(),
                ours.get(at),
                theirs.get(at)
            );
        }
        lines = split(&ours).len() - 1;
    }
    lines
}

#[test]
fn the_text_of_mactime_is_mactimes_own() {
    if !has(&[Need::Program("mactime")]) {
        return;
    }
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    let names = [
        &b"a|b"[..],
        b"a%41",
        b"%7C",
        b"say \"hi\"",
        b"new\nline",
        b"new\\x0aline", // what the one above is shown as
        b"caf\xe9",
        b"#hash",
        b" blank ",
        b"comma,12,x",
    ];
    for name in names {
        std::fs::write(volume.join(std::ffi::OsStr::from_bytes(name)), b"x").unwrap();
    }
    // At 0 to the second, half a second before, and in the far future.
    for (name, when) in [("zero", 0), ("before", -1), ("late", 9_000_000_000i64)] {
        let path = volume.join(name);
        std::fs::write(&path, b"x").unwrap();
        let stamp = format!("@{when}.5");
        run("touch", &["-d", &stamp, path.to_str().unwrap()])
            .expect("touch")
            .with(0);
    }
    std::os::unix::fs::symlink("/etc/pass|wd", volume.join("link")).unwrap();
    let (_dir, case) = ingest(&mount, 0);
    // What another file system would give: inodes of one digit to many in a second, no birth, and hardly a time at all.
    let db = rusqlite::Connection::open(&case).unwrap();
    db.execute(
        "UPDATE file SET inode = id, mtime = 1700000000000000000 WHERE id % 2 = 0",
        [],
    )
    .unwrap();
    db.execute("UPDATE file SET crtime = NULL WHERE id % 3 = 0", [])
        .unwrap();
    db.execute(
        "UPDATE file SET atime = 5, mtime = 0, ctime = 0, crtime = NULL WHERE id % 50 = 0",
        [],
    )
    .unwrap();
    drop(db);
    assert!(same(&case, &["timeline"], &[]) > 2000);
    assert!(same(&case, &["bodyfile"], &[]) > 2000);
    assert!(same(&case, &["macrobber-volumes"], &[]) > 10);
    let window = ["--since", "2019-05-01", "--until", "2026-11-24T02:41:51"];
    let n = same(
        &case,
        &[&["timeline"], &window[..]].concat(),
        &["2019-05-01..2026-11-24T02:41:51"],
    );
    assert!(n > 3, "{n}");
    let n = same(
        &case,
        &["timeline", "--path", "/var/www/*", "--since", "2019-05-01"],
        &["2019-05-01"],
    );
    assert!(n > 10, "{n}");
    let none = ["timeline", "--since", "2019-05-01", "--until", "2019-05-02"];
    assert!(same(&case, &none, &["2019-05-01..2019-05-02"]) <= 1);
}

/// Whole recorded hosts.
#[test]
fn mactime_over_recorded_hosts() {
    if !has(&[Need::Program("mactime"), Need::Evidence]) {
        return;
    }
    for name in [
        "apache-mysql-docker20-overlay2",
        "logs-docker26-drivers",
        "rootless-docker26",
        "swarm-docker26",
        "vfs-docker20",
    ] {
        let (dir, _) = crate::support::oracle::recorded(name);
        let (_dir, case) = ingest(dir.path(), 0);
        let lines = same(&case, &["timeline"], &[]);
        let files: i64 = crate::support::one(&open(&case), "SELECT count(*) FROM file");
        assert!(lines as i64 > files / 2, "{name}: {lines} of {files} files");
    }
}

/// Counts made of the timeline's own rows.
#[test]
fn activity_counts_the_timeline() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    for (by, digits) in [("minute", 16), ("hour", 13), ("day", 10)] {
        for bounds in [
            &[][..],
            &["--container", "apache"],
            &[
                "--since",
                "2019-05-27T14:12",
                "--until",
                "2026-11-24T02:41:52",
            ],
            &["--path", "/tmp/*"],
            &["--kind", "log"],
            &["--image", "shop/web:patched"],
            &["--image", "shop/web:1.0", "--container", "web"],
            &["--image", "shop/web:patched", "--path", "/tmp/*"],
        ] {
            // period, kind, container: rows, flags, first, last.
            type Key = (String, String, Option<String>);
            let mut want: BTreeMap<Key, (i64, [i64; 4], String, String)> = BTreeMap::new();
            for row in rows(&case, &[&["timeline"], bounds].concat()) {
                let text = |c: &str| row[c].as_str().map(str::to_owned);
                let time = text("time").unwrap();
                let key = (
                    time[..digits].to_owned(),
                    text("kind").unwrap(),
                    text("container"),
                );
                let entry = want
                    .entry(key)
                    .or_insert((0, [0; 4], time.clone(), time.clone()));
                entry.0 += 1;
                for (n, letter) in entry.1.iter_mut().zip(['m', 'a', 'c', 'b']) {
                    *n += i64::from(text("macb").unwrap().contains(letter));
                }
                entry.3 = time;
            }
            let mut got = BTreeMap::new();
            for row in rows(&case, &[&["activity", "--by", by], bounds].concat()) {
                let text = |c: &str| row[c].as_str().map(str::to_owned);
                let key = (
                    text("period").unwrap()[..digits].to_owned(),
                    text("kind").unwrap(),
                    text("container"),
                );
                let flags =
                    ["modified", "accessed", "changed", "born"].map(|c| row[c].as_i64().unwrap());
                let value = (
                    row["moments"].as_i64().unwrap(),
                    flags,
                    text("first").unwrap(),
                    text("last").unwrap(),
                );
                assert!(got.insert(key, value).is_none(), "one row a group");
            }
            assert!(!want.is_empty());
            assert_eq!(got, want, "{by} {bounds:?}");
        }
    }
    // Groups: all of a period in one row, or a row a container.
    let moments = |words: &[&str]| -> Vec<i64> {
        let rows = rows(&case, words);
        rows.iter()
            .map(|r| r["moments"].as_i64().unwrap())
            .collect()
    };
    let all: i64 = moments(&["activity"]).iter().sum();
    for group in ["kind", "container", "none"] {
        let some = moments(&["activity", "--group", group]);
        assert_eq!(some.iter().sum::<i64>(), all, "{group}");
        assert!(some.len() < moments(&["activity"]).len());
    }
}

/// Filters by path and image, against filters of the whole.
#[test]
fn the_timeline_of_a_path_and_of_an_image() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let all = rows(&case, &["timeline"]);
    let of = |keep: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        all.iter().filter(|r| keep(r)).cloned().collect()
    };
    let below = |r: &Value| r["path"].as_str().is_some_and(|p| p.starts_with("/tmp/"));
    let tmp = of(&below);
    assert!(tmp.len() > 10);
    assert_eq!(rows(&case, &["timeline", "--path", "/tmp/*"]), tmp);

    // The image's layers by their cache IDs, its steps, and its containers, by their own tables.
    let image = "shop/web:patched";
    let db = open(&case);
    let list = |sql: &str| -> Vec<String> {
        let mut stmt = db.prepare(sql).unwrap();
        let rows = stmt.query_map([image], |r| r.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let from = "FROM image_reference r JOIN image i ON i.id = r.image_id";
    let layers = list(&format!(
        "SELECT l.cache_id {from} JOIN image_layer il ON il.image_id = i.id JOIN layer l ON l.id = il.layer_id WHERE r.reference = ?"
    ));
    let containers = list(&format!(
        "SELECT c.name {from} JOIN container c ON c.image_full_id = i.full_id WHERE r.reference = ?"
    ));
    let has = |list: &[String], r: &Value, column: &str| {
        r[column]
            .as_str()
            .is_some_and(|v| list.iter().any(|l| l == v))
    };
    let want = of(&|r: &Value| match r["kind"].as_str().unwrap() {
        "file" => has(&layers, r, "layer"),
        "container" | "log" => has(&containers, r, "container"),
        "image" | "image-step" => r["image"] == image,
        _ => false,
    });
    assert!(want.len() > 10);
    assert_eq!(rows(&case, &["timeline", "--image", image]), want);
    let both = ["timeline", "--image", image, "--path", "/tmp/*"];
    let want: Vec<Value> = want.into_iter().filter(below).collect();
    assert!(!want.is_empty());
    assert_eq!(rows(&case, &both), want);
}

/// What mactime's formats leave out is said.
#[test]
fn what_is_before_1970_is_said() {
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    for (name, before) in [("early", 150_000_000), ("earlier", 2_000_000_000)] {
        let file = std::fs::File::create(volume.join(name)).unwrap();
        let time = std::time::UNIX_EPOCH - std::time::Duration::from_secs(before);
        file.set_modified(time).unwrap();
    }
    let (_dir, case) = ingest(&mount, 0);
    let path = case.to_str().unwrap();
    let early = |bounds: &[&str]| {
        let before = rows(&case, &[&["timeline", "--kind", "file"], bounds].concat());
        let mut files: Vec<i64> = before
            .iter()
            .filter(|r| r["time_ns"].as_i64().unwrap() < 0)
            .map(|r| r["ref"].as_i64().unwrap())
            .collect();
        files.sort_unstable();
        files.dedup();
        files.len()
    };
    assert_eq!(early(&[]), 2);
    for bounds in [
        &[][..],
        &["--until", "2019-06-01"],
        &["--since", "1900-01-01", "--until", "1980-01-01"],
        &["--since", "1970-01-01"],
        &["--until", "1900-01-01"],
    ] {
        for format in ["mactime", "mactime-csv"] {
            let args = [
                &["query", "timeline", "--case", path, "--format", format],
                bounds,
            ];
            let said = dof(args.concat()).with(0).err;
            let want = match early(bounds) {
                0 => String::new(),
                n => format!(
                    "dof: {n} files have times before 1970, which mactime does not show (--format csv does)\n"
                ),
            };
            assert_eq!(said, want, "{bounds:?}");
        }
    }
}

#[test]
fn dates_that_a_case_cannot_hold() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let path = case.to_str().unwrap();
    for (option, date) in [
        ("--since", "1600-01-01"),
        ("--until", "2300-01-01"),
        ("--since", "2019-06-01T24:00:00"),
        ("--since", "1677-09-21"),
        ("--until", "2262-04-12"),
    ] {
        let ran = dof(["query", "timeline", "--case", path, option, date]).with(2);
        let want = format!(
            "dof: {option} {date}: not a date from 1677-09-22 to 2262-04-11, hours 00 to 23;"
        );
        assert!(ran.err.starts_with(&want), "{}", ran.err);
    }
    let ends = ["--since", "1677-09-22", "--until", "2262-04-11"];
    let all = rows(&case, &["timeline"]);
    assert_eq!(rows(&case, &[&["timeline"], &ends[..]].concat()), all);
}

/// The letters of a row are those of the file's times that are its moment, in the order m, a, c, b; whichever these are.
#[test]
fn the_letters_are_those_of_the_times() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = rusqlite::Connection::open(&case).unwrap();
    let letters = |with: [bool; 4]| -> String {
        let letters = "macb".chars().zip(with);
        letters.map(|(c, is)| if is { c } else { '.' }).collect()
    };
    let rows = |sql: &str| -> Vec<(String, [bool; 4])> {
        let mut stmt = db.prepare(sql).unwrap();
        let rows = stmt.query_map([], |r| {
            Ok((r.get(0)?, [r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?]))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let by_times = rows(
        "SELECT t.macb, f.mtime = t.time_ns, f.atime = t.time_ns, f.ctime = t.time_ns, coalesce(f.crtime = t.time_ns, 0)
           FROM timeline t JOIN file f ON f.id = t.ref WHERE t.kind = 'file'",
    );
    assert!(by_times.len() > 2000);
    // A host has few of the combinations: all fifteen, as the bits that schema/file.sql says.
    db.execute("UPDATE event SET macb = file_id % 15 + 1", [])
        .unwrap();
    let by_bits = rows(
        "SELECT t.macb, e.macb & 2 > 0, e.macb & 1 > 0, e.macb & 4 > 0, e.macb & 8 > 0
           FROM timeline t JOIN event e ON e.ts = t.time_ns AND e.file_id = t.ref WHERE t.kind = 'file'",
    );
    let mut seen = BTreeSet::new();
    for (said, with) in by_times.into_iter().chain(by_bits) {
        assert_eq!(said, letters(with));
        seen.insert(said);
    }
    assert_eq!(seen.len(), 15);
}

/// What a container that has the host's root sees of other containers' layers stands where it sees it.
#[test]
fn paths_are_those_of_the_container_asked_for() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    let sql = "SELECT l.host_path FROM container c JOIN container_layer s ON s.container_id = c.id
                 JOIN layer l ON l.id = s.layer_id WHERE c.name = 'agent'";
    let mut layers = db.prepare(sql).unwrap();
    let layers = layers.query_map([], |r| r.get(0)).unwrap();
    let layers: Vec<String> = layers.collect::<Result<_, _>>().unwrap();
    let mut of_others = 0;
    for row in rows(
        &case,
        &["timeline", "--container", "agent", "--kind", "file"],
    ) {
        let sql = "SELECT host_path FROM file_text WHERE file_id";
        let home: String = one(&db, &format!("{sql} = {}", row["ref"]));
        let path = row["path"].as_str().unwrap();
        assert_eq!(row["container"], "agent");
        // All but its layers is the host's, below /host; and the engine's socket, at its own place.
        let mine = layers
            .iter()
            .find_map(|layer| home.strip_prefix(&layer[..]));
        let below = format!("/host{}", home.trim_end_matches('/'));
        let places = [mine.unwrap_or(&below), &below];
        let path = path.trim_end_matches('/');
        let is_socket = path == home && path.ends_with(".sock");
        assert!(places.contains(&path) || is_socket, "{path} {home}");
        of_others += usize::from(mine.is_none() && home.contains("/overlay2/"));
    }
    assert!(of_others > 100, "{of_others}");
}
