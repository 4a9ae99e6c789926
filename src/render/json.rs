//! JSON: one array of objects, or one object a line. Keys are the columns, in their order.

use super::{Render, plain};
use rusqlite::types::ValueRef;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;
use std::io::{self, Write};

struct Row<'a>(&'a [String], &'a [ValueRef<'a>]);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for (column, value) in self.0.iter().zip(self.1) {
            match value {
                ValueRef::Null => map.serialize_entry(column, &())?,
                ValueRef::Integer(n) => map.serialize_entry(column, n)?,
                ValueRef::Real(x) => map.serialize_entry(column, x)?,
                other => map.serialize_entry(column, &plain(other))?,
            }
        }
        map.end()
    }
}

/// Strings with what could speak to a terminal as escapes: JSON has its own for control characters, not for all.
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, s: &str) -> io::Result<()> {
        out.write_all(crate::text::json(s).as_bytes())
    }
}

fn write(out: impl Write, row: &Row<'_>) -> io::Result<()> {
    let mut json = serde_json::Serializer::with_formatter(out, Safe);
    row.serialize(&mut json).map_err(io::Error::from)
}

/// Rows as one array.
pub struct Json<W: Write> {
    out: W,
    columns: Vec<String>,
    any: bool,
}

impl<W: Write> Json<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Json {
            out,
            columns: Vec::new(),
            any: false,
        }
    }
}

impl<W: Write> Render for Json<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        self.out.write_all(b"[")
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.out
            .write_all(if self.any { b",\n " } else { b"\n " })?;
        self.any = true;
        write(&mut self.out, &Row(&self.columns, values))
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
    columns: Vec<String>,
}

impl<W: Write> JsonLines<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        JsonLines {
            out,
            columns: Vec::new(),
        }
    }
}

impl<W: Write> Render for JsonLines<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        write(&mut self.out, &Row(&self.columns, values))?;
        self.out.write_all(b"\n")
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
