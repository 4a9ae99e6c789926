//! The layouts that existing users and their awk scripts know: a heading, then indented `Label: value` lines.

use super::{Render, plain};
use crate::text::printable;
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// A line of a block.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// `    Label: value of the column`.
    One(&'static str, &'static str),
    /// `    Label: item` for each item of the column's JSON array; nothing when it is empty.
    Each(&'static str, &'static str),
}

/// A block a row, perhaps under the heading of its group.
pub struct Blocks<W: Write> {
    out: W,
    layout: Layout,
    columns: Vec<String>,
    group: Option<String>,
    any: bool,
}

/// What a block looks like.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Column whose value stands over each block.
    pub title: Option<&'static str>,
    /// Heading and column of a group: the heading is printed when the column's value changes.
    pub group: Option<(&'static str, &'static str)>,
    /// The lines, in order.
    pub lines: &'static [Line],
}

impl<W: Write> Blocks<W> {
    /// Into `out`.
    pub fn new(out: W, layout: Layout) -> Self {
        Blocks {
            out,
            layout,
            columns: Vec::new(),
            group: None,
            any: false,
        }
    }
}

impl<W: Write> Render for Blocks<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let value = |column: &str| {
            self.columns
                .iter()
                .position(|c| c == column)
                .map_or_else(String::new, |i| plain(&values[i]).into_owned())
        };
        if let Some((heading, column)) = self.layout.group {
            let group = value(column);
            if self.group.as_ref() != Some(&group) {
                if self.any {
                    writeln!(self.out)?;
                }
                writeln!(self.out, "{heading} {}", printable(&group))?;
                self.group = Some(group);
            }
        }
        if let Some(title) = self.layout.title {
            writeln!(self.out, "{}", printable(&value(title)))?;
        }
        for line in self.layout.lines {
            match line {
                Line::One(label, column) => {
                    writeln!(self.out, "    {label}: {}", printable(&value(column)))?
                }
                Line::Each(label, column) => {
                    for item in
                        serde_json::from_str::<Vec<String>>(&value(column)).unwrap_or_default()
                    {
                        writeln!(self.out, "    {label}: {}", printable(&item))?;
                    }
                }
            }
        }
        self.any = true;
        writeln!(self.out)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
