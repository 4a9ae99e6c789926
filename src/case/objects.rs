//! What a case is made of, held text for text against what this dof would make: tables, indexes and views.
//!
//! A case that somebody hands over may have views that answer otherwise, triggers that drop rows, or a table in place of a
//! function of SQLite's. These are refused. Tables and views of an investigator's own are not dof's business: no statement
//! of dof's names them.

use super::schema;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What `sqlite_schema` says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    kind: String,
    table: String,
    sql: Option<String>,
}

/// Tables that SQLite has without anybody making them: a table of that name would take their place. So would one that begins
/// with `pragma_`.
const FUNCTIONS: &[&str] = &[
    "bytecode",
    "dbstat",
    "fts3",
    "fts3tokenize",
    "fts4",
    "fts4aux",
    "fts5",
    "fts5vocab",
    "json_each",
    "json_tree",
    "jsonb_each",
    "jsonb_tree",
    "rtree",
    "rtree_i32",
    "sqlite_stmt",
    "tables_used",
];

fn read(db: &Connection) -> rusqlite::Result<Vec<(String, Object)>> {
    let mut stmt = db.prepare("SELECT name, type, tbl_name, sql FROM main.sqlite_schema")?;
    let rows = stmt.query_map([], |r| {
        let (kind, table, sql) = (r.get(1)?, r.get(2)?, r.get(3)?);
        Ok((r.get(0)?, Object { kind, table, sql }))
    })?;
    rows.collect()
}

/// What this dof makes, by name, as `sqlite_schema` has it: taken from the text of `schema/`, which SQLite keeps as it is from
/// the name on (a test compares them).
fn ours() -> &'static BTreeMap<String, Object> {
    static OURS: OnceLock<BTreeMap<String, Object>> = OnceLock::new();
    OURS.get_or_init(|| {
        let all = [&**schema::TABLES, schema::INDEXES, schema::LOG_INDEX];
        let made = all.into_iter().flat_map(statements).filter_map(|text| {
            let sql = text.replacen(" IF NOT EXISTS ", " ", 1);
            let mut words = sql.split([' ', '(', '\n']).skip(1);
            let kind = words.find(|word| *word != "UNIQUE")?.to_ascii_lowercase();
            let name = words.next()?.to_owned();
            let table = match kind.as_str() {
                "index" => words.nth(1)?.to_owned(),
                _ => name.clone(),
            };
            let sql = Some(sql);
            Some((name, Object { kind, table, sql }))
        });
        made.collect()
    })
}

/// The statements of a text of SQL, without the comments before them and the semicolons behind.
pub(super) fn statements(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut all, mut begin, mut at) = (Vec::new(), None, 0);
    let past = |from: usize, end: u8| {
        memchr::memchr(end, &bytes[from..]).map_or(bytes.len(), |n| from + n + 1)
    };
    while at < bytes.len() {
        match bytes[at] {
            b'-' if bytes[at..].starts_with(b"--") => at = past(at, b'\n'),
            b';' => {
                all.extend(begin.take().map(|from: usize| &text[from..at]));
                at += 1;
            }
            b if b.is_ascii_whitespace() => at += 1,
            b => {
                begin.get_or_insert(at);
                at = match b {
                    b'\'' | b'"' => past(at + 1, b),
                    _ => at + 1,
                };
            }
        }
    }
    all.extend(begin.map(|from| text[from..].trim_end()));
    all
}

/// The names of dof's tables and indexes, which have pages, and whether it is a table.
pub(super) fn stored() -> impl Iterator<Item = (&'static str, bool)> {
    ours()
        .iter()
        .filter(|(_, o)| o.kind != "view")
        .map(|(name, o)| (name.as_str(), o.kind == "table"))
}

/// What was found in a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What of dof's own is missing or different, and what would act on it, a line each.
    pub faults: Vec<String>,
    /// Objects of somebody else's that touch nothing of dof's: `table notes`, with their text.
    pub own: BTreeMap<String, String>,
}

/// Looks at all objects of a case.
pub(super) fn find(db: &Connection) -> rusqlite::Result<Found> {
    let ours = ours();
    let mut found = Found::default();
    let mut there = BTreeSet::new();
    for (name, object) in read(db)? {
        let what = format!("{} {name}", object.kind);
        let mut fault = |why: &str| found.faults.push(format!("{what}: {why}"));
        if let Some(own) = ours.get(&name) {
            let first = there.insert(name);
            if !first || object != *own {
                fault("not as dof makes it");
            }
            continue;
        }
        let on_ours = ours.contains_key(&object.table.to_ascii_lowercase());
        let lower = name.to_ascii_lowercase();
        match object.kind.as_str() {
            "table" | "view"
                if lower.starts_with("pragma_") || FUNCTIONS.contains(&lower.as_str()) =>
            {
                fault("has the name of a function that dof's queries use");
            }
            "table" | "view" | "index" if !on_ours && makes(&object, &name) => {
                found.own.insert(what, object.sql.unwrap_or_default());
            }
            "index" if on_ours => fault(&format!("on dof's table {}", object.table)),
            "trigger" => fault(&format!("on {}; dof makes no triggers", object.table)),
            _ => fault("its text makes something else"),
        }
    }
    for (name, own) in ours {
        if !there.contains(name) {
            found.faults.push(format!("{} {name}: not there", own.kind));
        }
    }
    found.faults.sort();
    Ok(found)
}

/// The first pages of all tables and indexes.
pub(super) fn roots(db: &Connection) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut stmt =
        db.prepare("SELECT name, rootpage FROM main.sqlite_schema WHERE rootpage <> 0")?;
    let all = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    all.collect()
}

/// All that is not dof's: its row in the schema but for the root page, and that.
pub(super) type Own = Vec<((String, String, Option<String>), u32)>;

/// What is not dof's in a case.
pub(super) fn own(db: &Connection) -> rusqlite::Result<Own> {
    let mut stmt = db.prepare(
        "SELECT type || ' ' || name, tbl_name, sql, coalesce(rootpage, 0), name FROM main.sqlite_schema ORDER BY 1, 2, 3, 4",
    )?;
    let rows = stmt.query_map([], |r| {
        let row = ((r.get(0)?, r.get(1)?, r.get(2)?), r.get(3)?);
        Ok((r.get::<_, String>(4)?, row))
    })?;
    let mut all = Own::new();
    for row in rows {
        let (name, row) = row?;
        if !ours().contains_key(&name) {
            all.push(row);
        }
    }
    Ok(all)
}

/// Whether an object's text makes what its row says: SQLite goes by the text. It keeps texts with blanks of its own up to
/// the name.
fn makes(object: &Object, name: &str) -> bool {
    let Some(sql) = &object.sql else {
        // SQLite makes these itself, and goes by the name, in any case: that of another table's would lead that table to
        // other pages.
        let head = format!("sqlite_autoindex_{}_", object.table);
        let number = name.strip_prefix(&head).unwrap_or_default();
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        return object.kind == "index" && is_number;
    };
    let heads: &[&str] = match object.kind.as_str() {
        "table" => &["TABLE ", "VIRTUAL TABLE "],
        "view" => &["VIEW "],
        _ => &["INDEX ", "UNIQUE INDEX "],
    };
    let made = sql.strip_prefix("CREATE ").unwrap_or_default();
    let Some(rest) = heads.iter().find_map(|head| made.strip_prefix(head)) else {
        return false;
    };
    // As it stands, or quoted, a quote within doubled.
    let quoted = ['"', '`', '\''].map(|q| format!("{q}{}{q}", name.replace(q, &format!("{q}{q}"))));
    [name.to_owned(), format!("[{name}]")]
        .iter()
        .chain(&quoted)
        .any(|called| {
            let head = rest.get(..called.len()).unwrap_or_default();
            let end = rest[head.len()..].chars().next();
            let ends = end.is_none_or(|c| {
                !(c.is_alphanumeric() || matches!(c, '_' | '$' | '"' | '`' | '\''))
            });
            head.eq_ignore_ascii_case(called) && ends
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the text of `schema/` is taken for is what SQLite makes of it.
    #[test]
    fn texts_are_as_sqlite_keeps_them() {
        let db = Connection::open_in_memory().unwrap();
        for text in [&**schema::TABLES, schema::INDEXES, schema::LOG_INDEX] {
            db.execute_batch(text).unwrap();
        }
        let made: BTreeMap<String, Object> = read(&db).unwrap().into_iter().collect();
        for (name, object) in &made {
            assert_eq!(ours().get(name), Some(object), "{name}");
        }
        assert_eq!(ours().len(), made.len());
        let mut stmt = db.prepare("SELECT name FROM pragma_module_list").unwrap();
        let modules = stmt.query_map([], |r| r.get::<_, String>(0)).unwrap();
        for module in modules.map(Result::unwrap) {
            let known = FUNCTIONS.contains(&module.as_str()) || module.starts_with("pragma_");
            assert!(known, "{module}");
        }
    }
}
