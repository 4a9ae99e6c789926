//! Columns for reading. Widths come from the first rows, so that the first screen appears at once and any number of
//! rows streams through; a longer cell later on pushes its own line only.

use super::{Render, plain};
use crate::text::printable;
use rusqlite::types::ValueRef;
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
}

impl<W: Write> Table<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Table {
            out,
            held: Vec::new(),
            widths: Vec::new(),
            measured: false,
        }
    }

    fn print(&mut self, cells: &[String]) -> io::Result<()> {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&self.widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.width()) + 2,
            ));
        }
        self.out.write_all(line.trim_end().as_bytes())?;
        self.out.write_all(b"\n")
    }

    fn measure(&mut self) -> io::Result<()> {
        self.measured = true;
        let held = std::mem::take(&mut self.held);
        for cells in &held {
            for (width, cell) in self.widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.width().min(WIDEST));
            }
        }
        held.iter().try_for_each(|cells| self.print(cells))
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
        let cells: Vec<String> = values
            .iter()
            .map(|v| printable(&plain(v)).into_owned())
            .collect();
        if self.measured {
            return self.print(&cells);
        }
        self.held.push(cells);
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
