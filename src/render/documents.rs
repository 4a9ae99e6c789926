//! A column that holds JSON documents: one after another as they are, or as one array.

use super::{Render, plain};
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// The documents of one column.
pub struct Documents<W: Write> {
    out: W,
    column: &'static str,
    at: usize,
    array: bool,
    any: bool,
}

impl<W: Write> Documents<W> {
    /// Each document as it is, a newline between them.
    pub fn one(out: W, column: &'static str) -> Self {
        Documents {
            out,
            column,
            at: 0,
            array: false,
            any: false,
        }
    }

    /// One array, an element a line.
    pub fn array(out: W, column: &'static str) -> Self {
        Documents {
            array: true,
            ..Documents::one(out, column)
        }
    }
}

impl<W: Write> Render for Documents<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.at = columns.iter().position(|c| c == self.column).unwrap_or(0);
        if self.array {
            self.out.write_all(b"[")
        } else {
            Ok(())
        }
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        if self.array {
            self.out
                .write_all(if self.any { b",\n " } else { b"\n " })?;
        }
        if !self.array && self.any {
            self.out.write_all(b"\n")?;
        }
        self.any = true;
        let text = plain(&values[self.at]);
        self.out.write_all(crate::text::json(&text).as_bytes())
    }

    fn end(&mut self) -> io::Result<()> {
        if self.array {
            self.out
                .write_all(if self.any { b"\n]\n" } else { b"]\n" })?;
        }
        self.out.flush()
    }
}
