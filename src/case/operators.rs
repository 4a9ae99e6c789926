//! `X REGEXP Y` and `X MATCH Y` for those who ask a case: SQLite has the operators and calls `regexp(Y, X)` and `match(Y, X)`, which
//! it leaves to programs. What a Y means is in `regexp.rs` and in [`Expression`].

use super::regexp;
use crate::parse::expression::Expression;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};
use std::borrow::Cow;

const REGEXP: &str = "REGEXP";
const MATCH: &str = "MATCH";

/// Of dof's functions: what they give follows from their arguments, and views of an investigator's own may use them, as those of
/// the `sqlite3` shell may.
pub(super) const PURE: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

/// Lets a connection know both.
pub(super) fn register(db: &Connection) -> rusqlite::Result<()> {
    operator(db, REGEXP, regexp::compile, |wanted, text| {
        wanted.is_match(text)
    })?;
    operator(db, MATCH, Expression::new, Expression::finds)
}

/// Whether a query failed for a pattern that is none, or an expression of words.
pub fn is_wrong_pattern(error: &Error) -> bool {
    let of = |message: &str, name: &str| message.strip_prefix(name)?.strip_prefix(" '").map(drop);
    let is = |message: &str| {
        [REGEXP, MATCH]
            .iter()
            .any(|name| of(message, name).is_some())
    };
    matches!(error, Error::SqliteFailure(_, Some(message)) if is(message))
}

/// NULL where pattern or text is NULL. SQLite keeps a pattern that is the same for all rows as it was read.
fn operator<P: Send + Sync + 'static>(
    db: &Connection,
    name: &'static str,
    read: fn(&str) -> Result<P, String>,
    finds: fn(&P, &[u8]) -> bool,
) -> rusqlite::Result<()> {
    let call = move |call: &Context<'_>| -> rusqlite::Result<Option<bool>> {
        let (Some(pattern), Some(text)) = (bytes(call.get_raw(0)), bytes(call.get_raw(1))) else {
            return Ok(None);
        };
        let wanted = call.get_or_create_aux(0, |_| {
            let pattern = String::from_utf8_lossy(&pattern);
            read(&pattern).map_err(|why| format!("{name} '{pattern}': {why}"))
        })?;
        Ok(Some(finds(&wanted, &text)))
    };
    db.create_scalar_function(name, 2, PURE, call)
}

/// A value as text.
fn bytes(value: ValueRef<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string().into_bytes().into()),
        ValueRef::Real(x) => Some(format!("{x:?}").into_bytes().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection;
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
