//! Lists of known hashes that never end, or end nowhere: bounded, refused with a reason, and nothing of the case is lost.

use crate::support::bounds::{MOST, peak};
use crate::support::{dof, ingest, one, open, run, sample};
use std::fs;
use std::io::Write;
use std::path::Path;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A list of some text, of this many NULs (on disk as a hole), and of some more.
fn list(path: &Path, before: &str, hole: u64, after: &str) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(before.as_bytes()).unwrap();
    let end = before.len() as u64 + hole;
    file.set_len(end).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, after.as_bytes(), end).unwrap();
}

/// Hashes of a list in a case.
fn listed(case: &Path) -> i64 {
    one(
        &open(case),
        "SELECT count(*) FROM known_hash WHERE list = 'list'",
    )
}

#[test]
fn a_line_of_two_gigabytes() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let (path, c) = (dir.path().join("list"), case.to_str().unwrap());
    let p = path.to_str().unwrap();
    let two = format!("\n{HASH}  b\n");
    // In the middle, as the first, and as the last.
    for (before, after) in [
        (format!("{HASH}  a\n"), &two),
        (String::new(), &two),
        (two.clone(), &String::new()),
    ] {
        list(&path, &before, 2 << 30, after);
        let (said, most) = peak(&["known", p, c], &[0]);
        assert!(most < MOST / 4, "{most}");
        assert!(
            said.contains("; 1 lines of more than 65536 bytes left out"),
            "{said}"
        );
        let rest = (before.clone() + after).matches(HASH).count();
        assert_eq!(listed(&case), rest as i64, "{said}");
    }
    // One below the bound is read.
    let name = "n".repeat(60_000);
    list(&path, &format!("{HASH}  {name}\n"), 0, "");
    dof(["known", p, c]).with(0);
    let longest = "SELECT max(length(name)) FROM known_hash";
    assert_eq!(one::<i64>(&open(&case), longest), 60_000);
    dof(["check", c]).with(0);
}

/// CSV: a cell, a row of cells and a quoted cell that go on and on, and a quote that is still open at the end. The whole list is
/// refused, for what comes after belongs to that cell or does not: nobody knows. What an earlier list of that name held stays.
#[test]
fn csv_without_end() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let (path, c) = (dir.path().join("list"), case.to_str().unwrap());
    let p = path.to_str().unwrap();
    let header = "sha256,name\n";
    let good = format!("{header}{HASH},\"a \"\"b\"\"\nc\"\r\n{HASH},5\" disk");
    list(&path, &good, 0, "");
    dof(["known", p, c]).with(0);
    let names = "SELECT group_concat(name, '|') FROM (SELECT name FROM known_hash ORDER BY name)";
    let kept = "5\" disk|a \"b\"\nc";
    assert_eq!(one::<String>(&open(&case), names), kept);
    let at = header.len();
    let commas = ",".repeat(10_000_000);
    for (begin, hole, why) in [
        (
            format!("{header}x"),
            2 << 30,
            format!("at byte {at} is longer"),
        ),
        (
            format!("{header}{HASH},\""),
            2 << 30,
            format!("at byte {at} is longer"),
        ),
        (
            format!("{header}{commas}"),
            0,
            format!("at byte {at} is longer"),
        ),
        (
            format!("{header}{HASH},\"a\n{HASH},b\n"),
            0,
            format!("a quote in the row at byte {at} is not closed"),
        ),
        (
            format!("{header}\""),
            0,
            format!("a quote in the row at byte {at} is not closed"),
        ),
    ] {
        list(
            &path,
            &begin,
            hole,
            &format!("\n{HASH},z\n").repeat(usize::from(hole > 0)),
        );
        let (said, most) = peak(&["known", p, c], &[2]);
        assert!(most < MOST / 4, "{most}");
        assert!(said.contains(&why), "{said}");
        assert_eq!(one::<String>(&open(&case), names), kept, "{said}");
    }
    dof(["check", c]).with(0);
}

/// Neither waited for nor read: FIFOs, devices and folders, links to them too, before an ingest as well.
#[test]
fn only_plain_files_are_lists() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let at = |name: &str| dir.path().join(name);
    run("mkfifo", &[at("fifo").to_str().unwrap()])
        .unwrap()
        .with(0);
    std::os::unix::fs::symlink("fifo", at("link")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let fresh = at("fresh.db");
    let [case, fresh, mount] = [&case, &fresh, &mount].map(|p| p.to_str().unwrap());
    for list in [at("fifo"), at("link"), at("folder"), "/dev/zero".into()] {
        let list = list.to_str().unwrap();
        for args in [
            &["known", list, case][..],
            &["ingest", "--hash", "sha256", "--known", list, mount, fresh],
        ] {
            let limited = [&["20", env!("CARGO_BIN_EXE_dof")], args].concat();
            let ran = run("timeout", &limited).unwrap().with(2);
            assert!(
                ran.err.contains("not a plain file"),
                "{args:?}: {}",
                ran.err
            );
        }
        assert!(!Path::new(fresh).exists());
    }
    dof(["check", case]).with(0);
}
