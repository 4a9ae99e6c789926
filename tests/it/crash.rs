//! A case is whole or is not there: killed at any moment, with a full disk, with two ingests at once; and its seal tells.

use crate::support::mounts::Unmount;
use crate::support::trees::names;
use crate::support::{
    Need, dof, dof_command, folder, has, ingest, one, open, other_host, recover, run, sample,
};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

/// Starts an ingest.
fn start(mount: &Path, case: &Path) -> Child {
    dof_command()
        .args([Path::new("ingest"), mount, case])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The kills are spread over the whole time an ingest takes, and some more.
#[test]
fn killed_at_any_moment() {
    let kills: u32 = std::env::var("DOF_KILLS").map_or(40, |n| n.parse().expect("a number"));
    let (_host, mount) = sample();
    let dir = folder();
    let other = other_host(&mount, dir.path());
    let fresh = dir.path().join("fresh");
    let old = dir.path().join("old");
    fs::create_dir_all(&fresh).unwrap();
    fs::create_dir_all(&old).unwrap();
    let (new_case, old_case) = (fresh.join("case.db"), old.join("case.db"));
    let begun = Instant::now();
    dof([Path::new("ingest"), &mount, &old_case]).with(0);
    let whole = begun.elapsed();
    let kept = dir.path().join("kept.db");
    fs::copy(&old_case, &kept).unwrap();
    let (mut absent, mut complete, mut unchanged, mut added, mut recovered) = (0, 0, 0, 0, 0);
    for n in 0..kills {
        let after = whole.mul_f64(1.3 * f64::from(n / 2) / f64::from(kills / 2));
        let (mount, case) = if n % 2 == 0 {
            (&mount, &new_case)
        } else {
            (&other, &old_case)
        };
        let mut child = start(mount, case);
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        if n % 2 == 0 {
            if !case.exists() {
                absent += 1;
                continue;
            }
            dof([Path::new("check"), case]).with(0);
            complete += 1;
            fs::remove_file(case).unwrap();
            continue;
        }
        // As dof finds it, without anything that sqlite3 puts right first.
        recovered += u32::from(recover(case));
        let listed = dof([
            Path::new("query"),
            Path::new("hosts"),
            Path::new("--format"),
            Path::new("jsonl"),
            Path::new("--case"),
            case,
        ])
        .with(0);
        let checked = dof([Path::new("check"), case]);
        let db = open(case);
        assert_eq!(one::<String>(&db, "PRAGMA integrity_check"), "ok");
        assert_eq!(
            one::<i64>(&db, "SELECT count(*) FROM host WHERE ingest_end IS NULL"),
            0
        );
        match listed.out.lines().count() {
            1 => unchanged += 1,
            _ => {
                added += 1;
                drop(db);
                fs::copy(&kept, case).unwrap();
            }
        }
        assert_eq!(checked.code, 0, "{}", checked.out);
    }
    eprintln!(
        "{absent} absent, {complete} complete, {unchanged} unchanged, {added} added; {recovered} recovered"
    );
    assert!(absent > 0 && unchanged > 0, "some kills came in time");
    // What is left is named as such, and the next ingest sweeps it up.
    for left in names(&fresh) {
        assert!(left.starts_with(".case.db.dof-partial-"), "{left}");
    }
    dof([Path::new("ingest"), &mount, &new_case]).with(0);
    assert_eq!(names(&fresh), ["case.db"]);
}

#[test]
fn two_at_once() {
    let (_host, mount) = sample();
    let dir = folder();
    let other = other_host(&mount, dir.path());
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    let case = at.join("case.db");
    for _ in 0..10 {
        let mut both = [start(&mount, &case), start(&other, &case)];
        let codes = both.each_mut().map(|c| c.wait().unwrap().code().unwrap());
        assert!(codes.contains(&0), "one at least is done: {codes:?}");
        assert!(
            codes.iter().all(|c| [0, 3].contains(c)),
            "the other is done or refused: {codes:?}"
        );
        dof([Path::new("check"), &case]).with(0);
        let hosts = one::<i64>(&open(&case), "SELECT count(*) FROM host");
        assert_eq!(hosts, codes.iter().filter(|c| **c == 0).count() as i64);
        fs::remove_file(&case).unwrap();
    }
    assert!(names(&at).is_empty(), "{:?}", names(&at));
}

#[test]
fn a_full_disk() {
    if !has(&[Need::Mounts("tmpfs")]) {
        return;
    }
    let (_host, mount) = sample();
    let dir = folder();
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    run(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            "size=1200k",
            "tmpfs",
            small.to_str().unwrap(),
        ],
    )
    .unwrap()
    .with(0);
    let _mounted = Unmount(small.clone());
    let case = small.join("case.db");
    let failed = dof([Path::new("ingest"), &mount, &case]).with(3);
    assert!(failed.err.contains("full"), "{}", failed.err);
    assert!(names(&small).is_empty(), "{:?}", names(&small));
    // With room for one host, but not for two: the case keeps what it had.
    run(
        "mount",
        &["-o", "remount,size=100m", small.to_str().unwrap()],
    )
    .unwrap()
    .with(0);
    dof([Path::new("ingest"), &mount, &case]).with(0);
    let size = fs::metadata(&case).unwrap().len();
    let limit = format!("remount,size={}k", size / 1024 + 400);
    run("mount", &["-o", &limit, small.to_str().unwrap()])
        .unwrap()
        .with(0);
    let other = other_host(&mount, dir.path());
    let failed = dof([Path::new("ingest"), &other, &case]).with(3);
    assert!(failed.err.contains("full"), "{}", failed.err);
    dof([Path::new("check"), &case]).with(0);
    assert_eq!(one::<i64>(&open(&case), "SELECT count(*) FROM host"), 1);
}

#[test]
fn the_seal_tells_of_changes() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let check = || dof([Path::new("check"), &case]);
    let clean = check().with(0).out;
    assert!(clean.contains("is as it was sealed"), "{clean}");
    // Looking at it changes nothing.
    for args in [vec!["list-containers"], vec!["status"]] {
        dof(args.iter().map(Path::new).chain([case.as_path()])).with(0);
    }
    run(
        "sqlite3",
        &[case.to_str().unwrap(), "SELECT count(*) FROM file"],
    )
    .unwrap()
    .with(0);
    assert_eq!(check().with(0).out, clean);
    // Another host seals it anew.
    let dir = folder();
    let other = other_host(&mount, dir.path());
    dof([Path::new("ingest"), &other, &case]).with(0);
    let sealed = check().with(0).out;
    assert_ne!(sealed.lines().next(), clean.lines().next());
    let bytes = fs::read(&case).unwrap();
    let change = |sql: &str| {
        let db = rusqlite::Connection::open(&case).unwrap();
        db.execute_batch(sql).unwrap();
    };
    change("DELETE FROM log_entry WHERE id = (SELECT max(id) FROM log_entry)");
    let found = check().with(1).out;
    assert!(
        found.contains("log_entry: 776 rows when sealed, 775 rows now"),
        "{found}"
    );
    fs::write(&case, &bytes).unwrap();
    change("UPDATE file SET mtime = mtime + 1 WHERE id = 7");
    assert!(check().with(1).out.contains("file: not as it was sealed"));
    // Each byte counts, but for the seal's own page.
    let number = |sql: &str| one::<i64>(&open(&case), sql) as usize;
    let size = number("PRAGMA page_size");
    let own = number("SELECT rootpage FROM sqlite_schema WHERE name = 'seal'");
    let pages = (2..14)
        .filter(|page| *page != own)
        .map(|page| (page - 1) * size + 100);
    for at in pages.chain([bytes.len() / 2, bytes.len() - 1]) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&case, &damaged).unwrap();
        let found = check();
        assert!(
            [1, 3].contains(&found.code),
            "byte {at}: {}{}",
            found.out,
            found.err
        );
    }
    fs::write(&case, &bytes).unwrap();
    check().with(0);
}
