//! CSV as RFC 4180 has it, with a header line; NULL is an empty cell.

use super::{Render, plain};
use crate::text;
use csv::ByteRecord;
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// Rows as CSV.
pub struct Csv<W: Write> {
    out: csv::Writer<W>,
    /// Space for a row: the writer takes whole records faster than fields.
    record: ByteRecord,
}

impl<W: Write> Csv<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Csv {
            out: csv::WriterBuilder::new()
                .buffer_capacity(1 << 16)
                .from_writer(out),
            record: ByteRecord::new(),
        }
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
        self.out.write_record(columns).map_err(io_error)
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.record.clear();
        for value in values {
            match *value {
                ValueRef::Integer(n) => {
                    let mut digits = itoa::Buffer::new();
                    self.record.push_field(digits.format(n).as_bytes());
                }
                ValueRef::Text(text) if text::is_plain_ascii(text) => self.record.push_field(text),
                _ => self.record.push_field(plain(value).as_bytes()),
            }
        }
        self.out.write_byte_record(&self.record).map_err(io_error)
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
        /// Every value comes out as `plain` has it, whatever bytes it is of, in rows of one column too.
        #[test]
        fn what_is_read_back(cells in proptest::collection::vec("[\0\"\r\n,a\\xff é]{0,6}", 1..5), n in any::<i64>()) {
            let bytes: Vec<Vec<u8>> = cells.iter().map(|c| c.bytes().filter(|&b| b != 0xa9).collect()).collect();
            for cut in 1..=bytes.len() {
                let mut row: Vec<ValueRef<'_>> = bytes[..cut].iter().map(|b| ValueRef::Text(b)).collect();
                row.extend([ValueRef::Integer(n), ValueRef::Null, ValueRef::Blob(&bytes[0])].into_iter().skip(cut % 4));
                let mut out = Vec::new();
                let mut csv = Csv::new(&mut out);
                csv.begin(&vec!["c".to_owned(); row.len()]).unwrap();
                csv.row(&row).unwrap();
                csv.end().unwrap();
                drop(csv);
                let mut read = csv::Reader::from_reader(&out[..]);
                let read: Vec<_> = read.records().map(Result::unwrap).collect();
                prop_assert_eq!(read.len(), 1);
                let want: Vec<_> = row.iter().map(|value| plain(value).into_owned()).collect();
                prop_assert_eq!(read[0].iter().collect::<Vec<_>>(), want);
            }
        }
    }
}
