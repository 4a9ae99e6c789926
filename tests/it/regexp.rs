//! `REGEXP` in queries of one's own, held against the `sqlite3` shell's.

use crate::support::{Need, dof, folder, has, ingest, must, sample, text};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Patterns of what dof and the shell both know.
fn pattern() -> impl Strategy<Value = String> {
    let atoms = "[ab1_. -]|[.]|\\\\[dDwWsS.]|\\[[ab]-c\\]|\\[\\^a1\\]|x";
    let counted = "([*+?]|\\{1,2\\}|\\{2\\})?";
    let word = format!("({atoms}){counted}");
    let group = format!("\\(({word}){{1,2}}(\\|{word})?\\){counted}");
    proptest::string::string_regex(&format!("\\^?(({word})|({group})){{1,3}}\\$?")).unwrap()
}

#[test]
fn matches_what_the_shell_matches() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let mut random = TestRunner::deterministic();
    let mut made = |of: &dyn Fn(&mut TestRunner) -> String| of(&mut random);
    let patterns = pattern();
    let mut selects = Vec::new();
    for n in 0..400 {
        let pattern = made(&|r| patterns.new_tree(r).unwrap().current());
        for _ in 0..5 {
            let subject = made(&|r| "[abcx1_. -]{0,6}".new_tree(r).unwrap().current());
            selects.push(format!("({n}, '{pattern}', '{subject}')"));
        }
    }
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let query = dir.path().join("own.sql");
    // A pattern a row, and patterns that are the same for all rows.
    let sql = format!(
        "WITH t (n, pattern, subject) AS (VALUES {})
         SELECT pattern, subject, subject REGEXP pattern AS one, subject REGEXP '(a|x).*[1bc]$' AS two, regexp('[ab].', subject) AS three FROM t",
        selects.join(", ")
    );
    std::fs::write(&query, &sql).unwrap();
    let ours = dof([
        "query",
        text(&query),
        "--case",
        text(&case),
        "--format",
        "csv",
    ]);
    let ours = ours.with(0).out;
    let theirs = must("sqlite3", &["-csv", "-header", text(&case), &sql]);
    let rows = |csv: &str| {
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let rows = reader.records().map(|r| r.unwrap());
        rows.map(|r| r.iter().map(str::to_owned).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (rows(&ours), rows(&theirs));
    assert_eq!(ours.len(), 2000);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    for column in [2, 3, 4] {
        let matched = ours.iter().filter(|row| row[column] == "1").count();
        assert!((100..1900).contains(&matched), "{column}: {matched}");
    }
}

/// On a mount too, whose case is in memory.
#[test]
fn a_wrong_pattern_is_a_wrong_call() {
    let (_host, mount) = sample();
    let dir = folder();
    let query = dir.path().join("own.sql");
    let ask = |pattern: &str| {
        let sql = format!(
            "SELECT name FROM container WHERE name REGEXP '{pattern}' OR hostname REGEXP '{pattern}'"
        );
        std::fs::write(&query, sql).unwrap();
        dof([
            "query",
            text(&query),
            "--case",
            text(&mount),
            "--format",
            "jsonl",
        ])
    };
    assert_eq!(ask("^apa.he$").with(0).out, "{\"name\":\"apache\"}\n");
    let wrong = ask("apa(che").with(2);
    assert_eq!(
        wrong.err,
        "dof: REGEXP 'apa(che': unclosed group, at character 4\n"
    );
    // As the other operator.
    std::fs::write(&query, "SELECT name FROM container WHERE name MATCH 'PACH'").unwrap();
    let own = ["query", text(&query), "--case", text(&mount)];
    let found = dof(own.into_iter().chain(["--format", "jsonl"])).with(0);
    assert_eq!(found.out, "{\"name\":\"apache\"}\n");
    let words = ["query", "logs", "--match", "GET", "--case", text(&mount)];
    let found = dof(words.into_iter().chain(["--format", "jsonl"])).with(0);
    assert!(found.out.contains("GET"), "{}", found.out);
}
