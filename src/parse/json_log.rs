//! One line of Docker's `json-file` log, read and written.
//!
//! After moby daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go (the encoder, `MarshalJSONBuf`) and
//! time_marshalling.go. The engine writes `{"log":…,"stream":…,"attrs":…,"time":…}` without a blank, each
//! key only when it has something to say. The reader takes any JSON object: keys in any order, blanks,
//! unknown keys (skipped by serde_json), and text that is not quite Unicode.

use crate::parse::time;
use crate::problem::Defect;
use memchr::memchr2;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// One message of a container, or a part of one: Docker splits at 16 KiB, and only the last part ends in a
/// newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The decoded `log`, with its newline; what is no Unicode is U+FFFD.
    pub line: Cow<'a, str>,
    /// `stdout` or `stderr`; empty when the line does not say.
    pub stream: Cow<'a, str>,
    /// When the engine received it; `None` when missing or no timestamp.
    pub time_ns: Option<i64>,
    /// The JSON text of `attrs`.
    pub attrs: Option<&'a str>,
    /// Whether [`write()`] makes of these fields the very bytes they were read from.
    pub canonical: bool,
}

/// Reads a line, given without its newline. `scratch` is working space to be used again for the next one.
///
/// NULs before the object (a power cut leaves them) and NULs or blanks after it are passed over.
pub fn parse<'a>(line: &'a [u8], scratch: &mut Vec<u8>) -> Result<Entry<'a>, Defect> {
    let start = line.iter().position(|&b| b != 0).unwrap_or(line.len());
    let mut reader = Reader {
        bytes: line,
        at: start,
    };
    let mut entry = reader
        .object()
        .map_err(|what| Defect::at(reader.at as u64, what, "the line as it is"))?;
    if let Some(time_ns) = entry.time_ns {
        scratch.clear();
        write(scratch, &entry.line, &entry.stream, entry.attrs, time_ns);
        entry.canonical = scratch == line;
    }
    Ok(entry)
}

/// Writes an entry as Docker does, without the newline after it. Empty fields are left out.
///
/// U+FFFD is written as `\ufffd`, which is how Docker writes a byte that is not UTF-8; had the container itself
/// printed U+FFFD, Docker would have copied it.
pub fn write(out: &mut Vec<u8>, line: &str, stream: &str, attrs: Option<&str>, time_ns: i64) {
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
    write_time(out, time_ns);
    out.extend_from_slice(b"\"}");
}

/// Whether a byte may need an escape. 0xe2 and 0xef begin U+2028, U+2029 and U+FFFD.
fn is_special(b: u8) -> bool {
    (b < 0x20) | matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2 | 0xef)
}

/// How many bytes from the start need no escape; in blocks that compile to vector instructions.
fn plain(bytes: &[u8]) -> usize {
    let clean = |block: &[u8; 16]| !block.iter().fold(false, |any, &b| any | is_special(b));
    let (blocks, _) = bytes.as_chunks::<16>();
    let skip = 16 * blocks.iter().take_while(|b| clean(b)).count();
    bytes[skip..]
        .iter()
        .position(|&b| is_special(b))
        .map_or(bytes.len(), |n| skip + n)
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    out.push(b'"');
    loop {
        let (head, tail) = rest.split_at(plain(rest));
        out.extend_from_slice(head);
        let used = match tail {
            [] => break,
            [b'\n', ..] => (&b"\\n"[..], 1),
            [b'\r', ..] => (&b"\\r"[..], 1),
            [b'"', ..] => (&b"\\\""[..], 1),
            [b'\\', ..] => (&b"\\\\"[..], 1),
            [0xe2, 0x80, 0xa8, ..] => (&b"\\u2028"[..], 3),
            [0xe2, 0x80, 0xa9, ..] => (&b"\\u2029"[..], 3),
            [0xef, 0xbf, 0xbd, ..] => (&b"\\ufffd"[..], 3),
            [0xe2 | 0xef, ..] => (&tail[..1], 1),
            [b, ..] => (
                &[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    HEX[usize::from(b >> 4)],
                    HEX[usize::from(b & 15)],
                ][..],
                1,
            ),
        };
        out.extend_from_slice(used.0);
        rest = &tail[used.1..];
    }
    out.push(b'"');
}

/// [`time::rfc3339_nano`] without its allocations (Howard Hinnant's `civil_from_days`).
fn write_time(out: &mut Vec<u8>, ns: i64) {
    let (secs, frac) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (days, sec) = (secs.div_euclid(86_400) + 719_468, secs.rem_euclid(86_400));
    let (era, doe) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = era * 400 + yoe + i64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let mut put = |range: std::ops::Range<usize>, mut n: i64| {
        for digit in text[range].iter_mut().rev() {
            *digit = b'0' + (n % 10) as u8;
            n /= 10;
        }
    };
    put(0..4, year);
    put(5..7, month);
    put(8..10, doy - (153 * mp + 2) / 5 + 1);
    put(11..13, sec / 3600);
    put(14..16, sec / 60 % 60);
    put(17..19, sec % 60);
    put(20..29, frac);
    let zeros = text[20..29]
        .iter()
        .rev()
        .take_while(|&&b| b == b'0')
        .count();
    let end = if zeros == 9 { 19 } else { 29 - zeros };
    out.extend_from_slice(&text[..end]);
    out.push(b'Z');
}

/// `String::from_utf8_lossy`, faster where there is nothing to replace.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// A place in a line.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn object(&mut self) -> Result<Entry<'a>, &'static str> {
        let mut entry = Entry {
            line: Cow::Borrowed(""),
            stream: Cow::Borrowed(""),
            time_ns: None,
            attrs: None,
            canonical: false,
        };
        self.expect(b'{', "not a JSON object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return self.end(entry);
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "no `:` after a key")?;
            match key.as_ref() {
                "log" => entry.line = self.text("`log` is not a string")?,
                "stream" => entry.stream = self.text("`stream` is not a string")?,
                "time" => {
                    entry.time_ns = time::rfc3339(self.text("`time` is not a string")?.as_bytes())
                }
                "attrs" => entry.attrs = self.attrs()?,
                _ => drop(self.skip()?),
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return self.end(entry);
                }
                Some(_) => return Err("no `,` after a value"),
                None => return Err("the line is cut short"),
            }
        }
    }

    /// Nothing may come after the object but NULs and blanks.
    fn end(&mut self, entry: Entry<'a>) -> Result<Entry<'a>, &'static str> {
        let rest = self.bytes[self.at..]
            .iter()
            .position(|b| !matches!(b, 0 | b' ' | b'\t' | b'\r' | b'\n'));
        match rest {
            None => Ok(entry),
            Some(n) => {
                self.at += n;
                Err("something after the JSON object")
            }
        }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.bytes[self.at..];
        self.at += rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
            .count();
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

    /// A string, or `null`, which Go takes for no value.
    fn text(&mut self, or: &'static str) -> Result<Cow<'a, str>, &'static str> {
        match self.peek() {
            Some(b'"') => self.string(),
            _ if self.null() => Ok(Cow::Borrowed("")),
            None => Err("the line is cut short"),
            _ => Err(or),
        }
    }

    /// The text of an object of attributes.
    fn attrs(&mut self) -> Result<Option<&'a str>, &'static str> {
        match self.peek() {
            Some(b'{') => Ok(std::str::from_utf8(self.skip()?).ok()),
            _ if self.null() => Ok(None),
            None => Err("the line is cut short"),
            _ => Err("`attrs` is not an object"),
        }
    }

    fn null(&mut self) -> bool {
        let null = self.bytes[self.at..].starts_with(b"null");
        self.at += if null { 4 } else { 0 };
        null
    }

    /// Passes over one value of any kind and gives its text.
    fn skip(&mut self) -> Result<&'a [u8], &'static str> {
        self.peek();
        let rest = &self.bytes[self.at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        if !matches!(values.next(), Some(Ok(_))) {
            return Err("a value is not valid JSON");
        }
        let used = values.byte_offset();
        self.at += used;
        Ok(&rest[..used])
    }

    /// A string, decoded; borrowed when it has no escape.
    fn string(&mut self) -> Result<Cow<'a, str>, &'static str> {
        self.expect(b'"', "no string where one belongs")?;
        let mut decoded: Option<String> = None;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(n) = memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return Err("the line is cut short");
            };
            let part = lossy(&rest[..n]);
            self.at += n + 1;
            if rest[n] == b'"' {
                return Ok(match decoded {
                    None => part,
                    Some(text) => Cow::Owned(text + &part),
                });
            }
            // Room for the part, its escape and a little more: most lines have one escape, at their end.
            let text = decoded.get_or_insert_with(|| String::with_capacity(part.len() + 4));
            text.push_str(&part);
            text.push(self.escape()?);
        }
    }

    /// The character behind a backslash.
    fn escape(&mut self) -> Result<char, &'static str> {
        let Some(&b) = self.bytes.get(self.at) else {
            return Err("the line is cut short");
        };
        self.at += 1;
        Ok(match b {
            b'"' | b'\\' | b'/' => char::from(b),
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first = self
                    .unit(self.at)
                    .ok_or("a `\\u` without four hexadecimal digits")?;
                self.at += 4;
                let second = || {
                    self.bytes[self.at..]
                        .starts_with(b"\\u")
                        .then(|| self.unit(self.at + 2))
                        .flatten()
                };
                match (first, second) {
                    (0xd800..=0xdbff, second) => match second() {
                        Some(low @ 0xdc00..=0xdfff) => {
                            self.at += 6;
                            char::from_u32(
                                0x10000
                                    + ((u32::from(first) & 0x3ff) << 10)
                                    + (u32::from(low) & 0x3ff),
                            )
                        }
                        _ => None,
                    },
                    (unit, _) => char::from_u32(u32::from(unit)),
                }
                .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err("an unknown escape"),
        })
    }

    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.bytes.get(at..)?.first_chunk::<4>()?;
        digits
            .iter()
            .try_fold(0, |n, &b| Some(n << 4 | char::from(b).to_digit(16)? as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: i64 = 1_795_476_706_666_779_913; // 2026-11-23T23:31:46.666779913Z

    fn read(line: &[u8]) -> Entry<'_> {
        parse(line, &mut Vec::new()).unwrap()
    }

    fn fault(line: &[u8]) -> String {
        parse(line, &mut Vec::new()).unwrap_err().what
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
        assert_eq!(entry.attrs, Some(r#"{"a b":"<c>","tag":"x"}"#));
        assert!(entry.canonical);
        let bare = br#"{"stream":"stdout","time":"2026-11-23T23:31:46.6Z"}"#;
        assert!(read(bare).canonical && read(bare).line.is_empty());
        assert!(read(br#"{"time":"2026-11-23T23:31:46Z"}"#).canonical);
    }

    #[test]
    fn a_line_without_escapes_is_borrowed() {
        let entry = read(br#"{"log":"part of a long line","stream":"stdout","time":"2026-11-23T23:31:46.666779913Z"}"#);
        assert!(matches!(
            (&entry.line, &entry.stream),
            (Cow::Borrowed(_), Cow::Borrowed(_))
        ));
    }

    #[test]
    fn other_json_is_read_but_not_canonical() {
        let line = br#" { "time" : "2026-11-23T23:31:46.666779913Z" , "x":[1,{"y":null}], "log":"a\t\ud83d\ude00\/", "attrs":null,"stream":null}"#;
        let entry = read(line);
        assert_eq!(
            (
                entry.line.as_ref(),
                entry.stream.as_ref(),
                entry.time_ns,
                entry.attrs
            ),
            ("a\t😀/", "", Some(TIME), None)
        );
        assert!(!entry.canonical);
        assert_eq!(read(b"{}").time_ns, None);
        assert_eq!(read(br#"{"time":"0001-01-01T00:00:00Z"}"#).time_ns, None);
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
            read(b"{\"log\":\"x\",\"attrs\":{\"k\":\"\xff\"}}").attrs,
            None
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
        assert_eq!(fault(br#"{"time":1}"#), "`time` is not a string");
        assert_eq!(fault(br#"{"attrs":"x"}"#), "`attrs` is not an object");
        assert_eq!(fault(br#"{"log":"\q"}"#), "an unknown escape");
        assert_eq!(
            fault(br#"{"log":"\u12g4"}"#),
            "a `\\u` without four hexadecimal digits"
        );
        assert_eq!(fault(br#"{"x":tru}"#), "a value is not valid JSON");
        let two = br#"{"log":"a"}{"log":"b"}"#;
        assert_eq!(parse(two, &mut Vec::new()).unwrap_err().offset, Some(11));
        let whole = br#"{"log":"a\n","stream":"stdout","time":"2026-11-23T23:31:46Z"}"#;
        for n in 0..whole.len() {
            assert!(parse(&whole[..n], &mut Vec::new()).is_err(), "{n}");
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
        let _ = parse(&line, &mut Vec::new());
    }

    proptest! {
        #[test]
        fn written_and_read(line in any::<String>(), stream in "stdout|stderr|", keyed in any::<bool>(), ns in any::<i64>()) {
            let attrs = keyed.then_some(r#"{"k":"v"}"#);
            let mut out = Vec::new();
            write(&mut out, &line, &stream, attrs, ns);
            let entry = parse(&out, &mut Vec::new()).unwrap();
            prop_assert!(entry.canonical);
            prop_assert_eq!((entry.line.as_ref(), entry.stream.as_ref(), entry.attrs, entry.time_ns), (line.as_str(), stream.as_str(), attrs, Some(ns)));
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(json["log"].as_str().unwrap_or_default(), line);
        }

        #[test]
        fn strings_agree_with_serde_json(line in any::<String>()) {
            let json = format!("{{\"log\":{}}}", serde_json::to_string(&line).unwrap());
            prop_assert_eq!(&read(json.as_bytes()).line, &line);
        }

        #[test]
        fn times_agree_with_the_slow_way(ns in any::<i64>()) {
            let mut out = Vec::new();
            write_time(&mut out, ns);
            prop_assert_eq!(String::from_utf8(out).unwrap(), time::rfc3339_nano(ns));
        }

        #[test]
        fn total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &mut Vec::new());
        }

        #[test]
        fn total_on_damaged_lines(cut in 0usize..120, hits in proptest::collection::vec((0usize..100, any::<u8>()), 0..4)) {
            let mut line = br#"{"log":"a\u001b\ud83d\ude00\n","stream":"stdout","attrs":{"k":[1,"v"]},"time":"2026-11-23T23:31:46.5Z"}"#.to_vec();
            hits.iter().for_each(|(at, b)| line[*at] = *b);
            line.truncate(cut);
            let mut scratch = Vec::new();
            if let Ok(entry) = parse(&line, &mut scratch) {
                prop_assert!(!entry.canonical || scratch == line);
            }
        }
    }
}
