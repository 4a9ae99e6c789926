//! The case: one SQLite file, made whole or not at all.
//!
//! A new case is written to a temporary file beside its place (`.NAME.dof-partial-XXXXXX`), synced, and renamed
//! when it is complete, so a case at its own name is complete; what a killed ingest left is swept up by the next one
//! (`partial.rs`). A host added to an existing case is one transaction. Whatever dof writes it seals (`seal.rs`). Foreign keys are not enforced during a load (a quarter of its speed); a test checks them afterwards.
//! [`Case::open`] says what is wrong with a file that is no case, or one of another version.

mod chosen;
mod events;
mod insert;
mod known;
mod partial;
mod schema;
mod seal;
mod writer;

pub use chosen::Chosen;
pub use known::Imported;
pub use schema::{APPLICATION_ID, VERSION};
pub use seal::{Check, check};
pub use writer::{Counts, Writer};

use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Why a case cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file.
    #[error("{0}: no such case, nor a mounted host; `dof ingest MOUNT CASE` makes a case")]
    Missing(PathBuf),
    /// A file, but no case.
    #[error("{0}: not a dof case")]
    NotACase(PathBuf),
    /// A case of another schema.
    #[error("{path}: case of schema version {found}, this dof reads version {VERSION}: {hint}")]
    Version {
        /// The case.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// What to do.
        hint: &'static str,
    },
    /// Someone else is writing.
    #[error("{0}: another ingest into this case is running")]
    Busy(PathBuf),
    /// SQLite said no: the file is damaged, or cannot be read or written.
    #[error("{path}: {source}")]
    Sqlite {
        /// The case.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A list of known hashes that holds none.
    #[error("{path}: {what}")]
    List {
        /// The list.
        path: PathBuf,
        /// What is in it, or is not.
        what: String,
    },
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => Error::NotACase(path.clone()),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Error::Busy(path.clone())
        }
        _ => Error::Sqlite {
            path: path.clone(),
            source,
        },
    }
}

/// An open, complete case, for reading.
#[derive(Debug)]
pub struct Case {
    db: Connection,
    path: PathBuf,
}

impl Case {
    /// Opens a case file read-only.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(path: &Path) -> Result<Case, Error> {
        if !path.exists() {
            return Err(Error::Missing(path.to_path_buf()));
        }
        let err = sqlite(path);
        roll_back(path);
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(&err)?;
        check_identity(&db, path)?;
        db.execute_batch("PRAGMA mmap_size = 17179869184; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; PRAGMA query_only = ON;").map_err(&err)?;
        Ok(Case {
            db,
            path: path.to_path_buf(),
        })
    }

    /// The database.
    pub fn db(&self) -> &Connection {
        &self.db
    }

    /// The row id of the host with this identity, where the case has it.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn host(&self, identity: &str) -> Result<Option<i64>, Error> {
        let mut find = self
            .db
            .prepare("SELECT id FROM host WHERE identity = ?")
            .map_err(sqlite(&self.path))?;
        let mut rows = find.query([identity]).map_err(sqlite(&self.path))?;
        let row = rows.next().map_err(sqlite(&self.path))?;
        row.map(|r| r.get(0))
            .transpose()
            .map_err(sqlite(&self.path))
    }

    /// The identities of its hosts.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn identities(&self) -> Result<Vec<String>, Error> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut stmt = self.db.prepare("SELECT identity FROM host ORDER BY id")?;
            stmt.query_map([], |r| r.get(0))?.collect()
        };
        read().map_err(sqlite(&self.path))
    }

    /// Opens the case for further rows. One in memory stays the same, a file is opened anew.
    ///
    /// # Errors
    /// Those of [`Target::at`].
    pub fn reopen(self) -> Result<Target, Error> {
        let Case { db, path } = self;
        if db.path().is_some_and(|p| !p.is_empty()) {
            drop(db);
            return Target::at(&path);
        }
        db.execute_batch("BEGIN").map_err(sqlite(&path))?;
        Ok(Target {
            db,
            path,
            partial: None,
        })
    }

    /// The case file; `:temporary:` for one made from a mount for a single command.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its hosts were mounted when they were ingested.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn mounts(&self) -> Result<Vec<PathBuf>, Error> {
        let err = sqlite(&self.path);
        // One of / was made in a root of its own, which is not the one here.
        let mut stmt = (self.db)
            .prepare("SELECT mount FROM host WHERE mount <> '/'")
            .map_err(&err)?;
        let rows = stmt
            .query_map([], |r| r.get::<_, String>(0))
            .map_err(&err)?;
        rows.map(|r| Ok(PathBuf::from(r.map_err(&err)?))).collect()
    }
}

/// Where an ingest into this case was killed, SQLite's journal says how the case was before. Only who may write can put that
/// back; for others SQLite says what is wrong.
fn roll_back(path: &Path) {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if Path::new(&journal).exists()
        && let Ok(db) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    {
        let _ = db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    }
}

fn check_identity(db: &Connection, path: &Path) -> Result<(), Error> {
    let err = sqlite(path);
    let pragma = |name: &str| {
        db.query_row(&format!("PRAGMA {name}"), [], |r| r.get::<_, i32>(0))
            .map_err(&err)
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(Error::NotACase(path.to_path_buf()));
    }
    match pragma("user_version")? {
        VERSION => Ok(()),
        found => Err(Error::Version {
            path: path.to_path_buf(),
            found,
            hint: if found > VERSION {
                "use a newer dof"
            } else {
                "ingest the host again"
            },
        }),
    }
}

/// Where an ingest writes to.
#[derive(Debug)]
pub struct Target {
    db: Connection,
    path: PathBuf,
    /// The file to be renamed, for a new case.
    partial: Option<tempfile::NamedTempFile>,
}

impl Target {
    /// A case for a command that is given a mount: in memory, and beyond SQLite's cache in a temporary file without a name.
    ///
    /// # Errors
    /// When SQLite has no memory or no room.
    pub fn temporary() -> Result<Target, Error> {
        let path = PathBuf::from(TEMPORARY);
        let err = sqlite(&path);
        let db = Connection::open("").map_err(&err)?; // sqlite.org/inmemorydb.html
        db.execute_batch(&format!("{UNSEEN} {CACHE}"))
            .map_err(&err)?;
        create(&db).map_err(&err)?;
        Ok(Target {
            db,
            path,
            partial: None,
        })
    }

    /// The case at `path`: a new file, or a further host in an existing case.
    ///
    /// # Errors
    /// When the place cannot be written, or holds something that is no case.
    pub fn at(path: &Path) -> Result<Target, Error> {
        let err = sqlite(path);
        let io = |source| Error::Io {
            path: path.to_path_buf(),
            source,
        };
        match std::fs::symlink_metadata(path) {
            Ok(m) if m.is_dir() => {
                return Err(io(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
            }
            Ok(_) => {
                let db = Connection::open_with_flags(
                    path,
                    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
                )
                .map_err(&err)?;
                check_identity(&db, path)?;
                db.execute_batch(&format!("PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE; {DURABLE} PRAGMA cache_size = -65536; BEGIN IMMEDIATE;")).map_err(&err)?;
                return Ok(Target {
                    db,
                    path: path.to_path_buf(),
                    partial: None,
                });
            }
            Err(_) => {}
        }
        let dir = parent(path);
        if !dir.is_dir() {
            let what = format!("there is no directory {}", dir.display());
            return Err(io(std::io::Error::new(std::io::ErrorKind::NotFound, what)));
        }
        let name = path
            .file_name()
            .ok_or_else(|| io(std::io::Error::from(std::io::ErrorKind::InvalidInput)))?;
        let partial = match partial::make(dir, &name.to_string_lossy()).map_err(io)? {
            partial::Made::File(file) => file,
            partial::Made::Busy => return Err(Error::Busy(path.to_path_buf())),
        };
        let db = Connection::open_with_flags(
            partial.path(),
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(&err)?;
        db.execute_batch(&format!("{PAGES} {UNSEEN} {CACHE}"))
            .map_err(&err)?;
        create(&db).map_err(&err)?;
        Ok(Target {
            db,
            path: path.to_path_buf(),
            partial: Some(partial),
        })
    }

    /// The case's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The writer for one host's rows.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn writer(&mut self) -> Result<Writer<'_>, Error> {
        Writer::new(&self.db, &self.path)
    }

    /// Commits, seals, makes it durable, gives it its name and opens it for reading.
    ///
    /// # Errors
    /// When the disk is full or fails; then the target is as it was before.
    pub fn seal(self) -> Result<Case, Error> {
        let Target { db, path, partial } = self;
        let err = sqlite(&path);
        if path.as_os_str() == TEMPORARY {
            db.execute_batch("COMMIT").map_err(&err)?;
            return Ok(Case { db, path });
        }
        let io = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let serial = seal::begin(&db, now()).map_err(&err)?;
        db.execute_batch("COMMIT").map_err(&err)?;
        let page = seal::page(&db).map_err(&err)?;
        db.close().map_err(|(_, e)| err(e))?;
        let file = partial.as_ref().map_or(path.as_path(), |p| p.path());
        // The disk has time to write while the digest is worked out.
        let digest = std::thread::scope(|scope| -> io::Result<String> {
            let synced = partial
                .as_ref()
                .map(|p| scope.spawn(|| p.as_file().sync_all()));
            let digest = seal::digest(file, page);
            if let Some(Ok(synced)) = synced.map(|s| s.join()) {
                synced?;
            }
            digest
        });
        let digest = digest.map_err(io)?;
        let db =
            Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(&err)?;
        let how = if partial.is_some() { UNSEEN } else { DURABLE };
        db.execute_batch(how).map_err(&err)?;
        seal::finish(&db, serial, &digest).map_err(&err)?;
        db.close().map_err(|(_, e)| err(e))?;
        let Some(partial) = partial else {
            return Case::open(&path);
        };
        partial.as_file().sync_all().map_err(io)?;
        partial.persist_noclobber(&path).map_err(|e| io(e.error))?;
        File::open(parent(&path))
            .and_then(|f| f.sync_all())
            .map_err(io)?;
        Case::open(&path)
    }
}

/// How a file is written that nobody else knows and that is synced before it gets its name: no journal, no locks.
const UNSEEN: &str =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;";
/// How a case is written that was there before: the removal of the journal, which is what commits, outlives a power cut too.
const DURABLE: &str = "PRAGMA synchronous = EXTRA;";
/// Bytes of a page, which is what SQLite writes at a time: an ingest takes 6% less than with 8 KiB. An empty case has 2 MiB.
const PAGES: &str = "PRAGMA page_size = 32768;";
/// The path that a temporary case goes by.
const TEMPORARY: &str = ":temporary:";
/// The most that SQLite holds in memory of a case that is written: more is no faster.
const CACHE: &str = "PRAGMA cache_size = -16384;";

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn create(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!("PRAGMA foreign_keys = OFF; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; BEGIN;"))?;
    db.execute_batch(schema::TABLES)
}
