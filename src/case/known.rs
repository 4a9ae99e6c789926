//! Lists of known hashes into a case.

use super::{Case, Error, Target, sqlite};
use crate::parse::hash_list::{self, Entry, Layout};
use rusqlite::Connection;
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

fn hashes(db: &Connection, path: &Path) -> Result<i64, Error> {
    db.query_row("SELECT count(*) FROM file_hash", [], |r| r.get(0))
        .map_err(sqlite(path))
}

impl Case {
    /// How many files have a hash.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn hashes(&self) -> Result<i64, Error> {
        hashes(&self.db, &self.path)
    }
}

impl Target {
    /// How many files have a hash so far.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn hashes(&self) -> Result<i64, Error> {
        hashes(&self.db, &self.path)
    }

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
        let mut weaker = [false; 2];
        match Layout::of(&line) {
            Layout::Lines => loop {
                line.clear();
                if file.read_until(b'\n', &mut line).map_err(io)? == 0 {
                    break;
                }
                let entry = hash_list::line(&line);
                if entry.is_none() {
                    let [md5, sha1] = hash_list::weaker(&line);
                    weaker = [weaker[0] || md5, weaker[1] || sha1];
                }
                add(entry)?;
            },
            Layout::Csv {
                separator,
                hash,
                name: called,
            } => {
                let mut rows = csv::ReaderBuilder::new()
                    .flexible(true)
                    .delimiter(separator)
                    .from_reader(file);
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
            let instead = match weaker {
                [true, true] => ", but MD5 and SHA-1: files are hashed with SHA-256 only",
                [true, false] => ", but MD5: files are hashed with SHA-256 only",
                [false, true] => ", but SHA-1: files are hashed with SHA-256 only",
                [false, false] => ": neither lines of sha256sum nor CSV with a column sha256",
            };
            return Err(Error::List {
                path: list.to_path_buf(),
                what: format!("no SHA-256 hash in it{instead}"),
            });
        }
        Ok(done)
    }
}
