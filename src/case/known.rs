//! Lists of known hashes into a case.

use super::{Case, Error, Target, sqlite};
use crate::parse::hash_list::{self, Cells, Entry, LONGEST, Layout, Rows};
use rusqlite::Connection;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What came of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Hashes added.
    pub added: u64,
    /// Lines without a hash, left out.
    pub odd: u64,
    /// Lines too long to be looked at, left out.
    pub long: u64,
}

/// Opens a list, which must be a plain file: dof would wait for a FIFO, and a device has no end.
fn open(list: &Path) -> Result<File, Error> {
    let io = |source: io::Error| Error::Io {
        path: list.to_path_buf(),
        source,
    };
    let plain = |meta: std::fs::Metadata| match meta.is_file() {
        true => Ok(()),
        false => Err(Error::List {
            path: list.to_path_buf(),
            what: "not a plain file; copy what it gives to one".into(),
        }),
    };
    plain(std::fs::metadata(list).map_err(io)?)?;
    // By now it may be another one.
    let waits_for_nobody = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(waits_for_nobody)
        .open(list)
        .map_err(io)?;
    plain(file.metadata().map_err(io)?)?;
    Ok(file)
}

/// Reads a line, of which [`LONGEST`] bytes are kept. Gives its length; 0 at the end.
fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    let mut length = 0;
    loop {
        let data = file.fill_buf()?;
        let end = memchr::memchr(b'\n', data).map(|at| at + 1);
        let part = &data[..end.unwrap_or(data.len())];
        line.extend(part.iter().take(LONGEST - line.len()));
        let read = part.len();
        length += read as u64;
        file.consume(read);
        if end.is_some() || read == 0 {
            return Ok(length);
        }
    }
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
        let mut file = BufReader::with_capacity(1 << 20, open(list)?);
        let mut line = Vec::new();
        next_line(&mut file, &mut line).map_err(io)?;
        // What Windows programs put in front of UTF-8.
        let mark = if line.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        file.seek(io::SeekFrom::Start(mark)).map_err(io)?;
        line.drain(..mark as usize);
        let mut weaker = [false; 2];
        let mut long = 0;
        match Layout::of(&line) {
            Layout::Lines => loop {
                match next_line(&mut file, &mut line).map_err(io)? {
                    0 => break,
                    length if length > line.len() as u64 => {
                        long += 1;
                        continue;
                    }
                    _ => {}
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
                let bad = |e: hash_list::NoCsv| Error::List {
                    path: list.to_path_buf(),
                    what: e.to_string(),
                };
                let entry = |row: Cells<'_>| {
                    let called = called.and_then(|i| row.get(i));
                    let called = called.map(|c| crate::text::lossless(c).into_owned());
                    let hash = row.get(hash).and_then(|h| hash_list::hash(h.trim_ascii()));
                    hash.map(|h| (h, called))
                };
                let mut rows = Rows::new(separator);
                let mut header = true;
                loop {
                    let data = file.fill_buf().map_err(io)?;
                    let (mut rest, read) = (data, data.len());
                    while let Some(row) = rows.next(&mut rest).map_err(bad)? {
                        if !std::mem::take(&mut header) {
                            add(entry(row))?;
                        }
                    }
                    if read == 0 {
                        break;
                    }
                    file.consume(read);
                }
                if let Some(row) = rows.end().map_err(bad)?.filter(|_| !header) {
                    add(entry(row))?;
                }
            }
        }
        done.long = long;
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
