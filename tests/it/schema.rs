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
    let (manual, all) = (
        dof(["schema"]).with(0).out,
        dof(["schema", "--all"]).with(0).out,
    );
    let contents: Vec<&str> = all
        .lines()
        .take_while(|line| line.starts_with("--"))
        .flat_map(|line| line.split([' ', ',']))
        .collect();
    let (for_people, machinery) = all.split_once("\n-- machinery ===").unwrap();
    let wide = all.lines().find(|line| line.chars().count() > 100);
    assert!(wide.is_none(), "{wide:?}");
    let mut of_machinery = 0;
    for (name, kind) in objects(case.db()) {
        let made = format!("CREATE {} {name} (", kind.to_uppercase());
        let one = dof(["schema", &name.to_uppercase()]).with(0).out;
        assert!(one.starts_with("-- "), "{name} is explained: {one}");
        let whole = case.db().query_row(
            "SELECT substr(sql, 1, instr(sql, ' AS') - 1) FROM sqlite_schema WHERE name = ?",
            [&name],
            |r| r.get::<_, String>(0),
        );
        assert!(one.contains(&whole.unwrap()), "{one}");
        let is_machinery = machinery.contains(&made);
        of_machinery += usize::from(is_machinery);
        let explained = one.starts_with("-- Machinery") || one.starts_with("-- For dof's own use");
        assert_eq!(is_machinery, explained, "{name}");
        assert_eq!(all.matches(&made).count(), 1, "{name}");
        assert_eq!(for_people.contains(&made), !is_machinery, "{name}");
        assert_eq!(
            manual.matches(&made).count(),
            usize::from(!is_machinery),
            "{name}"
        );
        assert!(contents.contains(&&*name), "{name}");
    }
    assert!(
        of_machinery > 20 && all.contains("\n-- machinery      "),
        "{all}"
    );
    // Who reads it has no source code beside it.
    for file in ["src/", "schema/", "derived.sql", "queries/"] {
        assert!(!all.contains(file), "{file}");
    }
    // A view has its columns, and no more.
    assert!(
        manual.contains("\nCREATE VIEW image_name (image_id, name) AS ...;\n"),
        "{manual}"
    );
    assert!(!manual.contains("SELECT DISTINCT"), "{manual}");
}

#[test]
fn a_subject_of_the_manual() {
    let (some, all) = (["schema", "Visibility"], ["schema", "visibility", "--all"]);
    let (some, all) = (dof(some).with(0).out, dof(all).with(0).out);
    assert!(
        some.starts_with("-- What containers and images show"),
        "{some}"
    );
    assert!(
        some.contains("\nCREATE VIEW container_file (") && !some.contains("CREATE TABLE hides")
    );
    assert!(all.contains("\nCREATE TABLE hides ("), "{all}");
    let machinery = dof(["schema", "machinery"]).with(0).out;
    assert!(machinery.contains("\nCREATE TABLE hides ("), "{machinery}");
    let unknown = dof(["schema", "Contaner_fil"]).with(2).err;
    assert!(
        unknown.contains("Contaner_fil: ") && unknown.contains(" container_file,"),
        "{unknown}"
    );
    assert_eq!(
        (unknown.matches(',').count(), unknown.lines().count()),
        (3, 1),
        "{unknown}"
    );
}

/// What the manual begins with can be run, and finds something in the sample.
#[test]
fn the_manual_begins_with_queries() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let manual = dof(["schema"]).with(0).out;
    let (start, _) = manual.split_once("\n-- text ").unwrap();
    let lines = start.lines().filter_map(|line| line.strip_prefix("--   "));
    let (mut queries, mut open) = (Vec::new(), String::new());
    let (mut there, mut back) = (None, None);
    for line in lines {
        if line.starts_with("unixepoch(") {
            there = Some(line);
        } else if line.starts_with("strftime(") {
            back = Some(line);
        } else if line.starts_with("SELECT ") || !open.is_empty() {
            open.push_str(line);
            open.push('\n');
        }
        if line.ends_with(';') {
            queries.push(std::mem::take(&mut open));
        }
    }
    assert_eq!((queries.len(), open.as_str()), (3, ""), "{queries:?}");
    for query in &queries {
        let printed = must("sqlite3", &["-readonly", text(&case), query]);
        assert!(!printed.is_empty(), "{query}");
    }
    let (there, back) = (there.unwrap(), back.unwrap());
    let day = format!("SELECT {back} FROM (SELECT {there} AS mtime_ns)");
    assert_eq!(
        must("sqlite3", &[":memory:", &day]),
        "2019-05-27T00:00:00Z\n"
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
