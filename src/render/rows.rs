//! Rows that go from one thread to another, a heap of them at a time.

use rusqlite::types::ValueRef;
use std::io;

/// Rows on their way: their texts and BLOBs in one heap.
#[derive(Default)]
pub struct Rows {
    columns: usize,
    cells: Vec<Cell>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    /// Bytes of the heap from where those of the cell before end, to here.
    Text(usize),
    Blob(usize),
}

impl Rows {
    /// Bytes that are handed over at once, where no row is larger.
    pub const MANY: usize = 64 * 1024;

    /// Room for as many more.
    pub fn room(&self) -> Self {
        Rows {
            columns: self.columns,
            cells: Vec::with_capacity(self.cells.len() + self.columns),
            bytes: Vec::with_capacity(self.bytes.len() + 1024),
        }
    }

    /// Bytes they take.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.cells.len() * size_of::<Cell>()
    }

    /// Adds one.
    pub fn push(&mut self, values: &[ValueRef<'_>]) {
        self.columns = values.len();
        for value in values {
            let mut heap = |bytes| {
                self.bytes.extend_from_slice(bytes);
                self.bytes.len()
            };
            self.cells.push(match *value {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(n) => Cell::Integer(n),
                ValueRef::Real(x) => Cell::Real(x),
                ValueRef::Text(text) => Cell::Text(heap(text)),
                ValueRef::Blob(blob) => Cell::Blob(heap(blob)),
            });
        }
    }

    /// The INTEGER in this column of the next row; `None` where there is none.
    pub fn integer(&self, next: &Place, column: usize) -> Option<i64> {
        match self.cells.get(next.cell + column) {
            Some(Cell::Integer(n)) => Some(*n),
            _ => None,
        }
    }

    /// The text in this column of the next row; `None` where there is none.
    pub fn text(&self, next: &Place, column: usize) -> Option<&[u8]> {
        let mut from = next.byte;
        let (last, before) = self
            .cells
            .get(next.cell..=next.cell + column)?
            .split_last()?;
        for cell in before {
            if let Cell::Text(end) | Cell::Blob(end) = *cell {
                from = end;
            }
        }
        match *last {
            Cell::Text(end) => Some(&self.bytes[from..end]),
            _ => None,
        }
    }

    /// Whether all of them are read.
    pub fn is_read(&self, next: &Place) -> bool {
        next.cell >= self.cells.len()
    }

    /// Reads the next row, until there is none.
    pub fn read<'r>(&'r self, next: &mut Place, values: &mut Vec<ValueRef<'r>>) -> bool {
        values.clear();
        let end = next.cell + self.columns;
        let Some(row) = self.cells.get(next.cell..end).filter(|row| !row.is_empty()) else {
            return false;
        };
        for cell in row {
            let mut heap = |end| &self.bytes[std::mem::replace(&mut next.byte, end)..end];
            values.push(match *cell {
                Cell::Null => ValueRef::Null,
                Cell::Integer(n) => ValueRef::Integer(n),
                Cell::Real(x) => ValueRef::Real(x),
                Cell::Text(end) => ValueRef::Text(heap(end)),
                Cell::Blob(end) => ValueRef::Blob(heap(end)),
            });
        }
        next.cell = end;
        true
    }

    /// Gives `to` each row.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn each(self, mut to: impl FnMut(&[ValueRef<'_>]) -> io::Result<()>) -> io::Result<()> {
        let mut values = Vec::with_capacity(self.columns);
        let mut next = Place::default();
        while self.read(&mut next, &mut values) {
            to(&values)?;
        }
        Ok(())
    }
}

/// Which row of [`Rows`] is read next; at first the first.
#[derive(Default)]
pub struct Place {
    cell: usize,
    byte: usize,
}
