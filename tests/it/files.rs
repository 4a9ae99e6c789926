//! The file tables against `find`: every entry of every tree, every column find knows.

use crate::support::{Need, has, ingest, open, run, sample};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What find prints of a tree: path, mode, owner, size, inode, links, times with their fractions, link target.
fn find(root: &Path) -> BTreeSet<Vec<u8>> {
    let format = "%P\\t%m\\t%U\\t%G\\t%s\\t%i\\t%n\\t%A@\\t%T@\\t%C@\\t%l\\0";
    let out = Command::new("find")
        .arg(root)
        .args(["-printf", format])
        .output()
        .expect("find");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let lines = out.stdout.split(|&b| b == 0).filter(|l| !l.is_empty());
    lines.map(<[u8]>::to_vec).collect()
}

/// The same of the case.
fn rows(db: &rusqlite::Connection, tree: i64) -> BTreeSet<Vec<u8>> {
    let mut stmt = db
        .prepare(
            "SELECT coalesce(d.path_raw, d.path), coalesce(f.name_raw, f.name), f.mode & 4095, f.uid, f.gid, f.size, f.inode, f.nlink, f.atime, f.mtime, f.ctime, coalesce(f.link_raw, f.link, '')
               FROM directory d JOIN file f ON f.dir_id = d.id WHERE d.tree_id = ?",
        )
        .unwrap();
    let bytes = |r: &rusqlite::Row<'_>, i| match r.get_ref(i).unwrap() {
        rusqlite::types::ValueRef::Text(b) | rusqlite::types::ValueRef::Blob(b) => b.to_vec(),
        other => panic!("{other:?}"),
    };
    let time = |ns: i64| {
        format!(
            "{}.{:09}0",
            ns.div_euclid(1_000_000_000),
            ns.rem_euclid(1_000_000_000)
        )
    };
    let row = |r: &rusqlite::Row<'_>| {
        let n = |i| r.get::<_, i64>(i).unwrap();
        let dir = bytes(r, 0);
        let mut path = dir.strip_prefix(b"/").unwrap_or(&dir).to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(bytes(r, 1));
        let line = format!(
            "\t{:o}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t",
            n(2),
            n(3),
            n(4),
            n(5),
            n(6),
            n(7),
            time(n(8)),
            time(n(9)),
            time(n(10))
        );
        Ok([path, line.into_bytes(), bytes(r, 11)].concat())
    };
    stmt.query_map([tree], row)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[track_caller]
fn equal(mount: &Path, case: &Path) {
    let db = open(case);
    let mut stmt = db
        .prepare(
            "SELECT id, host_path FROM tree WHERE id NOT IN (SELECT outer_id FROM tree_nesting)",
        )
        .unwrap();
    let trees: Vec<(i64, String)> = stmt
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut compared = 0;
    for (id, path) in trees {
        // find stats an entry before it opens it, so it still sees the access times that dof saw and left alone.
        let theirs = find(&mount.join(&path[1..]));
        let ours = rows(&db, id);
        let first = ours
            .symmetric_difference(&theirs)
            .take(4)
            .map(|l| String::from_utf8_lossy(l).into_owned())
            .collect::<Vec<_>>();
        assert!(first.is_empty(), "{path}: {first:#?}");
        compared += theirs.len();
    }
    assert!(compared > 100, "something was compared: {compared}");
    crate::support::runs_hold(&db);
}

#[test]
fn every_file_of_the_sample() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    equal(&mount, &case);
}

/// Names with every byte that can stand in one, deep paths, all kinds of entries, times out of the ordinary.
#[test]
fn hostile_names_and_times() {
    use std::os::unix::ffi::OsStrExt;
    let (_host, mount) = sample();
    let volume = mount.join("var/lib/docker/volumes/hostile/_data");
    std::fs::create_dir_all(&volume).unwrap();
    for b in 1..=255u8 {
        if b != b'/' {
            std::fs::write(
                volume.join(std::ffi::OsStr::from_bytes(&[b'x', b, b'y'])),
                [b],
            )
            .unwrap();
        }
    }
    for name in ["-rf", " ", "a -> b", "%41", "|", "\\|", &"n".repeat(255)] {
        std::fs::write(volume.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink(
        std::ffi::OsStr::from_bytes(b"/etc/\xff\n"),
        volume.join("link"),
    )
    .unwrap();
    std::os::unix::fs::symlink("loop", volume.join("loop")).unwrap();
    // Deeper than a path may be long, so made step by step.
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut deep = rustix::fs::open(&volume, flags, Mode::empty()).unwrap();
    for i in 0..1200 {
        let name = format!("d{i}");
        mkdirat(&deep, &name, Mode::from_raw_mode(0o755)).unwrap();
        deep = openat(&deep, &name, flags, Mode::empty()).unwrap();
    }
    for (name, stamp) in [
        ("before-1970", "1931-02-03T04:05:06.789012345Z"),
        ("after-2038", "2100-01-01T00:00:00.1Z"),
    ] {
        run("touch", &["-d", stamp, volume.join(name).to_str().unwrap()])
            .unwrap()
            .with(0);
    }
    run("mkfifo", &[volume.join("fifo").to_str().unwrap()])
        .unwrap()
        .with(0);
    let (_dir, case) = ingest(&mount, 0);
    equal(&mount, &case);
    let db = open(&case);
    let distinct: i64 = crate::support::one(
        &db,
        "SELECT count(DISTINCT coalesce(name_raw, name)) FROM file f JOIN directory d ON d.id = f.dir_id WHERE d.tree_id = (SELECT tree_id FROM tree JOIN tree_label ON tree_id = id WHERE host_path LIKE '%/hostile/_data') AND d.path = ''",
    );
    assert_eq!(
        distinct,
        1 + 254 + 7 + 2 + 1 + 2 + 1,
        "nothing lost, nothing collides"
    );
}

/// What getfattr finds below a directory: path, name and value in hex, but for overlayfs's own and SELinux labels.
fn getfattr(root: &Path) -> BTreeSet<[String; 3]> {
    let told = run(
        "getfattr",
        &[
            "-RPh",
            "-d",
            "-m",
            "-",
            "-e",
            "hex",
            "--absolute-names",
            root.to_str().unwrap(),
        ],
    );
    let (mut found, mut path) = (BTreeSet::new(), String::new());
    for line in told.unwrap().with(0).out.lines() {
        if let Some(file) = line.strip_prefix("# file: ") {
            path = format!("/{}", Path::new(file).strip_prefix(root).unwrap().display());
        } else if let Some((name, value)) = line.split_once('=')
            && !name.starts_with("trusted.overlay.")
            && name != "security.selinux"
        {
            let value = value.trim_start_matches("0x").to_uppercase();
            found.insert([path.clone(), name.into(), value]);
        }
    }
    found
}

/// Extended attributes of files and directories, whatever they are part of: layers, full copies, volumes, bind sources and
/// the roots of all of these, also where one of them lies within another.
#[test]
fn attributes_are_those_of_getfattr() {
    if !has(&[Need::Program("getfattr"), Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let docker = mount.join("var/lib/docker");
    // A bind source that is a file.
    let agent = std::fs::read_dir(docker.join("containers"))
        .unwrap()
        .map(|d| d.unwrap().path().join("config.v2.json"))
        .find(|c| std::fs::read_to_string(c).is_ok_and(|t| t.contains("/var/run/docker.sock")))
        .unwrap();
    let config = std::fs::read_to_string(&agent).unwrap();
    let config = config.replace("/var/run/docker.sock", "/srv/shop/one-file");
    std::fs::write(&agent, config).unwrap();
    std::fs::write(mount.join("srv/shop/one-file"), "").unwrap();
    let overlay = std::fs::read_dir(docker.join("overlay2")).unwrap();
    let layer = overlay
        .map(|d| d.unwrap().path().join("diff"))
        .find(|d| d.is_dir())
        .unwrap();
    let (copy, old) = (docker.join("vfs/dir/copy"), docker.join("aufs/diff/old"));
    let volume = docker.join("volumes/orphaned/_data");
    // Each: the root of a tree, or something in one.
    for place in [
        &mount,
        &mount.join("srv/shop/one-file"),
        &mount.join("srv/shop/public"),
        &mount.join("srv"),
        &layer,
        &copy,
        &old,
        &volume,
    ] {
        let within = if place.extension().is_none() && !place.is_file() {
            std::fs::create_dir_all(place.join("in/it")).unwrap();
            std::fs::write(place.join("in/it/file"), "").unwrap();
            vec![
                place.join("in"),
                place.join("in/it"),
                place.join("in/it/file"),
            ]
        } else {
            Vec::new()
        };
        for path in within.iter().chain([place]) {
            let flags = rustix::fs::XattrFlags::empty();
            let note = path.to_string_lossy();
            rustix::fs::setxattr(path, "user.note", note.as_bytes(), flags).unwrap();
            rustix::fs::setxattr(path, "trusted.note", b"", flags).unwrap();
        }
    }
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    let host_path = "rtrim(t.host_path, '/') || d.path || iif(f.name = '', '', '/' || f.name)";
    let sql = format!(
        "SELECT iif(path = '', '/', path), name, value, entries, with_it FROM (
           SELECT {host_path} AS path, x.name, hex(x.value) AS value, count(*) AS with_it,
                  (SELECT count(*) FROM entry e WHERE e.path = {host_path}) AS entries
             FROM file_xattr x JOIN file f ON f.id = x.file_id JOIN directory d ON d.id = f.dir_id JOIN tree t ON t.id = d.tree_id
            WHERE x.name NOT LIKE 'trusted.overlay.%' GROUP BY 1, 2, 3)",
    );
    let entry = format!(
        "WITH entry (path) AS MATERIALIZED (SELECT {host_path} FROM file f JOIN directory d ON d.id = f.dir_id JOIN tree t ON t.id = d.tree_id) ",
    );
    let mut stmt = db.prepare(&(entry + &sql)).unwrap();
    let mut ours = BTreeSet::new();
    let mut rows = stmt.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let text = |i| row.get::<_, String>(i).unwrap();
        let counts: (i64, i64) = (row.get(3).unwrap(), row.get(4).unwrap());
        assert_eq!(counts.0, counts.1, "{}: all rows of it have them", text(0));
        ours.insert([text(0), text(1), text(2)]);
    }
    let theirs = getfattr(&mount);
    assert!(theirs.len() > 50, "{}", theirs.len());
    assert_eq!(ours, theirs);
}

/// Times in the index are the files' times, and each file's distinct times are there once.
#[test]
fn the_time_index_is_complete() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    let sql = "WITH t AS (SELECT id, atime ts, 1 bit FROM file UNION ALL SELECT id, mtime, 2 FROM file UNION ALL SELECT id, ctime, 4 FROM file UNION ALL SELECT id, crtime, 8 FROM file WHERE crtime IS NOT NULL),
                    want AS (SELECT ts, id, sum(bit) macb FROM t GROUP BY ts, id)
               SELECT (SELECT count(*) FROM (SELECT * FROM want EXCEPT SELECT ts, file_id, macb FROM event)) + (SELECT count(*) FROM (SELECT ts, file_id, macb FROM event EXCEPT SELECT * FROM want))";
    assert_eq!(crate::support::one::<i64>(&db, sql), 0);
}
