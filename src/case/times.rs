//! Times as text, worked out by dof where dof runs a query.
//!
//! The views of a case spell a time in SQL that stock `sqlite3` runs, which takes half a microsecond a time: a quarter of what
//! many a row costs. A connection of dof's has temporary views of the same names beside them, which stand before those of the
//! case and have the functions `iso` and `iso_short` of dof's in that place.

use super::operators::PURE;
use super::schema;
use crate::parse::time;
use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::ValueRef;

/// Puts the views with dof's functions before those of the case.
///
/// # Errors
/// When SQLite fails.
pub fn prepare(db: &Connection) -> rusqlite::Result<()> {
    let nine = |of: &Context<'_>| Ok(nanoseconds(of).map(time::rfc3339_nine));
    db.create_scalar_function("iso", 1, PURE, nine)?;
    let short = |of: &Context<'_>| Ok(nanoseconds(of).map(time::rfc3339_nano));
    db.create_scalar_function("iso_short", 1, PURE, short)?;
    db.execute_batch(&schema::TIMED_VIEWS)
}

/// A time of a case: INTEGER, or NULL.
fn nanoseconds(arguments: &Context<'_>) -> Option<i64> {
    match arguments.get_raw(0) {
        ValueRef::Integer(ns) => Some(ns),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// The views of the case, as stock `sqlite3` runs them, say the same.
        #[test]
        fn the_same_as_sqlites(ns in any::<i64>(), second in -9_223_372_036i64..=9_223_372_036) {
            let db = Connection::open_in_memory().unwrap();
            db.execute_batch(&schema::TABLES).unwrap();
            let some = [Some(ns), Some(second * 1_000_000_000), Some(second * 1_000_000_000 + 500_000_000)];
            db.execute("INSERT INTO host (identity, mount, dof_version, arguments, ingest_start) VALUES ('', '', '', '', 0)", []).unwrap();
            db.execute("INSERT INTO engine (host_id, kind, data_root, found_by, rootless, comparison, folders) VALUES (1, '', '', '', 0, '', '[]')", []).unwrap();
            for time in some {
                db.execute("INSERT INTO volume (engine_id, name, driver, created_at, anonymous, in_metadata) VALUES (1, '', '', ?, 0, 0)", [time]).unwrap();
            }
            let read = |schema: &str| {
                let sql = format!("SELECT created || created_short || created_ns FROM {schema}.volume_text");
                let mut stmt = db.prepare(&sql).unwrap();
                let all = stmt.query_map([], |r| r.get::<_, Option<String>>(0)).unwrap();
                all.collect::<Result<Vec<_>, _>>().unwrap()
            };
            prepare(&db).unwrap();
            prop_assert_eq!(read("main"), read("temp"));
            prop_assert_eq!(read("main").len(), some.len());
        }
    }

    /// Each view that says a time has its twin, and so has each that names such a view.
    #[test]
    fn every_view_of_times_is_there_twice() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&schema::TABLES).unwrap();
        prepare(&db).unwrap();
        let slow = "SELECT count(*) FROM main.sqlite_schema s WHERE s.type = 'view' AND s.sql LIKE '%1000000000) || ''Z'')%'
                       AND s.name NOT IN (SELECT name FROM temp.sqlite_schema)";
        assert_eq!(db.query_row(slow, [], |r| r.get(0)), Ok(0));
        let mut names = db.prepare("SELECT name FROM temp.sqlite_schema").unwrap();
        let names = names.query_map([], |r| r.get::<_, String>(0)).unwrap();
        for name in names.map(Result::unwrap) {
            let all = format!("SELECT * FROM {name}");
            db.prepare(&all).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
