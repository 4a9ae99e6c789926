//! Stacks of layers made to be dear to work out: what the case has of them stays small, or it says that it was not worked out.

use crate::support::made::Host;
use crate::support::{Need, has, ingest, one, open, rows, str_of};
use rusqlite::Connection;
use rustix::fs::{XattrFlags, setxattr};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Rows of what layers hide, and of what was moved.
fn hidden(db: &Connection) -> i64 {
    let count = |table| one::<i64>(db, &format!("SELECT count(*) FROM {table}"));
    ["hides", "hides_below", "moved"]
        .into_iter()
        .map(count)
        .sum()
}

/// What the case says was not worked out.
fn left_out(db: &Connection) -> i64 {
    one(
        db,
        "SELECT count(*) FROM problem WHERE severity = 'error' AND what LIKE '%was not worked out%'",
    )
}

fn paths(case: &Path, container: &str) -> BTreeSet<String> {
    let files = rows(case, &["container-files", "--container", container]);
    files.iter().map(|r| str_of(r, "path")).collect()
}

/// `rm -rf /usr` leaves one mark, however much was there.
#[test]
fn a_large_directory_deleted_in_many_containers() {
    let host = Host::of("fuse-overlayfs"); // which marks deletions by names, without root
    let base = host.layer("base");
    for i in 0..3000 {
        fs::create_dir_all(base.join(format!("usr/d{}/e{i}", i / 10))).unwrap();
    }
    fs::write(base.join("usr/d7/e77/file"), "x").unwrap();
    fs::write(base.join("kept"), "x").unwrap();
    for c in 0..300 {
        let own = host.layer(&format!("own{c}"));
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join(".wh.usr"), "").unwrap();
        host.stack(&format!("c{c}"), &["base".to_owned(), format!("own{c}")]);
    }
    let (_dir, case) = ingest(&host.mount(), 0);
    let db = open(&case);
    assert!(one::<i64>(&db, "SELECT count(*) FROM file") > 3_300);
    let hidden = hidden(&db);
    // The mark itself, /usr and the root of the base; all below /usr as one run.
    assert!((300..=300 * 4).contains(&hidden), "{hidden} rows");
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM container_change WHERE change = 'D'"
        ),
        300
    );
    assert_eq!(paths(&case, "c7"), ["/", "/kept"].map(str::to_owned).into());
}

/// More layers than any engine makes: said, and others are whole.
#[test]
fn a_stack_of_thousands_of_layers() {
    let host = Host::new();
    let names: Vec<String> = (0..1500).map(|i| format!("deep{i}")).collect();
    for name in &names {
        fs::create_dir_all(host.layer(name).join("etc")).unwrap();
    }
    host.stack("deep", &names);
    for name in ["base", "own"] {
        fs::create_dir_all(host.layer(name)).unwrap();
        fs::write(host.layer(name).join(name), "x").unwrap();
    }
    host.stack("plain", &["base".to_owned(), "own".to_owned()]);
    let (_dir, case) = ingest(&host.mount(), 1);
    let db = open(&case);
    assert_eq!(left_out(&db), 1);
    assert_eq!(paths(&case, "deep"), BTreeSet::new());
    assert_eq!(
        paths(&case, "plain"),
        ["/", "/base", "/own"].map(str::to_owned).into()
    );
    assert!(hidden(&db) < 3 * 1_500, "{} rows", hidden(&db));
}

/// Renamed directories that lead into each other, layer upon layer.
#[test]
fn redirects_that_cross_each_other() {
    if !has(&[Need::Trusted]) {
        return;
    }
    const MANY: usize = 100;
    let host = Host::new();
    let mut names = vec!["base".to_owned()];
    for i in 0..MANY {
        fs::create_dir_all(host.layer("base").join(format!("usr/d{i}"))).unwrap();
    }
    for level in 0..10 {
        let name = format!("level{level}");
        for i in 0..MANY {
            let dir = host.layer(&name).join(format!("x{i}"));
            fs::create_dir_all(&dir).unwrap();
            let to = match level {
                0 => "/usr".to_owned(),
                _ => format!("/x{}", i * 7 % MANY),
            };
            let flags = XattrFlags::empty();
            setxattr(&dir, "trusted.overlay.redirect", to.as_bytes(), flags).unwrap();
        }
        names.push(name);
    }
    host.stack("crossed", &names);
    let dir = crate::support::folder();
    let case = dir.path().join("case.db");
    let said = crate::support::dof([Path::new("ingest"), &host.mount(), &case]);
    let db = open(&case);
    let left_out = left_out(&db);
    assert_eq!(said.code, i32::try_from(left_out).unwrap(), "{}", said.err);
    // Each of the directories has those of /usr, or it is said that this was not worked out.
    let seen = paths(&case, "crossed").len();
    let all = 1 + MANY + 1 + MANY * (1 + MANY);
    assert_eq!(seen, if left_out == 0 { all } else { 0 });
    // At most so many moves and deletions a layer for each entry that is seen; a row takes less than 100 bytes.
    assert!(hidden(&db) < 10 * all as i64, "{} rows", hidden(&db));
    assert!(fs::metadata(&case).unwrap().len() < 20 << 20);
}
