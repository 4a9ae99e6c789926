//! The schema as people meet it: the manual, the text of a query.

use crate::support::{Need, dof, has, ingest, must, sample, text};
use rusqlite::Connection;

/// Tables and views.
fn objects(db: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%' ORDER BY name";
    let mut stmt = db.prepare(sql).unwrap();
    let rows = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?)));
    let all: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    assert!(all.len() > 50, "{all:?}");
    all
}

#[test]
fn every_table_and_view_is_in_the_manual() {
    let case = dof::case::Target::temporary().unwrap().seal().unwrap();
    let manual = dof(["schema"]).with(0).out;
    let contents: Vec<&str> = manual
        .lines()
        .take_while(|line| line.starts_with("--"))
        .flat_map(|line| line.split([' ', ',']))
        .collect();
    let (for_people, machinery) = manual
        .split_once("\n-- for dof's own use ")
        .unwrap_or((&manual, ""));
    for (name, kind) in objects(case.db()) {
        let made = format!("CREATE {} {name} ", kind.to_uppercase());
        let one = dof(["schema", &name.to_uppercase()]).with(0).out;
        assert!(one.starts_with("-- "), "{name} is explained: {one}");
        assert!(one.contains(&made), "{one}");
        let is_machinery = machinery.contains(&made);
        assert_eq!(manual.matches(&made).count(), 1, "{name}");
        assert_eq!(for_people.contains(&made), !is_machinery, "{name}");
        assert_eq!(contents.contains(&&*name), !is_machinery, "{name}");
    }
    let unknown = dof(["schema", "contaner"]).with(2);
    assert!(
        unknown.err.contains("similar") && unknown.err.contains("'container'"),
        "{}",
        unknown.err
    );
}

/// As the file has it, whatever else is asked; `sqlite3` runs it.
#[test]
fn the_text_of_a_query() {
    for query in dof::query::catalogue() {
        assert_eq!(dof(["query", &query.name, "--sql"]).with(0).out, query.sql);
    }
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let file = dir.path().join("hosts.sql");
    dof(["query", "hosts", "--sql", "-o", text(&file)]).with(0);
    let read = format!(".read {}", file.display());
    let printed = must("sqlite3", &["-readonly", text(&case), &read]);
    assert!(printed.contains("shop01"), "{printed}");
}
