//! Lists of known hashes into a case.

use super::{Error, Target, sqlite};
use crate::parse::hash_list::{self, Entry, Layout};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::Path;

/// What came of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Hashes added.
    pub added: u64,
    /// Lines without a hash, left out.
    pub odd: u64,
}

impl Target {
    /// Adds a list, in place of an earlier one of the same file name.
    ///
    /// # Errors
    /// When the list cannot be read or holds no hash, or SQLite fails.
    pub fn known(&self, list: &Path) -> Result<Imported, Error> {
        let io = |source: io::Error| Error::Io {
            path: list.to_path_buf(),
            source,
        };
        let err = sqlite(self.path());
        let name = list
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let db = &self.db;
        db.execute("DELETE FROM known_hash WHERE list = ?", [&name])
            .map_err(&err)?;
        let mut put = db
            .prepare("INSERT INTO known_hash (sha256, list, name) VALUES (?, ?, ?)")
            .map_err(&err)?;
        let mut done = Imported::default();
        let mut add = |entry: Option<Entry>| -> Result<(), Error> {
            match entry {
                Some((hash, called)) => {
                    put.execute(rusqlite::params![hash, name, called])
                        .map_err(&err)?;
                    done.added += 1;
                }
                None => done.odd += 1,
            }
            Ok(())
        };
        let mut file = BufReader::with_capacity(1 << 20, File::open(list).map_err(io)?);
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line).map_err(io)?;
        // What Windows programs put in front of UTF-8.
        let mark = if line.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        file.seek(io::SeekFrom::Start(mark)).map_err(io)?;
        line.drain(..mark as usize);
        let cells: Vec<&[u8]> = line.split(|&b| b == b',').collect();
        match Layout::of(&cells) {
            Layout::Lines => loop {
                line.clear();
                if file.read_until(b'\n', &mut line).map_err(io)? == 0 {
                    break;
                }
                add(hash_list::line(&line))?;
            },
            Layout::Csv(hash, called) => {
                let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(file);
                let mut row = csv::ByteRecord::new();
                while rows
                    .read_byte_record(&mut row)
                    .map_err(|e| io(io::Error::other(e)))?
                {
                    let called = called.and_then(|i| row.get(i));
                    let called = called.map(|c| crate::text::lossless(c).into_owned());
                    let hash = row.get(hash).and_then(|h| hash_list::hash(h.trim_ascii()));
                    add(hash.map(|h| (h, called)))?;
                }
            }
        }
        if done.added == 0 {
            let what = "no SHA-256 in it: neither lines of sha256sum nor CSV with a column sha256";
            return Err(io(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        Ok(done)
    }
}
