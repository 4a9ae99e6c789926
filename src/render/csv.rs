//! CSV as RFC 4180 has it, with a header line; NULL is an empty cell.
//!
//! Written here, cell by cell into a line: the crate csv, which reads CSV elsewhere and whose writer this one is held against,
//! takes twice as long, and CSV is how most rows leave dof.

use super::{Render, plain};
use memchr::memchr_iter;
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// Rows as CSV.
pub struct Csv<W: Write> {
    out: W,
    /// Space for a line.
    line: Vec<u8>,
}

impl<W: Write> Csv<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Csv {
            out,
            line: Vec::new(),
        }
    }

    /// Adds a cell whose bytes are of these kinds.
    fn cell(&mut self, text: &[u8], kinds: u8) {
        if kinds & QUOTED == 0 {
            self.line.extend_from_slice(text);
        } else {
            quote(text, &mut self.line);
        }
    }
}

/// A byte that its cell needs quotes for.
const QUOTED: u8 = 1;
/// A byte that may not be printed as it is: a NUL, or one that is not ASCII and may not be UTF-8.
const SPELLED: u8 = 2;

/// What each byte is of these.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0x80;
    while byte < 256 {
        kinds[byte] = SPELLED;
        byte += 1;
    }
    kinds[0] = SPELLED;
    kinds[b',' as usize] = QUOTED;
    kinds[b'"' as usize] = QUOTED;
    kinds[b'\n' as usize] = QUOTED;
    kinds[b'\r' as usize] = QUOTED;
    kinds
};

/// Of which of these the bytes of a text are.
fn kinds(text: &[u8]) -> u8 {
    // Without a branch for each byte: most are of none.
    text.iter().fold(0, |any, &b| any | KINDS[usize::from(b)])
}

/// Adds a cell in quotes; those within are doubled.
fn quote(text: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    let mut from = 0;
    for at in memchr_iter(b'"', text) {
        line.extend_from_slice(&text[from..=at]);
        from = at; // once more
    }
    line.extend_from_slice(&text[from..]);
    line.push(b'"');
}

impl<W: Write> Render for Csv<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        let names: Vec<_> = columns
            .iter()
            .map(|c| ValueRef::Text(c.as_bytes()))
            .collect();
        self.row(&names)
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.line.clear();
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.line.push(b',');
            }
            let of_text = match *value {
                ValueRef::Text(text) => kinds(text),
                _ => 0,
            };
            match *value {
                ValueRef::Null => {}
                ValueRef::Integer(n) => {
                    let mut digits = itoa::Buffer::new();
                    self.line.extend_from_slice(digits.format(n).as_bytes());
                }
                ValueRef::Text(text) if of_text & SPELLED == 0 => self.cell(text, of_text),
                _ => {
                    let text = plain(value);
                    self.cell(text.as_bytes(), kinds(text.as_bytes()));
                }
            }
        }
        // An empty line is no record.
        if self.line.is_empty() {
            self.line.extend_from_slice(b"\"\"");
        }
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every value comes out as `plain` has it, whatever bytes it is of, in rows of one column too; byte for byte as the
        /// crate csv writes it.
        #[test]
        fn what_is_read_back(cells in proptest::collection::vec("[\0\"\r\n,a\\xff é]{0,6}", 1..5), n in any::<i64>()) {
            let bytes: Vec<Vec<u8>> = cells.iter().map(|c| c.bytes().filter(|&b| b != 0xa9).collect()).collect();
            let all = bytes.iter().map(|b| ValueRef::Text(b));
            let all: Vec<ValueRef<'_>> = [ValueRef::Null].into_iter().chain(all).chain([ValueRef::Integer(n), ValueRef::Blob(&bytes[0])]).collect();
            for (from, columns) in (0..all.len()).flat_map(|from| (1..=all.len() - from).map(move |columns| (from, columns))) {
                let row = &all[from..from + columns];
                let mut out = Vec::new();
                let mut csv = Csv::new(&mut out);
                csv.begin(&vec!["c".to_owned(); row.len()]).unwrap();
                csv.row(row).unwrap();
                csv.end().unwrap();
                drop(csv);
                let mut read = csv::Reader::from_reader(&out[..]);
                let read: Vec<_> = read.records().map(Result::unwrap).collect();
                prop_assert_eq!(read.len(), 1);
                let want: Vec<_> = row.iter().map(|value| plain(value).into_owned()).collect();
                let mut by_crate = csv::Writer::from_writer(Vec::new());
                by_crate.write_record(vec!["c"; row.len()]).unwrap();
                by_crate.write_record(&want).unwrap();
                prop_assert_eq!(&out, &by_crate.into_inner().unwrap());
                prop_assert_eq!(read[0].iter().collect::<Vec<_>>(), want);
            }
        }
    }
}
