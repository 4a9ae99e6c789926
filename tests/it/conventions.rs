//! What the code base promises of itself: records fit the schema, I/O stays in its modules, no test file is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = walkdir::WalkDir::new(root.join("src"))
        .sort_by_file_name()
        .into_iter()
        .map(|e| e.unwrap().into_path())
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .collect();
    files
        .into_iter()
        .map(|p| {
            (
                p.strip_prefix(root).unwrap().display().to_string(),
                fs::read_to_string(&p).unwrap(),
            )
        })
        .collect()
}

#[test]
fn records_and_tables_agree() {
    let case = dof::case::Target::temporary().unwrap().seal().unwrap();
    for (table, columns) in dof::record::TABLES {
        let mut stmt = case
            .db()
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .unwrap();
        let there: BTreeSet<String> = stmt
            .query_map([], |r| r.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let ours: BTreeSet<String> = columns.iter().map(|c| (*c).to_owned()).collect();
        assert_eq!(ours, there, "{table}");
    }
}

/// Each column of each table has its meaning written beside it, or a name that says it.
#[test]
fn every_table_is_introduced() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for table in text.match_indices("CREATE TABLE ").map(|(i, _)| &text[i..]) {
            assert!(
                table
                    .lines()
                    .take_while(|l| *l != ") STRICT;" && !l.starts_with(") STRICT"))
                    .count()
                    > 1,
                "{}: STRICT tables only",
                path.display()
            );
        }
        assert!(
            !text.contains("CREATE TABLE")
                || text.matches("CREATE TABLE").count() == text.matches("STRICT").count(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn io_and_sql_stay_at_home() {
    let allowed: &[(&str, &[&str])] = &[
        (
            "std::fs",
            &[
                "src/evidence/",
                "src/case/",
                "src/query/mod.rs",
                "src/cli/mod.rs",
                "src/cli/mount_container.rs",
                "src/demo.rs",
                "src/rootfs/mount.rs",
                "src/rootfs/extract.rs",
                "src/disk/",
                "src/mounts.rs",
                "src/tools.rs",
            ],
        ),
        (
            "rusqlite",
            &[
                "src/case/",
                "src/query/",
                "src/record.rs",
                "src/render/",
                "src/cli/",
            ],
        ),
        ("CREATE TABLE", &[]),
    ];
    for (path, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (word, homes) in allowed {
            let used = code
                .lines()
                .any(|l| !l.trim_start().starts_with("//") && l.contains(word));
            assert!(
                !used || homes.iter().any(|h| path.starts_with(h)),
                "{path} uses {word}"
            );
        }
    }
}

/// A line that cannot be written to stderr or stdout ends nothing: `println!` and its kin panic.
#[test]
fn no_line_panics() {
    for (path, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["println!", "print!(", "dbg!("] {
            assert!(!code.contains(word), "{path} uses {word}");
        }
    }
}

/// The arrows between modules go one way.
#[test]
fn arrows_between_modules() {
    let forbidden: &[(&str, &[&str])] = &[
        (
            "src/parse/",
            &[
                "crate::engine",
                "crate::ingest",
                "crate::case",
                "crate::evidence",
                "crate::record",
                "crate::query",
                "crate::cli",
            ],
        ),
        (
            "src/engine/",
            &[
                "crate::ingest",
                "crate::case",
                "crate::query",
                "crate::cli",
                "crate::render",
                "rusqlite",
            ],
        ),
        (
            "src/evidence/",
            &[
                "crate::engine",
                "crate::parse",
                "crate::ingest",
                "crate::case",
                "crate::query",
                "crate::cli",
            ],
        ),
        (
            "src/case/",
            &[
                "crate::engine",
                "crate::ingest",
                "crate::query",
                "crate::cli",
            ],
        ),
        (
            "src/query/",
            &["crate::engine", "crate::ingest", "crate::cli"],
        ),
        (
            "src/render/",
            &[
                "crate::engine",
                "crate::ingest",
                "crate::case",
                "crate::cli",
            ],
        ),
        (
            "src/ingest/",
            &["crate::query", "crate::render", "crate::cli"],
        ),
        (
            "src/verify/",
            &[
                "crate::ingest",
                "crate::case",
                "crate::query",
                "crate::render",
                "crate::cli",
            ],
        ),
    ];
    for (path, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (home, never) in forbidden.iter().filter(|(h, _)| path.starts_with(h)) {
            for word in *never {
                assert!(
                    !code
                        .lines()
                        .any(|l| !l.trim_start().starts_with("//") && l.contains(word)),
                    "{path} ({home}) uses {word}"
                );
            }
        }
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{path} begins with what it owns");
    }
}

/// Every file and folder is declared where it lies: beside main.rs there, in a folder in its mod.rs.
#[test]
fn no_test_file_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut declared = 0;
    for entry in walkdir::WalkDir::new(&root).min_depth(1) {
        let path = entry.unwrap().into_path();
        let dir = path.parent().unwrap();
        let list = dir.join(if dir == root { "main.rs" } else { "mod.rs" });
        let is_module = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if path == list || !is_module {
            continue;
        }
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&list).unwrap_or_default();
        let line = format!("mod {module};");
        let there = text.lines().any(|l| l.trim_start_matches("pub ") == line);
        assert!(there, "{} is in {}", path.display(), list.display());
        declared += 1;
    }
    assert!(declared > 40, "{declared}");
}

/// The files of `queries/` or `schema/`, by path.
fn sql_of(dir: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = fs::read_dir(root.join(dir))
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| {
            let name = p.file_name().unwrap().to_string_lossy();
            (format!("{dir}/{name}"), fs::read_to_string(&p).unwrap())
        })
        .collect();
    files.sort();
    assert!(files.len() > 10, "{dir}");
    files
}

/// SQL without its comments, all blanks one space.
fn code(sql: &str) -> String {
    let of_line = |line: &str| {
        let mut quoted = false;
        let begins = |(at, c): (usize, char)| {
            quoted ^= c == '\'';
            !quoted && line[at..].starts_with("--")
        };
        let end = line.char_indices().position(begins);
        let kept = line.chars().take(end.unwrap_or(line.len()));
        kept.collect::<String>()
    };
    let lines: Vec<String> = sql.lines().map(of_line).collect();
    let words: Vec<&str> = lines.iter().flat_map(|l| l.split_whitespace()).collect();
    words.join(" ")
}

/// Fails with all faults, not only the first.
#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A query fits a screen, and nobody scrolls to the side to read SQL.
#[test]
fn sql_fits_a_screen() {
    let mut faults = Vec::new();
    let queries = sql_of("queries");
    for (path, text) in &queries {
        let lines = text.lines().count();
        if lines > 40 {
            faults.push(format!("{path}: {lines} lines"));
        }
    }
    for (path, text) in queries.into_iter().chain(sql_of("schema")) {
        for (i, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > 100 {
                faults.push(format!("{path}:{}: {columns} columns", i + 1));
            }
        }
    }
    none(&faults);
}

/// Expressions that have a home: what to ask instead, and the files that may hold them.
const HOMES: &[(&str, &str, &[&str])] = &[
    ("strftime(", "a view's column, which says iso(x)", &[]),
    ("'unixepoch'", "a view's column, which says iso(x)", &[]),
    ("% 1000000000", "a view's column, which says iso(x)", &[]),
    (
        "/ 1000000000",
        "a view's column, which says iso(x)",
        &["schema/osquery.sql"], // Unix seconds, as osquery has them
    ),
    (
        "61440",
        "file_text.type",
        &["schema/text.sql", "schema/gone.sql"], // of files by the million, without their other columns
    ),
    ("& 4095", "file_text.mode", &["schema/text.sql"]),
    ("'%04o'", "file_text.mode", &["schema/text.sql"]),
    ("length(:container)", "container_ref", &[]),
    ("length(:image)", "image_ref", &[]),
    ("substr(c.full_id", "container_ref", &[]),
    ("':latest'", "image_ref", &[]),
    ("min(r.reference)", "image_name", &["schema/text.sql"]),
];

#[test]
fn expressions_stay_at_home() {
    let mut faults = Vec::new();
    let all = sql_of("queries").into_iter().chain(sql_of("schema"));
    for (path, text) in all {
        let code = code(&text);
        for (expression, home, allowed) in HOMES {
            if code.contains(expression) && !allowed.contains(&path.as_str()) {
                faults.push(format!("{path}: `{expression}`: use {home}"));
            }
        }
        for date in ["unixepoch(:since)", "unixepoch(:until)"] {
            if code.matches(date).count() > 1 {
                faults.push(format!("{path}: {date} more than once"));
            }
        }
    }
    none(&faults);
}

/// Length of an expression that is written once.
const LONG: usize = 100;

/// What stands in parentheses and is long is a column or a view, not a copy. Bodies of `WITH` and windows of dates are not
/// counted.
#[test]
fn no_expression_is_written_twice() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut faults = BTreeSet::new();
    for (path, text) in sql_of("queries") {
        let code = code(&text);
        let mut open = Vec::new();
        for (at, c) in code.char_indices() {
            match c {
                '(' => open.push(at),
                ')' => {
                    let from = open.pop().unwrap_or(at);
                    let expression = &code[from..=at];
                    let is_with = code[..from].ends_with(" AS ");
                    // A date that may be unset is read so.
                    let is_date = expression.contains("unixepoch(:");
                    if expression.len() < LONG || is_with || is_date {
                        continue;
                    }
                    if let Some(other) = seen.insert(expression.to_owned(), path.clone()) {
                        faults.insert(format!("{path} and {other}: {expression}"));
                    }
                }
                _ => {}
            }
        }
    }
    none(&faults.into_iter().collect::<Vec<_>>());
}
