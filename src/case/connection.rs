//! How dof talks to a case that somebody hands over: nothing in it acts by itself, and nothing takes for ever.

use super::{Error, operators, times};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a command waits for one who writes to a case.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of SQL that is handed over at once, and of an object of the schema; all that makes a case's has some 130 KiB.
const STATEMENT: i32 = 1 << 20;
/// How long a query of a case that dof does not trust may take.
pub const UNTRUSTED: Duration = Duration::from_secs(60);
/// How long SQLite may take to read the schema and the statistics of a case.
pub const OPENING: Duration = Duration::from_secs(20);
/// Bytes of a value; the largest of dof's have 16 MiB.
const VALUE: i32 = 256 << 20;

/// Sets what every connection to a case has (sqlite.org/security.html): no triggers, no functions with side effects in
/// views, no writing past SQL, damaged cells noticed, no file mapped into memory, which may shrink meanwhile; `REGEXP` and `MATCH`.
pub fn guard(db: &Connection) -> rusqlite::Result<()> {
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        db.set_db_config(option, on)?;
    }
    db.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT)?;
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE)?;
    db.busy_timeout(PATIENCE)?;
    operators::register(db)?;
    db.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")
}

/// Opens a file for reading and holds SQLite's shared lock on it for as long as the connection lives: nobody changes the case
/// between two queries.
pub fn reading(file: &Path, path: &Path) -> Result<Connection, Error> {
    let err = super::sqlite(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags).map_err(&err)?;
    let begin = || -> rusqlite::Result<()> {
        guard(&db)?;
        limit(&db, OPENING)?;
        db.execute_batch("PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; BEGIN")?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        times::prepare(&db)?;
        db.execute_batch("PRAGMA query_only = ON")?;
        unlimited(&db)
    };
    begin().map_err(&err)?;
    Ok(db)
}

/// Stops each query when `most` is over, counted from now.
pub fn limit(db: &Connection, most: Duration) -> rusqlite::Result<()> {
    let begun = Instant::now();
    db.progress_handler(10_000, Some(move || begun.elapsed() > most))
}

/// Lets queries take as long as they take.
pub fn unlimited(db: &Connection) -> rusqlite::Result<()> {
    db.progress_handler(0, None::<fn() -> bool>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ErrorCode;

    /// A view without an end stops, and triggers and double-quoted strings do nothing.
    #[test]
    fn nothing_acts_by_itself() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE t (x); CREATE TRIGGER drop_all BEFORE INSERT ON t BEGIN SELECT RAISE(IGNORE); END;
             CREATE VIEW endless AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
        )
        .unwrap();
        guard(&db).unwrap();
        db.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let rows: i64 = db
            .query_row("SELECT count(*) FROM t", [], |r| r.get(0))
            .unwrap();
        assert_eq!(rows, 1, "the trigger did not run");
        assert!(
            db.execute_batch("CREATE INDEX i ON t(\"no column\")")
                .is_err()
        );
        assert!(
            db.execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = ''")
                .is_err()
        );
        limit(&db, Duration::from_millis(50)).unwrap();
        let endless = db.query_row("SELECT * FROM endless", [], |_| Ok(()));
        assert_eq!(
            endless.unwrap_err().sqlite_error_code(),
            Some(ErrorCode::OperationInterrupted)
        );
    }
}
