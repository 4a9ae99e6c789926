//! What SQLite would act on before dof can ask it anything: the header of a case's file, and a journal or `-wal` beside it.
//!
//! A hot journal changes the case as soon as it is opened for writing, and may name a file that SQLite deletes. So dof opens
//! these files first. Only [`roll_back`] lets SQLite use a journal, after it was held to what dof itself writes and was
//! tried on a copy.

use super::{Error, connection, objects, seal};
use crate::parse::sqlite_file::{self, Header};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Flock, FlockOffsetType, FlockType, Pid, fcntl_getlk};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where SQLite locks a database, in bytes from its beginning: who prepares to write holds the first, who reads holds one of
/// the others (sqlite.org/src/file/src/os.h, `PENDING_BYTE`).
const RESERVED: (u64, u64) = (0x4000_0001, 1);
const SHARED: (u64, u64) = (0x4000_0002, 510);

/// A file beside a case that SQLite would use.
#[derive(Debug)]
struct Neighbour {
    path: PathBuf,
    file: File,
    size: u64,
}

/// A case's file as it lies there, before SQLite sees it.
#[derive(Debug)]
pub struct Seen {
    /// Its path, without links: SQLite looks for its neighbours there.
    pub path: PathBuf,
    /// The file, open for reading. Closing it drops all of this process's locks on the case: that comes after SQLite.
    pub file: File,
    /// Its header.
    pub header: Header,
    /// How many pages it has.
    pages: u64,
    /// A journal that SQLite would play back.
    journal: Option<Neighbour>,
    /// A `-wal` file.
    wal: Option<Neighbour>,
}

/// Opens a plain file that nobody else has another name for; `None` where there is none.
fn plain(path: &Path) -> Result<Option<Neighbour>, Error> {
    let io = |source: io::Error| Error::Io {
        path: path.to_path_buf(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let foreign = |kind: &str| {
        Err(Error::Beside {
            path: path.to_path_buf(),
            what: format!("{kind}, which SQLite would write to or wait for; move it away"),
        })
    };
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return foreign("a symbolic link"),
        Err(rustix::io::Errno::NXIO) => return foreign("a socket or device"),
        Err(e) => return Err(io(e.into())),
    };
    let meta = file.metadata().map_err(io)?;
    match meta.is_file() {
        false => return foreign("a folder, FIFO or device"),
        true if meta.nlink() != 1 => return foreign("a file with another name elsewhere"),
        true => {}
    }
    Ok(Some(Neighbour {
        path: path.to_path_buf(),
        file,
        size: meta.len(),
    }))
}

impl Neighbour {
    /// Up to `N` bytes from `at` on.
    fn bytes<const N: usize>(&self, at: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; N];
        let mut n = 0;
        while n < N {
            match self.file.read_at(&mut bytes[n..], at + n as u64) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Error::Io {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
        bytes.truncate(n);
        Ok(bytes)
    }
}

/// Refuses a place for a new case beside which lies what SQLite would take for a part of it.
///
/// # Errors
/// When there is such a file.
pub fn alone(path: &Path) -> Result<(), Error> {
    let there = |end: &&str| named(path, end).symlink_metadata().is_ok();
    ["-journal", "-wal"]
        .iter()
        .find(|end| there(end))
        .map_or(Ok(()), |end| {
            Err(Error::Beside {
                path: named(path, end),
                what: "it belongs to a case that is not there: move it away".into(),
            })
        })
}

/// Whether SQLite would take a file of this name for a part of a file that is there.
pub fn is_beside_a_case(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let of = |end: &&str| {
        let case = name.strip_suffix(end.as_bytes())?;
        Some(path.with_file_name(OsStr::from_bytes(case)))
    };
    ["-journal", "-wal", "-shm"]
        .iter()
        .filter_map(of)
        .any(|case| case.is_file())
}

/// The path of a file beside a case.
fn named(case: &Path, end: &str) -> PathBuf {
    let mut name = case.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Looks at the case at `path` and at what lies beside it. Nothing is changed.
///
/// # Errors
/// When there is no case of this version, or a neighbour is no plain file.
pub fn look(path: &Path) -> Result<Seen, Error> {
    let io = |source: io::Error| Error::Io {
        path: path.to_path_buf(),
        source,
    };
    let real = match path.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Missing(path.to_path_buf()));
        }
        real => real.map_err(io)?,
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&real, flags, Mode::empty()).map_err(|e| io(e.into()))?;
    let file = File::from(fd);
    if !file.metadata().map_err(io)?.is_file() {
        return Err(Error::NotACase(path.to_path_buf()));
    }
    let case = Neighbour {
        path: real,
        file,
        size: 0,
    };
    let head = case.bytes::<{ sqlite_file::HEADER }>(0)?;
    let header = sqlite_file::header(&head).ok_or_else(|| Error::NotACase(path.to_path_buf()))?;
    super::identity(&header, path)?;
    if !header.usual {
        return Err(Error::Altered {
            path: path.to_path_buf(),
            hint: "ingest the host into a new case",
            what: vec!["the header of the file is not as dof writes it".into()],
        });
    }
    let beside = |end: &str| plain(&named(&case.path, end));
    let hot = |journal: Option<Neighbour>| -> Result<Option<Neighbour>, Error> {
        match journal {
            Some(journal) if sqlite_file::is_hot(&journal.bytes::<1>(0)?) => Ok(Some(journal)),
            _ => Ok(None),
        }
    };
    let mut journal = hot(beside("-journal")?)?;
    let wal = beside("-wal")?;
    beside("-shm")?;
    if journal.is_some() {
        // Who is writing right now has its journal there, too, and may have been done a moment ago.
        let writing = locked(&case.file, RESERVED, FlockType::WriteLock).is_some();
        journal = if writing {
            None
        } else {
            hot(beside("-journal")?)?
        };
    }
    let size = case.file.metadata().map_err(io)?.len();
    let seen = Seen {
        path: case.path,
        file: case.file,
        header,
        pages: size.div_ceil(u64::from(header.page_size)),
        journal,
        wal,
    };
    if seen.settled().is_ok() {
        seen.wait_for_a_sound_schema()?;
    }
    Ok(seen)
}

/// Whether another process holds a lock there that a lock of this type would have to wait for: its pid.
fn locked(file: &File, (start, length): (u64, u64), typ: FlockType) -> Option<Option<Pid>> {
    let lock = Flock {
        start,
        length,
        pid: None,
        typ,
        offset_type: FlockOffsetType::Set,
    };
    fcntl_getlk(file, &lock).ok().flatten().map(|l| l.pid)
}

impl Seen {
    /// Refuses a case that SQLite would change when it is opened.
    ///
    /// # Errors
    /// [`Error::Unfinished`] where there is a hot journal, or a `-wal` that holds frames.
    pub fn settled(&self) -> Result<(), Error> {
        let refuse = |n: &Neighbour, what| {
            Err(Error::Unfinished {
                case: self.path.clone(),
                beside: n.path.clone(),
                what,
            })
        };
        match (&self.journal, self.frames()) {
            (Some(journal), _) => refuse(
                journal,
                "a write to the case was cut off, and this is how the case was before",
            ),
            (None, Some(wal)) => refuse(
                wal,
                "it holds changes by another program that are not in the case yet",
            ),
            (None, None) => Ok(()),
        }
    }

    /// Refuses a case whose schema would keep SQLite busy, unless somebody is writing it right now.
    fn wait_for_a_sound_schema(&self) -> Result<(), Error> {
        let io = |source: io::Error| Error::Io {
            path: self.path.clone(),
            source,
        };
        let begun = Instant::now();
        while !self.schema_is_sound().map_err(io)? {
            let writing = locked(&self.file, RESERVED, FlockType::WriteLock).is_some();
            match begun.elapsed().as_secs() {
                10.. if writing => return Err(Error::Busy(self.path.clone())),
                1.. if !writing => {
                    return Err(Error::Altered {
                        path: self.path.clone(),
                        hint: "it is damaged; ingest the host into a new case",
                        what: vec!["the pages of its schema are not sound".into()],
                    });
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        Ok(())
    }

    /// Whether the tree of the schema, which SQLite reads whole as soon as it opens the case, meets no page twice.
    fn schema_is_sound(&self) -> io::Result<bool> {
        let size = self.header.page_size as usize;
        let mut page = vec![0; size];
        let mut met = HashSet::new();
        let walked: io::Result<()> = sqlite_file::walk(1, |number, in_tree| {
            if number == 0 || u64::from(number) > self.pages || !met.insert(number) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let at = u64::from(number - 1) * size as u64;
            self.file.read_exact_at(&mut page, at)?;
            let before = if number == 1 { sqlite_file::HEADER } else { 0 };
            match in_tree {
                true => sqlite_file::leads(&page, before)
                    .ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
                false => Ok(sqlite_file::next_overflow(&page)),
            }
        });
        match walked {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            walked => walked.map(|()| true),
        }
    }

    fn frames(&self) -> Option<&Neighbour> {
        self.wal
            .as_ref()
            .filter(|w| w.size > sqlite_file::WAL_HEADER)
    }

    /// Whether SQLite would make files beside the case even to read it.
    pub fn makes_files(&self) -> bool {
        self.header.wal || self.wal.is_some()
    }

    /// A copy of the case of its own, in the folder for temporary files, that SQLite reads without a file beside it.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn copy(&self) -> Result<tempfile::NamedTempFile, Error> {
        let io = |source| Error::Io {
            path: self.path.clone(),
            source,
        };
        let copy = tempfile::NamedTempFile::new().map_err(io)?;
        (&self.file).seek(SeekFrom::Start(0)).map_err(io)?;
        io::copy(&mut &self.file, &mut copy.as_file()).map_err(io)?;
        copy.as_file().write_all_at(&[1, 1], 18).map_err(io)?; // not in WAL mode
        Ok(copy)
    }

    /// Waits until nobody reads the case any more, and says whom it waits for.
    ///
    /// # Errors
    /// [`Error::Busy`] when somebody writes to it, [`Error::Read`] when somebody still reads it after `most`.
    pub fn unread(&self, most: Duration, tell: &mut dyn FnMut(&str)) -> Result<(), Error> {
        if locked(&self.file, RESERVED, FlockType::WriteLock).is_some() {
            return Err(Error::Busy(self.path.clone()));
        }
        let begun = Instant::now();
        let mut told = false;
        while let Some(reader) = locked(&self.file, SHARED, FlockType::WriteLock) {
            let by = name(reader);
            if begun.elapsed() >= most {
                return Err(Error::Read {
                    path: self.path.clone(),
                    by,
                });
            }
            if !std::mem::replace(&mut told, true) {
                tell(&format!(
                    "{} is being read by {by}; dof waits up to {} s for it",
                    self.path.display(),
                    most.as_secs()
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// A process, for people.
fn name(pid: Option<Pid>) -> String {
    let Some(pid) = pid.map(Pid::as_raw_nonzero) else {
        return "another program".into();
    };
    let called = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let called = crate::text::printable(&String::from_utf8_lossy(called.trim_ascii())).into_owned();
    match called.is_empty() {
        true => format!("process {pid}"),
        false => format!("{called} (process {pid})"),
    }
}

/// What [`recover`](super::recover) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolledBack {
    /// There was nothing to do.
    Nothing,
    /// A transaction that was cut off was undone. With what the analyst accepted: why it is not one of dof's, a line each.
    Journal(Vec<String>),
    /// Frames of a `-wal` file, which another program wrote, were moved into the case.
    Wal,
}

/// Lets SQLite end what was cut off beside a case. A journal is first held to what dof writes, and tried on a copy: it must
/// lead back to a case as dof sealed it, unless the analyst accepts any. With `wal`, frames of another program are
/// moved into the case, which is then no longer as dof sealed it.
///
/// # Errors
/// When the journal is not one of dof's, or would lead to something else; then nothing is changed.
pub fn roll_back(seen: Seen, wal: bool, accept: bool) -> Result<RolledBack, Error> {
    let refuse = |n: &Neighbour, what: &str| Error::Beside {
        path: n.path.clone(),
        what: format!(
            "dof does not use it: {what}; move it away (it may be evidence), and try again"
        ),
    };
    let page = seen.header.page_size;
    let sqlite = super::sqlite(&seen.path);
    let mut faults = Vec::new();
    if let Some(journal) = &seen.journal {
        if let Some(wal) = &seen.wal {
            return Err(refuse(
                wal,
                "dof never makes one, and there is a journal too",
            ));
        }
        let head = journal.bytes::<{ sqlite_file::JOURNAL_HEADER }>(0)?;
        let tail = journal.bytes::<8>(journal.size.saturating_sub(8))?;
        sqlite_file::journal(&head, &tail, page, seen.pages)
            .map_err(|what| refuse(journal, what))?;
        faults = tried(&seen, journal)?;
        if !faults.is_empty() && !accept {
            let faults = faults.join("; ");
            let what = format!("it does not lead back to a case as dof sealed it ({faults})");
            return Err(refuse(journal, &what));
        }
    } else if let (Some(frames), true) = (seen.frames(), wal) {
        sqlite_file::wal(&frames.bytes::<32>(0)?, page).map_err(|what| refuse(frames, what))?;
    } else {
        return Ok(RolledBack::Nothing);
    }
    let done = match seen.journal {
        Some(_) => RolledBack::Journal(faults),
        None => RolledBack::Wal,
    };
    let path = seen.path.clone();
    drop(seen); // before SQLite has locks
    let db =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(&sqlite)?;
    connection::guard(&db).map_err(&sqlite)?;
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(&sqlite)?;
    if done == RolledBack::Wal {
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;")
            .map_err(&sqlite)?;
    }
    db.close().map_err(|(_, e)| sqlite(e))?;
    Ok(done)
}

/// What is not dof's in the case as it lies there, without the journal.
fn before(seen: &Seen) -> Result<objects::Own, Error> {
    let copy = seen.copy()?;
    let db = connection::reading(copy.path(), &seen.path)?;
    objects::own(&db).map_err(super::sqlite(&seen.path))
}

/// Rolls a copy of the case back: what is then not as dof sealed it.
fn tried(seen: &Seen, journal: &Neighbour) -> Result<Vec<String>, Error> {
    let io = |source| Error::Io {
        path: seen.path.clone(),
        source,
    };
    let folder = tempfile::tempdir().map_err(io)?;
    let copy = folder.path().join("case.db");
    for (from, to) in [
        (&seen.file, copy.clone()),
        (&journal.file, folder.path().join("case.db-journal")),
    ] {
        let mut to = File::create_new(to).map_err(io)?;
        let mut from = from;
        from.seek(SeekFrom::Start(0)).map_err(io)?;
        io::copy(&mut from, &mut to).map_err(io)?;
    }
    let sqlite = super::sqlite(&copy);
    let file = File::open(&copy).map_err(io)?;
    let db =
        Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(&sqlite)?;
    connection::guard(&db).map_err(&sqlite)?;
    let rolled_back = || -> Result<Vec<String>, Error> {
        connection::limit(&db, connection::OPENING).map_err(&sqlite)?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .map_err(&sqlite)?;
        connection::unlimited(&db).map_err(&sqlite)?;
        let mut faults = seal::hold(&db, &file, &copy)?.faults;
        if faults.is_empty() {
            // What is not dof's no write of dof's touches.
            let (now, then) = (before(seen)?, objects::own(&db).map_err(&sqlite)?);
            let roots = then.iter().map(|(_, root)| *root).filter(|root| *root != 0);
            let roots: Vec<u32> = roots.collect();
            let trees = |file: &File| seal::trees(file, seen.header.page_size, &roots);
            if now != then || trees(&seen.file).map_err(io)? != trees(&file).map_err(io)? {
                faults.push("tables or views that are not dof's would change".into());
            }
        }
        Ok(faults)
    };
    Ok(rolled_back().unwrap_or_else(|e| vec![e.to_string()]))
}
