//! `X MATCH Y` for those who ask a case: SQLite has the operator, and calls `match(Y, X)`, which it leaves to programs. Y is an
//! expression of words ([`Expression`]).

use super::regexp::bytes;
use crate::parse::expression::Expression;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};

/// How an error of an expression begins.
pub(super) const BEGINS: &str = "MATCH ";

/// Lets a connection know the function.
pub fn register(db: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function("match", 2, flags, matches)
}

/// NULL where expression or text is NULL. SQLite keeps an expression that is the same for all rows.
fn matches(call: &Context<'_>) -> rusqlite::Result<Option<bool>> {
    let (Some(expression), Some(text)) = (bytes(call.get_raw(0)), bytes(call.get_raw(1))) else {
        return Ok(None);
    };
    let read = call.get_or_create_aux(0, |_| {
        let expression = String::from_utf8_lossy(&expression);
        Expression::new(&expression).map_err(|why| format!("{BEGINS}'{expression}': {why}"))
    })?;
    Ok(Some(read.finds(&text)))
}

#[cfg(test)]
mod tests {
    use super::super::{connection, is_wrong_pattern};
    use super::*;

    #[test]
    fn words_in_any_value() {
        let db = Connection::open_in_memory().unwrap();
        connection::guard(&db).unwrap();
        db.execute_batch("CREATE VIEW own AS SELECT 'abc' MATCH 'B OR x' AS matched")
            .unwrap();
        for (sql, want) in [
            ("SELECT 'abc' MATCH 'B'", Some(true)),
            ("SELECT 'abc' MATCH 'a NOT c'", Some(false)),
            ("SELECT 'abc' MATCH ''", Some(true)),
            ("SELECT 150 MATCH 5", Some(true)),
            ("SELECT x'ff61' MATCH 'a'", Some(true)),
            ("SELECT NULL MATCH 'a'", None),
            ("SELECT 'a' MATCH NULL", None),
            ("SELECT matched FROM own", Some(true)),
        ] {
            assert_eq!(db.query_row(sql, [], |r| r.get(0)), Ok(want), "{sql}");
        }
        let e = db
            .query_row("SELECT 'a' MATCH 'a OR'", [], |_| Ok(()))
            .unwrap_err();
        assert!(is_wrong_pattern(&e), "{e:?}");
        assert!(
            e.to_string()
                .starts_with("MATCH 'a OR': nothing to look for"),
            "{e}"
        );
    }

    /// A table of SQLite's full-text search goes on meaning its own.
    #[test]
    fn full_text_search_is_left_alone() {
        let db = Connection::open_in_memory().unwrap();
        connection::guard(&db).unwrap();
        let made =
            "CREATE VIRTUAL TABLE t USING fts5(line); INSERT INTO t VALUES ('one two'), ('onetwo')";
        db.execute_batch(made).unwrap();
        let found = "SELECT count(*) FROM t WHERE t MATCH 'tw*'";
        assert_eq!(db.query_row(found, [], |r| r.get(0)), Ok(1));
    }
}
