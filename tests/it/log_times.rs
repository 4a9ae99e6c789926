//! Log entries whose time cannot be used: where they are listed, against the order of the lines in the files themselves and
//! what `docker logs` prints.

use crate::support::made::{Host, config, gzip};
use crate::support::{Need, dof, folder, has, ingest, one, open, rows, run, sample};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What stands in the place of a time; `None` for no time at all.
const UNUSABLE: [Option<&str>; 7] = [
    Some("garbage"),
    None,
    Some("0001-01-01T00:00:00Z"),
    Some("0000-01-01T00:00:00Z"),
    Some("3000-01-01T00:00:00Z"),
    Some("12026-11-24T02:41:51Z"),
    Some(""),
];

/// A line of a json-file log with another time, or none.
fn with_time(line: &str, time: Option<&str>) -> String {
    let at = line.find(",\"time\":\"").unwrap();
    let time = time.map_or_else(String::new, |t| format!(",\"time\":\"{t}\""));
    format!("{}{time}}}", &line[..at])
}

/// An entry of a file: its text, its own time, and the time it has to be listed at.
struct Line {
    text: String,
    stream: String,
    time: Option<String>,
    listed: String,
}

/// The entries of lines, with the times that are not in `unusable`: each listed at the last one before it that is good, else at
/// the next.
fn truth(lines: &[String], unusable: &BTreeSet<usize>) -> Vec<Line> {
    let read: Vec<Value> = lines
        .iter()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let good = |i: usize| (!unusable.contains(&i)).then(|| nine(read[i]["time"].as_str().unwrap()));
    (0..lines.len())
        .map(|i| Line {
            text: read[i]["log"].as_str().unwrap().trim_end().to_owned(),
            stream: read[i]["stream"].as_str().unwrap().to_owned(),
            time: good(i),
            listed: (0..=i)
                .rev()
                .chain(i..lines.len())
                .find_map(good)
                .expect("one has a time"),
        })
        .collect()
}

/// A time with nine digits of a second, as the queries print it.
fn nine(time: &str) -> String {
    let (second, fraction) = time.trim_end_matches('Z').split_once('.').unwrap();
    format!("{second}.{fraction:0<9}Z")
}

fn text(row: &Value, column: &str) -> Option<String> {
    row[column].as_str().map(str::to_owned)
}

/// The host's log of a container of the sample, and the lines in it.
fn log_of(mount: &Path, name: &str) -> (std::path::PathBuf, Vec<String>) {
    let (_dir, case) = ingest(mount, 0);
    let sql = format!(
        "SELECT lf.path FROM log_file lf JOIN container c ON c.id = lf.container_id WHERE c.name = '{name}'"
    );
    let path: String = one(&open(&case), &sql);
    let path = mount.join(path.trim_start_matches('/'));
    let text = fs::read_to_string(&path).unwrap();
    (path, text.lines().map(str::to_owned).collect())
}

#[test]
fn they_are_listed_where_they_stand() {
    let (_host, mount) = sample();
    let (path, mut lines) = log_of(&mount, "crashloop");
    assert_eq!(lines.len(), 16);
    // The first two, one alone, several in a row, and the last.
    let unusable: BTreeSet<usize> = [0, 1, 5, 8, 9, 10, 15].into();
    for (n, &i) in unusable.iter().enumerate() {
        lines[i] = with_time(&lines[i], UNUSABLE[n]);
    }
    let want = truth(&lines, &unusable);
    assert!(want.is_sorted_by_key(|l| &l.listed));
    let file = lines.join("\n") + "\n";
    fs::write(&path, &file).unwrap();
    let (_dir, case) = ingest(&mount, 1);
    let case_path = case.to_str().unwrap();

    // One problem counts them, at the first.
    let problems = rows(&case, &["problems"]);
    let is_warning = |p: &&Value| p["severity"] != "note";
    let problems: Vec<&Value> = problems.iter().filter(is_warning).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems[0];
    assert_eq!(problem["severity"], "warning");
    assert_eq!(problem["offset"], 0);
    let what = text(problem, "what").unwrap();
    assert!(
        what.starts_with("7 entries without a usable time"),
        "{what}"
    );
    assert!(path.ends_with(text(problem, "path").unwrap().trim_start_matches('/')));
    let null = "SELECT count(*) FROM log_entry WHERE ts IS NULL";
    assert_eq!(one::<i64>(&open(&case), null), 7);

    // Every window that begins or ends with a line, and none.
    let mut windows = vec![vec![]];
    for line in &want {
        windows.push(vec!["--since", &line.listed]);
        windows.push(vec!["--until", &line.listed]);
    }
    for window in windows {
        let within = |line: &&Line| match window[..] {
            ["--since", time] => *line.listed >= *time,
            ["--until", time] => *line.listed < *time,
            _ => true,
        };
        let want: Vec<&Line> = want.iter().filter(within).collect();
        let ask = |words: &[&'static str]| {
            let words = [words, &["--container", "crashloop"], &window].concat();
            rows(&case, &words)
        };
        let got = ask(&["timeline", "--kind", "log"]);
        assert_eq!(got.len(), want.len(), "{window:?}");
        for (row, line) in got.iter().zip(&want) {
            let mark = if line.time.is_none() {
                " (no time)"
            } else {
                ""
            };
            let detail = text(row, "detail").unwrap();
            assert_eq!(
                detail,
                format!("{}{mark}: {}", line.stream, line.text),
                "{window:?}"
            );
            assert_eq!(text(row, "time").as_ref(), Some(&line.listed));
        }
        for words in [&["logs"][..], &["logs", "--like", "%"]] {
            let got = ask(words);
            assert_eq!(got.len(), want.len(), "{words:?} {window:?}");
            for (row, line) in got.iter().zip(&want) {
                assert_eq!(text(row, "line").as_ref(), Some(&line.text));
                assert_eq!(text(row, "time"), line.time);
                let near = line.time.is_none().then(|| line.listed.clone());
                assert_eq!(text(row, "time_near"), near);
            }
        }
        let words = ["show-container-log", "--container", "crashloop", case_path];
        let shown = dof([&words[..], &window].concat()).with(0).out;
        let texts = shown
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap()["log"].clone());
        let texts: Vec<String> = texts
            .map(|l| l.as_str().unwrap().trim_end().to_owned())
            .collect();
        let wanted: Vec<&String> = want.iter().map(|l| &l.text).collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), wanted, "{window:?}");
    }

    // Of all containers they are in the same place; the plain command prints the file as it is.
    let all = rows(&case, &["logs"]);
    let own: Vec<_> = all
        .iter()
        .filter(|r| r["container"] == "crashloop")
        .map(|r| text(r, "line").unwrap())
        .collect();
    assert_eq!(own, want.iter().map(|l| l.text.clone()).collect::<Vec<_>>());
    let shown = dof(["show-container-log", "--container", "crashloop", case_path]);
    assert!(shown.with(0).out == file);

    // The mark is in what people read too.
    for format in ["table", "csv"] {
        let words = [
            "query",
            "timeline",
            "--container",
            "crashloop",
            "--format",
            format,
            "--case",
            case_path,
        ];
        let out = dof(words).with(0).out;
        assert_eq!(out.matches(" (no time): ").count(), 7, "{format}");
    }
}

fn json(text: &str, time: &str) -> String {
    format!("{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
}

/// A frame of the local driver: source, time (a varint; none when `None`), line.
fn frame(text: &str, time: Option<i64>) -> Vec<u8> {
    let mut body = b"\x0a\x06stdout".to_vec();
    if let Some(time) = time {
        body.push(0x10);
        let mut n = time.cast_unsigned();
        while n >= 0x80 {
            body.push(n as u8 | 0x80);
            n >>= 7;
        }
        body.push(n as u8);
    }
    body.extend([0x1a, text.len() as u8]);
    body.extend(text.as_bytes());
    let length = (body.len() as u32).to_be_bytes();
    [&length[..], &body, &length].concat()
}

/// A log goes on from one rotated file to the next, and ends with its container.
#[test]
fn over_rotated_files_and_no_further() {
    let host = Host::new();
    let second = |s: u32| format!("2024-01-01T00:00:{s:02}Z");
    let (bad, far) = ("no time", "9999-12-31T23:59:59Z");
    // a: the oldest file has no time at all, the newest none before its last line.
    let a = host.container('a', config("a"));
    let name = |end: &str| format!("var/lib/docker/containers/{a}/{a}-json.log{end}");
    host.write(&name(".2.gz"), gzip(&(json("a1", bad) + &json("a2", far))));
    host.write(
        &name(".1"),
        json("a3", bad) + &json("a4", &second(10)) + &json("a5", bad),
    );
    host.log(&a, json("a6", bad) + "torn\n" + &json("a7", &second(20)));
    // b: none has a time; that of its file counts. Nothing of a's log does.
    let b = host.container('b', config("b"));
    host.log(&b, json("b1", bad) + &json("b2", far));
    let log = format!("var/lib/docker/containers/{b}/{b}-json.log");
    let log = host.mount().join(log);
    run("touch", &["-d", &second(15), log.to_str().unwrap()])
        .expect("touch")
        .with(0);
    // c: a local log. Go's zero time, and a frame without a time, which protobuf does not tell from 0.
    let c = host.container('c', config("c"));
    let at = |s: i64| Some((1_704_067_200 + s) * 1_000_000_000);
    let frames = [
        frame("c1", None),
        frame("c2", at(30)),
        frame("c3", Some(-6_795_364_578_871_345_152)),
        frame("c4", Some(0)),
        frame("c5", at(40)),
        frame("c6", Some(-1)),
    ];
    let log = format!("var/lib/docker/containers/{c}/local-logs/container.log");
    host.write(&log, frames.concat());
    let (_dir, case) = ingest(&host.mount(), 1);

    let listed: Vec<(String, Option<String>)> = rows(&case, &["timeline", "--kind", "log"])
        .iter()
        .map(|r| (text(r, "detail").unwrap(), text(r, "time")))
        .collect();
    let mut want = vec![(
        "stdout: c6".to_owned(),
        Some("1969-12-31T23:59:59.999999999Z".to_owned()),
    )];
    for (second, details) in [
        (10, "a1* a2* a3* a4 a5* a6* torn*"),
        (15, "b1* b2*"),
        (20, "a7"),
        (30, "c1* c2 c3* c4*"),
        (40, "c5"),
    ] {
        for detail in details.split(' ') {
            let stream = if detail == "torn*" { "" } else { "stdout" };
            let detail = match detail.strip_suffix('*') {
                Some(line) => format!("{stream} (no time): {line}"),
                None => format!("{stream}: {detail}"),
            };
            want.push((
                detail,
                Some(format!("2024-01-01T00:00:{second:02}.000000000Z")),
            ));
        }
    }
    assert_eq!(listed, want);

    // One problem a file, at the first entry's offset in the decompressed file. What is torn has its own.
    let problems: Vec<(String, u64, String)> = rows(&case, &["problems"])
        .iter()
        .filter(|p| text(p, "what").unwrap().contains("usable time"))
        .map(|p| {
            let path = text(p, "path").unwrap();
            let name = path.rsplit('/').next().unwrap();
            let what = text(p, "what").unwrap();
            (
                name.replace(['a', 'b'], ""),
                p["offset"].as_u64().unwrap(),
                what.split(' ').next().unwrap().to_owned(),
            )
        })
        .collect();
    let want = [
        ("-json.log.2.gz", "2"),
        ("-json.log.1", "2"),
        ("-json.log", "1"),
        ("-json.log", "2"),
        ("continer.log", "3"),
    ];
    let want = want.map(|(name, count)| (name.to_owned(), 0, count.to_owned()));
    assert_eq!(problems, want);

    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    // Stock sqlite3 gives the same rows.
    for (query, asked) in [
        ("logs", &[][..]),
        ("logs", &[("since", "2024-01-01T00:00:15Z")]),
        (
            "logs",
            &[("container", "a"), ("until", "2024-01-01T00:00:20Z")],
        ),
        (
            "timeline",
            &[("kind", "log"), ("since", "2024-01-01T00:00:10Z")],
        ),
        ("activity", &[("kind", "log"), ("by", "minute")]),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("queries/{query}.sql"));
        let words = asked
            .iter()
            .flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]);
        let words: Vec<String> = std::iter::once(query.to_owned()).chain(words).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let theirs = crate::support::sqlite3::sqlite3(&case, &file, asked);
        assert_eq!(Value::from(rows(&case, &words)), theirs, "{words:?}");
    }
}

/// A log of several pieces that are read at once: what the first lacks comes from the last, and the count is of the file.
#[test]
fn over_pieces_of_a_file() {
    let host = Host::new();
    let id = host.container('a', config("a"));
    let untimed = json(&"x".repeat(1000), "-");
    let log = json("first", "2024-01-01T00:00:10Z");
    let n = 12_000; // some 12 MB: three pieces
    host.log(
        &id,
        log.clone() + &untimed.repeat(n) + &json("last", "2024-01-01T00:00:20Z"),
    );
    let b = host.container('b', config("b"));
    host.log(
        &b,
        untimed.repeat(n) + &json("last", "2024-01-01T00:00:30Z"),
    );
    for jobs in ["1", "4"] {
        let dir = folder();
        let case = dir.path().join("case.db");
        let mount = host.mount();
        dof([
            "ingest",
            "--jobs",
            jobs,
            mount.to_str().unwrap(),
            case.to_str().unwrap(),
        ])
        .with(1);
        let db = open(&case);
        for (listed, name) in [(10, "a"), (30, "b")] {
            let sql = format!(
                "SELECT count(*) FROM log_entry g JOIN log_file lf ON lf.id = g.log_file_id JOIN container c ON c.id = lf.container_id
                  WHERE c.name = '{name}' AND g.ts IS NULL AND g.ts_near = (strftime('%s', '2024-01-01') + {listed}) * 1000000000"
            );
            assert_eq!(one::<i64>(&db, &sql), n as i64, "{name} {jobs}");
        }
        let problems = rows(&case, &["problems"]);
        let of: Vec<_> = problems
            .iter()
            .map(|p| (p["offset"].as_u64().unwrap(), text(p, "what").unwrap()))
            .collect();
        let what = format!("{n} entries without a usable time, the first here");
        assert_eq!(of, [(log.len() as u64, what.clone()), (0, what)]);
    }
}

/// What the engine does with such lines: it leaves out those it cannot parse, and with `--since` those without a time too. dof
/// shows all that Docker shows, in its order, and those.
#[test]
fn docker_logs_of_the_same_file() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = crate::support::engine::Engine::start("log-times").unwrap();
    engine.base_image();
    let say = "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 0.02; done";
    engine
        .docker(&["run", "--name", "talker", "base:1", "sh", "-c", say])
        .text();
    let inspected = engine.json(&["inspect", "talker"]);
    let path = inspected[0]["LogPath"].as_str().unwrap().to_owned();
    let path = [
        engine.root().join(path.trim_start_matches('/')),
        path.into(),
    ];
    let path = path.iter().find(|p| p.exists()).expect("the log").clone();
    let file = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 9);
    let unusable: BTreeSet<usize> = [2, 4, 6].into();
    for (i, time) in [
        (2, Some("garbage")),
        (4, None),
        (6, Some("0001-01-01T00:00:00Z")),
    ] {
        lines[i] = with_time(&lines[i], time);
    }
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let want = truth(&lines, &unusable);
    let since = &want[1].listed;
    let docker = |words: &[&str]| {
        engine
            .docker(&[&["logs"], words, &["talker"]].concat())
            .lines()
    };
    let (plain, recent) = (docker(&[]), docker(&["--since", since]));
    engine.kill();
    engine.install_binaries().expect("binaries");
    let of = |numbers: &[u32]| {
        numbers
            .iter()
            .map(|n| format!("line {n}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        plain,
        of(&[1, 2, 4, 5, 6, 7, 8, 9]),
        "Docker leaves out garbage"
    );
    assert_eq!(
        recent,
        of(&[2, 4, 6, 8, 9]),
        "and with --since what has no time"
    );

    let (_dir, case) = ingest(&engine.root(), 1);
    let ask = |words: &[&str]| -> Vec<String> {
        let rows = rows(&case, &[&["logs", "--container", "talker"], words].concat());
        rows.iter().map(|r| text(r, "line").unwrap()).collect()
    };
    assert_eq!(ask(&[]), of(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
    assert_eq!(ask(&["--since", since]), of(&[2, 3, 4, 5, 6, 7, 8, 9]));
}
