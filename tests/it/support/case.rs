//! Cases: made of a host, opened, asked.

use super::{dof, folder, settle, text};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Ingests a mounted host into a fresh case, expecting this exit code.
#[track_caller]
pub fn ingest(mount: &Path, code: i32) -> (TempDir, PathBuf) {
    ingest_with(mount, &[], code)
}

/// The same with hashes and these options.
#[track_caller]
pub fn hashed(mount: &Path, more: &[&str], code: i32) -> (TempDir, PathBuf) {
    ingest_with(mount, &[&["--hash", "sha256"], more].concat(), code)
}

/// The same with these options.
#[track_caller]
pub fn ingest_with(mount: &Path, options: &[&str], code: i32) -> (TempDir, PathBuf) {
    let dir = folder();
    let case = dir.path().join("case.db");
    settle(mount);
    let args = [&["ingest"], options, &[text(mount), text(&case)]].concat();
    dof(args).with(code);
    (dir, case)
}

/// Ends what a killed ingest into this case left beside it, as dof tells the analyst to; whether there was anything.
#[track_caller]
pub fn recover(case: &Path) -> bool {
    let looked = dof([Path::new("status"), case]);
    if looked.code == 0 {
        return false;
    }
    looked
        .with(3)
        .err
        .contains("dof check --recover")
        .then_some(())
        .expect("dof says what to do");
    dof([Path::new("check"), Path::new("--recover"), case]).with(0);
    true
}

/// Opens a case with plain SQLite.
pub fn open(case: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = Connection::open_with_flags(case, flags).expect("a database");
    know_regexp(&db);
    db
}

/// Lets plain SQLite prepare queries with `REGEXP`, as the `sqlite3` shell does; where it is asked, it fails.
pub fn know_regexp(db: &Connection) {
    let asked = |_: &Context<'_>| -> rusqlite::Result<bool> {
        Err(rusqlite::Error::UserFunctionError("asked".into()))
    };
    db.create_scalar_function("regexp", 2, FunctionFlags::SQLITE_UTF8, asked)
        .unwrap();
}

/// One value.
#[track_caller]
pub fn one<T: rusqlite::types::FromSql>(db: &Connection, sql: &str) -> T {
    db.query_row(sql, [], |r| r.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// The rows of a query, as JSON.
#[track_caller]
pub fn rows(case: &Path, words: &[&str]) -> Vec<serde_json::Value> {
    let mut all = vec!["query"];
    all.extend(words);
    all.extend([
        "--format",
        "json",
        "--case",
        case.to_str().expect("a plain path"),
    ]);
    serde_json::from_str(&dof(all).with(0).out).expect("JSON")
}

/// Holds the runs of ids that say what is in a directory or a log file against what each file and entry says itself.
#[track_caller]
pub fn runs_hold(db: &Connection) {
    for (what, sql) in [
        (
            "files",
            "SELECT count(*) FROM file f LEFT JOIN directory d ON d.id = f.dir_id WHERE coalesce(f.id NOT BETWEEN d.first_file AND d.last_file, 1)",
        ),
        (
            "more",
            "SELECT (SELECT coalesce(sum(last_file - first_file + 1), 0) FROM directory) - (SELECT count(*) FROM file)",
        ),
        (
            "entries",
            "SELECT count(*) FROM log_entry g LEFT JOIN log_file l ON l.id = g.log_file_id WHERE coalesce(g.id NOT BETWEEN l.first_entry AND l.last_entry, 1)",
        ),
        (
            "more entries",
            "SELECT (SELECT coalesce(sum(last_entry - first_entry + 1), 0) FROM log_file) - (SELECT count(*) FROM log_entry)",
        ),
    ] {
        assert_eq!(one::<i64>(db, sql), 0, "{what} than in the runs of ids");
    }
}

/// The text of a cell; empty where there is none.
pub fn str_of(row: &serde_json::Value, column: &str) -> String {
    row[column].as_str().unwrap_or_default().to_owned()
}
