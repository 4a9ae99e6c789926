//! Where paths lead in containers, for who asks a finished case.

use super::entries::{Entries, Fault, View};
use super::mounted::place;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// Steps that following one path may take.
const STEPS: u64 = 50_000_000;

/// Where a path leads, by the row id of the container, in each that has a symbolic link on the way to its last name, which
/// is not followed. Links within what is mounted are not followed either.
///
/// # Errors
/// When SQLite fails.
pub fn follow_links(db: &Connection, path: &str) -> rusqlite::Result<Vec<(i64, String)>> {
    let Some((above, name)) = path.rsplit_once('/') else {
        return Ok(Vec::new());
    };
    let entries = Entries::new(db, STEPS);
    let mut all = Vec::new();
    for container in linked(db, above)? {
        match lead(db, &entries, container, above) {
            Ok(Some(place)) => all.push((container, format!("{place}/{name}"))),
            Ok(None) | Err(Fault::Spent) => {}
            Err(Fault::Sqlite(e)) => return Err(e),
        }
    }
    Ok(all)
}

/// Containers with a symbolic link in one of their layers on the way.
fn linked(db: &Connection, way: &str) -> rusqlite::Result<BTreeSet<i64>> {
    let sql = "SELECT s.container_id
                 FROM tree t CROSS JOIN directory d ON d.tree_id = t.id AND d.path = ?1
                      CROSS JOIN file f ON f.id BETWEEN d.first_file AND d.last_file
                      CROSS JOIN container_stack s ON s.tree_id = t.id
                WHERE t.kind = 'layer' AND +f.name = ?2 AND f.link IS NOT NULL";
    let mut stmt = db.prepare_cached(sql)?;
    let mut all = BTreeSet::new();
    let mut rest = way;
    while let Some((above, name)) = rest.rsplit_once('/') {
        let found = stmt.query_map([above, name], |r| r.get(0))?;
        for container in found {
            all.insert(container?);
        }
        rest = above;
    }
    Ok(all)
}

/// Where a path leads in a container; `None` where links lead in a circle.
fn lead(
    db: &Connection,
    entries: &Entries<'_>,
    container: i64,
    path: &str,
) -> Result<Option<String>, Fault> {
    let sql = "SELECT s.tree_id, d.id FROM container_stack s
                 CROSS JOIN directory d ON d.tree_id = s.tree_id AND d.path = ''
                WHERE s.container_id = ? ORDER BY s.position DESC";
    let mut stmt = db.prepare_cached(sql)?;
    let trees = stmt.query_map([container], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let trees = trees.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    place(&View::new(entries, trees)?, path)
}
