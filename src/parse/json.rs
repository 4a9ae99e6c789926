//! JSON as Go's encoding/json reads it, and as a damaged disk holds it: [`read`] gives a document the way the engine
//! takes it, [`Fields`] picks typed values out of it.
//!
//! Docker is written in Go (container/container.go, image/image.go), so Go's rules decide what a document says: the
//! names of struct fields match whatever their case, objects merge, and `null` leaves a number as it was. A [`Shape`]
//! tells which parts of a document are structs, maps or lists. A power cut leaves such files empty, full of NULs, or cut
//! short; [`read`] gives what is left of them.

use crate::parse::time::{self, GoTime};
use crate::problem::Defect;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::Range;

/// Most values of a document. Docker's have some hundreds; one with this many entries of a list is still read.
pub const MOST_VALUES: usize = 500_000;
/// Deepest nesting that Go reads (maxNestingDepth in encoding/json/scanner.go).
const GO_DEPTH: usize = 10_000;
/// Deepest nesting of a value without a declared shape that is kept.
const KEPT_DEPTH: usize = 100;
/// Faults of one document that are named one by one.
const NAMED: usize = 20;

/// A Go type, as far as it decides how JSON is read into it.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// `interface{}`: any value, of which a later one replaces an earlier one.
    Any,
    /// `bool`.
    Bool,
    /// `int` and `int64`.
    Int,
    /// An unsigned integer of so many bits.
    Uint(u32),
    /// `string` and types made of it.
    Text,
    /// `time.Time`.
    Time,
    /// `strslice.StrSlice`: a list of strings, or one string.
    Words,
    /// `[]T`. A later list is read over the elements of an earlier one, as Go does.
    List(&'static Shape),
    /// `map[string]T`: its keys keep their case, a later element replaces an earlier one.
    Map(&'static Shape),
    /// `struct`: the names of its fields, in their order. Names match whatever their case.
    Struct(&'static [(&'static str, Shape)]),
    /// `*T`, which `null` empties.
    Pointer(&'static Shape),
}

/// A kind of document: what it is decoded into, and how.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    /// The type that the engine decodes it into.
    pub shape: Shape,
    /// Whether the engine takes the file as a whole (`json.Unmarshal`), so that anything behind the value is an error.
    /// Otherwise it reads the first value only (`json.Decoder`).
    pub whole: bool,
    /// Whether the engine refuses a name in another case before it decodes, as dockerd does with its options.
    pub strict: bool,
}

impl Document {
    /// Values whose type nobody declared.
    pub const ANY: Document = Document {
        shape: Shape::Any,
        whole: true,
        strict: false,
    };
}

/// A document as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// The document. Struct fields have the names of their declaration; names that no declaration has are kept.
    /// `Value::Null` when nothing could be read.
    pub value: Value,
    /// What was wrong or odd.
    pub defects: Vec<Defect>,
    /// Why the engine's decoder returns an error for this document, if it does: its first error.
    pub refused: Option<String>,
}

/// Reads a JSON document as the engine does.
///
/// Repaired, each with a defect: NULs or blanks before the document, bytes that are not UTF-8, lone surrogate escapes,
/// bytes after its end, and a missing end (all complete members are kept). A value of the wrong type is a defect, and
/// its field keeps what it had. A struct field given twice, or in another case than Docker writes it, is a defect too.
///
/// A document of more than [`MOST_VALUES`] is not read at all: each takes many times the memory its text does.
pub fn read(bytes: &[u8], document: &Document) -> Read {
    if values(bytes) > MOST_VALUES {
        let what = format!("more than {MOST_VALUES} values");
        return Read {
            defects: vec![Defect::new(what, "nothing")],
            ..Read::default()
        };
    }
    match decode(bytes, document) {
        Ok(read) => read,
        Err(first) => repair(bytes, document, &first),
    }
}

/// The text of the first value, repaired where it is damaged: its own bytes otherwise. `None` when nothing can be read.
pub fn first(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut decoder = Decoder::new(bytes);
    decoder.blanks();
    let start = decoder.at;
    match decoder.skip() {
        Ok(()) => Some(Cow::Borrowed(&bytes[start..decoder.at])),
        Err(fault) => {
            let text = mended(bytes, fault.at)?;
            Decoder::new(&text).skip().ok()?;
            Some(Cow::Owned(text))
        }
    }
}

/// The length of the value that the bytes begin with, and of blanks before it; where they are no JSON otherwise.
pub fn passed(bytes: &[u8]) -> Result<usize, usize> {
    let mut decoder = Decoder::new(bytes);
    decoder.skip().map_err(|fault| fault.at)?;
    Ok(decoder.at)
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

fn decode(bytes: &[u8], document: &Document) -> Result<Read, Fault> {
    let mut decoder = Decoder::new(bytes);
    decoder.strict = document.strict;
    let mut value = Value::Null;
    decoder.value(&document.shape, &mut value)?;
    if decoder.shrunk {
        settle(&document.shape, &mut value);
    }
    decoder.blanks();
    if let Some(rest) = bytes.get(decoder.at..).filter(|rest| !rest.is_empty()) {
        let nuls = rest.iter().all(|&b| b == 0 || b.is_ascii_whitespace());
        let what = match (nuls, document.whole) {
            (true, _) => "NUL bytes after the document",
            (_, true) => "something after the document",
            (_, false) => "something after the document, which Docker does not read",
        };
        let at = decoder.at as u64;
        if document.whole {
            decoder.refused.get_or_insert_with(|| what.into());
        }
        decoder.note(Defect::at(at, what, "the document"));
    }
    Ok(decoder.done(value))
}

fn repair(bytes: &[u8], document: &Document, first: &Fault) -> Read {
    let what = format!("not valid JSON: {}", first.what);
    let nothing = |what: &str| Read {
        defects: vec![Defect::new(what, "nothing")],
        refused: Some(what.into()),
        ..Read::default()
    };
    if bytes.is_empty() {
        return nothing("empty file");
    }
    if bytes.iter().all(|&b| b == 0 || b.is_ascii_whitespace()) {
        return nothing("nothing but NUL bytes or blanks");
    }
    let mended = mended(bytes, first.at).and_then(|text| decode(&text, document).ok());
    let kept = match &mended {
        Some(_) if first.at <= begin(bytes) => "the document behind the first bytes",
        Some(_) => "all members before that place",
        None => "nothing",
    };
    let mut read = mended.unwrap_or_default();
    read.refused = Some(what.clone());
    let defect = Defect::at(first.at as u64, what, kept);
    read.defects.insert(0, defect);
    read
}

/// Where a document begins: behind NULs, blanks and a byte order mark.
fn begin(bytes: &[u8]) -> usize {
    let passed = |b: &u8| matches!(b, 0 | 0xef | 0xbb | 0xbf) || b.is_ascii_whitespace();
    bytes.iter().take_while(|b| passed(b)).count()
}

/// The text without what comes before the document and without what is from a fault on, its brackets closed.
fn mended(bytes: &[u8], fault: usize) -> Option<Vec<u8>> {
    let start = begin(bytes);
    let whole = bytes.get(start..)?;
    // A fault in what comes before the document hides one behind it.
    let fault = if fault > start {
        fault - start
    } else {
        match Decoder::new(whole).skip() {
            Ok(()) => return Some(whole.to_vec()),
            Err(fault) => fault.at,
        }
    };
    close(whole.get(..fault)?)
}

/// Ends a document that was cut short: everything after its last complete member goes, what is open is closed.
fn close(text: &[u8]) -> Option<Vec<u8>> {
    let mut open = Vec::new(); // closing brackets owed where a complete member ended
    let mut good = None;
    let (mut in_string, mut escaped) = (false, false);
    for (at, &b) in text.iter().enumerate() {
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
                if open.len() == GO_DEPTH {
                    break;
                }
                open.push(if b == b'{' { b'}' } else { b']' });
                good = Some(at + 1);
            }
            b'}' | b']' => {
                if open.last() != Some(&b) {
                    break;
                }
                open.pop();
                good = Some(at + 1);
            }
            b',' => good = Some(at),
            _ => {}
        }
    }
    let mut out = text[..good?].to_vec();
    out.extend(open.iter().rev());
    Some(out)
}

/// Whether Go takes `key` for the struct field `name`, which is ASCII: by Unicode's simple folding (encoding/json/fold.go).
/// ASCII letters fold to each other, U+017F to `s` and U+212A to `k`.
pub fn folds(name: &str, key: &str) -> bool {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    folded.eq(name.chars().map(|c| c.to_ascii_lowercase()))
}

/// Appends bytes as Go decodes them: each that is no part of a character becomes U+FFFD. Whether there was one.
pub fn push_lossy(out: &mut String, bytes: &[u8]) -> bool {
    let mut replaced = false;
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for _ in chunk.invalid() {
            out.push(char::REPLACEMENT_CHARACTER);
            replaced = true;
        }
    }
    replaced
}

/// The character of the escape whose backslash is the byte before `at`, and where what follows it begins.
#[inline]
pub fn escape(bytes: &[u8], at: usize) -> Result<(char, usize), &'static str> {
    let unit = |at: usize| -> Option<u16> {
        let digits = bytes.get(at..)?.first_chunk::<4>()?;
        digits
            .iter()
            .try_fold(0, |n, &b| Some(n << 4 | char::from(b).to_digit(16)? as u16))
    };
    let c = match bytes.get(at).ok_or("it is cut short")? {
        &b @ (b'"' | b'\\' | b'/') => char::from(b),
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => {
            let first = unit(at + 1).ok_or("a `\\u` without four hexadecimal digits")?;
            let second = bytes[at + 5..]
                .starts_with(b"\\u")
                .then(|| unit(at + 7))
                .flatten();
            return Ok(match (first, second) {
                (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                    let pair = [first, low];
                    let c = char::decode_utf16(pair).next().and_then(Result::ok);
                    (c.unwrap_or(char::REPLACEMENT_CHARACTER), at + 11)
                }
                _ => {
                    let c = char::from_u32(first.into());
                    (c.unwrap_or(char::REPLACEMENT_CHARACTER), at + 5)
                }
            });
        }
        _ => return Err("an unknown escape"),
    };
    Ok((c, at + 1))
}

/// Where and why a text is no JSON.
#[derive(Debug)]
struct Fault {
    at: usize,
    what: &'static str,
}

/// A step from a value to one within it.
#[derive(Clone, Debug)]
enum Step {
    Field(&'static str),
    /// The key of a map, by its place in the text.
    Key(Range<usize>),
    Item(usize),
}

/// The text of a string between its quotes.
struct Token {
    range: Range<usize>,
    escaped: bool,
}

/// A text on its way into a value.
struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The way to the value that is read.
    way: Vec<Step>,
    /// Brackets that are open around it.
    depth: usize,
    defects: Vec<Defect>,
    unnamed: usize,
    refused: Option<String>,
    /// Where the first text is that is not Unicode.
    odd_text: Option<usize>,
    /// Where the first value is that is nested too deep to be kept.
    deep: Option<usize>,
    /// Whether a list became shorter: see [`settle`].
    shrunk: bool,
    /// [`Document::strict`].
    strict: bool,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Decoder {
            bytes,
            at: 0,
            way: Vec::new(),
            depth: 0,
            defects: Vec::new(),
            unnamed: 0,
            refused: None,
            odd_text: None,
            deep: None,
            shrunk: false,
            strict: false,
        }
    }

    fn done(mut self, value: Value) -> Read {
        if let Some(at) = self.odd_text {
            let what = "text that is not Unicode";
            let kept = "U+FFFD in its place, as Docker reads it";
            self.defects.push(Defect::at(at as u64, what, kept));
        }
        if let Some(at) = self.deep {
            let what = format!("a value nested more than {KEPT_DEPTH} deep");
            self.defects
                .push(Defect::at(at as u64, what, "the other values"));
        }
        if self.unnamed > 0 {
            let what = format!("{} more such faults in this document", self.unnamed);
            self.defects.push(Defect::new(what, "the other fields"));
        }
        Read {
            value,
            defects: self.defects,
            refused: self.refused,
        }
    }

    /// Notes that a map has this key again.
    fn again(&mut self, key: &Token) {
        let what = format!(
            "{} is there more than once: Docker writes it once, and reads the last",
            self.path()
        );
        let at = key.range.start as u64;
        self.note(Defect::at(at, what, "the last, as Docker reads it"));
    }

    fn note(&mut self, defect: Defect) {
        if self.defects.len() < NAMED {
            self.defects.push(defect);
        } else {
            self.unnamed += 1;
        }
    }

    /// The way to the value that is read, like `State.Health.Log[2].ExitCode`.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.way {
            match step {
                Step::Item(n) => path.push_str(&format!("[{n}]")),
                step => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    match step {
                        Step::Field(name) => path.push_str(name),
                        Step::Key(range) => {
                            let key = &self.bytes[range.clone()];
                            push_lossy(&mut path, &key[..key.len().min(80)]);
                        }
                        Step::Item(_) => {}
                    }
                }
            }
        }
        if path.is_empty() {
            path.push_str("the document");
        }
        path
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Fault> {
        let at = self.at.min(self.bytes.len());
        Err(Fault { at, what })
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Result<u8, Fault> {
        self.blanks();
        match self.bytes.get(self.at) {
            Some(&b) => Ok(b),
            None => self.fail("it is cut short"),
        }
    }

    fn expect(&mut self, byte: u8, or: &'static str) -> Result<(), Fault> {
        if self.peek()? != byte {
            return self.fail(or);
        }
        self.at += 1;
        Ok(())
    }

    /// Enters an object or a list; whether it has anything in it.
    fn open(&mut self, end: u8) -> Result<bool, Fault> {
        self.at += 1;
        self.depth += 1;
        if self.depth > GO_DEPTH {
            return self.fail("nested more than 10,000 deep");
        }
        let any = self.peek()? != end;
        if !any {
            self.close();
        }
        Ok(any)
    }

    fn close(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// Behind a member: whether another follows.
    fn more(&mut self, end: u8) -> Result<bool, Fault> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            b if b == end => {
                self.close();
                Ok(false)
            }
            _ => self.fail("no `,` after a value"),
        }
    }

    /// The text of a string, whose escapes are checked and not yet decoded.
    fn string(&mut self) -> Result<Token, Fault> {
        self.expect(b'"', "no string where one belongs")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.bytes[self.at.min(self.bytes.len())..];
            let found = memchr::memchr2(b'"', b'\\', rest);
            let part = &rest[..found.unwrap_or(rest.len())];
            if part.iter().fold(false, |any, &b| any | (b < 0x20)) {
                self.at += part.iter().take_while(|b| **b >= 0x20).count();
                return self.fail("a control character in a string");
            }
            self.at += part.len();
            match found.map(|n| rest[n]) {
                None => return self.fail("it is cut short"),
                Some(b'"') => {
                    let range = start..self.at;
                    self.at += 1;
                    return Ok(Token { range, escaped });
                }
                Some(_) => {
                    escaped = true;
                    match escape(self.bytes, self.at + 1) {
                        Ok((_, next)) => self.at = next,
                        Err(what) => return self.fail(what),
                    }
                }
            }
        }
    }

    /// The key of a member, and its colon.
    fn key(&mut self) -> Result<Token, Fault> {
        let key = self.string()?;
        self.expect(b':', "no `:` after a key")?;
        Ok(key)
    }

    /// A string decoded.
    fn text(&mut self, token: &Token) -> Cow<'a, str> {
        let bytes = &self.bytes[token.range.clone()];
        if !token.escaped
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(bytes.len());
        let (mut rest, mut odd) = (bytes, false);
        while let Some(n) = memchr::memchr(b'\\', rest) {
            odd |= push_lossy(&mut out, &rest[..n]);
            // `string` has seen that it is one.
            let (c, next) = escape(rest, n + 1).unwrap_or((char::REPLACEMENT_CHARACTER, n + 2));
            odd |=
                c == char::REPLACEMENT_CHARACTER && !rest[n..next].eq_ignore_ascii_case(b"\\ufffd");
            out.push(c);
            rest = &rest[next.min(rest.len())..];
        }
        odd |= push_lossy(&mut out, rest);
        if odd {
            self.odd_text.get_or_insert(token.range.start);
        }
        Cow::Owned(out)
    }

    /// Passes over a number and gives its text.
    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        let digits = |d: &mut Self| {
            let from = d.at;
            while d.bytes.get(d.at).is_some_and(u8::is_ascii_digit) {
                d.at += 1;
            }
            d.at - from
        };
        self.at += usize::from(self.bytes[start] == b'-');
        let leading_zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = if leading_zero {
            self.at += 1;
            1
        } else {
            digits(self)
        };
        let mut good = whole > 0;
        if good && self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            good = digits(self) > 0;
        }
        if good && let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            good = digits(self) > 0;
        }
        if !good {
            return self.fail("a value is not valid JSON");
        }
        Ok(std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default())
    }

    fn literal(&mut self, text: &str) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(text.as_bytes()) {
            let there = text.bytes().zip(&self.bytes[self.at..]);
            self.at += there.take_while(|(a, b)| a == *b).count();
            return self.fail("a value is not valid JSON");
        }
        self.at += text.len();
        Ok(())
    }

    /// Passes over a value of any kind, however deep.
    fn skip(&mut self) -> Result<(), Fault> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            // A value begins here.
            match self.peek()? {
                b @ (b'{' | b'[') => {
                    let end = if b == b'{' { b'}' } else { b']' };
                    if self.open(end)? {
                        open.push(end);
                        if end == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                }
                _ => return self.fail("a value is not valid JSON"),
            }
            // A value ended here.
            loop {
                let Some(&end) = open.last() else {
                    return Ok(());
                };
                if self.more(end)? {
                    if end == b'}' {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    /// A value of the wrong type: said, and passed over.
    fn wrong(&mut self, shape: &Shape) -> Result<(), Fault> {
        self.blanks();
        let start = self.at;
        self.skip()?;
        let text = &self.bytes[start..self.at];
        let mut shown = String::new();
        push_lossy(&mut shown, &text[..text.len().min(80)]);
        let what = format!("{} is not {}: {shown}", self.path(), shape.words());
        self.refuse(start, what);
        Ok(())
    }

    fn refuse(&mut self, at: usize, what: String) {
        self.refused.get_or_insert_with(|| what.clone());
        let kept = "the other fields, and the raw JSON";
        self.note(Defect::at(at as u64, what, kept));
    }

    /// Reads a value over what is there already.
    fn value(&mut self, shape: &Shape, slot: &mut Value) -> Result<(), Fault> {
        let begins = self.peek()?;
        if begins == b'n' {
            self.literal("null")?;
            if matches!(
                shape,
                Shape::Any | Shape::Words | Shape::List(_) | Shape::Map(_) | Shape::Pointer(_)
            ) {
                *slot = Value::Null;
            }
            return Ok(());
        }
        match (shape, begins) {
            (Shape::Pointer(inner), _) => self.value(inner, slot)?,
            (Shape::Any, _) => *slot = self.any(true)?,
            (Shape::Struct(fields), b'{') => self.object(fields, slot)?,
            (Shape::Map(element), b'{') => self.map(element, slot)?,
            (Shape::List(element), b'[') => self.list(element, slot)?,
            (Shape::Words, b'[' | b'"') => self.words(slot)?,
            (Shape::Text, b'"') => {
                let token = self.string()?;
                *slot = Value::String(self.text(&token).into_owned());
            }
            (Shape::Time, b'"') => self.time(slot)?,
            (Shape::Bool, b't') => {
                self.literal("true")?;
                *slot = Value::Bool(true);
            }
            (Shape::Bool, b'f') => {
                self.literal("false")?;
                *slot = Value::Bool(false);
            }
            (Shape::Int | Shape::Uint(_), b'-' | b'0'..=b'9') => {
                let start = self.at;
                let text = self.number()?;
                let number = match shape {
                    Shape::Uint(bits) => text
                        .parse::<u64>()
                        .ok()
                        .filter(|n| *bits >= 64 || n >> bits == 0)
                        .map(Value::from),
                    _ => text.parse::<i64>().ok().map(Value::from),
                };
                match number {
                    Some(number) => *slot = number,
                    None => {
                        self.at = start;
                        self.wrong(shape)?;
                    }
                }
            }
            _ => self.wrong(shape)?,
        }
        Ok(())
    }

    fn object(
        &mut self,
        fields: &'static [(&'static str, Shape)],
        slot: &mut Value,
    ) -> Result<(), Fault> {
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        let Value::Object(object) = slot else {
            return Ok(());
        };
        debug_assert!(fields.len() <= 128);
        let (mut seen, mut next) = (0u128, 0);
        let mut more = self.open(b'}')?;
        while more {
            self.peek()?;
            let at = self.at as u64;
            let token = self.key()?;
            let key = self.text(&token);
            // Docker writes the fields in their order.
            let found = fields[next..]
                .iter()
                .position(|(name, _)| *name == key)
                .map(|n| next + n)
                .or_else(|| fields.iter().position(|(name, _)| *name == key))
                .or_else(|| fields.iter().position(|(name, _)| folds(name, &key)));
            let Some(n) = found else {
                let value = self.any(false)?;
                object.insert(key.into_owned(), value);
                more = self.more(b'}')?;
                continue;
            };
            let (name, shape) = &fields[n];
            self.way.push(Step::Field(name));
            if *name != key && self.strict {
                let what = format!(
                    "{} is written {}: the engine knows no such option",
                    self.path(),
                    Value::from(key.as_ref())
                );
                self.refuse(token.range.start, what);
            } else if *name != key {
                let what = format!(
                    "{} is written {}: Docker reads it so, but writes the name in one case only",
                    self.path(),
                    Value::from(key.as_ref())
                );
                self.note(Defect::at(at, what, "the value, as Docker reads it"));
            }
            let bit = 1u128 << (n % 128);
            if seen & bit != 0 {
                let what = format!(
                    "{} is there more than once: Docker writes it once, and reads each over those before",
                    self.path()
                );
                self.note(Defect::at(at, what, "the value, as Docker reads it"));
            }
            seen |= bit;
            next = n + 1;
            let field = object.entry(*name).or_insert(Value::Null);
            self.value(shape, field)?;
            self.way.pop();
            more = self.more(b'}')?;
        }
        Ok(())
    }

    fn map(&mut self, element: &'static Shape, slot: &mut Value) -> Result<(), Fault> {
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        let Value::Object(map) = slot else {
            return Ok(());
        };
        let merged = !map.is_empty();
        let mut more = self.open(b'}')?;
        while more {
            let token = self.key()?;
            let key = self.text(&token);
            self.way.push(Step::Key(token.range.clone()));
            let mut value = Value::Null;
            self.value(element, &mut value)?;
            if value.is_null() {
                value = element.zero();
            }
            if map.insert(key.into_owned(), value).is_some() && !merged {
                self.again(&token);
            }
            self.way.pop();
            more = self.more(b'}')?;
        }
        Ok(())
    }

    /// Go reads a list over the elements that an earlier one of the same field had, also over those beyond the end of one
    /// that was shorter. [`SHRUNK`] has them meanwhile.
    fn list(&mut self, element: &'static Shape, slot: &mut Value) -> Result<(), Fault> {
        let mut items = match slot.take() {
            Value::Array(items) => items,
            Value::Object(mut shrunk) => match shrunk.get_mut(SHRUNK).map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let mut n = 0;
        let mut more = self.open(b']')?;
        while more {
            if n == items.len() {
                items.push(Value::Null);
            }
            self.way.push(Step::Item(n));
            self.value(element, &mut items[n])?;
            if items[n].is_null() {
                items[n] = element.zero();
            }
            self.way.pop();
            n += 1;
            more = self.more(b']')?;
        }
        *slot = if n == 0 {
            Value::Array(Vec::new())
        } else if n < items.len() {
            self.shrunk = true;
            let mut shrunk = Map::new();
            shrunk.insert(SHRUNK.into(), Value::Array(items));
            shrunk.insert(LENGTH.into(), Value::from(n));
            Value::Object(shrunk)
        } else {
            Value::Array(items)
        };
        Ok(())
    }

    /// A list of strings or one string, which replaces what was there.
    fn words(&mut self, slot: &mut Value) -> Result<(), Fault> {
        let start = self.at;
        let mut words = Vec::new();
        let mut good = true;
        if self.peek()? == b'"' {
            let token = self.string()?;
            words.push(Value::String(self.text(&token).into_owned()));
        } else {
            let mut more = self.open(b']')?;
            while more {
                match self.peek()? {
                    b'"' => {
                        let token = self.string()?;
                        words.push(Value::String(self.text(&token).into_owned()));
                    }
                    b'n' => {
                        self.literal("null")?;
                        words.push(Shape::Text.zero());
                    }
                    _ => {
                        self.skip()?;
                        good = false;
                    }
                }
                more = self.more(b']')?;
            }
        }
        if good {
            *slot = Value::Array(words);
            return Ok(());
        }
        self.at = start;
        self.wrong(&Shape::Words)
    }

    /// Go takes the text of a time as it is written: an escape in it is an error.
    fn time(&mut self, slot: &mut Value) -> Result<(), Fault> {
        let start = self.at;
        let token = self.string()?;
        let text = &self.bytes[token.range.clone()];
        let read = time::go(text);
        match read {
            GoTime::Refused => {
                self.at = start;
                self.wrong(&Shape::Time)?;
            }
            GoTime::Beyond => {
                let what = format!("{} is a time before 1677 or after 2262", self.path());
                self.note(Defect::at(start as u64, what, "its text"));
            }
            GoTime::At(ns) if time::rfc3339(text) != Some(ns) => {
                let what = format!(
                    "{} is a time as Docker does not write it: engines built with Go before 1.20 read it, later ones refuse it",
                    self.path()
                );
                self.note(Defect::at(start as u64, what, "the time"));
            }
            GoTime::Never | GoTime::At(_) => {}
        }
        *slot = Value::String(self.text(&token).into_owned());
        Ok(())
    }

    /// A value without a declared shape. A number that is out of range is an error only where Go decodes it.
    fn any(&mut self, decoded: bool) -> Result<Value, Fault> {
        Ok(match self.peek()? {
            b'{' | b'[' if self.depth >= KEPT_DEPTH => {
                self.deep.get_or_insert(self.at);
                self.skip()?;
                Value::Null
            }
            b'{' => {
                let mut object = Map::new();
                let mut more = self.open(b'}')?;
                while more {
                    let token = self.key()?;
                    let key = self.text(&token);
                    self.way.push(Step::Key(token.range.clone()));
                    let value = self.any(decoded)?;
                    if object.insert(key.into_owned(), value).is_some() {
                        self.again(&token);
                    }
                    self.way.pop();
                    more = self.more(b'}')?;
                }
                Value::Object(object)
            }
            b'[' => {
                let mut items = Vec::new();
                let mut more = self.open(b']')?;
                while more {
                    items.push(self.any(decoded)?);
                    more = self.more(b']')?;
                }
                Value::Array(items)
            }
            b'"' => {
                let token = self.string()?;
                Value::String(self.text(&token).into_owned())
            }
            b't' => {
                self.literal("true")?;
                Value::Bool(true)
            }
            b'f' => {
                self.literal("false")?;
                Value::Bool(false)
            }
            b'n' => {
                self.literal("null")?;
                Value::Null
            }
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                let text = self.number()?;
                let number = serde_json::from_str::<serde_json::Number>(text);
                match number {
                    Ok(number) => Value::Number(number),
                    Err(_) => {
                        if decoded {
                            let what = format!("{} is a number out of range", self.path());
                            self.refuse(start, what);
                        }
                        Value::Null
                    }
                }
            }
            _ => return self.fail("a value is not valid JSON"),
        })
    }
}

/// Members of the object that stands for a list while it is read, when it is shorter than one before: all elements that
/// were read, and how many of them the list has.
const SHRUNK: &str = "items";
const LENGTH: &str = "length";

/// Makes lists of what [`Decoder::list`] left where a list became shorter.
fn settle(shape: &Shape, value: &mut Value) {
    match (shape, &mut *value) {
        (Shape::Pointer(inner), _) => settle(inner, value),
        (Shape::Struct(fields), Value::Object(object)) => {
            for (name, shape) in *fields {
                if let Some(field) = object.get_mut(*name) {
                    settle(shape, field);
                }
            }
        }
        (Shape::Map(element), Value::Object(map)) => {
            map.values_mut().for_each(|v| settle(element, v));
        }
        (Shape::List(element), list) => {
            if let Value::Object(shrunk) = list {
                let length = shrunk.get(LENGTH).and_then(Value::as_u64).unwrap_or(0);
                let mut items = shrunk.get_mut(SHRUNK).map_or(Value::Null, Value::take);
                if let Value::Array(items) = &mut items {
                    items.truncate(length as usize);
                }
                *list = items;
            }
            if let Value::Array(items) = list {
                items.iter_mut().for_each(|v| settle(element, v));
            }
        }
        _ => {}
    }
}

impl Shape {
    /// What an element of this type is before anything was read into it.
    fn zero(&self) -> Value {
        match self {
            Shape::Bool => Value::Bool(false),
            Shape::Int | Shape::Uint(_) => Value::from(0),
            Shape::Text => Value::String(String::new()),
            Shape::Struct(_) => Value::Object(Map::new()),
            _ => Value::Null,
        }
    }

    /// What belongs there, for people.
    fn words(&self) -> &'static str {
        match self {
            Shape::Any => "a value",
            Shape::Bool => "a boolean",
            Shape::Int | Shape::Uint(_) => "an integer of its size",
            Shape::Text => "a string",
            Shape::Time => "a time that Docker reads",
            Shape::Words => "a list of strings",
            Shape::List(_) => "a list",
            Shape::Map(_) | Shape::Struct(_) => "an object",
            Shape::Pointer(inner) => inner.words(),
        }
    }
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
        let value = self.get(path)?;
        self.string(path, value)
    }

    /// The same of a field whose own name has a dot.
    pub fn text_named(&mut self, name: &str) -> Option<String> {
        let value = self.value.get(name).filter(|v| !v.is_null())?;
        self.string(name, value)
    }

    fn string(&mut self, path: &str, value: &Value) -> Option<String> {
        match value {
            Value::String(s) => (!s.is_empty()).then(|| s.clone()),
            v => {
                self.wrong(path, v, "a string");
                None
            }
        }
    }

    /// An integer.
    pub fn int(&mut self, path: &str) -> Option<i64> {
        let v = self.get(path)?;
        let n = v.as_i64();
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

    /// A time; Go's zero time is `None`. That Go refuses a time was said when the document was read.
    pub fn time(&mut self, path: &str) -> Option<i64> {
        match self.get(path)? {
            Value::String(s) => time::go(s.as_bytes()).ns(),
            v => {
                self.wrong(path, v, "a time");
                None
            }
        }
    }

    /// Whether there is no time but Go's zero time.
    pub fn never(&self, path: &str) -> bool {
        let text = self.get(path).and_then(Value::as_str);
        text.is_none_or(|s| matches!(time::go(s.as_bytes()), GoTime::Never | GoTime::Refused))
    }

    /// Anything, as compact JSON text.
    pub fn json(&mut self, path: &str) -> Option<String> {
        self.get(path).map(Value::to_string)
    }

    /// An array, as compact JSON text.
    pub fn array(&mut self, path: &str) -> Option<String> {
        match self.get(path)? {
            v @ Value::Array(_) => Some(v.to_string()),
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

    const NAMES: Document = Document {
        shape: Shape::Struct(&[
            ("Name", Shape::Text),
            ("Args", Shape::List(&Shape::Text)),
            ("Cmd", Shape::Words),
            ("Time", Shape::Time),
            ("Started", Shape::Time),
            (
                "State",
                Shape::Pointer(&Shape::Struct(&[
                    ("Task", Shape::Text),
                    ("Pid", Shape::Int),
                    ("Running", Shape::Bool),
                ])),
            ),
            ("Labels", Shape::Map(&Shape::Text)),
        ]),
        whole: false,
        strict: false,
    };

    fn untyped(bytes: &[u8]) -> Read {
        read(bytes, &Document::ANY)
    }

    fn typed(text: &str) -> Read {
        read(text.as_bytes(), &NAMES)
    }

    #[test]
    fn names_fold_and_objects_merge() {
        let got = typed(
            r#"{"State":{"Pid":1,"Running":true},"ſtate":{"ta\u017f\u212a":"y","pid":2,"Tasks":3},"Labels":{"a":"1"},"labels":{"A":"2","b":null}} {"#,
        );
        assert_eq!(
            got.value,
            json!({"State": {"Pid": 2, "Running": true, "Task": "y", "Tasks": 3}, "Labels": {"a": "1", "A": "2", "b": ""}})
        );
        assert_eq!(got.refused, None);
        let got = typed(r#"{"state":{"TASK":"x"},"name":"a","NAME":null,"Name":"b","State":null}"#);
        assert_eq!(got.value, json!({"State": null, "Name": "b"}));
        let said: Vec<&str> = got.defects.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(said.len(), 7, "{said:?}");
        assert!(
            said[1].starts_with("State.Task is written \"TASK\""),
            "{said:?}"
        );
        for (name, key, same) in [
            ("Task", "ta\u{17f}\u{212a}", true),
            ("os.version", "OS.VERSION", true),
            ("os.version", "os-version", false),
            ("Name", "Nam\u{e9}", false),
            ("Name", "Names", false),
        ] {
            assert_eq!(folds(name, key), same, "{name} {key}");
        }
    }

    #[test]
    fn a_name_with_a_dot_is_no_path() {
        let got = typed(r#"{"State.Pid":666,"Args.x":"y"}"#);
        let mut f = Fields::new(&got.value);
        assert_eq!((f.int("State.Pid"), f.text("Args.x")), (None, None));
        assert_eq!(f.text_named("Args.x").as_deref(), Some("y"));
    }

    #[test]
    fn lists_are_read_over_earlier_ones() {
        let got = typed(r#"{"Args":["a","b","c"],"Args":["x"],"Args":[null,null]}"#);
        assert_eq!(got.value["Args"], json!(["x", "b"]));
        let got = typed(r#"{"Args":["a","b","c"],"Args":["x"]}"#);
        assert_eq!(got.value["Args"], json!(["x"]));
        for empty in ["null", "[]"] {
            let got = typed(&format!(r#"{{"Args":["a"],"Args":{empty},"Args":[null]}}"#));
            assert_eq!(got.value["Args"], json!([""]));
        }
        let got = typed(r#"{"Cmd":["a","b"],"Cmd":[null],"Cmd":"sh"}"#);
        assert_eq!(got.value["Cmd"], json!(["sh"]));
    }

    #[test]
    fn a_deep_value_costs_no_more_than_itself() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let got = typed(&format!(r#"{{"x":{},"Name":"a"}}"#, deep(9_999)));
        assert_eq!(got.value["Name"], "a");
        assert_eq!((got.defects.len(), got.refused), (1, None));
        let got = typed(&format!(r#"{{"Name":"a","x":{}}}"#, deep(200_000)));
        assert_eq!(got.value["Name"], "a");
        assert!(got.refused.is_some());
    }

    #[test]
    fn what_follows_is_read_by_nobody() {
        for (whole, refused) in [(false, false), (true, true)] {
            let kind = Document { whole, ..NAMES };
            for rest in ["x", "{}", "\0", r#"{"Name":"b"}"#] {
                let got = read(format!(r#"{{"Name":"a"}} {rest}"#).as_bytes(), &kind);
                assert_eq!(got.value["Name"], "a");
                assert_eq!((got.refused.is_some(), got.defects.len()), (refused, 1));
            }
            let got = read(b"{\"Name\":\"a\"}\n\t ", &kind);
            assert_eq!((got.refused, got.defects.len()), (None, 0));
        }
    }

    #[test]
    fn faults_of_one_document_are_counted() {
        let got = typed(&format!(
            r#"{{{}"Name":"a"}}"#,
            r#""State":1,"#.repeat(1000)
        ));
        assert_eq!(got.defects.len(), NAMED + 1);
        let last = &got.defects[NAMED].what;
        assert!(last.starts_with("1979 more"), "{last}");
    }

    #[test]
    fn the_first_value_as_it_is() {
        let text = br#" {"a":"\u003c", "a":1.50e3}{"#;
        assert_eq!(first(text).unwrap(), &text[1..text.len() - 1]);
        assert_eq!(
            first(b"\0{\"a\":1,\"b\":[2").unwrap(),
            &br#"{"a":1,"b":[]}"#[..]
        );
        assert_eq!(first(b"x"), None);
    }

    #[test]
    fn a_cut_document_keeps_its_complete_members() {
        let whole = json!({"a": 1, "b": {"c": [1, "x\"y"], "d": "z"}, "e": "last"});
        let text = whole.to_string();
        let cut = &text[..text.find("\"z").unwrap() + 2];
        let got = untyped(cut.as_bytes());
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
            let got = untyped(bytes);
            assert_eq!(got.value["a"], want);
            assert_eq!(got.defects.len(), 1);
        }
        assert_eq!(untyped(b"").defects[0].what, "empty file");
    }

    #[test]
    fn wrong_types_are_said() {
        let got = typed(
            r#"{"State":{"Pid":"1","Running":1},"Name":5,"Time":"yesterday","Started":"0001-01-01T00:00:00Z","Cmd":"sh","Labels":[],"State":{"Pid":1.0}}"#,
        );
        let mut f = Fields::new(&got.value);
        assert_eq!(
            (
                f.int("State.Pid"),
                f.text("Name"),
                f.time("Time"),
                f.time("Started"),
                f.int("absent.too")
            ),
            (None, None, None, None, None)
        );
        assert!(f.never("Started") && f.never("absent"));
        assert_eq!(f.array("Cmd").as_deref(), Some("[\"sh\"]"));
        let said: Vec<&str> = got.defects.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(said.len(), 7, "{said:?}");
        assert_eq!(said[0], "State.Pid is not an integer of its size: \"1\"");
        assert_eq!(got.refused.as_deref(), Some(said[0]));
    }

    proptest! {
        #[test]
        fn total(b in proptest::collection::vec(any::<u8>(), 0..300)) {
            let v = untyped(&b).value;
            Fields::new(&v).text("a.b");
            read(&b, &NAMES);
            first(&b);
        }

        #[test]
        fn total_on_cuts(s in "[\\[\\]{}\",:\\\\ud8a0-9 \u{e9}]{0,80}") {
            untyped(s.as_bytes());
            typed(&s);
            first(s.as_bytes());
        }

        #[test]
        fn every_cut_of_an_object_gives_an_object(n in 1usize..60) {
            let text = json!({"Name": "/web", "State": {"Running": true, "Pid": 5}, "Args": ["a", "b\\\"c"]}).to_string();
            prop_assert!(typed(&text[..n.min(text.len())]).value.is_object());
        }
    }
}
