//! Tables, views and triggers that are not dof's.

use super::handed;
use crate::support::trees::state;
use crate::support::{dof, one, open, other_host};
use std::fs;
use std::path::Path;

/// Objects that would change what dof says or writes.
#[test]
fn objects_that_are_not_dofs() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    for (sql, says) in [
        (
            "CREATE TRIGGER t1 BEFORE INSERT ON log_entry BEGIN SELECT RAISE(IGNORE); END",
            "trigger t1",
        ),
        (
            "CREATE TRIGGER t2 BEFORE INSERT ON file BEGIN SELECT RAISE(IGNORE); END",
            "trigger t2",
        ),
        (
            "CREATE TRIGGER t3 BEFORE INSERT ON problem BEGIN SELECT RAISE(IGNORE); END",
            "trigger t3",
        ),
        (
            "CREATE TABLE mine (x); CREATE TRIGGER t4 AFTER INSERT ON mine BEGIN DELETE FROM file; END",
            "trigger t4",
        ),
        (
            "DROP VIEW file_path; CREATE VIEW file_path AS SELECT 1",
            "view file_path: not as dof makes it",
        ),
        ("DROP VIEW file_path", "view file_path: not there"),
        (
            "DROP INDEX log_entry_ts_listed",
            "index log_entry_ts_listed: not there",
        ),
        (
            "DROP INDEX log_entry_ts_listed; CREATE INDEX log_entry_ts_listed ON log_entry(id)",
            "index log_entry_ts_listed: not as dof makes it",
        ),
        (
            "CREATE UNIQUE INDEX u ON log_entry(id, ts)",
            "index u: on dof's table log_entry",
        ),
        ("CREATE INDEX u ON FILE(name)", "index u: on dof's table"),
        (
            "CREATE TABLE json_each (key, value, type)",
            "table json_each: has the name of a function",
        ),
        (
            "CREATE VIEW Json_Tree AS SELECT 1 AS key",
            "has the name of a function",
        ),
        (
            "CREATE TABLE pragma_table_info (name)",
            "has the name of a function",
        ),
        (
            "ALTER TABLE container ADD COLUMN extra TEXT",
            "table container: not as dof makes it",
        ),
        (
            "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT 'view', 'harmless', 'harmless', 0, 'CREATE VIEW json_each AS SELECT 1'",
            "malformed database schema (harmless)",
        ),
        // An endless one in place of what `status` asks.
        (
            "DROP VIEW docker_containers; CREATE VIEW docker_containers AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) AS id FROM n",
            "view docker_containers: not as dof makes it",
        ),
    ] {
        fs::write(&it.case, &sealed).unwrap();
        it.change(sql);
        let all: Vec<_> = it
            .reading()
            .into_iter()
            .filter(|w| w[0] != "check")
            .chain(it.writing())
            .collect();
        it.refused(&all, says);
        let mut words = it.writing().swap_remove(1);
        words.push("--accept-changes".into());
        it.refused(&[words], says);
        let check = it.check();
        let said = format!("{}{}", check.out, check.err);
        assert!(check.code != 0 && said.contains(says), "{sql}: {said}");
    }
    // Who wants to look at it all the same may.
    fs::write(&it.case, &sealed).unwrap();
    it.change("CREATE TRIGGER t1 BEFORE INSERT ON log_entry BEGIN SELECT RAISE(IGNORE); END");
    let before = state(it.dir.path());
    let looked = dof(it.words("list-containers --untrusted CASE")).with(0);
    assert!(
        looked.err.contains("trigger t1") && looked.out.contains("/apache"),
        "{}",
        looked.err
    );
    dof(it.words("query hosts --untrusted --case CASE")).with(0);
    assert_eq!(state(it.dir.path()), before);
    // A header that makes SQLite read texts otherwise.
    let mut bytes = sealed.clone();
    bytes[59] = 2;
    fs::write(&it.case, &bytes).unwrap();
    it.refused(&it.reading(), "header of the file");
}

/// What a case is for: tables, views and statistics of an investigator's own.
#[test]
fn tables_of_ones_own_are_no_fault() {
    let it = handed();
    let expected = dof(it.words("query timeline --format csv --case CASE"))
        .with(0)
        .out;
    let clean = it.check().with(0).out;
    it.change(
        "CREATE TABLE notes (path TEXT PRIMARY KEY, what TEXT); CREATE INDEX notes_what ON notes(what);
         CREATE TABLE \"Odd [name]\" (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO \"Odd [name]\" DEFAULT VALUES;
         INSERT OR IGNORE INTO notes SELECT path, 'seen' FROM file_path LIMIT 1000;
         CREATE VIEW suspicious AS SELECT * FROM file_path JOIN notes USING (path);
         CREATE VIRTUAL TABLE words USING fts5(line, content='log_entry', content_rowid='id');
         INSERT INTO words(words) VALUES ('rebuild'); ANALYZE;",
    );
    let check = it.check().with(0).out;
    assert_eq!(
        check.lines().next(),
        clean.lines().next(),
        "the seal is unbroken"
    );
    for own in [
        "table notes",
        "index notes_what",
        "table Odd [name]",
        "view suspicious",
        "table words",
        "table sqlite_stat1",
    ] {
        assert!(
            check
                .lines()
                .any(|l| l == format!("Not dof's: {own}, made since it was sealed")),
            "{own}: {check}"
        );
    }
    assert_eq!(
        dof(it.words("query timeline --format csv --case CASE"))
            .with(0)
            .out,
        expected
    );
    let own = it.dir.path().join("own.sql");
    fs::write(&own, "SELECT count(*) AS n FROM suspicious").unwrap();
    let mine = dof([
        "query",
        own.to_str().unwrap(),
        "--format",
        "jsonl",
        "--case",
        it.case.to_str().unwrap(),
    ])
    .with(0)
    .out;
    assert!(!mine.contains("\"n\":0"), "{mine}");
    fs::remove_file(own).unwrap();
    it.refused(&it.writing(), "table notes: not dof's");
    // Once accepted they are part of what is known; another host leaves them alone.
    let mut words = it.writing().swap_remove(1);
    words.push("--accept-changes".into());
    dof(&words).with(0);
    let other = other_host(&it.mount, it.mount.parent().unwrap());
    dof([Path::new("ingest"), &other, &it.case]).with(0);
    assert!(one::<i64>(&open(&it.case), "SELECT count(*) FROM notes") > 100);
    assert!(
        it.check()
            .with(0)
            .out
            .lines()
            .any(|l| l == "Not dof's: table notes")
    );
}
