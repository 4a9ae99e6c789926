//! dof's reader of the engine's JSON against Go's own encoding/json: the same documents, through `tests/go/engine.go` and
//! through dof, give the same values. `DOF_FUZZ_CASES` says how many documents (default 500, of each kind; CI sets more).

use crate::support::{Need, has, run};
use base64::Engine as _;
use dof::engine::docker::documents as docs;
use dof::parse::json::{self, Document, Shape};
use dof::parse::{json_log, time};
use dof::problem::Defect;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A line of a json-file log, whose objects dof reads one by one.
const LINE: Document = Document {
    shape: Shape::Struct(&[
        ("log", Shape::Text),
        ("stream", Shape::Text),
        ("time", Shape::Time),
        ("attrs", Shape::Map(&Shape::Text)),
    ]),
    whole: false,
    strict: false,
};
const TIME: Document = Document {
    shape: Shape::Time,
    whole: true,
    strict: false,
};

const KINDS: &[(&str, &Document)] = &[
    ("container", &docs::CONTAINER),
    ("hostconfig", &docs::HOST_CONFIG),
    ("image", &docs::IMAGE),
    ("repositories", &docs::REPOSITORIES),
    ("daemon", &docs::DAEMON),
    ("volume", &docs::VOLUME),
    ("peers", &docs::PEERS),
    ("swarm", &docs::SWARM),
    ("network", &docs::NETWORK),
    ("time", &TIME),
    ("log", &LINE),
];

/// What Go says of a document.
struct Told {
    error: String,
    /// Whether the decoder went no further than the error.
    stop: bool,
    value: Value,
}

/// Has Go read documents of these kinds.
fn ask_go(asked: &[(&str, Vec<u8>)]) -> Vec<Told> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let made = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = made.join("go-engine");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(here.join("tests/go/engine.go"))
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("GOCACHE", made.join("go-cache"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut text = String::new();
    for (kind, bytes) in asked {
        let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
        text.push_str(&format!("{kind} {bytes}\n"));
    }
    let feeder = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let told = |line: &[u8]| {
        let line: Value = serde_json::from_slice(line).unwrap();
        Told {
            error: line["error"].as_str().unwrap().into(),
            stop: line["stop"].as_bool().unwrap(),
            value: line["value"].clone(),
        }
    };
    let lines = out.stdout.split(|&b| b == b'\n');
    let all: Vec<Told> = lines.filter(|l| !l.is_empty()).map(told).collect();
    assert_eq!(all.len(), asked.len());
    all
}

/// A value as both sides would print it: without what its Go type has before anything is read into it. `go` tells that Go
/// printed it, which prints every field, and times as seconds and nanoseconds.
fn normal(shape: &Shape, value: &Value, go: bool) -> Value {
    let each = |inner: &Shape, v: &Value| normal(inner, v, go);
    match (shape, value) {
        (Shape::Pointer(inner), v) if !v.is_null() => each(inner, v),
        (Shape::Struct(fields), Value::Object(object)) => {
            let mut out = serde_json::Map::new();
            for (name, shape) in *fields {
                assert!(!go || object.contains_key(*name), "{name} is missing in Go");
                let field = each(shape, object.get(*name).unwrap_or(&Value::Null));
                let zero = match shape {
                    Shape::Bool => json!(false),
                    Shape::Int | Shape::Uint(_) => json!(0),
                    Shape::Text | Shape::Time => json!(""),
                    Shape::Struct(_) => json!({}),
                    _ => Value::Null,
                };
                if field != zero && !field.is_null() {
                    out.insert((*name).into(), field);
                }
            }
            Value::Object(out)
        }
        (Shape::Map(inner), Value::Object(map)) => {
            // Go prints maps in the order of their keys.
            let mut all: Vec<_> = map.iter().collect();
            all.sort_by_key(|(key, _)| key.as_str());
            all.into_iter()
                .map(|(k, v)| (k.clone(), each(inner, v)))
                .collect()
        }
        (Shape::List(inner), Value::Array(all)) => all.iter().map(|v| each(inner, v)).collect(),
        (Shape::Time, Value::String(text)) if !go => match time::go(text.as_bytes()) {
            time::GoTime::At(ns) => json!(format!(
                "{} {}",
                ns.div_euclid(1_000_000_000),
                ns.rem_euclid(1_000_000_000)
            )),
            time::GoTime::Beyond => json!("beyond"),
            time::GoTime::Never | time::GoTime::Refused => json!(""),
        },
        (Shape::Any, v) => numbers(v),
        (_, v) => v.clone(),
    }
}

/// Go's numbers without a type are floating-point.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64().unwrap()),
        Value::Array(all) => all.iter().map(numbers).collect(),
        Value::Object(map) => {
            let mut all: Vec<_> = map.iter().collect();
            all.sort_by_key(|(key, _)| key.as_str());
            all.into_iter()
                .map(|(k, v)| (k.clone(), numbers(v)))
                .collect()
        }
        v => v.clone(),
    }
}

/// Without all that is empty, at any depth: a pointer to nothing is nothing.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().map(|(k, v)| (k, bare(v)));
            let map: serde_json::Map<_, _> = kept.filter(|(_, v)| !v.is_null()).collect();
            if map.is_empty() {
                Value::Null
            } else {
                Value::Object(map)
            }
        }
        Value::Array(all) if all.is_empty() => Value::Null,
        Value::Array(all) => all.into_iter().map(bare).collect(),
        v if v == json!("") || v == json!(0) || v == json!(false) => Value::Null,
        v => v,
    }
}

/// Random documents of a shape, from a seed.
struct Maker(u64);

impl Maker {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn blank(&mut self, out: &mut String) {
        if self.below(12) == 0 {
            out.push_str(self.of(&[" ", "\t", "\r", "  "]));
        }
    }

    /// A key: mostly as it is, else in another case, folded, escaped, or nearly right.
    fn key(&mut self, name: &str, out: &mut String) {
        let way = self.below(10);
        out.push('"');
        for c in name.chars() {
            let other = self.below(3) == 0;
            match (way, c) {
                (1, c) => out.push(c.to_ascii_lowercase()),
                (2, c) => out.push(c.to_ascii_uppercase()),
                (3, 's' | 'S') if other => out.push('\u{17f}'),
                (3, 'k' | 'K') if other => out.push('\u{212a}'),
                (3, 's' | 'S') => out.push_str("\\u017F"),
                (4, c) if other => out.push_str(&format!("\\u{:04x}", c as u32)),
                (5, c) if self.below(6) == 0 => out.push(['e', '\u{e9}', '_', c][self.below(4)]),
                (_, c) => out.push(c),
            }
        }
        out.push('"');
    }

    fn text(&mut self, out: &mut String) {
        let text = self.of(&[
            "",
            "a",
            "b",
            "c",
            "/x",
            "é",
            "\\u00e9",
            "\\ud83d\\ude00",
            "\\ud800",
            "\\udc00x",
            "a\\n",
            "\\\\",
            "\\\"",
            "\\/",
            "\u{2028}",
            "\\u2028",
            "ſ",
        ]);
        out.push_str(&format!("\"{text}\""));
    }

    fn time(&mut self, out: &mut String) {
        if self.below(2) == 0 {
            out.push_str("\"2026-11-23T23:31:46.666779913Z\"");
            return;
        }
        let time = self.of(&[
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:01Z",
            "2024-02-29T00:00:00+05:30",
            "2023-02-29T00:00:00Z",
            "2024-02-29T5:00:00Z",
            "2024-02-29T05:00:00,5Z",
            "2024-02-29T05:00:00.12345678912Z",
            "2024-02-29T05:00:60Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29t05:00:00Z",
            "2024-02-29 05:00:00Z",
            "2024-02-29T05:00:00z",
            "2024-02-29T05:00:00",
            "2024-02-29T05:00:00+99:99",
            "2024-02-29T05:00:00+-1:+2",
            "2024-02-29T05:00:00+1:00",
            "2024-02-29T05:00:00.Z",
            "9999-12-31T23:59:59Z",
            "1600-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "",
            "x",
            "2024-02-29T05:00:00\\u005a",
            "2024-13-29T05:00:00Z",
            "2024-00-01T05:00:00Z",
            "2024-01-00T05:00:00Z",
            "2262-04-11T23:47:16.854775807Z",
            "2262-04-11T23:47:16.854775808Z",
            "1677-09-21T00:12:43.145224192Z",
            "1677-09-21T00:12:43.145224191Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T01:00:00+01:00",
            "2024-02-29T05:00:00-00:00",
        ]);
        out.push_str(&format!("\"{time}\""));
    }

    fn number(&mut self, out: &mut String) {
        let number = self.of(&[
            "0",
            "1",
            "-1",
            "-0",
            "65535",
            "65536",
            "4294967295",
            "4294967296",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "1.0",
            "1e2",
            "1E+2",
            "0.5",
            "7",
            "42",
        ]);
        out.push_str(number);
    }

    /// Any value, not too deep.
    fn any(&mut self, depth: usize, out: &mut String) {
        match self.below(if depth > 3 { 5 } else { 8 }) {
            0 => out.push_str("null"),
            1 => out.push_str("true"),
            2 => out.push_str("false"),
            3 => self.number(out),
            4 => self.text(out),
            5 => self.list(|m, out| m.any(depth + 1, out), out),
            _ => self.map(|m, out| m.any(depth + 1, out), out),
        }
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self, &mut String), out: &mut String) {
        out.push('[');
        for i in 0..self.below(4) {
            if i > 0 {
                out.push(',');
            }
            self.blank(out);
            element(self, out);
            self.blank(out);
        }
        out.push(']');
    }

    fn map(&mut self, mut element: impl FnMut(&mut Self, &mut String), out: &mut String) {
        out.push('{');
        for i in 0..self.below(4) {
            if i > 0 {
                out.push(',');
            }
            self.blank(out);
            let key = self.of(&["a", "A", "b", "80/tcp", "k", "\u{212a}", "", "\\ud800"]);
            out.push_str(&format!("\"{key}\""));
            self.blank(out);
            out.push(':');
            self.blank(out);
            element(self, out);
        }
        out.push('}');
    }

    /// A value of a shape; a wrong one as often as `odds` says.
    fn value(&mut self, shape: &Shape, odds: usize, out: &mut String) {
        if odds > 0 && self.below(odds) == 0 {
            return self.any(0, out);
        }
        if self.below(12) == 0 {
            return out.push_str("null");
        }
        match shape {
            Shape::Pointer(inner) => self.value(inner, 0, out),
            Shape::Any => self.any(0, out),
            Shape::Bool => out.push_str(self.of(&["true", "false"])),
            Shape::Int | Shape::Uint(_) if odds > 0 && self.below(10) == 0 => self.number(out),
            Shape::Int | Shape::Uint(_) => out.push_str(self.of(&["0", "1", "7", "42", "65535"])),
            Shape::Text => self.text(out),
            Shape::Time if odds > 0 => self.time(out),
            Shape::Time => out.push_str("\"2026-11-23T23:31:46.5Z\""),
            Shape::Words if self.below(3) == 0 => self.text(out),
            Shape::Words => self.list(|m, out| m.text(out), out),
            Shape::List(inner) => self.list(|m, out| m.value(inner, odds, out), out),
            Shape::Map(inner) => self.map(|m, out| m.value(inner, odds, out), out),
            Shape::Struct(fields) => self.object(fields, odds, out),
        }
    }

    fn object(&mut self, fields: &[(&'static str, Shape)], odds: usize, out: &mut String) {
        out.push('{');
        // Few fields, so that they come more than once.
        let few: Vec<usize> = (0..3).map(|_| self.below(fields.len().max(1))).collect();
        for i in 0..self.below(8) {
            if i > 0 {
                out.push(',');
            }
            self.blank(out);
            let field = fields
                .get(few[self.below(3)])
                .filter(|_| self.below(10) > 0);
            match field {
                Some((name, shape)) => {
                    self.key(name, out);
                    self.blank(out);
                    out.push(':');
                    self.blank(out);
                    self.value(shape, odds, out);
                }
                None => {
                    out.push_str("\"Other\":");
                    self.any(0, out);
                }
            }
            self.blank(out);
        }
        out.push('}');
    }

    fn document(&mut self, document: &Document) -> Vec<u8> {
        let mut out = String::new();
        self.blank(&mut out);
        // Most documents have no wrong type, so that most have no error.
        let odds = [0, 0, 40][self.below(3)];
        self.value(&document.shape, odds, &mut out);
        if self.below(4) == 0 {
            out.push_str(self.of(&[" ", "\n", "x", "{}", " null", "]", ",", "\0"]));
        }
        let mut bytes = out.into_bytes();
        match self.below(30) {
            0 => bytes.truncate(self.below(bytes.len() + 1)),
            1 => {
                let at = self.below(bytes.len() + 1);
                bytes.insert(at, [0, b'"', 0xff, b'{', b'\\', b'-', b'0'][self.below(7)]);
            }
            2 => {
                // Text that is not UTF-8.
                if let Some(at) = memchr::memmem::find(&bytes, "\u{e9}".as_bytes()) {
                    bytes[at + 1] = b'x';
                }
            }
            _ => {}
        }
        bytes
    }
}

/// Whether dof sees what Go sees.
fn agrees(document: &Document, bytes: &[u8], told: &Told, strict: bool) -> Result<(), String> {
    let read = json::read(bytes, document);
    let loose = |d: &Defect| d.what.contains("Go before 1.20");
    if strict && told.stop && read.defects.iter().any(loose) {
        return Ok(());
    }
    if read.refused.is_some() == told.error.is_empty() {
        return Err(format!("refused: {:?}, Go: {:?}", read.refused, told.error));
    }
    if told.stop {
        return Ok(());
    }
    let (mut ours, mut theirs) = (
        normal(&document.shape, &read.value, false),
        normal(&document.shape, &told.value, true),
    );
    if read.value.is_null() || !told.error.is_empty() {
        (ours, theirs) = (bare(ours), bare(theirs));
    }
    if ours != theirs {
        return Err(format!("dof {ours}\nGo  {theirs}"));
    }
    Ok(())
}

/// The same of a line with any number of entries.
fn line_agrees(bytes: &[u8], told: &Told) -> Result<(), String> {
    if told.stop || memchr::memchr(b'\n', bytes).is_some() {
        return Ok(());
    }
    let empty = Vec::new();
    let theirs = told.value.as_array().unwrap_or(&empty);
    let mut rest = bytes;
    for (n, go) in theirs.iter().enumerate() {
        let last = n + 1 == theirs.len() && !told.error.is_empty();
        let mut scratch = String::new();
        let entry = match json_log::parse(rest, &mut scratch) {
            Ok(entry) => entry,
            Err(_) if last => return Ok(()), // a text that is none, say
            // `null` is an empty entry to Go; dof keeps the word.
            Err(_) if rest.trim_ascii_start().starts_with(b"null") => return Ok(()),
            Err(e) => return Err(format!("{e:?}, Go: {go}")),
        };
        let attrs: Value = entry
            .attrs
            .as_deref()
            .map_or(Value::Null, |a| serde_json::from_str(a).unwrap());
        let time = entry.time_ns.map_or(json!(""), |ns| {
            json!(format!(
                "{} {}",
                ns.div_euclid(1_000_000_000),
                ns.rem_euclid(1_000_000_000)
            ))
        });
        let ours = json!({"log": entry.line, "stream": entry.stream, "time": time, "attrs": attrs});
        let mut go = go.clone();
        if go["time"] == json!("beyond") {
            go["time"] = json!("");
        }
        let (ours, go) = (numbers(&ours), numbers(&go));
        if bare(ours.clone()) != bare(go.clone()) {
            return Err(format!("dof {ours}\nGo  {go}"));
        }
        if entry.wrong.is_some() != last {
            return Err(format!("wrong: {:?}, Go: {:?}", entry.wrong, told.error));
        }
        rest = &rest[entry.end..];
    }
    if told.error.is_empty() && !rest.trim_ascii().is_empty() {
        return Err("Go read no more".into());
    }
    Ok(())
}

#[test]
fn go_reads_the_same() {
    if !has(&[Need::Program("go")]) {
        return;
    }
    let cases = std::env::var("DOF_FUZZ_CASES").map_or(500, |n| n.parse().expect("a number"));
    let seed = std::env::var("DOF_SEED").map_or(1, |n| n.parse().expect("a number"));
    let mut maker = Maker(seed);
    let mut asked = Vec::new();
    for (kind, document) in KINDS {
        for _ in 0..cases {
            let mut bytes = maker.document(document);
            if *kind == "log" && maker.below(3) == 0 {
                let more = maker.document(document);
                bytes.extend(more);
            }
            asked.push((*kind, bytes));
        }
    }
    let told = ask_go(&asked);
    // Later ones refuse loose times; Docker 20.10 was built with this one.
    let version = run("go", &["version"]).unwrap().out;
    let strict = !version.contains("go1.19");
    let mut faults = Vec::new();
    let (mut good, mut typed) = (0, 0);
    for ((kind, bytes), told) in asked.iter().zip(&told) {
        let (_, document) = KINDS.iter().find(|(k, _)| k == kind).unwrap();
        let agreed = if *kind == "log" {
            line_agrees(bytes, told)
        } else {
            agrees(document, bytes, told, strict)
        };
        good += usize::from(told.error.is_empty());
        typed += usize::from(!told.error.is_empty() && !told.stop);
        if let Err(why) = agreed {
            faults.push(format!(
                "{kind} {}\n{why}\n",
                String::from_utf8_lossy(bytes)
            ));
        }
    }
    faults.sort_by_key(String::len);
    faults.dedup();
    faults.truncate(8);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The documents are worth the work.
    assert!(good > asked.len() / 3 && typed > asked.len() / 50);
}
