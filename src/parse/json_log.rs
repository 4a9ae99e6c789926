//! One line of Docker's `json-file` log, read and written.
//!
//! After moby daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go (the encoder, `MarshalJSONBuf`) and
//! time_marshalling.go. The engine writes `{"log":…,"stream":…,"attrs":…,"time":…}` without a blank, each
//! key only when it has something to say. The reader takes any JSON object as Go does (see [`super::json`]): keys in any
//! order and case, the last of each, blanks, unknown keys, and text that is not quite Unicode. A control character in
//! a string, which Go refuses, is read too.

use crate::parse::json::{self, Document, Shape};
use crate::parse::time;
use crate::problem::Defect;
use memchr::memchr2;
use std::borrow::Cow;

/// One message of a container, or a part of one: Docker splits at 16 KiB, and only the last part ends in a
/// newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The decoded `log`, with its newline; what is no Unicode is U+FFFD.
    pub line: &'a str,
    /// `stdout` or `stderr`; empty when the line does not say.
    pub stream: Cow<'a, str>,
    /// When the engine received it; `None` when missing or no timestamp.
    pub time_ns: Option<i64>,
    /// The JSON text of `attrs`, an object of strings.
    pub attrs: Option<Cow<'a, str>>,
    /// A field that the line has more than once, or in another case than Docker writes it.
    pub odd: Option<&'static str>,
    /// A field of the wrong type: `docker logs` leaves such an entry out.
    pub wrong: Option<&'static str>,
    /// Where the entry ends: at the end of the line, or where another one begins, as Docker reads the line.
    pub end: usize,
    /// Whether [`write()`] makes of these fields the very bytes they were read from.
    pub canonical: bool,
}

/// Reads a line, given without its newline. `scratch` is space for a text that has escapes.
///
/// NULs before the object (a power cut leaves them) and NULs or blanks after it are passed over. What else follows it is
/// the caller's to read on at [`Entry::end`].
pub fn parse<'a>(line: &'a [u8], scratch: &'a mut String) -> Result<Entry<'a>, Defect> {
    let start = line.iter().position(|&b| b != 0).unwrap_or(line.len());
    let mut reader = Reader {
        bytes: line,
        at: start,
        canonical: start == 0,
    };
    match reader.object(scratch) {
        Ok((entry, false)) => Ok(entry),
        Ok((mut entry, true)) => {
            entry.line = scratch;
            Ok(entry)
        }
        Err(what) => Err(Defect::at(reader.at as u64, what, "the line as it is")),
    }
}

/// Writes an entry as Docker does, without the newline after it. Empty fields are left out; no time is Go's zero time.
///
/// U+FFFD is written as `\ufffd`, which is how Docker writes a byte that is not UTF-8; had the container itself
/// printed U+FFFD, Docker would have copied it.
pub fn write(
    out: &mut Vec<u8>,
    line: &str,
    stream: &str,
    attrs: Option<&str>,
    time_ns: Option<i64>,
) {
    out.push(b'{');
    for (key, text) in [(&b"\"log\":"[..], line), (b"\"stream\":", stream)] {
        if !text.is_empty() {
            out.extend_from_slice(key);
            write_string(out, text);
            out.push(b',');
        }
    }
    if let Some(attrs) = attrs.filter(|a| !a.is_empty()) {
        out.extend_from_slice(b"\"attrs\":");
        out.extend_from_slice(attrs.as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"time\":\"");
    match time_ns {
        Some(ns) => out.extend_from_slice(time::rfc3339_nano(ns).as_bytes()),
        None => out.extend_from_slice(b"0001-01-01T00:00:00Z"),
    }
    out.extend_from_slice(b"\"}");
}

/// Whether a byte may need an escape. 0xe2 and 0xef begin U+2028, U+2029 and U+FFFD. Without a branch, so that
/// [`any_special`] compiles to vector instructions.
fn is_special(b: u8) -> bool {
    (b < 0x20)
        | (b == b'"')
        | (b == b'\\')
        | (b == b'<')
        | (b == b'>')
        | (b == b'&')
        | (b == 0xe2)
        | (b == 0xef)
}

fn any_special(block: &[u8; 16]) -> bool {
    u128::from_ne_bytes(block.map(|b| u8::from(is_special(b)))) != 0
}

/// How many bytes from the start need no escape.
fn plain(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<16>();
    let skip = 16 * blocks.iter().take_while(|b| !any_special(b)).count();
    bytes[skip..]
        .iter()
        .position(|&b| is_special(b))
        .map_or(bytes.len(), |n| skip + n)
}

/// Whether Docker writes this text, of which UTF-8 is all that is asked, without any escape.
fn is_copied(mut text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk() {
        let (blocks, _) = text.as_chunks::<16>();
        if !blocks.iter().any(any_special) && !any_special(last) {
            return true;
        }
    }
    loop {
        text = match &text[plain(text)..] {
            [] => return true,
            [0xe2, 0x80, 0xa8 | 0xa9, ..] | [0xef, 0xbf, 0xbd, ..] => return false,
            [0xe2 | 0xef, rest @ ..] => rest,
            _ => return false,
        }
    }
}

/// The escape that Docker writes for a character, and its length; `None` for one it copies.
fn escape_of(c: char) -> Option<([u8; 6], usize)> {
    let short = |b| Some(([b'\\', b, 0, 0, 0, 0], 2));
    let digit = |n: u32| b"0123456789abcdef"[(c as u32 >> n & 15) as usize];
    match c {
        '\n' => short(b'n'),
        '\r' => short(b'r'),
        '"' => short(b'"'),
        '\\' => short(b'\\'),
        '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{fffd}' => {
            Some(([b'\\', b'u', digit(12), digit(8), digit(4), digit(0)], 6))
        }
        _ => None,
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    out.push(b'"');
    loop {
        // A special byte begins a character.
        let (head, tail) = rest.split_at(plain(rest.as_bytes()));
        out.extend_from_slice(head.as_bytes());
        let Some(c) = tail.chars().next() else {
            break;
        };
        let (one, more) = tail.split_at(c.len_utf8());
        match escape_of(c) {
            Some((escape, n)) => out.extend_from_slice(&escape[..n]),
            None => out.extend_from_slice(one.as_bytes()),
        }
        rest = more;
    }
    out.push(b'"');
}

/// `attrs` as jsonlog.JSONLog declares it.
const ATTRS: Document = Document {
    shape: Shape::Map(&Shape::Text),
    whole: false,
    strict: false,
};
/// Attributes that are read without a table of their keys. Docker writes one for each label and variable asked for.
const FEW: usize = 8;

/// The fields Docker writes, in its order.
const NAMES: [&str; 4] = ["log", "stream", "attrs", "time"];
/// The same as keys, with what follows them.
const KEYS: [&[u8]; 4] = [b"\"log\":", b"\"stream\":", b"\"attrs\":", b"\"time\":"];

/// Makes one object of several, a later key over an earlier one.
#[cold]
fn merge(entry: &mut Entry<'_>, parts: &[&[u8]]) {
    let mut all = serde_json::Map::new();
    for part in parts {
        let read = json::read(part, &ATTRS);
        if read.refused.is_some() {
            entry.wrong = Some("`attrs` has a value that is not a string");
        }
        if !read.defects.is_empty() {
            entry.odd = entry.odd.or(Some("attrs"));
        }
        if let serde_json::Value::Object(more) = read.value {
            all.extend(more);
        }
    }
    entry.attrs = Some(Cow::Owned(serde_json::Value::Object(all).to_string()));
}

/// A place in a line.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether [`write()`] would have written all up to here.
    canonical: bool,
}

impl<'a> Reader<'a> {
    /// The entry, and whether its `log` was decoded into `scratch`.
    fn object(&mut self, scratch: &mut String) -> Result<(Entry<'a>, bool), &'static str> {
        let mut entry = Entry {
            line: "",
            stream: Cow::Borrowed(""),
            time_ns: None,
            attrs: None,
            odd: None,
            wrong: None,
            end: 0,
            canonical: false,
        };
        let mut decoded = false;
        let mut seen = 0u8;
        let mut attrs = Vec::new();
        self.expect(b'{', "not a JSON object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.end(&mut entry);
            return Ok((entry, false));
        }
        let mut before = None;
        loop {
            let (key, exact) = self.key()?;
            self.canonical &= key > before; // none is less than any
            before = key;
            if let Some(n) = key {
                if seen & 1 << n != 0 || !exact {
                    self.canonical = false;
                    entry.odd = Some(NAMES[n]);
                }
                seen |= 1 << n;
            }
            match (key, self.peek()) {
                (Some(0), Some(b'"')) => {
                    scratch.clear();
                    let text = self.string(scratch)?;
                    decoded = text.is_none();
                    self.canonical &= text != Some("");
                    entry.line = text.unwrap_or_default();
                }
                (Some(1), Some(b'"')) => {
                    entry.stream = self.owned()?;
                    self.canonical &= !entry.stream.is_empty();
                }
                (Some(3), Some(b'"')) => {
                    let text = self.owned()?;
                    self.canonical &= time::is_nano(text.as_bytes());
                    entry.time_ns = time::rfc3339(text.as_bytes());
                    if entry.time_ns.is_none() {
                        self.canonical = false;
                        entry.time_ns = time::go(text.as_bytes()).ns();
                    }
                }
                (Some(2), Some(b'{')) => self.attrs(&mut entry, &mut attrs)?,
                (Some(n), _) => self.other(n, &mut entry, &mut attrs)?,
                (None, _) => {
                    self.skip()?;
                }
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    if !attrs.is_empty() {
                        merge(&mut entry, &attrs);
                    }
                    self.end(&mut entry);
                    return Ok((entry, decoded));
                }
                Some(_) => return Err("no `,` after a value"),
                None => return Err("the line is cut short"),
            }
        }
    }

    /// A field's value that Docker does not write: `null`, with which Go empties a map and leaves a string and a time as they
    /// were, or one of the wrong type.
    #[cold]
    #[inline(never)]
    fn other(
        &mut self,
        field: usize,
        entry: &mut Entry<'a>,
        attrs: &mut Vec<&'a [u8]>,
    ) -> Result<(), &'static str> {
        self.canonical = false;
        if self.bytes[self.at..].starts_with(b"null") {
            self.at += 4;
            if field == 2 {
                // A wrong value among them is an error all the same.
                merge(entry, attrs);
                attrs.clear();
                entry.attrs = None;
            }
            return Ok(());
        }
        if field == 0 {
            return Err(if self.at < self.bytes.len() {
                "`log` is not a string"
            } else {
                "the line is cut short"
            });
        }
        self.skip()?;
        entry.wrong = Some(match field {
            1 => "`stream` is not a string",
            2 => "`attrs` is not an object",
            _ => "`time` is not a string",
        });
        if field == 3 {
            entry.time_ns = None;
        }
        Ok(())
    }

    /// A key and its colon: the number of one Docker reads, and whether Docker writes it so.
    fn key(&mut self) -> Result<(Option<usize>, bool), &'static str> {
        let rest = &self.bytes[self.at..];
        if let Some(n) = KEYS.iter().position(|key| rest.starts_with(key)) {
            self.at += KEYS[n].len();
            return Ok((Some(n), true));
        }
        self.odd_key()
    }

    #[cold]
    #[inline(never)]
    fn odd_key(&mut self) -> Result<(Option<usize>, bool), &'static str> {
        self.canonical = false;
        let mut decoded = String::new();
        let key = self.string_apart(&mut decoded)?.unwrap_or(&decoded);
        self.expect(b':', "no `:` after a key")?;
        let exact = NAMES.iter().position(|name| *name == key);
        let found = exact.or_else(|| NAMES.iter().position(|name| json::folds(name, key)));
        Ok((found, exact.is_some()))
    }

    /// Passes over the NULs and blanks after the object.
    fn end(&mut self, entry: &mut Entry<'a>) {
        let rest = &self.bytes[self.at..];
        entry.canonical = self.canonical && rest.is_empty() && entry.time_ns.is_some();
        let next = rest
            .iter()
            .position(|b| !matches!(b, 0 | b' ' | b'\t' | b'\r' | b'\n'));
        entry.end = next.map_or(self.bytes.len(), |n| self.at + n);
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.at) {
            self.canonical = false;
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, or: &'static str) -> Result<(), &'static str> {
        match self.peek() {
            Some(b) if b == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(or),
            None => Err("the line is cut short"),
        }
    }

    /// A string with space of its own, for texts that seldom have an escape.
    fn owned(&mut self) -> Result<Cow<'a, str>, &'static str> {
        let mut scratch = String::new();
        Ok(match self.string(&mut scratch)? {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(scratch),
        })
    }

    /// Attributes: of the only object the text as it is, if it has strings and no key twice. All others go to `parts`.
    fn attrs(
        &mut self,
        entry: &mut Entry<'a>,
        parts: &mut Vec<&'a [u8]>,
    ) -> Result<(), &'static str> {
        let start = self.at;
        if entry.attrs.is_none()
            && parts.is_empty()
            && let Some(text) = self.plain_attrs()
        {
            entry.attrs = Some(Cow::Borrowed(text));
            return Ok(());
        }
        self.canonical = false;
        self.at = start;
        let text = self.skip()?;
        if let Some(Cow::Borrowed(before)) = entry.attrs.take() {
            parts.push(before.as_bytes());
        }
        parts.push(text);
        Ok(())
    }

    /// The text of an object of few strings, if serde_json and SQLite read it as Go does: no key twice, no odd escape.
    fn plain_attrs(&mut self) -> Option<&'a str> {
        let canonical = self.canonical;
        let start = self.at;
        let mut keys: [&[u8]; FEW] = [b""; FEW];
        self.expect(b'{', "").ok()?;
        let mut n = 0;
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                let mut scratch = String::new();
                let key = self.string_apart(&mut scratch).ok()??.as_bytes(); // none with an escape
                if n == FEW || keys[..n].contains(&key) {
                    return None;
                }
                keys[n] = key;
                n += 1;
                self.expect(b':', "").ok()?;
                scratch.clear();
                self.string_apart(&mut scratch).ok()?;
                // An escape without a character.
                if scratch.contains(char::REPLACEMENT_CHARACTER) {
                    return None;
                }
                match self.peek()? {
                    b',' => self.at += 1,
                    b'}' => {
                        self.at += 1;
                        break;
                    }
                    _ => return None,
                }
            }
        }
        // How Docker writes attributes is not known here: the text is copied.
        self.canonical = canonical;
        let text = &self.bytes[start..self.at];
        let blanks = text.iter().any(|&b| b < 0x20);
        std::str::from_utf8(text).ok().filter(|_| !blanks)
    }

    /// Passes over one value of any kind and gives its text.
    fn skip(&mut self) -> Result<&'a [u8], &'static str> {
        self.peek();
        let start = self.at;
        match json::passed(&self.bytes[start..]) {
            Ok(used) => self.at += used,
            Err(_) => return Err("a value is not valid JSON"),
        }
        Ok(&self.bytes[start..self.at])
    }

    /// [`Reader::string`] where it is not in the way of the others, which it is faster in.
    #[inline(never)]
    fn string_apart(&mut self, scratch: &mut String) -> Result<Option<&'a str>, &'static str> {
        self.string(scratch)
    }

    /// A string: borrowed when it has no escape and is Unicode, else `None` and decoded into `scratch`, which is empty.
    #[inline]
    fn string(&mut self, scratch: &mut String) -> Result<Option<&'a str>, &'static str> {
        self.expect(b'"', "no string where one belongs")?;
        let mut borrowed = true;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(n) = memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return Err("the line is cut short");
            };
            let part = &rest[..n];
            self.at += n + 1;
            self.canonical &= is_copied(part);
            let ends = rest[n] == b'"';
            match std::str::from_utf8(part) {
                Ok(text) if ends && borrowed => return Ok(Some(text)),
                Ok(text) => scratch.push_str(text),
                Err(_) => {
                    self.canonical = false;
                    json::push_lossy(scratch, part);
                }
            }
            borrowed = false;
            if ends {
                return Ok(None);
            }
            let begin = self.at - 1;
            let (c, next) = match self.bytes.get(self.at) {
                Some(b'n') => ('\n', self.at + 1), // nearly all there are
                _ => json::escape(self.bytes, self.at)?,
            };
            self.at = next;
            scratch.push(c);
            let own = escape_of(c);
            self.canonical &= own.is_some_and(|(e, n)| e[..n] == self.bytes[begin..self.at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: i64 = 1_795_476_706_666_779_913; // 2026-11-23T23:31:46.666779913Z

    fn read(line: &[u8]) -> Entry<'_> {
        parse(line, Box::leak(Box::default())).unwrap()
    }

    fn fault(line: &[u8]) -> String {
        parse(line, &mut String::new()).unwrap_err().what
    }

    /// An entry is canonical when writing it gives the line, and only then.
    fn agrees(line: &[u8]) -> bool {
        let mut scratch = String::new();
        let Ok(entry) = parse(line, &mut scratch) else {
            return true;
        };
        let again = entry.time_ns.is_some_and(|ns| {
            let mut out = Vec::new();
            write(
                &mut out,
                entry.line,
                &entry.stream,
                entry.attrs.as_deref(),
                Some(ns),
            );
            out == line
        });
        again == entry.canonical
    }

    #[test]
    fn lines_as_docker_writes_them() {
        let line = br#"{"log":"\u001b[31m\u003cb\u003e \"\\\u0009\u0000\u2028\ufffd\u0026\r\n","stream":"stderr","attrs":{"a b":"<c>","tag":"x"},"time":"2026-11-23T23:31:46.666779913Z"}"#;
        let entry = read(line);
        assert_eq!(entry.line, "\x1b[31m<b> \"\\\t\0\u{2028}\u{fffd}&\r\n");
        assert_eq!(
            (entry.stream.as_ref(), entry.time_ns),
            ("stderr", Some(TIME))
        );
        assert_eq!(entry.attrs.as_deref(), Some(r#"{"a b":"<c>","tag":"x"}"#));
        assert!(entry.canonical);
        let bare = br#"{"stream":"stdout","time":"2026-11-23T23:31:46.6Z"}"#;
        assert!(read(bare).canonical && read(bare).line.is_empty());
        assert!(read(br#"{"time":"2026-11-23T23:31:46Z"}"#).canonical);
    }

    #[test]
    fn canonical_is_what_is_written_again() {
        let own = br#"{"log":"a\u0009b\u003c\ufffd\n","stream":"stdout","attrs":{"k":"v"},"time":"2026-11-23T23:31:46.5Z"}"#;
        assert!(read(own).canonical);
        for (from, to) in [
            (r"\u0009", r"\t"),
            (r"\u0009", "\t"),
            (r"\u003c", "<"),
            (r"\u003c", r"\u003C"),
            (r"\ufffd", "\u{fffd}"),
            (r"\ufffd", r"\ud800"),
            ("a", r"\u0061"),
            ("log", r"l\u006fg"),
            (r#""log":"#, r#""log": "#),
            (r#"{"log":"#, r#"{"log":"","log":"#),
            (r#"{"log":"#, r#"{"log":"b","log":"#),
            (r#"{"log":"#, r#"{"stream":"stdout","log":"#),
            (r#"{"k":"v"}"#, "null"),
            (
                "\"attrs\":{\"k\":\"v\"},",
                "\"attrs\":{\"k\":\"v\"},\"x\":1,",
            ),
            (r#""stdout""#, r#""""#),
            ("T23:31", "T3:31"),
            ("46.5Z", "46.50Z"),
            ("}", "} "),
        ] {
            let line = std::str::from_utf8(own).unwrap().replacen(from, to, 1);
            assert_ne!(line.as_bytes(), own, "{from}");
            assert!(!read(line.as_bytes()).canonical, "{line}");
            assert!(agrees(line.as_bytes()), "{line}");
        }
        for text in ["— and “”", "\u{2027}\u{202a}\u{fffc}", "ends in a dash —"] {
            let line = format!(r#"{{"log":"{text}","time":"2026-11-23T23:31:46Z"}}"#);
            assert!(read(line.as_bytes()).canonical, "{line}");
        }
    }

    #[test]
    fn other_json_is_read_but_not_canonical() {
        let line = br#" { "time" : "2026-11-23T23:31:46.666779913Z" , "x":[1,{"y":null}], "log":"a\t\ud83d\ude00\/", "attrs":null,"stream":null}"#;
        let entry = read(line);
        assert_eq!(
            (
                entry.line,
                entry.stream.as_ref(),
                entry.time_ns,
                entry.attrs
            ),
            ("a\t😀/", "", Some(TIME), None)
        );
        assert!(!entry.canonical);
        assert_eq!(read(b"{}").time_ns, None);
        for time in [
            "",
            "garbage",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "1677-09-21T00:12:43.145224191Z",
            "2262-04-11T23:47:16.854775808Z",
            "12026-11-24T02:41:51Z",
        ] {
            let line = format!("{{\"log\":\"x\\n\",\"time\":\"{time}\"}}");
            let entry = read(line.as_bytes());
            assert_eq!((entry.line, entry.time_ns), ("x\n", None), "{time}");
        }
        let offset = br#"{"log":"x","time":"2026-11-24T00:31:46.666779913+01:00"}"#;
        assert!(read(offset).time_ns == Some(TIME) && !read(offset).canonical);
    }

    #[test]
    fn what_is_no_unicode_is_replaced() {
        let cases: [&[u8]; 4] = [br#"\ud800"#, br#"\udc00"#, b"\xff", "\u{fffd}".as_bytes()];
        for bad in cases {
            let line = [
                br#"{"log":"a"#,
                bad,
                br#"b\n","stream":"stdout","time":"2026-11-23T23:31:46Z"}"#,
            ]
            .concat();
            assert_eq!(read(&line).line, "a\u{fffd}b\n");
            assert!(!read(&line).canonical);
        }
        assert_eq!(
            read(br#"{"log":"\ud83dA\ud83d\u0041"}"#).line,
            "\u{fffd}A\u{fffd}A"
        );
        assert_eq!(
            read(b"{\"log\":\"x\",\"attrs\":{\"k\":\"\xff\"}}")
                .attrs
                .as_deref(),
            Some("{\"k\":\"\u{fffd}\"}")
        );
    }

    #[test]
    fn nuls_of_a_power_cut_are_passed_over() {
        let line =
            b"\0\0\0{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T23:31:46Z\"}";
        assert_eq!(read(line).line, "x\n");
        assert!(!read(line).canonical && read(&line[3..]).canonical);
        assert_eq!(read(b"{\"log\":\"x\"}\0\0").line, "x");
        assert_eq!(fault(b"\0\0\0"), "the line is cut short");
    }

    #[test]
    fn faults_are_named_and_placed() {
        assert_eq!(fault(b""), "the line is cut short");
        assert_eq!(fault(b"plain text"), "not a JSON object");
        assert_eq!(fault(br#"{"log":7}"#), "`log` is not a string");
        assert_eq!(fault(br#"{"log":"\q"}"#), "an unknown escape");
        assert_eq!(
            fault(br#"{"log":"\u12g4"}"#),
            "a `\\u` without four hexadecimal digits"
        );
        assert_eq!(fault(br#"{"x":tru}"#), "a value is not valid JSON");
        let two = br#"{"log":"a"} {"log":"b"}"#;
        assert_eq!((read(two).line, read(two).end), ("a", 12));
        let whole = br#"{"log":"a\n","stream":"stdout","time":"2026-11-23T23:31:46Z"}"#;
        for n in 0..whole.len() {
            assert!(parse(&whole[..n], &mut String::new()).is_err(), "{n}");
        }
    }

    #[test]
    fn fields_are_taken_as_go_takes_them() {
        let line = br#"{"LOG":"a","Log":null,"\u017ftream":"stderr","TIME":"2026-11-23T23:31:46Z","attrs":{"k":"1","K":"2"},"Attrs":{"k":null}}"#;
        let entry = read(line);
        assert_eq!((entry.line, entry.stream.as_ref()), ("a", "stderr"));
        assert_eq!(entry.attrs.as_deref(), Some(r#"{"k":"","K":"2"}"#));
        assert!(entry.time_ns.is_some() && entry.odd.is_some() && !entry.canonical);
        for (line, odd) in [
            (&br#"{"log":"a","log":"b"}"#[..], Some("log")),
            (br#"{"attrs":{"k":"1","k":"2"}}"#, Some("attrs")),
            (br#"{"l\u006fg":"b","log2":1}"#, None),
        ] {
            assert_eq!(read(line).odd, odd);
        }
        assert_eq!(read(br#"{"attrs":{"k":"1"},"attrs":null}"#).attrs, None);
        for (line, wrong) in [
            (
                &br#"{"log":"x","stream":1,"time":"2026-11-23T23:31:46Z"}"#[..],
                "`stream` is not a string",
            ),
            (br#"{"log":"x","time":[1]}"#, "`time` is not a string"),
            (br#"{"log":"x","attrs":"x"}"#, "`attrs` is not an object"),
            (
                br#"{"log":"x","attrs":{"k":1}}"#,
                "`attrs` has a value that is not a string",
            ),
        ] {
            assert_eq!((read(line).line, read(line).wrong), ("x", Some(wrong)));
        }
    }

    #[test]
    fn deep_nesting_does_not_recurse() {
        let line = [
            &br#"{"x":"#[..],
            &b"[".repeat(200_000),
            &b"]".repeat(200_000),
            b"}",
        ]
        .concat();
        let _ = parse(&line, &mut String::new());
    }

    proptest! {
        #[test]
        fn written_and_read(line in any::<String>(), stream in "stdout|stderr|", keyed in any::<bool>(), ns in any::<i64>()) {
            let attrs = keyed.then_some(r#"{"k":"v"}"#);
            let mut out = Vec::new();
            write(&mut out, &line, &stream, attrs, Some(ns));
            let mut scratch = String::new();
            let entry = parse(&out, &mut scratch).unwrap();
            prop_assert!(entry.canonical);
            prop_assert_eq!((entry.line, entry.stream.as_ref(), entry.attrs.as_deref(), entry.time_ns), (line.as_str(), stream.as_str(), attrs, Some(ns)));
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(json["log"].as_str().unwrap_or_default(), line);
        }

        #[test]
        fn strings_agree_with_serde_json(line in any::<String>()) {
            let json = format!("{{\"log\":{}}}", serde_json::to_string(&line).unwrap());
            prop_assert_eq!(read(json.as_bytes()).line, &line);
        }

        #[test]
        fn total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(agrees(&bytes));
        }

        #[test]
        fn total_on_damaged_lines(cut in 0usize..120, hits in proptest::collection::vec((0usize..100, any::<u8>()), 0..4)) {
            let mut line = br#"{"log":"a\u001b\ud83d\ude00\n","stream":"stdout","attrs":{"k":[1,"v"]},"time":"2026-11-23T23:31:46.5Z"}"#.to_vec();
            hits.iter().for_each(|(at, b)| line[*at] = *b);
            line.truncate(cut);
            prop_assert!(agrees(&line));
        }
    }
}
