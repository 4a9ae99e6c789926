//! Text in logs: against grep over the files themselves, against an evaluation by hand, and against stock sqlite3.

use crate::support::{Need, dof, has, ingest, one, open, rows, run, sample};
use rusqlite::Connection;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn lines(case: &Path, words: &[&str]) -> Vec<Value> {
    rows(case, &[&["logs"], words].concat())
}

/// A line as a terminal shows it.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\x1b') {
        out.push_str(before);
        let end = match after.chars().next() {
            Some('[') => after.find(|c: char| c.is_ascii_alphabetic()).unwrap() + 1,
            Some(']')
                if after.contains('\x07')
                    && !after.split('\x07').next().unwrap().contains('\x1b') =>
            {
                after.find('\x07').unwrap() + 1
            }
            Some(']') => after.find('\x1b').unwrap(),
            Some('(') => 2,
            _ => 1,
        };
        rest = &after[end..];
    }
    out + rest
}

/// Adds lines to a container's log, as Docker would have.
fn write(mount: &Path, more: &[&str]) {
    let containers = mount.join("var/lib/docker/containers");
    let mut logs: Vec<_> = walkdir::WalkDir::new(containers)
        .into_iter()
        .map(|e| e.unwrap().into_path())
        .filter(|p| p.to_string_lossy().ends_with("-json.log"))
        .collect();
    logs.sort();
    let mut text = std::fs::read(&logs[0]).unwrap();
    for (i, line) in more.iter().enumerate() {
        let line = serde_json::json!({"log": format!("{line}\n"), "stream": "stdout", "time": format!("2026-11-24T02:50:{i:02}.5Z")});
        text.extend(format!("{line}\n").bytes());
    }
    std::fs::write(&logs[0], text).unwrap();
}

/// A container's own entries come as it wrote them, as `docker logs` reads them, whatever its clock said; a window, and what is
/// asked of all containers, by time.
#[test]
fn one_container_is_in_the_order_of_its_files() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let host = crate::support::made::Host::new();
    let entry = |line: &str, second: u32| {
        format!(
            "{{\"log\":\"{line} x\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:{second:02}Z\"}}\n"
        )
    };
    for (name, seconds) in [("web", [30, 10, 40]), ("db", [20, 50, 15])] {
        let id = host.container(
            name.chars().next().unwrap(),
            crate::support::made::config(name),
        );
        let [a, b, c] = seconds.map(|second| entry(name, second));
        host.log(&id, a + &b + "not readable x\n" + &c);
    }
    let (_dir, case) = ingest(&host.mount(), 1);
    let bad = None;
    let second = |s: u64| Some(format!("2024-01-01T00:00:{s:02}.000000000Z"));
    let of = |seconds: &[u64]| seconds.iter().map(|&s| second(s)).collect::<Vec<_>>();
    let own = vec![second(30), second(10), bad.clone(), second(40)];
    let own_words = own.clone();
    // What is not readable comes after the line before it.
    let after = |seconds: &[u64]| [of(seconds), vec![bad.clone()]].concat();
    let all = [after(&[10]), after(&[15, 20, 30, 40, 50])].concat();
    for (words, want) in [
        (vec!["--container", "web"], own.clone()),
        (vec!["--container", "web", "--regexp", "x$"], own.clone()),
        (vec!["--container", "web", "--like", "%x"], own),
        (
            vec!["--container", "web", "--stream", "stdout"],
            of(&[30, 10, 40]),
        ),
        (
            vec!["--container", "web", "--since", "2024-01-01"],
            [after(&[10]), of(&[30, 40])].concat(),
        ),
        (vec![], all.clone()),
        (vec!["--regexp", "x$"], all.clone()),
        (vec!["--since", "2024-01-01", "--regexp", "x"], all.clone()),
        (vec!["--match", "x"], all.clone()),
        (vec!["--container", "web", "--match", "x"], own_words),
        (vec!["--since", "2024-01-01", "--match", "x"], all),
    ] {
        let rows = lines(&case, &words);
        let times: Vec<_> = rows
            .iter()
            .map(|row| row["time"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(times, want, "logs {words:?}");
        if words.contains(&"--match") {
            continue; // dof's alone
        }
        let asked = words.chunks(2).map(|pair| (&pair[0][2..], pair[1]));
        let theirs = in_sqlite3(&case, &asked.collect::<Vec<_>>());
        assert_eq!(Value::from(rows), theirs, "{words:?}");
    }
}

const LINES: [&str; 14] = [
    "\x1b[32mINFO\x1b[0m \x1b[31mXmrig\x1b[0m connected",
    "pool stratum+tcp://mine.example:3333",
    "100% done_now",
    "100 percent done now",
    "say \"hello world\" twice",
    "back\\slash OR nothing",
    "ärger Ärger",
    "retry timeout error",
    "timeout error",
    "start xm\x1b[1;31mri\x1b[0mg pool",
    "a link \x1b]8;;http://x.example/xmrig\x1b\\don\x1b(Be\x1b]8;;\x07 now",
    "x m r i g and \x1b[0m colour",
    "level:\"error\" (exit 3)",
    "\x1b[31mtime\x1b[0mout \x1b[31mer\x1b[0mror ret\x1b[1mry",
];

#[test]
fn words_phrases_and_their_combinations() {
    let (_host, mount) = sample();
    write(&mount, &LINES);
    let (_dir, case) = ingest(&mount, 0);
    let all: Vec<String> = lines(&case, &[])
        .iter()
        .map(|r| r["line"].as_str().unwrap().to_owned())
        .collect();
    assert!(LINES.iter().all(|l| all.iter().any(|a| a == l)));
    // What each expression means, written by hand.
    let has = |line: &str, word: &str| {
        let has = |line: &str| {
            line.to_ascii_lowercase()
                .contains(&word.to_ascii_lowercase())
        };
        has(line) || has(&plain(line))
    };
    type Wanted<'a> = (&'a str, &'a dyn Fn(&str) -> bool);
    let wanted: &[Wanted<'_>] = &[
        ("xmrig", &|l| has(l, "xmrig")),
        ("XMRIG OR Stratum", &|l| {
            has(l, "xmrig") || has(l, "stratum")
        }),
        ("post php", &|l| has(l, "post") && has(l, "php")),
        ("post AND php", &|l| has(l, "post") && has(l, "php")),
        ("timeout error NOT retry", &|l| {
            has(l, "timeout") && has(l, "error") && !has(l, "retry")
        }),
        ("timeout NOT retry OR xmrig* OR get NOT 200", &|l| {
            has(l, "timeout") && !has(l, "retry")
                || has(l, "xmrig")
                || has(l, "get") && !has(l, "200")
        }),
        ("NOT get", &|l| !has(l, "get")),
        ("\"hello world\"", &|l| has(l, "hello world")),
        ("\"done now\" percent", &|l| {
            has(l, "done now") && has(l, "percent")
        }),
        ("100%", &|l| has(l, "100%")),
        ("done_now", &|l| has(l, "done_now")),
        ("back\\slash", &|l| has(l, "back\\slash")),
        ("\"OR\" nothing", &|l| has(l, "or") && has(l, "nothing")),
        ("Ärger", &|l| has(l, "Ärger")),
        ("a OR b OR c OR xmrig OR stratum OR zz", &|l| {
            ["a", "b", "c", "xmrig", "stratum", "zz"]
                .iter()
                .any(|w| has(l, w))
        }),
        ("nowhere-at-all", &|_| false),
        ("  xmrig \t connected  ", &|l| {
            has(l, "xmrig") && has(l, "connected")
        }),
        ("", &|_| true),
        (" \t ", &|_| true),
        ("(xmrig OR stratum) NOT (start OR tcp)", &|l| {
            (has(l, "xmrig") || has(l, "stratum")) && !(has(l, "start") || has(l, "tcp"))
        }),
        ("NOT (get OR post) AND (php OR error)", &|l| {
            !(has(l, "get") || has(l, "post")) && (has(l, "php") || has(l, "error"))
        }),
        ("retry OR timeout error NOT retry", &|l| {
            has(l, "retry") || has(l, "timeout") && has(l, "error") && !has(l, "retry")
        }),
        ("(retry OR timeout) (error NOT retry)", &|l| {
            (has(l, "retry") || has(l, "timeout")) && has(l, "error") && !has(l, "retry")
        }),
        ("NOT NOT retry", &|l| has(l, "retry")),
        ("\"(exit 3)\" \"level:\"\"error\"\"\"", &|l| {
            has(l, "level:\"error\"")
        }),
        ("\"\"\"error\"", &|l| has(l, "\"error")),
        ("\"done now\" link", &|l| {
            has(l, "done now") && has(l, "link")
        }),
        ("\"-e\" OR \"- -\"", &|l| has(l, "-e") || has(l, "- -")),
    ];
    for (expression, is) in wanted {
        let want: Vec<&String> = all.iter().filter(|l| is(l)).collect();
        let got = lines(&case, &["--match", expression]);
        let got: Vec<&str> = got.iter().map(|r| r["line"].as_str().unwrap()).collect();
        assert_eq!(got, want, "{expression}");
        // Within a window, by way of the index: the same as of the window's lines.
        let window = [
            "--since",
            "2026-11-24T02:50",
            "--until",
            "2026-11-24T02:50:13",
        ];
        let within: Vec<String> = lines(&case, &window)
            .iter()
            .map(|r| r["line"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(within.len(), 13);
        let want: Vec<&String> = within.iter().filter(|l| is(l)).collect();
        let got = lines(&case, &[&["--match", expression], &window[..]].concat());
        let got: Vec<&str> = got.iter().map(|r| r["line"].as_str().unwrap()).collect();
        assert_eq!(got, want, "{expression} in a window");
    }
    // These are what the colours split.
    for (words, n) in [("xmrig", 3), ("\"done now\"", 2), ("timeout retry", 2)] {
        assert_eq!(lines(&case, &["--match", words]).len(), n, "{words}");
    }
    // With the other filters, and in order of time.
    let both = lines(&case, &["--match", "timeout", "--like", "retry%"]);
    assert_eq!(both.len(), 1);
    let times: Vec<String> = lines(&case, &["--match", "e"])
        .iter()
        .map(|r| r["time"].to_string())
        .collect();
    assert!(times.len() > 100 && times.is_sorted());
}

/// What cannot be meant is refused, and said; nothing is printed as if nothing had been found.
#[test]
fn a_wrong_expression_is_refused() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let case = case.to_str().unwrap();
    for (expression, says) in [
        ("\"unclosed", "a quote that does not end"),
        ("-test", "write NOT test"),
        ("AND", "nothing to look for"),
        ("php OR", "between OR and the end"),
        ("(php", "a ( without its )"),
        ("php)", "a ) without its ("),
        ("exec()", "between ( and )"),
        ("wp-*.php", "a * stands for nothing"),
    ] {
        let ran = dof(["query", "logs", "--match", expression, "--case", case]).with(2);
        assert!(ran.out.is_empty());
        let start = format!("dof: --match {expression}: ");
        assert!(
            ran.err.starts_with(&start) && ran.err.contains(says),
            "{}",
            ran.err
        );
    }
}

/// What stock sqlite3 makes of the query as it stands; `None` where there is none.
fn in_sqlite3(case: &Path, asked: &[(&str, &str)]) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/logs.sql");
    crate::support::sqlite3::sqlite3(case, &file, asked)
}

/// What stock sqlite3 knows too finds the same there.
#[test]
fn patterns_in_sqlite3() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_host, mount) = sample();
    write(&mount, &LINES);
    let (_dir, case) = ingest(&mount, 0);
    let found = |name: &str, pattern: &str| {
        let ours = lines(&case, &[&format!("--{name}"), pattern]);
        let n = ours.len();
        let theirs = in_sqlite3(&case, &[(name, pattern)]);
        assert_eq!(Value::from(ours), theirs, "{name} {pattern}");
        n
    };
    assert_eq!(found("regexp", "^(retry|start) .*(error|pool)$"), 2);
    assert_eq!(found("regexp", "done.now"), 2);
    assert_eq!(found("regexp", "no such line"), 0);
    assert_eq!(found("like", "100!%%"), 0);
    assert_eq!(found("like", "%DONE_now"), 2);
    // With words, in a window, of one container.
    let both = [
        "--regexp",
        "^(retry|start)",
        "--match",
        "xmrig OR (error NOT start)",
    ];
    assert_eq!(lines(&case, &both).len(), 2);
    let window = [&both[..], &["--since", "2026-11-24T02:50:09"]].concat();
    assert_eq!(lines(&case, &window).len(), 1);
    let wrong = [
        "query",
        "logs",
        "--regexp",
        "a(",
        "--case",
        case.to_str().unwrap(),
    ];
    let ran = dof(wrong).with(2);
    assert!(ran.err.contains("unclosed group"), "{}", ran.err);
}

/// A query of somebody's own has the operator, and is told what is wrong with its words.
#[test]
fn words_in_sql_of_ones_own() {
    let (host, mount) = sample();
    write(&mount, &LINES);
    let (_dir, case) = ingest(&mount, 0);
    let file = host.path().join("own.sql");
    let asked = |sql: &str| {
        std::fs::write(&file, sql).unwrap();
        let (file, case) = (file.to_str().unwrap(), case.to_str().unwrap());
        dof(["query", file, "--format", "csv", "--case", case])
    };
    let count = "SELECT count(*) AS n FROM log_line WHERE line MATCH";
    let ran = asked(&format!(
        "{count} 'timeout error NOT retry' AND stream = 'stdout'"
    ));
    assert_eq!(ran.with(0).out, "n\n1\n");
    let ran = asked(&format!("{count} 'timeout OR'")).with(2);
    let says = "MATCH 'timeout OR': nothing to look for between OR and the end";
    assert!(ran.err.contains(says), "{}", ran.err);
}

/// Where a core cannot have a connection of its own, or reads what is damaged, one core answers: all rows, or none and the error.
#[test]
fn where_cores_fail_one_answers() {
    let (_dir, case) = many_lines();
    let path = case.to_str().unwrap();
    let asked = format!("query logs --match xmrig --format csv --case {path}");
    let words: Vec<&str> = asked.split(' ').collect();
    let all = dof(&words).with(0).out;
    assert_eq!(all.lines().count(), 451);
    let container = many_lines_of(&open(&case));
    let of_container = [&words[..], &["--container", &container]].concat();
    let own = dof(&of_container).with(0).out;
    let few = format!("ulimit -n 5; exec {} {asked}", env!("CARGO_BIN_EXE_dof"));
    let one_file = run("bash", &["-c", &few]).expect("bash");
    assert!(one_file.with(0).out == all);
    // The page on which a line near the end stands.
    let mut bytes = std::fs::read(&case).unwrap();
    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let line = memchr::memmem::find(&bytes, b"line 400001 of many").unwrap();
    bytes[line / page * page] = 0;
    std::fs::write(&case, bytes).unwrap();
    let damaged = dof(&words).with(3);
    assert_eq!(damaged.out.lines().count(), 1);
    assert!(damaged.err.contains("malformed"), "{}", damaged.err);
    // Of one container nothing is sorted: what stands before it is found.
    let damaged = dof(&of_container).with(3);
    let found = damaged.out.lines().count() - 1;
    assert!((300..=400).contains(&found), "{found}");
    assert!(own.starts_with(&damaged.out));
    assert!(damaged.err.contains("malformed"), "{}", damaged.err);
}

/// Where there is another case under its name by now, the one that was opened answers.
#[test]
fn what_is_put_in_its_place_is_not_searched() {
    let (_dir, case) = many_lines();
    let opened = dof::case::Case::open(&case).unwrap();
    let other = case.with_extension("other");
    std::fs::copy(&case, &other).unwrap();
    let db = Connection::open(&other).unwrap();
    db.execute_batch("UPDATE log_entry SET line = 'xmrig'; UPDATE log_file SET last_entry = last_entry - 1 WHERE last_entry = (SELECT max(id) FROM log_entry)")
        .unwrap();
    drop(db);
    std::fs::rename(&other, &case).unwrap();
    let asked = [("match".to_owned(), "xmrig".to_owned())];
    let logs = dof::query::find("logs").unwrap();
    let mut out = dof::render::Csv::new(std::io::sink());
    assert_eq!(logs.run(opened.db(), &asked, &mut out).unwrap(), 450);
}

/// grep over the files as they lie on the disk, container by container.
#[test]
fn as_many_lines_as_grep_finds() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, _) = crate::support::oracle::recorded("logs-docker26-drivers");
    let (_dir, case) = ingest(dir.path(), 0);
    let db = open(&case);
    let mut stmt = db
        .prepare("SELECT c.full_id, min(f.path) FROM log_file f JOIN container c ON c.id = f.container_id GROUP BY c.id HAVING count(*) = 1 AND min(f.format) = 'json-file' AND NOT max(f.compressed)")
        .unwrap();
    let rows = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    let logs: Vec<(String, String)> = rows.collect::<Result<_, _>>().unwrap();
    let mut hits = 0;
    for (container, path) in &logs {
        let file = dir.path().join(&path[1..]);
        for word in ["error", "line 4999", "healthy", "GET"] {
            // Only what is within the line: the word stands in no key, attribute or time.
            let pattern = format!(r#"^{{"log":"\([^"\]\|\\.\)*{word}"#);
            let args = ["-aic", "-e", &pattern, file.to_str().unwrap()];
            let grep = run("grep", &args).expect("grep");
            let want: usize = grep.out.trim().parse().unwrap();
            let phrase = format!("\"{word}\"");
            let got = lines(&case, &["--match", &phrase, "--container", container]);
            assert_eq!(got.len(), want, "{word} in {path}");
            hits += want;
        }
    }
    assert!(
        logs.len() > 10 && hits > 100,
        "{} logs, {hits} hits",
        logs.len()
    );
}

/// With a window no line outside it is read, text asked for or not; without one all are, once.
#[test]
fn a_window_is_searched_whatever_the_text() {
    let (_dir, case) = many_lines();
    let db = open(&case);
    let total: i64 = one(&db, "SELECT count(*) FROM log_entry");
    let opened = dof::case::Case::open(&case).unwrap();
    let sql = dof::query::find("logs").unwrap().sql;
    let steps = |bind: &[(&str, &str)]| -> i64 {
        let mut stmt = opened.db().prepare(&sql).unwrap();
        for (name, value) in bind {
            let at = stmt.parameter_index(name).unwrap().unwrap();
            stmt.raw_bind_parameter(at, value).unwrap();
        }
        let mut rows = stmt.raw_query();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        stmt.get_status(rusqlite::StatementStatus::VmStep).into()
    };
    let window = [
        (":since", "2026-11-24T02:50:00Z"),
        (":until", "2026-11-24T02:51:00Z"),
    ];
    let text = [(":match", "never OR nowhere")];
    let all = steps(&text);
    // Some fifteen instructions a line: the next one, its text, what each word wants of it.
    assert!((total..20 * total).contains(&all), "{all} for {total}");
    assert!(steps(&[window, [text[0], (":like", "%")]].concat()) < 1_000);
    assert!(steps(&window) < 1_000);
}

/// The case of the sample host with 450,000 more lines in one of its logs: enough for two cores. Times go forth and back, are the
/// same in several runs, or are none.
fn many_lines() -> (tempfile::TempDir, PathBuf) {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let more = "CREATE TEMP TABLE g AS SELECT * FROM log_entry ORDER BY id DESC LIMIT 1;
         UPDATE log_file SET last_entry = last_entry + 450000 WHERE id = (SELECT log_file_id FROM g);
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 450000)
         INSERT INTO log_entry (id, log_file_id, offset, ts, ts_near, stream, line, partial)
         SELECT g.id + n, g.log_file_id, 0, iif(n % 1000 = 0, NULL, g.ts + n * 7919 % 5000 - 2500), iif(n % 1000 = 0, g.ts + (n - 1) * 7919 % 5000 - 2500, NULL), iif(n % 3, 'stdout', 'stderr'),
                'line ' || n || ' of ' || iif(n % 1000, 'many', 'pool \x1b[1mxm\x1b[0mrig é'), 0 FROM n, g;";
    Connection::open(&case)
        .unwrap()
        .execute_batch(more)
        .unwrap();
    (dir, case)
}

/// The container whose they are: the last to be written.
fn many_lines_of(db: &Connection) -> String {
    one(
        db,
        "SELECT c.full_id FROM log_entry g JOIN log_file lf ON lf.id = g.log_file_id JOIN container c ON c.id = lf.container_id ORDER BY g.id DESC LIMIT 1",
    )
}

/// Many lines are searched by all cores at once, each in a run of them; stock sqlite3, which has one, gives the same rows in the
/// same order.
#[test]
fn all_cores_find_the_same_as_one() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_dir, case) = many_lines();
    let db = open(&case);
    let of_pool = |n: &u32| !n.is_multiple_of(3) && !n.to_string().contains("4000");
    let of_pool = (1000..=450_000).step_by(1000).filter(of_pool).count();
    let ours = |asked: &[(&str, &str)]| {
        let words: Vec<String> = asked
            .iter()
            .flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()])
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        lines(&case, &words)
    };
    let found = |asked: &[(&str, &str)]| {
        let ours = ours(asked);
        let n = ours.len();
        assert!(Value::from(ours) == in_sqlite3(&case, asked), "{asked:?}");
        n
    };
    // With words, and without them in sqlite3, of whose rows those remain that have them.
    let with = |words: &str, asked: &[(&str, &str)], has: &dyn Fn(&str) -> bool| {
        let ours = ours(&[&[("match", words)], asked].concat());
        let n = ours.len();
        let mut theirs = in_sqlite3(&case, asked);
        let rows = theirs.as_array_mut().unwrap();
        rows.retain(|row| has(row["line"].as_str().unwrap()));
        assert!(Value::from(ours) == theirs, "{words} {asked:?}");
        n
    };
    let has = |line: &str, word: &str| plain(line).contains(word);
    assert_eq!(with("xmrig", &[], &|l| has(l, "xmrig")), 450);
    assert_eq!(
        with("xmrig NOT 4000", &[("stream", "stdout")], &|l| has(
            l, "xmrig"
        ) && !has(
            l, "4000"
        )),
        of_pool
    );
    assert_eq!(
        with("999 OR pool", &[("like", "%of pool%")], &|_| true),
        450
    );
    assert_eq!(with("nothing of the kind", &[], &|_| false), 0);
    assert_eq!(found(&[("like", "%99 of many%")]), 4_500);
    assert_eq!(found(&[("regexp", "^line [0-9]*99 of m")]), 4_500);
    let container = many_lines_of(&db);
    let own = ("container", &container[..]);
    assert_eq!(with("xmrig", &[own], &|l| has(l, "xmrig")), 450);
    assert_eq!(
        found(&[own, ("like", "%99 of many%"), ("stream", "stderr")]),
        1_500
    );
    // A run of entries, of all and of one container, and none.
    let at: i64 = one(&db, "SELECT max(id) - 100000 FROM log_entry");
    let (first, last) = (at.to_string(), (at + 9).to_string());
    let run = [("first", &first[..]), ("last", &last)];
    assert_eq!(found(&run), 10);
    assert_eq!(found(&[run[0], run[1], own]), 10);
    assert_eq!(found(&[("first", &first), own]), 100_001);
    let since = ("since", "2000-01-01");
    assert_eq!(found(&[run[0], run[1], since, ("regexp", "line")]), 10);
    assert_eq!(with("line", &[run[0], run[1], since], &|_| true), 10);
    assert_eq!(found(&[("first", &last), ("last", &first)]), 0);
    // What lies around a container's own is not its.
    let web: String = one(&db, "SELECT full_id FROM container WHERE name = 'web'");
    let own = format!(
        "SELECT count(*) FROM log_entry g JOIN log_file lf ON lf.id = g.log_file_id JOIN container c ON c.id = lf.container_id WHERE c.full_id = '{web}'"
    );
    let own: i64 = one(&db, &own);
    let around = [("first", "1"), ("last", &last), ("container", &web)];
    assert_eq!(found(&around) as i64, own);
    dof([
        "query",
        "logs",
        "--first",
        "one",
        "--case",
        case.to_str().unwrap(),
    ])
    .with(2);
}

/// Sequences that a terminal shows nothing of (ECMA-48, xterm's ctlseqs), 7-bit and 8-bit: none hides the word it stands in.
#[test]
fn no_escape_sequence_hides_a_word() {
    let within = [
        "\x1b[31m",
        "\x1b[38:2::1:2:3m",
        "\x1b[0 q",
        "\u{9b}31m",
        "\x1b\x1b[31m",
        "\x1b\x1b\x1b[1m",
        "\x1b[3\x1b[31m",
        "\x1b[\u{9b}m",
        "\x1b(B",
        "\x1b(\x1b[m",
        "\x1b7",
        "\x1bPq#0;2;0;0;0\x1b\\",
        "\u{90}q\u{9c}",
        "\x1b_Gi=1,a=q;AAAA\x1b\\",
        "\u{9f}G\u{9c}",
        "\x1b^private\x1b\\",
        "\u{9e}private\x1b\\",
        "\x1bXstring\x1b\\",
        "\u{98}string\u{9c}",
        "\x1b]0;title\x07",
        "\x1b]0;title\x1b\\",
        "\x1b]0;title\u{9c}",
        "\u{9d}0;title\x07",
        "\x1b]8;;http://x.example/\x1b\\\x1b[4m",
        "\x1bPno end \x1b[31m",
        "\u{9c}",
        "\x1b\\",
    ];
    let (_host, mount) = sample();
    let plain = ["xm rig", "\u{a9} xm\u{bf}rig", "xm\x1b[31 m rig"];
    let written: Vec<String> = within
        .iter()
        .map(|w| format!("start xm{w}rig pool"))
        .chain(plain.map(str::to_owned))
        .collect();
    write(
        &mount,
        &written.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let (_dir, case) = ingest(&mount, 0);
    let found = |expression: &str| -> Vec<String> {
        let rows = lines(&case, &["--match", expression]);
        let line = |r: &Value| r["line"].as_str().unwrap().to_owned();
        rows.iter().map(line).collect()
    };
    let hidden = &written[..within.len()];
    assert_eq!(found("xmrig"), hidden);
    assert_eq!(found("\"start xmrig pool\""), hidden);
    assert_eq!(found("xmrig OR stratum"), hidden);
    // Groups of words that are tried otherwise.
    assert_eq!(found("xmrig OR zz1 OR zz2 OR zz3 OR zz4"), hidden);
    assert!(!found("NOT xmrig").iter().any(|l| hidden.contains(l)));
    assert!(
        plain
            .iter()
            .all(|p| found("NOT xmrig").iter().any(|l| l == p))
    );
    // What a sequence holds is found as the line has it.
    assert_eq!(found("\"0;title\"").len(), 4);
}

#[test]
fn operators_are_written_in_capitals() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let case = case.to_str().unwrap();
    for (expression, words) in [
        ("xmrig or stratum", &["or"][..]),
        ("php And (get or not post)", &["And", "or", "not"]),
        ("xmrig OR stratum", &[]),
        ("xmrig \"or\" stratum", &[]),
        ("\"not found\"", &[]),
        ("or", &[]),
        ("order notable", &[]),
    ] {
        let ran = dof(["query", "logs", "--match", expression, "--case", case]).with(0);
        let told: Vec<&str> = ran
            .err
            .lines()
            .filter_map(|l| l.strip_prefix("dof: --match: ")?.split(' ').next())
            .collect();
        assert_eq!(told, words, "{expression}: {}", ran.err);
    }
}
