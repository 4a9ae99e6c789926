//! JSON as a damaged disk holds it: [`read`] gives what can be read of a document, [`Fields`] picks typed
//! values out of it and notes what is missing or of the wrong type.
//!
//! Docker writes its metadata with Go's encoding/json (container/container.go, image/image.go); a power cut
//! leaves such files empty, full of NULs, or cut short.

use crate::parse::time;
use crate::problem::{Defect, Parsed};
use serde_json::Value;

/// Most values of a document. Docker's have some hundreds; one with this many entries of a list is still read.
pub const MOST_VALUES: usize = 500_000;

/// Reads a JSON document, `Value::Null` when nothing of it can be read.
///
/// Repaired, each with a defect: NULs or blanks around the document, bytes that are not UTF-8, lone surrogate
/// escapes, bytes after its end, and a missing end (all complete members are kept).
///
/// A document of more than [`MOST_VALUES`] is not read at all: each takes many times the memory its text does.
pub fn read(bytes: &[u8]) -> Parsed<Value> {
    if values(bytes) > MOST_VALUES {
        return Parsed {
            value: Value::Null,
            defects: vec![Defect::new(
                format!("more than {MOST_VALUES} values"),
                "nothing",
            )],
        };
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => Parsed {
            value,
            defects: Vec::new(),
        },
        Err(first) => repair(bytes, &first),
    }
}

/// How many values a document has, or more where it is damaged.
fn values(bytes: &[u8]) -> usize {
    let begins = |b: u8| matches!(b, b',' | b'[' | b'{');
    let most = bytes.iter().filter(|&&b| begins(b)).count();
    if most <= MOST_VALUES {
        return most;
    }
    let (mut n, mut in_string, mut escaped) = (0, false, false);
    for &b in bytes {
        match b {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b => n += usize::from(!in_string && begins(b)),
        }
    }
    n
}

fn repair(bytes: &[u8], first: &serde_json::Error) -> Parsed<Value> {
    let trimmed = bytes.trim_ascii_start();
    if bytes.iter().all(|&b| b == 0 || b.is_ascii_whitespace()) {
        let what = if bytes.is_empty() {
            "empty file"
        } else {
            "nothing but NUL bytes or blanks"
        };
        return Parsed {
            value: Value::Null,
            defects: vec![Defect::new(what, "nothing")],
        };
    }
    let start = bytes.len() - trimmed.len();
    let start = start
        + trimmed
            .iter()
            .position(|&b| b != 0 && b != b' ' && b != 0xef && b != 0xbb && b != 0xbf)
            .unwrap_or(0);
    let mut text = String::from_utf8_lossy(&bytes[start..]).into_owned();
    replace_lone_surrogates(&mut text);
    let note = |kept: &str| {
        vec![Defect::at(
            offset(bytes, first),
            format!("not valid JSON: {first}"),
            kept,
        )]
    };
    // Whole after the repair of its characters, perhaps with something behind it.
    if let Some(Ok(value)) = serde_json::Deserializer::from_str(&text).into_iter().next() {
        return Parsed {
            value,
            defects: note("the document, odd characters replaced"),
        };
    }
    match close(&text).and_then(|t| serde_json::from_str(&t).ok()) {
        Some(value) => Parsed {
            value,
            defects: note("all members before that place"),
        },
        None => Parsed {
            value: Value::Null,
            defects: note("nothing"),
        },
    }
}

/// Byte offset of an error that serde_json gives as line and column.
fn offset(bytes: &[u8], e: &serde_json::Error) -> u64 {
    let line_start = bytes
        .split_inclusive(|&b| b == b'\n')
        .take(e.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    (line_start + e.column().saturating_sub(1)).min(bytes.len()) as u64
}

/// `\ud800` without its partner is legal in Go's reader (it becomes U+FFFD) and refused by serde_json.
fn replace_lone_surrogates(text: &mut String) {
    let unit = |s: &str, at: usize| {
        s.get(at..at + 6)
            .filter(|e| e.starts_with("\\u"))
            .and_then(|e| u16::from_str_radix(&e[2..], 16).ok())
    };
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let here = at + found;
        match unit(text, here) {
            Some(0xd800..=0xdbff) if matches!(unit(text, here + 6), Some(0xdc00..=0xdfff)) => {
                at = here + 12
            }
            Some(0xd800..=0xdfff) => {
                text.replace_range(here..here + 6, "\\ufffd");
                at = here + 6;
            }
            _ => {
                let next = text[here + 1..].chars().next().map_or(0, char::len_utf8);
                at = here + 1 + next;
            }
        }
    }
}

/// Ends a document that was cut short: everything after its last complete member goes, what is open is closed.
fn close(text: &str) -> Option<String> {
    let mut open = Vec::new(); // closing brackets owed
    let mut good: Option<(usize, Vec<u8>)> = None; // where a complete member ended, and what was owed there
    let (mut in_string, mut escaped) = (false, false);
    for (at, b) in text.bytes().enumerate() {
        if in_string {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match b {
            b'"' => in_string = true,
            b'{' | b'[' => {
                if open.len() > 100 {
                    return None;
                }
                open.push(if b == b'{' { b'}' } else { b']' });
                good = Some((at + 1, open.clone()));
            }
            b'}' | b']' => {
                if open.pop() != Some(b) {
                    break;
                }
                good = Some((at + 1, open.clone()));
            }
            b',' => good = Some((at, open.clone())),
            _ => {}
        }
    }
    let (end, mut owed) = good?;
    let mut out = text[..end].to_owned();
    while let Some(b) = owed.pop() {
        out.push(char::from(b));
    }
    Some(out)
}

/// A JSON object to pick fields from. What is absent or null is `None` in silence, as Go's zero values are;
/// what has the wrong type is `None` with a defect.
#[derive(Debug)]
pub struct Fields<'a> {
    value: &'a Value,
    /// What was of the wrong type so far.
    pub defects: Vec<Defect>,
}

impl<'a> Fields<'a> {
    /// Fields of `value`; a value that is no object has none.
    pub fn new(value: &'a Value) -> Self {
        let mut defects = Vec::new();
        if !value.is_object() && !value.is_null() {
            defects.push(Defect::new(
                format!("{} where an object was expected", type_name(value)),
                "nothing",
            ));
        }
        Fields { value, defects }
    }

    /// The value at a path like `State.Health.Status`, unless absent or null.
    pub fn get(&self, path: &str) -> Option<&'a Value> {
        path.split('.')
            .try_fold(self.value, |v, key| v.get(key))
            .filter(|v| !v.is_null())
    }

    fn wrong(&mut self, path: &str, value: &Value, want: &str) {
        let shown: String = value.to_string().chars().take(80).collect();
        self.defects.push(Defect::new(
            format!("{path} is {}, not {want}: {shown}", type_name(value)),
            "the other fields, and the raw JSON",
        ));
    }

    /// A string; empty ones are `None`.
    pub fn text(&mut self, path: &str) -> Option<String> {
        match self.get(path)? {
            Value::String(s) => (!s.is_empty()).then(|| s.clone()),
            v => {
                self.wrong(path, v, "a string");
                None
            }
        }
    }

    /// An integer; floating-point numbers without a fraction count.
    pub fn int(&mut self, path: &str) -> Option<i64> {
        let v = self.get(path)?;
        let n = v.as_i64().or_else(|| {
            v.as_f64()
                .filter(|f| f.fract() == 0.0 && f.abs() < 9e15)
                .map(|f| f as i64)
        });
        if n.is_none() {
            self.wrong(path, v, "an integer");
        }
        n
    }

    /// A boolean as 0 or 1.
    pub fn flag(&mut self, path: &str) -> Option<i64> {
        match self.get(path)? {
            Value::Bool(b) => Some(i64::from(*b)),
            v => {
                self.wrong(path, v, "a boolean");
                None
            }
        }
    }

    /// A boolean, 0 when absent.
    pub fn is(&mut self, path: &str) -> i64 {
        self.flag(path).unwrap_or(0)
    }

    /// An RFC 3339 time; Go's zero time is `None`.
    pub fn time(&mut self, path: &str) -> Option<i64> {
        match self.get(path)? {
            Value::String(s) if s.is_empty() || s.starts_with("0001-01-01T") => None,
            v => {
                let t = v.as_str().and_then(|s| time::rfc3339(s.as_bytes()));
                if t.is_none() {
                    self.wrong(path, v, "a time");
                }
                t
            }
        }
    }

    /// Anything, as compact JSON text.
    pub fn json(&mut self, path: &str) -> Option<String> {
        self.get(path).map(Value::to_string)
    }

    /// An array, as compact JSON text; a plain string counts as an array of one, as old Docker wrote it.
    pub fn array(&mut self, path: &str) -> Option<String> {
        match self.get(path)? {
            v @ Value::Array(_) => Some(v.to_string()),
            Value::String(s) => Some(Value::from(vec![s.clone()]).to_string()),
            v => {
                self.wrong(path, v, "an array");
                None
            }
        }
    }

    /// The members of an object, none when absent.
    pub fn members(&mut self, path: &str) -> Vec<(&'a String, &'a Value)> {
        match self.get(path) {
            None => Vec::new(),
            Some(Value::Object(m)) => m.iter().collect(),
            Some(v) => {
                self.wrong(path, v, "an object");
                Vec::new()
            }
        }
    }

    /// The items of an array, none when absent.
    pub fn items(&mut self, path: &str) -> &'a [Value] {
        match self.get(path) {
            None => &[],
            Some(Value::Array(a)) => a,
            Some(v) => {
                self.wrong(path, v, "an array");
                &[]
            }
        }
    }
}

fn type_name(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_cut_document_keeps_its_complete_members() {
        let whole = json!({"a": 1, "b": {"c": [1, "x\"y"], "d": "z"}, "e": "last"});
        let text = whole.to_string();
        let cut = &text[..text.find("\"z").unwrap() + 2];
        let got = read(cut.as_bytes());
        assert_eq!(got.value, json!({"a": 1, "b": {"c": [1, "x\"y"]}}));
        assert_eq!(got.defects.len(), 1);
    }

    #[test]
    fn odd_characters_do_not_cost_the_document() {
        for (bytes, want) in [
            (&b"{\"a\":\"x\\ud800y\"}"[..], "x\u{fffd}y"),
            (b"{\"a\":\"x\xffy\"}", "x\u{fffd}y"),
            (b"\0\0{\"a\":\"x\"}", "x"),
            (b"{\"a\":\"x\"}\0\0\0", "x"),
            (
                b"{\"a\":\"\\\\ud800\\ud83d\\ude00\xff\"}",
                "\\ud800\u{1f600}\u{fffd}",
            ),
        ] {
            let got = read(bytes);
            assert_eq!(got.value["a"], want);
            assert_eq!(got.defects.len(), 1);
        }
        assert_eq!(read(b"").defects[0].what, "empty file");
    }

    #[test]
    fn wrong_types_are_said() {
        let v = json!({"n": "1", "s": 5, "t": "yesterday", "zero": "0001-01-01T00:00:00Z", "cmd": "sh"});
        let mut f = Fields::new(&v);
        assert_eq!(
            (
                f.int("n"),
                f.text("s"),
                f.time("t"),
                f.time("zero"),
                f.int("absent.too")
            ),
            (None, None, None, None, None)
        );
        assert_eq!(f.array("cmd").as_deref(), Some("[\"sh\"]"));
        assert_eq!(f.defects.len(), 3);
    }

    proptest! {
        #[test]
        fn total(b in proptest::collection::vec(any::<u8>(), 0..300)) {
            let v = read(&b).value;
            Fields::new(&v).text("a.b");
        }

        #[test]
        fn total_on_cuts(s in "[\\[\\]{}\",:\\\\ud8a0-9 \u{e9}]{0,80}") {
            read(s.as_bytes());
        }

        #[test]
        fn every_cut_of_an_object_gives_an_object(n in 1usize..60) {
            let text = json!({"Name": "/web", "State": {"Running": true, "Pid": 5}, "Args": ["a", "b\\\"c"]}).to_string();
            prop_assert!(read(&text.as_bytes()[..n.min(text.len())]).value.is_object());
        }
    }
}
