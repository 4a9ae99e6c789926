//! Columns for reading. Widths come from the first rows, so that the first screen appears at once and any number of
//! rows streams through; a longer cell later on pushes its own line only.

use super::{Render, plain};
use crate::text::printable;
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Rows that are measured before anything is printed.
const MEASURED: usize = 200;
/// Widest a column is made.
const WIDEST: usize = 72;

/// Rows as a table.
pub struct Table<W: Write> {
    out: W,
    /// Held until the widths are known: the header, then rows.
    held: Vec<Vec<String>>,
    widths: Vec<usize>,
    measured: bool,
    /// Space for a line.
    line: String,
}

/// Columns that a printable cell takes; most are ASCII.
fn width(cell: &str) -> usize {
    if cell.is_ascii() {
        cell.len()
    } else {
        cell.width()
    }
}

impl<W: Write> Table<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Table {
            out,
            held: Vec::new(),
            widths: Vec::new(),
            measured: false,
            line: String::new(),
        }
    }

    fn print<'c>(&mut self, cells: impl Iterator<Item = Cow<'c, str>>) -> io::Result<()> {
        self.line.clear();
        for (cell, column) in cells.zip(&self.widths) {
            self.line.push_str(&cell);
            let space = column.saturating_sub(width(&cell)) + 2;
            self.line.extend(std::iter::repeat_n(' ', space));
        }
        self.out.write_all(self.line.as_bytes().trim_ascii_end())?;
        self.out.write_all(b"\n")
    }

    fn measure(&mut self) -> io::Result<()> {
        self.measured = true;
        let held = std::mem::take(&mut self.held);
        for cells in &held {
            for (column, cell) in self.widths.iter_mut().zip(cells) {
                *column = (*column).max(width(cell).min(WIDEST));
            }
        }
        let mut held = held.iter();
        held.try_for_each(|cells| self.print(cells.iter().map(|c| Cow::Borrowed(&c[..]))))
    }
}

impl<W: Write> Render for Table<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.widths = vec![0; columns.len()];
        self.held
            .push(columns.iter().map(|c| printable(c).into_owned()).collect());
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let cells = values.iter().map(|v| match plain(v) {
            Cow::Borrowed(text) => printable(text),
            Cow::Owned(text) => Cow::Owned(printable(&text).into_owned()),
        });
        if self.measured {
            return self.print(cells);
        }
        self.held.push(cells.map(Cow::into_owned).collect());
        if self.held.len() > MEASURED {
            self.measure()
        } else {
            Ok(())
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if !self.measured {
            self.measure()?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns stand below each other by what a terminal shows, measured or not yet; text that could move them is spelled.
    #[test]
    fn cells_are_as_wide_as_they_are_shown() {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out);
        table.begin(&["name".into(), "n".into()]).unwrap();
        let row = |text: &'static str| [ValueRef::Text(text.as_bytes()), ValueRef::Integer(7)];
        for _ in 0..=MEASURED {
            table.row(&row("日本")).unwrap();
        }
        for text in ["abcd", "é", "e\u{301}", "a\tb", ""] {
            table.row(&row(text)).unwrap();
        }
        table.end().unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["name  n", "日本  7"]);
        let last = [
            "abcd  7",
            "é     7",
            "e\u{301}     7",
            "a\\tb  7",
            "      7",
        ];
        assert_eq!(lines[lines.len() - 5..], last);
    }
}
