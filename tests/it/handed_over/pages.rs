//! Headers, pages and statistics that mislead SQLite.

use super::handed;
use crate::support::trees::state;
use crate::support::{dof, dof_command, one, open};
use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Headers that make SQLite take pages of evidence for something else, and rows of the schema that lead a table to others.
#[test]
fn headers_and_rows_that_mislead_sqlite() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    let all: Vec<_> = it.reading().into_iter().chain(it.writing()).collect();
    // The largest root page and the incremental mode of auto-vacuum.
    for at in [55, 67] {
        let mut bytes = sealed.clone();
        bytes[at] = 2;
        fs::write(&it.case, &bytes).unwrap();
        it.refused(&all, "header of the file");
    }
    // The table itself, to SQLite: it is WITHOUT ROWID.
    fs::write(&it.case, &sealed).unwrap();
    it.change(
        "CREATE TABLE notes (container_id INTEGER NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, PRIMARY KEY (container_id, position)) STRICT, WITHOUT ROWID;
         INSERT INTO notes SELECT container_id, position, 'HARMLESS', '' FROM container_env;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET type = 'index', name = 'sqlite_autoindex_container_env_1', tbl_name = 'notes', sql = NULL WHERE name = 'notes'",
    );
    let says = "index sqlite_autoindex_container_env_1: its text makes something else";
    it.refused(
        &[it.words("query env --case CASE"), it.words("status CASE")],
        says,
    );
    it.refused(&it.writing(), says);
    assert!(it.check().with(1).out.contains(says));
    // A second seal.
    fs::write(&it.case, &sealed).unwrap();
    it.change("PRAGMA ignore_check_constraints = ON; INSERT INTO seal SELECT -7, serial, sealed_at, dof_version, arguments, objects, own, digest FROM seal");
    it.refused(&it.writing(), "it has 2 seals");
    assert!(it.check().with(1).out.contains("it has 2 seals"));
}

/// A list of free pages that names pages in use: SQLite would write there, and not even a rollback would bring them back.
#[test]
fn free_pages_that_are_in_use() {
    let it = handed();
    it.change("CREATE TABLE notes (what TEXT); INSERT INTO notes VALUES ('my finding')");
    let sealed = fs::read(&it.case).unwrap();
    for table in [
        "file",
        "container",
        "log_entry",
        "seal",
        "accepted_change",
        "notes",
    ] {
        fs::write(&it.case, &sealed).unwrap();
        let root = one::<u32>(
            &open(&it.case),
            &format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'"),
        );
        let mut bytes = sealed.clone();
        let pages = (bytes.len() / 32768) as u32 + 1;
        // A trunk without a next one, and one page on it.
        let mut trunk: Vec<u8> = [0, 1, root].iter().flat_map(|n| n.to_be_bytes()).collect();
        trunk.resize(32768, 0);
        bytes.extend(trunk);
        for (at, number) in [(28, pages), (32, pages), (36, 2)] {
            bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        fs::write(&it.case, &bytes).unwrap();
        let says = "its pages are used more than once";
        it.refused(&it.writing(), says);
        assert!(it.check().with(1).out.contains(says), "{table}");
    }
    // One of those is shared by two tables.
    fs::write(&it.case, &sealed).unwrap();
    it.change("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'container') WHERE name = 'notes'");
    it.refused(&it.writing(), "its pages are used more than once");
}

/// Statistics whose pages are shared: SQLite reads them as soon as it opens the case. It stops.
#[test]
fn statistics_without_an_end() {
    let it = handed();
    it.change("ANALYZE");
    let root = one::<u32>(
        &open(&it.case),
        "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_stat1'",
    );
    let mut bytes = fs::read(&it.case).unwrap();
    let pages = (bytes.len() / 32768) as u32;
    let old = bytes[(root as usize - 1) * 32768..][..32768].to_vec();
    bytes[(root as usize - 1) * 32768..][..32768].copy_from_slice(&interior(pages + 1));
    bytes.extend([interior(pages + 2), interior(pages + 3), old].concat());
    bytes[28..32].copy_from_slice(&(pages + 3).to_be_bytes());
    fs::write(&it.case, bytes).unwrap();
    let begun = Instant::now();
    // They are not needed for an answer.
    let before = state(it.dir.path());
    let status = dof(it.words("status CASE"));
    assert!([0, 3].contains(&status.code), "{}", status.err);
    assert_eq!(state(it.dir.path()), before);
    it.refused(&[it.words("ingest HOST CASE")], "");
    assert!(begun.elapsed() < Duration::from_secs(90));
}

/// A page of a table's tree, of which each of many cells leads to `child` (sqlite.org/fileformat2.html, section 1.6).
fn interior(child: u32) -> Vec<u8> {
    let (size, cells) = (32768, 4000u16);
    let mut page = vec![0x05, 0, 0];
    let cell = size as u16 - 8;
    page.extend([cells, cell].iter().flat_map(|n| n.to_be_bytes()));
    page.push(0);
    page.extend(child.to_be_bytes());
    (0..cells).for_each(|_| page.extend(cell.to_be_bytes()));
    page.resize(usize::from(cell), 0);
    page.extend(child.to_be_bytes());
    page.push(1);
    page.resize(size, 0);
    page
}

/// A table whose pages are shared within its tree has more of them than could ever be read.
#[test]
fn pages_that_are_used_many_times() {
    let it = handed();
    let root = one::<u32>(
        &open(&it.case),
        "SELECT rootpage FROM sqlite_schema WHERE name = 'volume'",
    );
    let mut bytes = fs::read(&it.case).unwrap();
    let pages = (bytes.len() / 32768) as u32;
    let empty = bytes[(root as usize - 1) * 32768..][..32768].to_vec();
    bytes[(root as usize - 1) * 32768..][..32768].copy_from_slice(&interior(pages + 1));
    bytes.extend([interior(pages + 2), interior(pages + 3), empty].concat());
    bytes[28..32].copy_from_slice(&(pages + 3).to_be_bytes());
    fs::write(&it.case, bytes).unwrap();
    let begun = Instant::now();
    let check = it.check().with(1).out;
    assert!(
        check.contains("its pages are used more than once"),
        "{check}"
    );
    it.refused(&it.writing(), "its pages are used more than once");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// A case that shrinks while it is read gives an error, not a signal.
#[test]
fn a_case_that_shrinks() {
    let it = handed();
    let query = it.mount.with_file_name("slow.sql");
    // Pages of `file` are asked for when the pipe has room again.
    fs::write(&query, "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000000) SELECT x FROM n UNION ALL SELECT max(length(name)) FROM file").unwrap();
    let mut child = dof_command()
        .args([
            "query",
            query.to_str().unwrap(),
            "--format",
            "csv",
            "--case",
        ])
        .arg(&it.case)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    fs::File::options()
        .write(true)
        .open(&it.case)
        .unwrap()
        .set_len(40_000)
        .unwrap();
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{:?} {said}", ended.status);
}
