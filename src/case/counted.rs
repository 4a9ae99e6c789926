//! How much of a host a case holds, counted in its rows: what an ingest says it did is what is there.

use super::{Case, Error, Writer, objects, sqlite};
use rusqlite::{Connection, OptionalExtension};

/// How many rows of each kind a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Containers.
    pub containers: i64,
    /// Images.
    pub images: i64,
    /// Layers.
    pub layers: i64,
    /// Volumes.
    pub volumes: i64,
    /// Directory entries, tree roots included.
    pub files: i64,
    /// Log entries.
    pub log_entries: i64,
    /// Problems of each severity: note, warning, error.
    pub problems: [i64; 3],
    /// Rows of all of dof's tables, of all hosts.
    pub rows: i64,
}

/// The first row ids of a host whose rows were written last.
#[derive(Clone, Copy, Debug)]
pub struct Firsts {
    /// Its row id.
    pub host: i64,
    /// That of its first file.
    pub file: i64,
    /// That of its first log entry.
    pub log_entry: i64,
}

/// Rows of all of dof's tables but the seal's own.
fn rows(db: &Connection) -> rusqlite::Result<i64> {
    objects::stored()
        .filter(|(name, is_table)| *is_table && !matches!(*name, "seal" | "accepted_change"))
        .map(|(name, _)| {
            db.query_row(&format!("SELECT count(*) FROM main.\"{name}\""), [], |r| {
                r.get::<_, i64>(0)
            })
        })
        .sum()
}

impl Writer<'_> {
    /// Rows of all of dof's tables so far.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn rows(&self) -> Result<i64, Error> {
        rows(self.db).map_err(|e| self.err(e))
    }
}

impl Case {
    /// Counts what the case holds of the host that was written last.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn counted(&self, firsts: Firsts) -> Result<Counted, Error> {
        let count = || -> rusqlite::Result<Counted> {
            let of = |table: &str| {
                let sql = format!(
                    "SELECT count(*) FROM {table} x JOIN engine g ON g.id = x.engine_id WHERE g.host_id = ?"
                );
                self.db.query_row(&sql, [firsts.host], |r| r.get(0))
            };
            let from = |table: &str, first: i64| {
                // All of a table SQLite counts without looking at its rows.
                let part = if first > 1 {
                    format!(" WHERE id >= {first}")
                } else {
                    String::new()
                };
                let sql = format!("SELECT count(*) FROM {table}{part}");
                self.db.query_row(&sql, [], |r| r.get(0))
            };
            let problems = |severity: &str| {
                let sql = "SELECT count(*) FROM problem WHERE host_id = ? AND severity = ?";
                self.db
                    .query_row(sql, rusqlite::params![firsts.host, severity], |r| r.get(0))
            };
            Ok(Counted {
                containers: of("container")?,
                images: of("image")?,
                layers: of("layer")?,
                volumes: of("volume")?,
                files: from("file", firsts.file)?,
                log_entries: from("log_entry", firsts.log_entry)?,
                problems: [problems("note")?, problems("warning")?, problems("error")?],
                rows: rows(&self.db)?,
            })
        };
        count().map_err(sqlite(&self.path))
    }

    /// Whether a host of this identity is in the case, and which row id it has.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn host(&self, identity: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT id FROM host WHERE identity = ?";
        let id = self.db.query_row(sql, [identity], |r| r.get(0));
        id.optional().map_err(sqlite(&self.path))
    }
}
