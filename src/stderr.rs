//! Lines on standard error: told to whoever reads them, and no failure where nobody can.

use crate::text::printable;
use std::fmt::Display;
use std::io::Write;

/// Writes a line. Whatever names of the evidence are in it, it stays one line and does not speak to a terminal.
pub fn line(text: impl Display) {
    let line = format!("{}\n", printable(&text.to_string()));
    let _ = std::io::stderr().write_all(line.as_bytes());
}
