//! Times as the shipped queries print them, worked out by dof where dof runs them.
//!
//! A query says it in SQL that stock `sqlite3` runs, which takes half a microsecond a time: a quarter of what many a row
//! costs. Here, in the place of that very expression, and of no other, stands the column itself where the expression is a
//! column of the result, for the renderer to print as a time; and a function of dof's own anywhere else. Both know the times of
//! cases: INTEGER or NULL. A query of the user's own, where it could be something else, stays as it is.

use crate::parse::time;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

const FUNCTION: &str = "dof_time";
/// How the expression begins; then comes a column.
const BEGINS: &str = "strftime('%Y-%m-%dT%H:%M:%S', ";

/// A query that leaves its times to dof.
pub struct Replaced {
    /// What SQLite runs.
    pub sql: String,
    /// Columns of the result that are times in nanoseconds now.
    pub columns: Vec<String>,
}

/// The expression, of a column.
fn spelled(column: &str) -> String {
    format!(
        "{BEGINS}{column} / 1000000000 - ({column} % 1000000000 < 0), 'unixepoch') || printf('.%09dZ', ({column} % 1000000000 + 1000000000) % 1000000000)"
    )
}

/// The same query without that expression.
pub fn replaced(sql: &str) -> Replaced {
    let mut out = String::with_capacity(sql.len());
    let mut columns = Vec::new();
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
                match result_column(&sql[..sql.len() - expression.len()], after) {
                    Some(name) => {
                        out.push_str(column);
                        columns.push(name.to_owned());
                    }
                    None => out.extend([FUNCTION, "(", column, ")"]),
                }
                after
            }
            _ => {
                out.push_str(BEGINS);
                named
            }
        };
    }
    out.push_str(rest);
    Replaced { sql: out, columns }
}

/// What a column of the result is called that stands whole between these two.
fn result_column<'a>(before: &str, after: &'a str) -> Option<&'a str> {
    let begins = before.trim_end().ends_with(',') || before.ends_with("SELECT ");
    let name = after.strip_prefix(" AS ")?.split([',', '\n', ' ']).next()?;
    (begins && !name.is_empty() && is_outermost(before)).then_some(name)
}

/// Whether SQL goes on here outside of all parentheses, strings and comments.
fn is_outermost(before: &str) -> bool {
    let mut open = 0;
    let mut rest = before;
    while let Some(at) = rest.find(['(', ')', '\'', '"', '-']) {
        let found = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        let ends = match found {
            b'(' => {
                open += 1;
                continue;
            }
            b')' => {
                open -= 1;
                continue;
            }
            b'-' if !rest.starts_with('-') => continue,
            b'-' => '\n',
            quote => char::from(quote),
        };
        match rest.find(ends) {
            Some(end) => rest = &rest[end + 1..],
            None => return false,
        }
    }
    open == 0
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
            let done = replaced(&sql(&time));
            let text = format!("SELECT {column} AS time, '{BEGINS}', dof_time({column}) FROM t");
            assert_eq!((done.sql, done.columns), (text, vec!["time".to_owned()]));
            let mixed = sql(&time.replacen(column, other, 1));
            assert_eq!(replaced(&mixed).sql, mixed);
            let short = &time[..time.len() - 1];
            assert_eq!(replaced(short).sql, short);
        }
        let computed = sql(&spelled("max(ts)"));
        assert_eq!(replaced(&computed).sql, computed);
    }

    /// Elsewhere than in the result it must be text: it may be compared, or be part of one.
    #[test]
    fn what_is_no_column_of_the_result_is_text() {
        let time = spelled("ts");
        for (before, after) in [
            ("SELECT x FROM (SELECT ", " AS time FROM t)"),
            ("WITH a AS (SELECT 1, ", " AS time FROM t) SELECT * FROM a"),
            ("SELECT ')' || ", " AS time FROM t"),
            ("SELECT ", " || 'x' AS time FROM t"),
            ("SELECT * FROM t WHERE ", " > '2019'"),
            ("SELECT (1, -- ) comment\n ", " AS time)"),
            ("SELECT '(', -- ' (\n ", ""),
        ] {
            let done = replaced(&format!("{before}{time}{after}"));
            assert_eq!(done.sql, format!("{before}dof_time(ts){after}"));
            assert!(done.columns.is_empty());
        }
        for (before, after) in [
            ("SELECT -- ' (\n '(', ", " AS time FROM t"),
            ("SELECT (1 - 2), \"(\", ", " AS time\n  FROM t"),
        ] {
            let done = replaced(&format!("{before}{time}{after}"));
            assert_eq!(done.sql, format!("{before}ts{after}"));
            assert_eq!(done.columns, ["time"]);
        }
    }

    /// No shipped query spells such a time in another way, which would be right and slow. (Those of few rows drop zeros.)
    #[test]
    fn every_query_spells_its_times_so() {
        let mut times = 0;
        for query in crate::query::catalogue() {
            let done = replaced(&query.sql);
            times += done.columns.len();
            assert!(!done.sql.contains("'.%09dZ"), "{}", query.name);
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
