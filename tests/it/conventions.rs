//! What the code base promises of itself: records fit the schema, I/O stays in its modules, no test file is forgotten.

use std::collections::BTreeSet;
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
