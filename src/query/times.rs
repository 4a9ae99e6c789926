//! Times as the shipped queries print them, worked out by dof where dof runs them.
//!
//! A query says it in SQL that stock `sqlite3` runs, which takes half a microsecond a time: a quarter of what many a row
//! costs. Here a function of dof's own stands in the place of that very expression, and of no other. It knows the times of
//! cases: INTEGER or NULL. A query of the user's own, where it could be something else, stays as it is.

use crate::parse::time;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

const FUNCTION: &str = "dof_time";
/// How the expression begins; then comes a column.
const BEGINS: &str = "strftime('%Y-%m-%dT%H:%M:%S', ";

/// The expression, of a column.
fn spelled(column: &str) -> String {
    format!(
        "{BEGINS}{column} / 1000000000 - ({column} % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', ({column} % 1000000000 + 1000000000) % 1000000000)"
    )
}

/// The same query, with the function for each such expression.
pub fn replaced(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(BEGINS) {
        let (before, expression) = rest.split_at(at);
        let named = &expression[BEGINS.len()..];
        let column = named.split(' ').next().unwrap_or_default();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let spelled = spelled(column);
        out.push_str(before);
        rest = match expression.strip_prefix(&spelled) {
            Some(after) if !column.is_empty() && column.chars().all(is_name) => {
                out.extend([FUNCTION, "(", column, ")"]);
                after
            }
            _ => {
                out.push_str(BEGINS);
                named
            }
        };
    }
    out.push_str(rest);
    out
}

/// Lets the database know the function: an INTEGER is nanoseconds, and anything else, which no time of a case is, is NULL.
///
/// # Errors
/// When SQLite fails.
pub fn register(db: &Connection) -> rusqlite::Result<()> {
    // While a statement runs none can be put in the place of one that is there.
    if db.prepare(&format!("SELECT {FUNCTION}(NULL)")).is_ok() {
        return Ok(());
    }
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function(FUNCTION, 1, flags, |arguments| {
        Ok(match arguments.get_raw(0) {
            ValueRef::Integer(ns) => Some(time::rfc3339_nine(ns)),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_spelled_otherwise_stays() {
        let sql = |time: &str| format!("SELECT {time} AS time, '{BEGINS}', {time} FROM t");
        for (column, other) in [("ts", "t.s"), ("n.last", "n.first")] {
            let time = spelled(column);
            assert_eq!(replaced(&sql(&time)), sql(&format!("dof_time({column})")));
            let mixed = sql(&time.replacen(column, other, 1));
            assert_eq!(replaced(&mixed), mixed);
            assert_eq!(replaced(&time[..time.len() - 1]), time[..time.len() - 1]);
        }
        let computed = sql(&spelled("max(ts)"));
        assert_eq!(replaced(&computed), computed);
    }

    /// No shipped query spells such a time in another way, which would be right and slow. (Those of few rows drop zeros.)
    #[test]
    fn every_query_spells_its_times_so() {
        let mut times = 0;
        for query in crate::query::catalogue() {
            let sql = replaced(&query.sql);
            times += sql.matches(FUNCTION).count();
            assert!(!sql.contains("'.%09dZ"), "{}", query.name);
        }
        assert!(times > 0);
    }

    #[test]
    fn it_is_known_once_while_another_query_runs() {
        let db = Connection::open_in_memory().unwrap();
        register(&db).unwrap();
        let mut running = db
            .prepare("SELECT dof_time(value) FROM json_each('[0, 1]')")
            .unwrap();
        let mut rows = running.query([]).unwrap();
        assert!(rows.next().unwrap().is_some());
        register(&db).unwrap();
        let first: String = rows.next().unwrap().unwrap().get(0).unwrap();
        assert_eq!(first, "1970-01-01T00:00:00.000000001Z");
    }

    proptest! {
        /// SQLite's own expression gives the same.
        #[test]
        fn the_same_as_sqlites(ns in any::<i64>(), second in -9_223_372_036i64..=9_223_372_036) {
            let db = Connection::open_in_memory().unwrap();
            register(&db).unwrap();
            let sql = format!("SELECT {}, dof_time(ts) FROM (SELECT ? AS ts)", spelled("ts"));
            for ts in [Some(ns), Some(second * 1_000_000_000), None] {
                let (theirs, ours): (Option<String>, Option<String>) =
                    db.query_row(&sql, [ts], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
                prop_assert_eq!(theirs, ours);
            }
        }
    }
}
