//! JSON: one array of objects, or one object a line. Keys are the columns, in their order.

use super::{Render, plain};
use rusqlite::types::ValueRef;
use serde::ser::{Serialize, SerializeMap, Serializer};
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
        serde_json::to_writer(&mut self.out, &Row(&self.columns, values)).map_err(io::Error::from)
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
        serde_json::to_writer(&mut self.out, &Row(&self.columns, values))
            .map_err(io::Error::from)?;
        self.out.write_all(b"\n")
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
