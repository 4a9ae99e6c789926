//! The one writer: rows in, prepared statements, row ids from counters, nothing looked up.

use super::events::Events;
use super::insert::{Insert, Numbered, Row};
use super::visibility::{self, Makes};
use super::{Error, Firsts, schema, sqlite};
use crate::batch::{Batch, FileBatch, FileRow, HashBatch, LogBatch, Stream};
use crate::evidence::Xattrs;
use crate::overlay::bits;
use crate::problem::{Problem, Severity};
use crate::record::Record;
use crate::text;
use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Statement, ToSql};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

/// Distinct attribute texts remembered; beyond that a text may be stored twice.
const ATTRS_REMEMBERED: usize = 4096;

/// The columns of `file` but its id, in the order they are set.
const FILE: &[&str] = &[
    "dir_id", "name", "mode", "uid", "gid", "nlink", "size", "inode", "atime", "mtime", "ctime",
    "crtime", "link", "overlay", "redirect", "rdev", "name_raw", "link_raw",
];

/// How much was given to the writer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Directory entries, tree roots included.
    pub files: u64,
    /// Log entries.
    pub log_entries: u64,
}

/// Bytes as TEXT without a second look: the caller knows they are UTF-8.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

struct Blob<'a>(&'a [u8]);

impl ToSql for Blob<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0)))
    }
}

/// Binds bytes as readable text at `at`, and at `raw_at` as they are when they are not UTF-8.
fn set_name(row: &mut Row<'_, '_>, at: usize, raw_at: usize, bytes: &[u8]) -> rusqlite::Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(_) => {
            row.set(at, Text(bytes))?;
            row.set(raw_at, Null)
        }
        Err(_) => {
            row.set(at, text::lossless(bytes).as_ref())?;
            row.set(raw_at, Blob(bytes))
        }
    }
}

fn put_xattrs(stmt: &mut Statement<'_>, file: i64, all: &Xattrs) -> rusqlite::Result<()> {
    for (name, value) in all {
        stmt.raw_bind_parameter(1, file)?;
        stmt.raw_bind_parameter(2, text::lossless(name).as_ref())?;
        stmt.raw_bind_parameter(3, Blob(value))?;
        stmt.raw_execute()?;
    }
    Ok(())
}

/// Writes one host's rows. SQLite's errors come back with the case's path.
pub struct Writer<'c> {
    pub(super) db: &'c Connection,
    path: PathBuf,
    pub(super) host: i64,
    tables: HashMap<&'static str, Statement<'c>>,
    dir: Insert<'c>,
    /// Adds to the entries of a directory.
    more: Statement<'c>,
    file: Numbered<'c>,
    hash: Insert<'c>,
    xattr: Statement<'c>,
    log: Numbered<'c>,
    /// Gives a run of entries without a time one: few have none, and a column less to insert is felt.
    near: Statement<'c>,
    attrs: Statement<'c>,
    problem: Statement<'c>,
    next_file: i64,
    next_log: i64,
    firsts: Firsts,
    /// The log file that is being written, and its first entry.
    in_log: Option<(i64, i64)>,
    /// Of the log that is being written: the last time in it.
    last_ts: Option<i64>,
    /// The first entry of that log, as long as none of it has a time.
    no_ts_since: Option<i64>,
    /// Whether all log entries are written, and indexed.
    logs_ended: bool,
    next_attrs: i64,
    attrs_ids: HashMap<Vec<u8>, i64>,
    events: Events,
    /// Trees in which there are marks of layers.
    marked: HashSet<i64>,
    counts: Counts,
}

impl<'c> Writer<'c> {
    pub(super) fn new(db: &'c Connection, path: &Path) -> Result<Self, Error> {
        Self::prepare(db, path).map_err(sqlite(path))
    }

    fn prepare(db: &'c Connection, path: &Path) -> rusqlite::Result<Self> {
        let next = |table: &str| {
            db.query_row(
                &format!("SELECT coalesce(max(id), 0) + 1 FROM {table}"),
                [],
                |r| r.get::<_, i64>(0),
            )
        };
        let firsts = Firsts {
            host: next("host")?,
            file: next("file")?.max(next("directory")?),
            log_entry: next("log_entry")?,
        };
        Ok(Writer {
            path: path.to_path_buf(),
            host: firsts.host,
            tables: HashMap::new(),
            dir: Insert::new(db, "directory", &["id", "tree_id", "path", "path_raw", "dev", "first_file", "last_file"]),
            more: db.prepare("UPDATE directory SET last_file = last_file + ? WHERE id = ?")?,
            file: Numbered::new(db, "file", FILE),
            hash: Insert::new(db, "file_hash", &["file_id", "sha256"]),
            xattr: db.prepare("INSERT OR REPLACE INTO file_xattr (file_id, name, value) VALUES (?, ?, ?)")?,
            log: Numbered::new(db, "log_entry", &["log_file_id", "offset", "ts", "stream", "line", "partial", "attrs_id", "raw"]),
            near: db.prepare("UPDATE log_entry SET ts_near = ? WHERE id BETWEEN ? AND ?")?,
            attrs: db.prepare("INSERT INTO log_attrs (id, json) VALUES (?, ?)")?,
            problem: db.prepare("INSERT INTO problem (host_id, severity, path, offset, what, kept) VALUES (?, ?, ?, ?, ?, ?)")?,
            next_file: firsts.file,
            next_log: firsts.log_entry,
            firsts,
            in_log: None,
            last_ts: None,
            no_ts_since: None,
            logs_ended: false,
            next_attrs: next("log_attrs")?,
            attrs_ids: HashMap::new(),
            events: Events::default(),
            marked: HashSet::new(),
            counts: Counts::default(),
            db,
        })
    }

    pub(super) fn err(&self, e: rusqlite::Error) -> Error {
        sqlite(&self.path)(e)
    }

    /// The row id this host gets.
    pub fn host_id(&self) -> i64 {
        self.host
    }

    /// The row ids that its rows begin with.
    pub fn firsts(&self) -> Firsts {
        self.firsts
    }

    /// The first free row id of a table.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn first_free(&self, table: &str) -> Result<i64, Error> {
        self.db
            .query_row(
                &format!("SELECT coalesce(max(id), 0) + 1 FROM {table}"),
                [],
                |r| r.get(0),
            )
            .map_err(|e| self.err(e))
    }

    /// Takes out an earlier ingest of the host with this identity. How many rows there were of it, `None` where there was none.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn replace(&mut self, identity: &str) -> Result<Option<i64>, Error> {
        let run = || -> rusqlite::Result<Option<i64>> {
            let before = self.db.total_changes();
            let mut find = self.db.prepare("SELECT id FROM host WHERE identity = ?")?;
            let old: Vec<i64> = find
                .query_map([identity], |r| r.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for host in &old {
                run(self.db, schema::REMOVE_HOST, &[(":host", *host)])?;
            }
            Ok((!old.is_empty()).then(|| (self.db.total_changes() - before).cast_signed()))
        };
        run().map_err(|e| self.err(e))
    }

    /// Writes one row.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn record(&mut self, record: &Record) -> Result<(), Error> {
        let mut put = || -> rusqlite::Result<()> {
            let stmt = match self.tables.entry(record.table()) {
                std::collections::hash_map::Entry::Occupied(e) => e.into_mut(),
                std::collections::hash_map::Entry::Vacant(e) => {
                    let columns = record.columns();
                    let marks = vec!["?"; columns.len()].join(", ");
                    e.insert(self.db.prepare(&format!(
                        "INSERT INTO {} ({}) VALUES ({marks})",
                        record.table(),
                        columns.join(", ")
                    ))?)
                }
            };
            for (i, value) in record.values().iter().enumerate() {
                match value.to_sql()? {
                    // JSON may have NULs in its strings, at which stock `sqlite3` ends what it prints.
                    ToSqlOutput::Borrowed(ValueRef::Text(t)) if !text::is_plain(t) => {
                        stmt.raw_bind_parameter(i + 1, text::lossless(t).as_ref())?;
                    }
                    value => stmt.raw_bind_parameter(i + 1, value)?,
                }
            }
            stmt.raw_execute()?;
            Ok(())
        };
        put().map_err(|e| self.err(e))
    }

    /// Writes a problem.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn problem(&mut self, p: &Problem) -> Result<(), Error> {
        let offset = p.offset.map(|o| o as i64);
        let done = self.problem.execute(rusqlite::params![
            self.host,
            p.severity.word(),
            text::lossless(p.path.as_bytes()),
            offset,
            text::lossless(p.what.as_bytes()),
            text::lossless(p.kept.as_bytes())
        ]);
        done.map(drop).map_err(|e| self.err(e))
    }

    /// Goes on with a host that is in the case.
    pub fn go_on(&mut self, host: i64) {
        self.host = host;
    }

    /// Takes out the results of an earlier verification of the host.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn forget_verification(&mut self) -> Result<(), Error> {
        let host = [(":host", self.host)];
        run(self.db, schema::REMOVE_VERIFICATION, &host).map_err(|e| self.err(e))
    }

    /// The same for one layer or image alone, by its row id.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn forget_verified(&mut self, row: i64, is_layer: bool) -> Result<(), Error> {
        let column = if is_layer { "layer_id" } else { "image_id" };
        let run = |sql: String| self.db.execute(&sql, [row]);
        run(format!(
            "DELETE FROM verification_finding WHERE verification_id IN (SELECT id FROM verification WHERE {column} = ?)"
        ))
        .and_then(|_| run(format!("DELETE FROM verification WHERE {column} = ?")))
        .map(drop)
        .map_err(|e| self.err(e))
    }

    /// Writes a problem unless the host has it already.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn problem_once(&mut self, p: &Problem) -> Result<(), Error> {
        let there = self.db.query_row(
            "SELECT EXISTS (SELECT 1 FROM problem WHERE host_id = ? AND path = ? AND what = ?)",
            rusqlite::params![self.host, p.path, p.what],
            |r| r.get(0),
        );
        if there.map_err(|e| self.err(e))? {
            return Ok(());
        }
        self.problem(p)
    }

    /// Writes a batch; its problems are the caller's to take first. All of a directory come one after the other among those
    /// of files, and all of a log file among those of logs.
    ///
    /// # Errors
    /// When SQLite or the temporary file of the time index fails.
    pub fn batch(&mut self, batch: &Batch) -> Result<(), Error> {
        let done = match batch {
            Batch::Files(b) => self.files(b),
            Batch::Hashes(b) => self.hashes(b),
            Batch::Log(b) => self.log(b),
            Batch::LogsEnd => self.end_logs(),
        };
        done.map_err(|e| self.err(e))
    }

    fn files(&mut self, b: &FileBatch) -> rusqlite::Result<()> {
        if b.first {
            // A directory goes by the id of its own row in `file`; a tree's root has that row in its first batch.
            let id = match b.dir.entry.load(Relaxed) {
                0 => self.next_file,
                entry => entry,
            };
            b.dir.id.store(id, Relaxed);
            self.dir.all(&[&b.dir], |row, _, dir| {
                row.set(1, id)?;
                row.set(2, dir.tree)?;
                set_name(row, 3, 4, &dir.path)?;
                row.set(5, dir.dev.map(|d| d as i64))?;
                row.set(6, self.next_file)?;
                row.set(7, self.next_file + b.rows.len() as i64 - 1)
            })?;
            let entry = b.dir.entry.load(Relaxed);
            if entry == 0 && b.rows.is_empty() {
                self.next_file += 1; // a root that could not be read has no row
            }
            if entry != 0 && (b.dir_marks != 0 || b.dir_redirect.is_some()) {
                let redirect = b.dir_redirect.as_deref().map(text::lossless);
                self.db.execute(
                    "UPDATE file SET overlay = ?, redirect = ? WHERE id = ?",
                    rusqlite::params![bits::words(b.dir_marks), redirect, entry],
                )?;
            }
        }
        if b.dir_marks != 0 || b.dir_redirect.is_some() || b.rows.iter().any(|r| r.overlay != 0) {
            self.marked.insert(b.dir.tree);
        }
        let dir = b.dir.id.load(Relaxed);
        if !b.first && !b.rows.is_empty() {
            self.more.raw_bind_parameter(1, b.rows.len() as i64)?;
            self.more.raw_bind_parameter(2, dir)?;
            self.more.raw_execute()?;
        }
        if let Some(first) = &b.first_row {
            first.store(self.next_file, Relaxed);
        }
        put_xattrs(&mut self.xattr, dir, &b.dir_xattrs)?;
        let first = self.next_file;
        let mut redirects = b.redirects.iter().peekable();
        self.file.all(first, &b.rows, |f, i, row| {
            let (name, link) = b.text(row);
            let m = &row.meta;
            f.set(1, dir)?;
            set_name(f, 2, 17, name)?;
            f.set(3, m.mode)?;
            f.set(4, m.uid)?;
            f.set(5, m.gid)?;
            f.set(6, m.nlink)?;
            f.set(7, m.size as i64)?;
            f.set(8, m.inode as i64)?;
            f.set(9, m.atime)?;
            f.set(10, m.mtime)?;
            f.set(11, m.ctime)?;
            f.set(12, m.crtime)?;
            if link.is_empty() {
                f.set(13, Null)?;
                f.set(18, Null)?;
            } else {
                set_name(f, 13, 18, link)?;
            }
            f.set(14, bits::words(row.overlay))?;
            let redirect = redirects.next_if(|r| r.0 == i);
            f.set(15, redirect.map(|r| text::lossless(&r.1)))?;
            let is_device = matches!(m.mode & 0o170_000, 0o020_000 | 0o060_000);
            f.set(16, is_device.then_some(m.rdev as i64))
        })?;
        for (id, row) in (first..).zip(&b.rows) {
            let m = &row.meta;
            self.events
                .add(id, m.atime, m.mtime, m.ctime, m.crtime)
                .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        }
        for (i, all) in &b.xattrs {
            put_xattrs(&mut self.xattr, first + *i as i64, all)?;
        }
        for (i, child) in &b.children {
            child.entry.store(first + *i as i64, Relaxed);
        }
        self.next_file += b.rows.len() as i64;
        let is_mark = |row: &FileRow| row.overlay & bits::OPAQUE != 0 && row.name_len > 0;
        if b.rows.iter().any(is_mark) {
            // Marked by the name of a file in it.
            self.db.execute(
                "UPDATE file SET overlay = ? WHERE id = ?",
                rusqlite::params![bits::words(bits::OPAQUE | b.dir_marks), dir],
            )?;
        }
        for (inner, path) in &b.nested {
            self.db.execute(
                "INSERT OR IGNORE INTO tree_nesting (outer_id, inner_id, path) VALUES (?, ?, ?)",
                rusqlite::params![b.dir.tree, inner, text::lossless(path)],
            )?;
        }
        self.counts.files += b.rows.len() as u64;
        Ok(())
    }

    fn hashes(&mut self, b: &HashBatch) -> rusqlite::Result<()> {
        let first = b.first_row.load(Relaxed);
        self.hash.all(&b.rows, |h, _, (row, hash)| {
            h.set(1, first + i64::from(*row))?;
            h.set(2, Blob(hash))
        })?;
        Ok(())
    }

    fn attrs_id(&mut self, json: &[u8]) -> rusqlite::Result<Option<i64>> {
        if json.is_empty() {
            return Ok(None);
        }
        if let Some(&id) = self.attrs_ids.get(json) {
            return Ok(Some(id));
        }
        if self.attrs_ids.len() >= ATTRS_REMEMBERED {
            self.attrs_ids.clear();
        }
        let id = self.next_attrs;
        self.attrs
            .execute(rusqlite::params![id, text::lossless(json)])?;
        self.attrs_ids.insert(json.to_vec(), id);
        self.next_attrs += 1;
        Ok(Some(id))
    }

    fn log(&mut self, b: &LogBatch) -> rusqlite::Result<()> {
        if self.in_log.is_none_or(|(file, _)| file != b.file) {
            self.end_log()?;
            self.in_log = Some((b.file, self.next_log));
            if !b.follows {
                (self.last_ts, self.no_ts_since) = (None, None);
            }
        }
        let mut attrs = Vec::with_capacity(b.rows.len());
        for row in &b.rows {
            attrs.push(self.attrs_id(b.texts(row).1)?);
        }
        self.log.all(self.next_log, &b.rows, |s, i, row| {
            let (line, _, raw) = b.texts(row);
            s.set(1, b.file)?;
            s.set(2, row.head.offset as i64)?;
            s.set(3, row.head.ts)?;
            s.set(
                4,
                match row.head.stream {
                    Stream::Stdout => Some("stdout"),
                    Stream::Stderr => Some("stderr"),
                    Stream::Other => None,
                },
            )?;
            if row.plain {
                s.set(5, Text(line))?;
            } else {
                s.set(5, text::lossless(line).as_ref())?;
            }
            s.set(6, row.head.partial)?;
            s.set(7, attrs[i])?;
            s.set(8, (!raw.is_empty()).then_some(Blob(raw)))
        })?;
        self.times_near(b)?;
        self.next_log += b.rows.len() as i64;
        self.counts.log_entries += b.rows.len() as u64;
        Ok(())
    }

    /// Gives the entries of a batch just written that have no time that of the one before: `ts_near` in schema/log.sql.
    fn times_near(&mut self, b: &LogBatch) -> rusqlite::Result<()> {
        let ids = self.next_log..;
        let mut rows = ids.zip(b.rows.iter().map(|row| row.head.ts)).peekable();
        if self.last_ts.is_none() {
            // None of this log had a time yet.
            let first = b.rows.iter().find_map(|row| row.head.ts);
            if let Some(since) = self.no_ts_since
                && first.is_some()
            {
                self.near.execute((first, since, self.next_log - 1))?;
            }
            self.last_ts = first;
            self.no_ts_since = match (first, self.no_ts_since) {
                (None, None) if !b.rows.is_empty() => Some(self.next_log),
                (None, since) => since,
                (Some(_), _) => None,
            };
        }
        while let Some((id, ts)) = rows.next() {
            if ts.is_some() {
                self.last_ts = ts;
                continue;
            }
            let mut end = id;
            while let Some((next, _)) = rows.next_if(|(_, ts)| ts.is_none()) {
                end = next;
            }
            let near = self.last_ts.unwrap_or(b.mtime);
            self.near.execute((near, id, end))?;
        }
        Ok(())
    }

    /// Notes which entries are those of the log file that was being written.
    fn end_log(&mut self) -> rusqlite::Result<()> {
        if let Some((file, first)) = self.in_log.take()
            && first < self.next_log
        {
            self.db.execute(
                "UPDATE log_file SET first_entry = ?, last_entry = ? WHERE id = ?",
                [first, self.next_log - 1, file],
            )?;
        }
        Ok(())
    }

    /// Indexes the log entries: before the end of the ingest, so that the threads that read have files to walk meanwhile.
    fn end_logs(&mut self) -> rusqlite::Result<()> {
        if !std::mem::replace(&mut self.logs_ended, true) {
            self.end_log()?;
            self.db.execute_batch(schema::LOG_INDEX)?;
        }
        Ok(())
    }

    /// How much was written so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Ends a host: time index, indexes, what its containers show, derived rows, and the mark that says it is complete. Gives
    /// the problems it wrote. `makes` says whether the engine of a kind makes an entry of these attributes itself, at this path
    /// of the layer of its own files.
    ///
    /// # Errors
    /// When SQLite or the temporary file of the time index fails.
    pub fn finish(mut self, now: i64, makes: &Makes) -> Result<Vec<Problem>, Error> {
        let problems = self.finish_rows(now, makes).map_err(|e| self.err(e))?;
        problems
            .iter()
            .try_for_each(|problem| self.problem(problem))?;
        Ok(problems)
    }

    fn finish_rows(&mut self, now: i64, makes: &Makes) -> rusqlite::Result<Vec<Problem>> {
        let db = self.db;
        self.end_logs()?;
        let mut put = Insert::new(db, "event", &["ts", "file_id", "macb"]);
        let events = std::mem::take(&mut self.events).drain(|some| -> Result<(), DrainError> {
            put.all(some, |row, _, e| {
                row.set(1, e.ts)?;
                row.set(2, e.file())?;
                row.set(3, e.macb())
            })?;
            Ok(())
        });
        events.map_err(|DrainError(e)| e)?;
        db.execute_batch(schema::INDEXES)?;
        let mut problems =
            visibility::work_out(db, self.host, self.counts.files, &self.marked, makes)?;
        derive(db, self.host, NESTED)?;
        let unseen: Option<String> = db
            .query_row(schema::UNSEEN_NESTED, [self.host], |r| r.get(0))
            .optional()?;
        db.execute(
            "UPDATE host SET ingest_end = ? WHERE id = ?",
            [now, self.host],
        )?;
        problems.extend(unseen.map(|path| Problem {
            severity: Severity::Warning,
            path,
            offset: None,
            what: format!(
                "seen in containers through mounts of what it lies in, beyond {NESTED} places or {LEVELS} levels"
            ),
            kept: "its files, and the places nearest to the mounts, of all such trees".into(),
        }));
        Ok(problems)
    }
}

/// What can go wrong while the time index is written.
struct DrainError(rusqlite::Error);

impl From<rusqlite::Error> for DrainError {
    fn from(e: rusqlite::Error) -> Self {
        DrainError(e)
    }
}

impl From<std::io::Error> for DrainError {
    fn from(e: std::io::Error) -> Self {
        DrainError(rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
    }
}

/// How many places of trees within mounted trees are written at most, and how many levels deep.
const NESTED: i64 = 1_000_000;
const LEVELS: i64 = 16;

/// Writes the rows computed from those of a host.
fn derive(db: &Connection, host: i64, nested: i64) -> rusqlite::Result<()> {
    let bound = [(":host", host), (":nested", nested), (":levels", LEVELS)];
    run(db, schema::DERIVED, &bound)
}

/// Runs the statements of a schema file; each gets those parameters that it has.
fn run(db: &Connection, sql: &str, bound: &[(&str, i64)]) -> rusqlite::Result<()> {
    let mut batch = rusqlite::Batch::new(db, sql);
    while let Some(mut stmt) = fallible_iterator::FallibleIterator::next(&mut batch)? {
        for (name, value) in bound {
            if let Some(at) = stmt.parameter_index(name)? {
                stmt.raw_bind_parameter(at, value)?;
            }
        }
        stmt.raw_execute()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two containers mount what three trees lie in, one of them a level deeper: those nearest are kept, and what is mounted
    /// itself always is.
    #[test]
    fn places_of_nested_trees_have_a_limit() {
        let rows = "
            INSERT INTO host (id, identity, mount, dof_version, arguments, ingest_start) VALUES (1, '', '/', '', '', 0);
            INSERT INTO engine (id, host_id, kind, data_root, found_by, rootless, comparison, folders) VALUES (1, 1, 'docker', '/d', '', 0, 'file-type', '[]');
            INSERT INTO container (id, engine_id, full_id, status, running, paused, restarting, removing, dead, oom_killed)
            VALUES (1, 1, 'a', '', 0, 0, 0, 0, 0, 0), (2, 1, 'b', '', 0, 0, 0, 0, 0, 0);
            INSERT INTO tree (id, host_id, kind, host_path, dev) VALUES (1, 1, 'bind', '/s', 0), (2, 1, 'bind', '/s/x', 0), (3, 1, 'bind', '/s/y', 0), (4, 1, 'bind', '/s/x/z', 0);
            INSERT INTO tree_nesting (outer_id, inner_id, path) VALUES (1, 2, '/x'), (1, 3, '/y'), (2, 4, '/z');
            INSERT INTO container_mount (container_id, kind, destination, tree_id) VALUES (1, 'bind', '/m', 1), (2, 'bind', '/m', 1);";
        let one = ["/m", "/m/x", "/m/y", "/m/x/z"];
        for (nested, trees) in [(6, 4), (4, 3), (0, 1)] {
            let target = crate::case::Target::temporary().unwrap();
            target.db.execute_batch(rows).unwrap();
            let makes = |_: &str, _: &str, _: &_| false;
            visibility::work_out(&target.db, 1, 0, &HashSet::new(), &makes).unwrap();
            derive(&target.db, 1, nested).unwrap();
            for sql in [
                "SELECT container_path FROM tree_container ORDER BY tree_id, container_id",
                "SELECT place FROM mount_place ORDER BY tree_id, container_id",
            ] {
                let mut stmt = target.db.prepare(sql).unwrap();
                let places = stmt.query_map([], |r| r.get(0)).unwrap();
                let places: Vec<String> = places.collect::<Result<_, _>>().unwrap();
                let kept: Vec<&str> = one[..trees].iter().flat_map(|p| [*p, *p]).collect();
                assert_eq!(places, kept, "{nested}: {sql}");
            }
            let unseen = target
                .db
                .query_row(schema::UNSEEN_NESTED, [1], |r| r.get::<_, String>(0))
                .optional();
            assert_eq!(unseen.unwrap().is_some(), nested < 6);
        }
    }
}
