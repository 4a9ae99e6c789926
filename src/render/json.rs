//! JSON: one array of objects, or one object a line. Keys are the columns, in their order.

use super::{Render, plain};
use rusqlite::types::ValueRef;
use serde::ser::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use std::io::{self, Write};

/// Strings with what could speak to a terminal as escapes: JSON has its own for control characters, not for all.
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, s: &str) -> io::Result<()> {
        out.write_all(crate::text::json(s).as_bytes())
    }
}

/// Each column as the key of an object, with its colon.
fn keys(columns: &[String]) -> io::Result<Vec<Vec<u8>>> {
    let key = |column: &String| {
        let mut key = Vec::new();
        column.serialize(&mut serde_json::Serializer::with_formatter(&mut key, Safe))?;
        key.push(b':');
        Ok(key)
    };
    columns.iter().map(key).collect()
}

/// A row as an object.
fn write(mut out: impl Write, keys: &[Vec<u8>], values: &[ValueRef<'_>]) -> io::Result<()> {
    let mut before = b'{';
    for (key, value) in keys.iter().zip(values) {
        out.write_all(&[before])?;
        out.write_all(key)?;
        match value {
            ValueRef::Null => CompactFormatter.write_null(&mut out)?,
            ValueRef::Integer(n) => CompactFormatter.write_i64(&mut out, *n)?,
            ValueRef::Real(x) => x.serialize(&mut serde_json::Serializer::new(&mut out))?,
            other => {
                let mut json = serde_json::Serializer::with_formatter(&mut out, Safe);
                plain(other).serialize(&mut json)?;
            }
        }
        before = b',';
    }
    out.write_all(if before == b'{' { b"{}" } else { b"}" })
}

/// Rows as one array.
pub struct Json<W: Write> {
    out: W,
    keys: Vec<Vec<u8>>,
    any: bool,
}

impl<W: Write> Json<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Json {
            out,
            keys: Vec::new(),
            any: false,
        }
    }
}

impl<W: Write> Render for Json<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.keys = keys(columns)?;
        self.out.write_all(b"[")
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.out
            .write_all(if self.any { b",\n " } else { b"\n " })?;
        self.any = true;
        write(&mut self.out, &self.keys, values)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out
            .write_all(if self.any { b"\n]\n" } else { b"]\n" })?;
        self.out.flush()
    }
}

/// Rows as one object a line.
pub struct JsonLines<W: Write> {
    out: W,
    keys: Vec<Vec<u8>>,
}

impl<W: Write> JsonLines<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        JsonLines {
            out,
            keys: Vec::new(),
        }
    }
}

impl<W: Write> Render for JsonLines<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.keys = keys(columns)?;
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        write(&mut self.out, &self.keys, values)?;
        self.out.write_all(b"\n")
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    proptest! {
        /// A row is the object that serde_json makes of it, and neither a key nor a value speaks to a terminal.
        #[test]
        fn what_is_read_back(key in "\\PC?[\u{202e}\x1b\"a]{0,3}", text in "[\u{202e}\x1b\r\"a\\\\é]{0,4}", n in any::<i64>(), x in any::<i32>()) {
            let columns = [key.clone(), "n".into(), "x".into(), "none".into()];
            let values = [ValueRef::Text(text.as_bytes()), ValueRef::Integer(n), ValueRef::Real(f64::from(x) / 8.0), ValueRef::Null];
            for some in 0..=4 {
                let mut out = Vec::new();
                let mut lines = JsonLines::new(&mut out);
                lines.begin(&columns[..some]).unwrap();
                lines.row(&values[..some]).unwrap();
                lines.end().unwrap();
                let said = String::from_utf8(out).unwrap();
                let line = said.strip_suffix('\n').unwrap();
                let speaks = line.contains(['\u{202e}', '\x1b', '\r', '\n']);
                prop_assert!(!speaks, "{}", line);
                let want = [json!(text), json!(n), json!(f64::from(x) / 8.0), Value::Null];
                let want: serde_json::Map<_, _> = columns.iter().cloned().zip(want).take(some).collect();
                prop_assert_eq!(serde_json::from_str::<Value>(line).unwrap(), Value::Object(want));
            }
        }
    }
}
