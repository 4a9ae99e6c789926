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

/// dof's objects by name.
struct Ours {
    objects: BTreeMap<String, Object>,
    /// Tables that SQLite has without anybody making them, such as `json_each`: a table of that name would take their place.
    functions: BTreeSet<String>,
}

fn read(db: &Connection) -> rusqlite::Result<Vec<(String, Object)>> {
    let mut stmt = db.prepare("SELECT name, type, tbl_name, sql FROM main.sqlite_schema")?;
    let rows = stmt.query_map([], |r| {
        let (kind, table, sql) = (r.get(1)?, r.get(2)?, r.get(3)?);
        Ok((r.get(0)?, Object { kind, table, sql }))
    })?;
    rows.collect()
}

/// What this dof makes.
fn ours() -> rusqlite::Result<&'static Ours> {
    static OURS: OnceLock<Ours> = OnceLock::new();
    if let Some(ours) = OURS.get() {
        return Ok(ours);
    }
    let db = Connection::open_in_memory()?;
    db.execute_batch(schema::TABLES)?;
    db.execute_batch(schema::INDEXES)?;
    db.execute_batch(schema::LOG_INDEX)?;
    let mut stmt = db.prepare("SELECT name FROM pragma_module_list")?;
    let modules = stmt.query_map([], |r| r.get(0))?;
    // SQLite lists these from their first use on.
    let json = ["json_each", "json_tree", "jsonb_each", "jsonb_tree"];
    let functions = json
        .iter()
        .map(|name| Ok((*name).to_owned()))
        .chain(modules);
    let made = Ours {
        objects: read(&db)?.into_iter().collect(),
        functions: functions.collect::<rusqlite::Result<_>>()?,
    };
    Ok(OURS.get_or_init(|| made))
}

/// The names of dof's tables and indexes, which have pages: whether it is a table, and the table it belongs to.
pub(super) fn stored() -> rusqlite::Result<impl Iterator<Item = (&'static str, bool)>> {
    let all = ours()?.objects.iter();
    Ok(all
        .filter(|(_, o)| o.kind != "view")
        .map(|(name, o)| (name.as_str(), o.kind == "table")))
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
    let ours = ours()?;
    let mut found = Found::default();
    let mut there = BTreeSet::new();
    for (name, object) in read(db)? {
        let what = format!("{} {name}", object.kind);
        let mut fault = |why: &str| found.faults.push(format!("{what}: {why}"));
        if let Some(own) = ours.objects.get(&name) {
            let first = there.insert(name);
            if !first || object != *own {
                fault("not as dof makes it");
            }
            continue;
        }
        let on_ours = ours
            .objects
            .contains_key(&object.table.to_ascii_lowercase());
        let lower = name.to_ascii_lowercase();
        match object.kind.as_str() {
            "table" | "view" if lower.starts_with("pragma_") || ours.functions.contains(&lower) => {
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
    for (name, own) in &ours.objects {
        if !there.contains(name) {
            found.faults.push(format!("{} {name}: not there", own.kind));
        }
    }
    found.faults.sort();
    Ok(found)
}

/// Whether an object's text makes what its row says: SQLite goes by the text. It keeps texts with blanks of its own up to
/// the name.
fn makes(object: &Object, name: &str) -> bool {
    let Some(sql) = &object.sql else {
        return object.kind == "index" && name.starts_with("sqlite_autoindex_");
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
