//! How SQLite goes about queries.

use rusqlite::{Connection, StatementStatus};

/// The steps of a query's plan.
pub fn plan(db: &Connection, sql: &str) -> Vec<String> {
    let mut stmt = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = stmt.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    steps
}

/// Instructions that SQLite took for a query until it gave so many rows, and the rows it gave.
pub fn cost(db: &Connection, name: &str, bind: &[(&str, &str)], most: usize) -> (i32, usize) {
    let sql = dof::query::find(name).unwrap().sql;
    let mut stmt = db.prepare(&sql).unwrap();
    for (parameter, value) in bind {
        let at = stmt.parameter_index(&format!(":{parameter}")).unwrap();
        stmt.raw_bind_parameter(at.unwrap(), value).unwrap();
    }
    let mut rows = stmt.raw_query();
    let mut n = 0;
    while n < most && rows.next().unwrap().is_some() {
        n += 1;
    }
    drop(rows);
    (stmt.get_status(StatementStatus::VmStep), n)
}
