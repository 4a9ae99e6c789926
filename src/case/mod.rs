//! The case: one SQLite file, made whole or not at all.
//!
//! A new case is written to a temporary file beside its place (`.NAME.dof-partial-XXXXXX`), synced, and renamed
//! when it is complete, so a case at its own name is complete; what a killed ingest left is swept up by the next one
//! (`partial.rs`). A host added to an existing case is one transaction. Whatever dof writes it seals (`seal.rs`). Foreign
//! keys are not enforced during a load (a quarter of its speed); a test checks them afterwards.
//!
//! A case that somebody hands over is not believed: dof looks at its file and what lies beside it before SQLite does
//! (`beside.rs`), holds its tables and views against its own (`objects.rs`), and holds it against its seal before it writes.
//! Reading changes nothing in the case's folder.

mod beside;
mod chosen;
mod connection;
mod counted;
mod events;
mod insert;
mod known;
pub mod manual;
mod objects;
mod operators;
mod partial;
mod regexp;
mod schema;
mod seal;
mod times;
mod visibility;
mod writer;

pub use beside::{RolledBack, is_beside_a_case};
pub use chosen::Chosen;
pub use counted::{Counted, Firsts};
pub use known::Imported;
pub use operators::is_wrong_pattern;
pub use schema::{APPLICATION_ID, VERSION};
pub use seal::{Check, check};
pub use visibility::follow_links;
pub use writer::{Counts, Writer};

use crate::parse::sqlite_file::Header;
use chrono::Utc;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    #[error("{0}: another program is writing to it, as an ingest into it does; try again later")]
    Busy(PathBuf),
    /// Someone else is reading, and does not stop.
    #[error("{path}: {by} is reading it; nothing was written: end that, and try again")]
    Read {
        /// The case.
        path: PathBuf,
        /// Who reads.
        by: String,
    },
    /// Something beside a case that dof keeps away from SQLite.
    #[error("{path}: {what}")]
    Beside {
        /// The file beside the case.
        path: PathBuf,
        /// What it is, and what to do.
        what: String,
    },
    /// A transaction was cut off, or another program's changes are not in the case yet.
    #[error("{beside}: {what}; run dof check --recover {case}")]
    Unfinished {
        /// The case.
        case: PathBuf,
        /// The file beside it.
        beside: PathBuf,
        /// What it holds, and what becomes of that.
        what: &'static str,
    },
    /// It is not made as dof makes cases.
    #[error("{path}: not as dof makes cases; {hint}:")]
    Altered {
        /// The case.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
        /// What differs, a line each.
        what: Vec<String>,
    },
    /// It is not as dof sealed it, and was to be written to.
    #[error(
        "{path}: not as dof sealed it, nothing was written; with --accept-changes dof goes on and records this:"
    )]
    Broken {
        /// The case.
        path: PathBuf,
        /// What differs, a line each.
        what: Vec<String>,
    },
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
    /// The file that is read instead, where SQLite would make files beside the case.
    _copy: Option<tempfile::NamedTempFile>,
}

impl Case {
    /// Opens a case file read-only, under SQLite's shared lock. Nothing in its folder changes.
    ///
    /// # Errors
    /// See [`Error`]: [`Error::Altered`] for a case that is not made as this dof makes them.
    pub fn open(path: &Path) -> Result<Case, Error> {
        let case = Case::open_as_it_is(path)?;
        let found = objects::find(&case.db).map_err(sqlite(path))?;
        match found.faults.is_empty() {
            true => Ok(case),
            false => Err(Error::Altered {
                path: path.to_path_buf(),
                hint: "--untrusted reads it all the same",
                what: found.faults,
            }),
        }
    }

    /// Opens a case whatever it is made of. With what is not as dof makes it, a line each; its queries end after a minute.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open_untrusted(path: &Path) -> Result<(Case, Vec<String>), Error> {
        let case = Case::open_as_it_is(path)?;
        let found = objects::find(&case.db).map_err(sqlite(path))?;
        connection::limit(&case.db, connection::UNTRUSTED).map_err(sqlite(path))?;
        Ok((case, found.faults))
    }

    fn open_as_it_is(path: &Path) -> Result<Case, Error> {
        let seen = beside::look(path)?;
        seen.settled()?;
        let copy = seen.makes_files().then(|| seen.copy()).transpose()?;
        let file = copy.as_ref().map_or(seen.path.clone(), |c| c.path().into());
        drop(seen); // before SQLite has locks, which closing the file would drop
        Ok(Case {
            db: connection::reading(&file, path)?,
            path: path.to_path_buf(),
            _copy: copy,
        })
    }

    /// One more connection to the file of an open case, for another thread.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn another(db: &Connection) -> Result<Connection, Error> {
        let path = Path::new(db.path().unwrap_or_default());
        connection::reading(path, path)
    }

    /// The database.
    pub fn db(&self) -> &Connection {
        &self.db
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
    pub fn reopen(self, how: Existing<'_>) -> Result<Target, Error> {
        let Case { db, path, _copy } = self;
        if db.path().is_some_and(|p| !p.is_empty()) {
            drop(db);
            return Target::at(&path, how);
        }
        db.execute_batch("BEGIN").map_err(sqlite(&path))?;
        Ok(Target {
            db,
            path,
            place: Place::Memory,
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

/// Refuses what is no case, or one of another version.
fn identity(header: &Header, path: &Path) -> Result<(), Error> {
    if header.application_id != APPLICATION_ID {
        return Err(Error::NotACase(path.to_path_buf()));
    }
    match header.user_version {
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

/// What a writer does with a case that was there before.
pub struct Existing<'t> {
    /// Whether to go on where the case is not as it was sealed, and record that.
    pub accept: bool,
    /// Takes a line for the analyst: what dof waits for.
    pub tell: &'t mut dyn FnMut(&str),
}

/// Where an ingest writes to.
#[derive(Debug)]
pub struct Target {
    db: Connection,
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// No file that has a name.
    Memory,
    /// A new file, to be renamed.
    New(tempfile::NamedTempFile),
    /// A case that was there before. Its file is closed after SQLite's, whose locks it would drop.
    Existing(File),
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
        operators::register(&db).map_err(&err)?;
        db.execute_batch(&format!("{UNSEEN} {CACHE}"))
            .map_err(&err)?;
        create(&db).map_err(&err)?;
        Ok(Target {
            db,
            path,
            place: Place::Memory,
        })
    }

    /// The case at `path`: a new file, or a further host in an existing case.
    ///
    /// # Errors
    /// When the place cannot be written, or holds something that is no case, or a case that is not as it was sealed.
    pub fn at(path: &Path, how: Existing<'_>) -> Result<Target, Error> {
        let io = |source| Error::Io {
            path: path.to_path_buf(),
            source,
        };
        match std::fs::symlink_metadata(path) {
            Ok(m) if m.is_dir() => Err(io(std::io::Error::from(std::io::ErrorKind::IsADirectory))),
            Ok(_) => Target::existing(path, how),
            Err(_) => Target::create(path),
        }
    }

    fn existing(path: &Path, how: Existing<'_>) -> Result<Target, Error> {
        let err = sqlite(path);
        let mut seen = beside::look(path)?;
        let mut what = Vec::new();
        if let RolledBack::Journal(faults) = beside::roll_back(seen, false, how.accept)? {
            (how.tell)(&format!(
                "{}: a write to it had been cut off; what it had written is undone",
                path.display()
            ));
            let back = |fault| format!("a journal that is not of dof's making was used: {fault}");
            what.extend(faults.into_iter().map(back));
        }
        seen = beside::look(path)?;
        seen.settled()?;
        seen.unread(READERS, how.tell)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&seen.path, flags).map_err(&err)?;
        let begin = || -> rusqlite::Result<()> {
            connection::guard(&db)?;
            connection::limit(&db, connection::OPENING)?;
            // Nobody can begin to read while dof works: that could keep it from ending.
            db.execute_batch(&format!("PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE; {DURABLE} PRAGMA cache_size = -65536; BEGIN EXCLUSIVE;"))?;
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            connection::unlimited(&db)
        };
        begin().map_err(&err)?;
        let found = objects::find(&db).map_err(&err)?;
        if !found.faults.is_empty() {
            return Err(Error::Altered {
                path: path.to_path_buf(),
                hint: "nothing was written, and --accept-changes does not cover this; ingest the host into a new case",
                what: found.faults,
            });
        }
        let check = seal::hold(&db, &seen.file, path)?;
        what.extend(check.faults);
        what.extend(check.new.iter().map(|name| format!("{name}: not dof's")));
        if !what.is_empty() {
            if !how.accept {
                return Err(Error::Broken {
                    path: path.to_path_buf(),
                    what,
                });
            }
            seal::accept(&db, &what, now()).map_err(&err)?;
            for line in &what {
                (how.tell)(&format!(
                    "{}: accepted, and recorded: {line}",
                    path.display()
                ));
            }
        }
        Ok(Target {
            db,
            path: path.to_path_buf(),
            place: Place::Existing(seen.file),
        })
    }

    /// A new case at `path`.
    ///
    /// # Errors
    /// When the place cannot be written, or somebody else is making this case.
    pub fn create(path: &Path) -> Result<Target, Error> {
        let err = sqlite(path);
        let io = |source| Error::Io {
            path: path.to_path_buf(),
            source,
        };
        let dir = parent(path);
        if !dir.is_dir() {
            let what = format!("there is no directory {}", dir.display());
            return Err(io(std::io::Error::new(std::io::ErrorKind::NotFound, what)));
        }
        let name = path
            .file_name()
            .ok_or_else(|| io(std::io::Error::from(std::io::ErrorKind::InvalidInput)))?;
        beside::alone(path)?;
        let partial = match partial::make(dir, &name.to_string_lossy()).map_err(io)? {
            partial::Made::File(file) => file,
            partial::Made::Busy => return Err(Error::Busy(path.to_path_buf())),
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(partial.path(), flags).map_err(&err)?;
        db.execute_batch(&format!("{PAGES} {UNSEEN} {CACHE}"))
            .map_err(&err)?;
        create(&db).map_err(&err)?;
        Ok(Target {
            db,
            path: path.to_path_buf(),
            place: Place::New(partial),
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

    /// Seals, commits, makes it durable, gives it its name and opens it for reading.
    ///
    /// # Errors
    /// When the disk is full or fails; then the target is as it was before.
    pub fn seal(self) -> Result<Case, Error> {
        let Target { db, path, place } = self;
        let err = sqlite(&path);
        let commit = |db: &Connection| db.execute_batch("COMMIT").map_err(&err);
        let close = |db: Connection| db.close().map_err(|(_, e)| err(e));
        match place {
            Place::Memory => {
                commit(&db)?;
                times::prepare(&db).map_err(&err)?;
                Ok(Case {
                    db,
                    path,
                    _copy: None,
                })
            }
            Place::Existing(file) => {
                seal::write(&db, &file, &path, now())?;
                commit(&db)?;
                close(db)?;
                drop(file);
                Case::open(&path)
            }
            Place::New(partial) => {
                let io = |source| Error::Io {
                    path: path.clone(),
                    source,
                };
                seal::write(&db, partial.as_file(), &path, now())?;
                commit(&db)?;
                close(db)?;
                partial.as_file().sync_all().map_err(io)?;
                partial.persist_noclobber(&path).map_err(|e| io(e.error))?;
                File::open(parent(&path))
                    .and_then(|f| f.sync_all())
                    .map_err(io)?;
                Case::open(&path)
            }
        }
    }
}

/// Ends what was cut off while somebody wrote to a case.
///
/// # Errors
/// When what lies beside it is not of dof's making, or would lead to a case that dof did not seal.
pub fn recover(path: &Path) -> Result<RolledBack, Error> {
    beside::roll_back(beside::look(path)?, true, false)
}

/// How long a writer waits for those who read a case.
const READERS: Duration = Duration::from_secs(30);
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
    Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn create(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!("PRAGMA foreign_keys = OFF; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; BEGIN;"))?;
    db.execute_batch(&schema::TABLES)
}
