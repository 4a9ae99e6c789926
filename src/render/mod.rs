//! Rows to bytes. A renderer knows columns and values, not containers.
//!
//! Tables and text escape what could move a cursor or forge a line; CSV and JSON have their own quoting and keep the
//! text as it is.

mod ahead;
mod bodyfile;
mod csv;
mod documents;
mod json;
mod mactime;
mod rows;
mod table;
pub mod text;

pub use self::ahead::Ahead;
pub use self::bodyfile::{Bodyfile, Dialect, unhex};
pub use self::csv::Csv;
pub use self::documents::Documents;
pub use self::json::{Json, JsonLines};
pub use self::mactime::Mactime;
pub use self::rows::{Place, Rows};
pub use self::table::Table;

use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::io::{self, Write};

/// A way to print rows.
pub trait Render {
    /// Before the first row.
    ///
    /// # Errors
    /// Those of the output.
    fn begin(&mut self, columns: &[String]) -> io::Result<()>;

    /// A row, as many values as columns.
    ///
    /// # Errors
    /// Those of the output.
    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()>;

    /// After the last row.
    ///
    /// # Errors
    /// Those of the output.
    fn end(&mut self) -> io::Result<()>;
}

/// The formats every listing has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for reading
    Table,
    /// One JSON array of objects
    Json,
    /// One JSON object a line
    Jsonl,
    /// RFC 4180, with a header
    Csv,
}

impl Format {
    /// The renderer of this format.
    pub fn renderer(self, out: Box<dyn Write + Send>) -> Box<dyn Render + Send> {
        match self {
            Format::Table => Box::new(Table::new(out)),
            Format::Json => Box::new(Json::new(out)),
            Format::Jsonl => Box::new(JsonLines::new(out)),
            Format::Csv => Box::new(Csv::new(out)),
        }
    }
}

/// A value as text, as `sqlite3` prints it; NULL is empty, a BLOB is its bytes where they are UTF-8, else `\xNN`.
pub fn plain<'v>(value: &ValueRef<'v>) -> Cow<'v, str> {
    match *value {
        ValueRef::Null => Cow::Borrowed(""),
        ValueRef::Integer(n) => Cow::Owned(n.to_string()),
        ValueRef::Real(x) => Cow::Owned(x.to_string()),
        ValueRef::Text(b) | ValueRef::Blob(b) => crate::text::lossless(b),
    }
}
