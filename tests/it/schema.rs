//! The schema as people meet it: the manual, the text of a query, and what generic viewers make of a case.

use crate::support::{Need, dof, has, ingest, must, open, sample, text};
use rusqlite::Connection;
use std::path::Path;

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

/// Generic viewers make a link of each.
#[test]
fn foreign_keys_lead_to_a_column() {
    let case = dof::case::Target::temporary().unwrap().seal().unwrap();
    let db = case.db();
    let mut stmt = db
        .prepare(
            "SELECT t.name, k.\"from\", k.\"table\", k.\"to\",
                    EXISTS (SELECT 1 FROM pragma_table_info(k.\"table\") c WHERE c.name = k.\"to\")
               FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) k WHERE t.type = 'table'",
        )
        .unwrap();
    let mut rows = stmt.query([]).unwrap();
    let mut n = 0;
    while let Some(row) = rows.next().unwrap() {
        let (table, from): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let to: Option<String> = row.get(3).unwrap();
        assert!(to.is_some(), "{table}.{from} names no column");
        assert!(row.get::<_, bool>(4).unwrap(), "{table}.{from}: {to:?}");
        n += 1;
    }
    assert!(n > 30, "{n}");
}

/// A page a table or view: its first rows, with links to what their foreign keys lead to.
#[test]
fn datasette_shows_every_table_and_view() {
    if !has(&[Need::Program("datasette")]) {
        return;
    }
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let names: Vec<String> = objects(&open(&case)).into_iter().map(|o| o.0).collect();
    // `datasette --get` would start anew for each page.
    let script = dir.path().join("pages.py");
    let pages = "
import asyncio, sys
from datasette.app import Datasette

async def main(case, *names):
    viewer = Datasette([case], settings={'sql_time_limit_ms': 60000})
    for name in names:
        page = await viewer.client.get('/case/' + name)
        title = page.text.partition('<title>')[2].partition('</title>')[0]
        print(name, page.status_code, title)

asyncio.run(main(*sys.argv[1:]))
";
    std::fs::write(&script, pages).unwrap();
    // By the Python that datasette itself runs with.
    let python = "exec \"$(sed -n '1s/^#!//p' \"$(command -v datasette)\")\" \"$@\"";
    let mut args = vec!["-c", python, "sh", text(&script), text(&case)];
    args.extend(names.iter().map(String::as_str));
    let shown = must("sh", &args);
    assert_eq!(shown.lines().count(), names.len(), "{shown}");
    for (line, name) in shown.lines().zip(&names) {
        let begins = format!("{name} 200 case: {name}:");
        assert!(line.starts_with(&begins), "{line}");
    }
}

/// The commands of README's part on SQL, and what it says that they print.
#[test]
fn the_readme_asks_in_sql() {
    if !has(&[Need::Program("sqlite3"), Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let (dir, _case) = ingest(&mount, 0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(root.join("queries"), dir.path().join("queries")).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, part) = readme.split_once("\n## Ask in SQL\n").unwrap();
    let (part, _) = part.split_once("\n## ").unwrap();
    let mut lines = part.lines().peekable();
    let mut commands = 0;
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("    $ ") else {
            continue;
        };
        let mut want = String::new();
        while let Some(line) = lines.next_if(|l| l.starts_with("    ") && !l[4..].starts_with("$ "))
        {
            want.push_str(&line[4..]);
            want.push('\n');
        }
        let script = format!("cd '{}' && {command}", dir.path().display());
        let printed = must("sh", &["-c", &script]);
        assert!(printed == want || want.is_empty(), "{command}\n{printed}");
        assert!(!printed.is_empty(), "{command}");
        commands += 1;
    }
    assert!(commands > 5, "{commands}");
}
