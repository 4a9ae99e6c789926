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
