//! How SQLite goes about each query: which tables it reads from end to end, told from the program it makes of the query; and
//! how many rows of a scan it steps over when a time, a path or a container is asked for.
//!
//! A case has no statistics (nothing runs ANALYZE), so that plans depend on the schema alone; SQLite's version is the one
//! dof is built with.

use crate::support::plans::{cost, plan};
use crate::support::{ingest, know_regexp, one, open, sample};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// Tables that grow with files, log lines or lists. All others are as long as containers, images, layers and their parts are many.
const BIG: [&str; 9] = [
    "directory",
    "event",
    "file",
    "file_hash",
    "file_xattr",
    "known_hash",
    "log_entry",
    "problem",
    "source",
];

/// The big tables, or indexes of theirs, that the query reads from end to end, in one way of running it at least; each as
/// often as it does.
fn scanned(db: &Connection, sql: &str) -> Vec<String> {
    let mut names = BTreeMap::new();
    let mut stmt = db
        .prepare("SELECT rootpage, tbl_name FROM sqlite_schema WHERE rootpage > 0")
        .unwrap();
    let mut rows = stmt.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        names.insert(
            row.get::<_, i64>(0).unwrap(),
            row.get::<_, String>(1).unwrap(),
        );
    }
    // A cursor is opened on a table's or an index's first page; one that is set to an end and then moved on reads it all.
    let mut cursors: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    let (mut ends, mut moves, mut counts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut stmt = db.prepare(&format!("EXPLAIN {sql}")).unwrap();
    let mut rows = stmt.raw_query();
    while let Some(row) = rows.next().unwrap() {
        let cursor: i64 = row.get(2).unwrap();
        match row.get::<_, String>(1).unwrap().as_str() {
            "OpenRead" | "ReopenIdx" => {
                let name = names[&row.get(3).unwrap()].clone();
                cursors.entry(cursor).or_default().insert(name);
            }
            "Rewind" | "Last" => drop(ends.insert(cursor)),
            "Next" | "Prev" => drop(moves.insert(cursor)),
            "Count" => drop(counts.insert(cursor)),
            _ => {}
        }
    }
    let all = ends.intersection(&moves).chain(&counts);
    let tables = all.filter_map(|c| cursors.get(c)).flatten();
    let mut big: Vec<String> = tables
        .filter(|t| BIG.contains(&t.as_str()))
        .cloned()
        .collect();
    big.sort();
    big
}

/// What a query may read from end to end, and why.
fn meant(query: &str) -> &'static [&'static str] {
    match query {
        // Every file is listed.
        "files" => &["file", "file_hash"],
        // Every hash is compared.
        "duplicates" | "known" => &["file_hash"],
        // All of them are asked for.
        "problems" | "status" => &["problem"],
        _ => &[],
    }
}

/// The queries that do not read just that: name and what they read.
fn not_meant(db: &Connection) -> Vec<(String, Vec<String>)> {
    let all = dof::query::catalogue().into_iter();
    all.map(|q| (scanned(db, &q.sql), q.name))
        .filter(|(tables, name)| tables != meant(name))
        .map(|(tables, name)| (name, tables))
        .collect()
}

#[test]
fn nothing_big_is_read_from_end_to_end_unless_it_is_meant() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = Connection::open(&case).unwrap();
    know_regexp(&db);
    let none: i64 = one(
        &db,
        "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'sqlite_stat*'",
    );
    assert_eq!(none, 0, "statistics would change the plans");
    assert_eq!(not_meant(&db), []);
    // Each index of a big table keeps some query from a scan, and its loss is noticed.
    let mut stmt = db
        .prepare("SELECT name, sql, tbl_name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        .unwrap();
    let rows = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)));
    let indexes: Vec<(String, String, String)> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let mut dropped = 0;
    for (name, sql, _) in indexes.iter().filter(|i| BIG.contains(&i.2.as_str())) {
        db.execute_batch(&format!("DROP INDEX {name}")).unwrap();
        assert!(!not_meant(&db).is_empty(), "nothing needs {name}");
        db.execute_batch(sql).unwrap();
        dropped += 1;
    }
    assert!(dropped >= 4, "{dropped}");
}

/// Ten thousand files and as many log lines that a question has nothing to do with do not make its answer dearer, nor does what
/// it has to do with them keep the first row of a list back: it is not gathered and sorted.
#[test]
fn what_is_asked_for_is_searched() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = Connection::open(&case).unwrap();
    know_regexp(&db);
    let window = [("since", "2019-05-27"), ("until", "2019-05-28")];
    let within = |more: &[(&'static str, &'static str)]| [&window[..], more].concat();
    let questions = [
        ("timeline", within(&[])),
        ("timeline", within(&[("container", "apache")])),
        ("timeline", within(&[("path", "/tmp/*")])),
        ("timeline", within(&[("image", "shop/web:patched")])),
        ("activity", within(&[])),
        (
            "activity",
            within(&[("container", "apache"), ("by", "hour")]),
        ),
        ("bodyfile", within(&[])),
        ("logs", within(&[])),
        ("logs", within(&[("stream", "stdout"), ("like", "%GET%")])),
        ("logs", vec![("container", "web")]),
        ("logs", vec![("container", "web"), ("like", "%php%")]),
        ("show-container-log", vec![("container", "web")]),
        ("whose", vec![("path", "/tmp/trojan")]),
        (
            "whose",
            vec![("path", "/tmp/trojan"), ("container", "apache")],
        ),
        ("drift", vec![("container", "apache")]),
        (
            "container-files",
            vec![("container", "apache"), ("path", "/tmp/*")],
        ),
        ("image-files", vec![("image", "shop/web:1.0")]),
        ("macrobber-container-layer", vec![("container", "apache")]),
        ("macrobber-volumes", vec![("container", "apache")]),
        ("mounts", vec![]),
        ("list-containers", vec![]),
    ];
    let before: Vec<_> = questions
        .iter()
        .map(|(name, bind)| cost(&db, name, bind, usize::MAX))
        .collect();
    let added_to: String = one(
        &db,
        "SELECT c.name FROM log_entry g JOIN log_file lf ON lf.id = g.log_file_id JOIN container c ON c.id = lf.container_id WHERE c.name <> 'web' AND g.ts IS NOT NULL ORDER BY g.id DESC LIMIT 1",
    );
    let streamed = [
        ("timeline", vec![]),
        ("timeline", vec![("since", "2019-05-27")]),
        ("logs", vec![]),
        ("logs", vec![("stream", "stdout")]),
        ("logs", vec![("since", "2019-05-27")]),
        ("logs", vec![("container", &added_to[..])]),
        ("logs", vec![("container", &added_to), ("like", "%")]),
        ("show-container-log", vec![("container", &added_to)]),
    ];
    let first = || streamed.iter().map(|(name, bind)| cost(&db, name, bind, 1));
    let first_before: Vec<_> = first().collect();
    // In the layer of another container, below a directory of its own; and in the log of another.
    let added = "
        CREATE TEMP TABLE n AS WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000) SELECT n FROM n;
        CREATE TEMP TABLE f AS SELECT f.* FROM file f JOIN directory d ON d.id = f.dir_id JOIN tree_container tc ON tc.tree_id = d.tree_id JOIN container c ON c.id = tc.container_id
         WHERE c.name = 'cache' AND tc.via = 'own' AND f.name = '' LIMIT 1;
        INSERT INTO directory (id, tree_id, path, first_file, last_file) SELECT 1000000, d.tree_id, '/many', 1000001, 1010000 FROM f JOIN directory d ON d.id = f.dir_id;
        UPDATE f SET id = 1000000, name = 'many';
        INSERT INTO file SELECT * FROM f;
        UPDATE f SET dir_id = 1000000, mode = 33188;
        CREATE TEMP TABLE many AS SELECT n.n, f.* FROM n CROSS JOIN f;
        UPDATE many SET id = 1000000 + n, name = 'many' || n;
        ALTER TABLE many DROP COLUMN n;
        INSERT INTO file SELECT * FROM many;
        INSERT INTO event SELECT mtime, id, 15 FROM many;
        CREATE TEMP TABLE g AS SELECT n.n, g.* FROM n CROSS JOIN (SELECT g.* FROM log_entry g JOIN log_file lf ON lf.id = g.log_file_id JOIN container c ON c.id = lf.container_id WHERE c.name <> 'web' AND g.ts IS NOT NULL ORDER BY g.id DESC LIMIT 1) g;
        UPDATE log_file SET last_entry = 1010000 WHERE id = (SELECT log_file_id FROM g);
        UPDATE g SET id = 1000000 + n, line = 'GET php';
        ALTER TABLE g DROP COLUMN n;
        INSERT INTO log_entry (id, log_file_id, offset, ts, stream, line, partial) SELECT id, log_file_id, offset, ts, stream, line, partial FROM g;";
    db.execute_batch(added).unwrap();
    let files: i64 = one(&db, "SELECT count(*) FROM file");
    let lines: i64 = one(&db, "SELECT count(*) FROM log_entry");
    assert!(files > 12_000 && lines > 10_000, "{files} {lines}");
    let mut given = 0;
    for ((name, bind), (steps, rows)) in questions.iter().zip(before) {
        let (steps_now, rows_now) = cost(&db, name, bind, usize::MAX);
        assert_eq!(rows_now, rows, "{name} {bind:?}");
        given += rows;
        // Less than one instruction for each of what was added.
        assert!(
            steps_now < steps + 5_000,
            "{name} {bind:?}: {steps} before, {steps_now} now"
        );
    }
    assert!(given > 100);
    for ((question, before), (steps, rows)) in streamed.iter().zip(first_before).zip(first()) {
        assert_eq!(rows, 1, "{question:?}");
        assert!(steps < before.0 + 5_000, "{question:?}: {before:?} {steps}");
    }
}

/// The whole timeline streams: parts are merged by their time indexes, never gathered and sorted. (SQLite only does so while
/// every column has one affinity in all parts, and those that decide the order are columns of the result.)
#[test]
fn the_timeline_is_merged_not_sorted() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    // As dof runs it.
    let query = dof::query::find("timeline").unwrap();
    let stmt = query.prepare(&db).unwrap();
    let sql = stmt.expanded_sql().unwrap();
    let plan = plan(&db, &sql);
    assert_eq!(plan[0], "MERGE (UNION ALL)", "{plan:#?}");
    // Nor is what has one time sorted, a heap of rows at a time: whole parts only, of few rows.
    let partly = |step: &&String| step.contains("FOR LAST") || step.contains("RIGHT PART");
    assert_eq!(plan.iter().find(partly), None, "{plan:#?}");
}

/// A path that is given whole is searched for, and one container costs what it costs: no step of the plans walks all files.
#[test]
fn what_is_asked_for_is_searched_not_scanned() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    for name in ["container-files", "image-files", "whose"] {
        let sql = dof::query::find(name).unwrap().sql;
        let plan = plan(&db, &sql);
        for step in &plan {
            let scanned = step.strip_prefix("SCAN ").unwrap_or_default();
            let big = [
                "f",
                "g",
                "n",
                "o",
                "d",
                "sd",
                "cl",
                "il",
                "file",
                "directory",
            ];
            assert!(!big.contains(&scanned), "{name}: {step}\n{plan:#?}");
            let lacks =
                step.contains("AUTOMATIC") && !step.contains(" b ") && !step.contains(" q ");
            assert!(!lacks || name == "whose", "{name}: {step}\n{plan:#?}");
        }
        let searched = |what: &str| plan.iter().any(|s| s.contains(what));
        let run = "f USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
        assert!(searched(run), "{name}: {plan:#?}");
        assert!(searched("directory_path (tree_id=?"), "{name}: {plan:#?}");
    }
    for view in ["container_file", "image_file"] {
        let sql = format!("SELECT path FROM {view} WHERE dir = '/tmp' AND name = 'x'");
        let plan = plan(&db, &sql);
        let by_path = "directory_path (tree_id=? AND path=?)";
        let is_searched = plan.iter().any(|step| step.contains(by_path));
        assert!(is_searched, "{view}: {plan:#?}");
    }
}
