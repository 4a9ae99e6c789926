//! CSV as RFC 4180 has it, with a header line; NULL is an empty cell.

use super::{Render, plain};
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// Rows as CSV.
pub struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Csv(csv::WriterBuilder::new().from_writer(out))
    }
}

fn io_error(e: csv::Error) -> io::Error {
    match e.into_kind() {
        csv::ErrorKind::Io(e) => e,
        other => io::Error::other(format!("{other:?}")),
    }
}

impl<W: Write> Render for Csv<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.0.write_record(columns).map_err(io_error)
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        for value in values {
            self.0
                .write_field(plain(value).as_bytes())
                .map_err(io_error)?;
        }
        self.0.write_record(None::<&[u8]>).map_err(io_error)
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
