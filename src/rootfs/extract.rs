//! Files of a container copied out, by their paths in the container, into a new folder: `files/` and what stood below,
//! `SHA256SUMS` as sha256sum checks it, and `manifest.csv` with what the copies cannot keep.
//!
//! The folder must not be there before: nothing is overwritten and nothing of the analyst's followed. Files are made relative to
//! descriptors, with `O_EXCL` and `O_NOFOLLOW`, without set-user-ID, set-group-ID and sticky bits; the owner is who runs dof,
//! unless owners are asked for.
//! Links, devices, FIFOs and sockets stand in the manifest only. Copies are sparse where the evidence is. A name that the target
//! does not take is a problem and a row of the manifest, and the rest is copied.

use super::Error;
use super::merge::{Leaf, Node, View};
use crate::evidence::{self, Fault, Meta};
use crate::parse::time;
use crate::problem::{Defect, Problem, Severity};
use crate::text::{is_plain, lossless, spelled};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where copies go.
pub struct Extraction<'v> {
    view: &'v View<'v>,
    at: PathBuf,
    files: OwnedFd,
    sums: BufWriter<File>,
    manifest: csv::Writer<BufWriter<File>>,
    done: HashSet<Vec<u8>>,
    owners: bool,
    buffer: Vec<u8>,
    /// Files copied.
    pub copied: u64,
    /// Bytes of their content, holes included; of one that cannot be read, those that were.
    pub bytes: u64,
    /// Files and directories whose names the target does not take, or that are below such a directory.
    pub refused: u64,
    /// Such directories.
    unmade: HashSet<Vec<u8>>,
}

/// What became of a copy.
struct Copy {
    /// Its hash, `None` with more holes than are hashed; or why it is not whole or not there, and what was kept.
    hash: Result<Option<[u8; 32]>, (String, &'static str)>,
    /// Why it has not the owner it should have.
    owner: Option<String>,
}

impl Copy {
    /// None could be made whole.
    fn not(why: String, kept: &'static str) -> Copy {
        Copy {
            hash: Err((why, kept)),
            owner: None,
        }
    }
}

/// What is kept of a file that is not copied.
const ROW: &str = "its row in manifest.csv";

/// What the target says of one name. An error that is about the whole of it, as a full disk's, comes back as one.
fn of_a_name(e: io::Error) -> io::Result<String> {
    const OF_ALL: [Errno; 11] = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::IO,
        Errno::ROFS,
        Errno::NODEV,
        Errno::NXIO,
        Errno::STALE,
        Errno::NOTCONN,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
    ];
    match Errno::from_io_error(&e) {
        Some(errno) if !OF_ALL.contains(&errno) => Ok(format!("the target does not take it: {e}")),
        _ => Err(e),
    }
}

const COLUMNS: [&str; 17] = [
    "path",
    "path_raw",
    "type",
    "size",
    "sha256",
    "mode",
    "uid",
    "gid",
    "mtime",
    "atime",
    "ctime",
    "crtime",
    "link",
    "rdev",
    "layer",
    "host_path",
    "fault",
];

/// The places that a path of the container names, as it stands, or as dof prints it (`\xNN`), links followed, and, where it is
/// a GLOB, those whose printed paths are `like` it, without what is below one of them. A link that leads to nothing is itself the
/// place, and a problem. `None` when there is nothing. What cannot be read goes to `problems`.
///
/// # Errors
/// What `like` returned.
pub fn named<E>(
    view: &View<'_>,
    path: &[u8],
    mut like: impl FnMut(&str) -> Result<bool, E>,
    problems: &mut Vec<Problem>,
) -> Result<Option<Vec<Vec<u8>>>, E> {
    let bytes = spelled(path);
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut unread = false;
    for name in [path, &bytes] {
        match exact(view, name, problems) {
            Some(Some(place)) => {
                found.push(place);
                break;
            }
            Some(None) => {}
            None => unread = true,
        }
    }
    // A file of that very name, planted or not, hides nothing that the GLOB means.
    let is_glob = path.iter().any(|b| b"*?[".contains(b));
    if is_glob || found.is_empty() && path.contains(&b'\\') {
        let mut last: Option<Vec<u8>> = None;
        view.walk(
            |place, _| {
                let below = last.as_ref().is_some_and(|dir| {
                    place
                        .strip_prefix(dir.as_slice())
                        .is_some_and(|rest| dir.is_empty() || rest.starts_with(b"/"))
                });
                if !below && like(&format!("/{}", lossless(place)))? {
                    last = Some(place.to_vec());
                    found.push(place.to_vec());
                }
                Ok(())
            },
            |_| {}, // told of again where it is copied
        )?;
    }
    Ok((unread || !found.is_empty()).then_some(found))
}

/// The place that a path leads to, links followed; of a link that leads to nothing its own, and a problem that says so. `None`
/// within when there is nothing, `None` when it cannot be read, which is a problem.
fn exact(view: &View<'_>, path: &[u8], problems: &mut Vec<Problem>) -> Option<Option<Vec<u8>>> {
    let is_link = |node: &Node| matches!(node, Node::Leaf(l) if l.meta.kind() == FileType::Symlink);
    // A link where links were followed: they lead in a circle.
    let circle = match read(view.lookup(path), path, problems)? {
        Some((place, node)) if !is_link(&node) => return Some(Some(place)),
        found => found.is_some(),
    };
    let Some((place, Node::Leaf(link))) = read(view.lookup_link(path), path, problems)? else {
        return Some(None);
    };
    let target = read(view.read_link(&link), path, problems)?;
    let target = lossless(&target);
    let what = if circle {
        format!("a link to {target}, which leads in a circle")
    } else {
        format!("a link to {target}, which is not in this container")
    };
    let shown = format!("/{}", lossless(&place));
    let kept = "the link, in manifest.csv";
    problems.push(Defect::new(what, kept).in_file(Severity::Warning, shown));
    Some(Some(place))
}

/// What was read, or `None` and a problem.
fn read<T>(
    found: Result<T, evidence::Error>,
    path: &[u8],
    problems: &mut Vec<Problem>,
) -> Option<T> {
    found
        .map_err(|e| {
            let defect = Defect::new(format!("cannot be read: {e}"), "nothing");
            problems.push(defect.in_file(Severity::Error, lossless(path).into_owned()));
        })
        .ok()
}

/// Why what is below such a directory is not there.
const BELOW: &str = "the target does not take the directory it is in";

/// Where the names of the directories that a place is in end.
fn slashes(place: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'/', place)
}

fn new_file(at: &OwnedFd, name: &[u8]) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o600)).map(File::from)
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Makes a directory that may be there already, as one that was made for an earlier file, and opens it.
fn directory(at: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => rustix::fs::openat(at, name, DIRECTORY, Mode::empty()),
        Err(e) => Err(e),
    }
}

impl<'v> Extraction<'v> {
    /// Makes the folder `at`, which must not be there. With `owners` the copies get those they had.
    ///
    /// # Errors
    /// When it is there, or cannot be made.
    pub fn new(view: &'v View<'v>, at: &Path, owners: bool) -> Result<Self, Error> {
        let error = |e: Errno| Error::Path {
            path: at.to_path_buf(),
            source: e.into(),
        };
        rustix::fs::mkdirat(CWD, at, Mode::from_raw_mode(0o700)).map_err(error)?;
        let top = rustix::fs::openat(CWD, at, DIRECTORY, Mode::empty()).map_err(error)?;
        let files = directory(&top, b"files").map_err(error)?;
        let sums = new_file(&top, b"SHA256SUMS").map_err(error)?;
        let manifest = new_file(&top, b"manifest.csv").map_err(error)?;
        let mut manifest = csv::Writer::from_writer(BufWriter::new(manifest));
        manifest.write_record(COLUMNS).map_err(|e| Error::Path {
            path: at.to_path_buf(),
            source: io::Error::other(e),
        })?;
        Ok(Extraction {
            view,
            at: at.to_path_buf(),
            files,
            sums: BufWriter::new(sums),
            manifest,
            done: HashSet::new(),
            owners,
            buffer: Vec::new(),
            copied: 0,
            bytes: 0,
            refused: 0,
            unmade: HashSet::new(),
        })
    }

    /// Copies what stands at a place that [`named`] found, with all below it.
    ///
    /// # Errors
    /// When a copy cannot be written. What cannot be read goes to `problems`.
    pub fn place(&mut self, place: Vec<u8>, problems: &mut Vec<Problem>) -> Result<(), Error> {
        let Some((place, node)) = read(self.view.at(place.clone()), &place, problems).flatten()
        else {
            return Ok(());
        };
        let view = self.view;
        let mut late = Vec::new();
        let at = self.at.clone();
        let shown = |e: io::Error| Error::Path {
            path: at.clone(),
            source: e,
        };
        view.walk_below(
            place,
            node,
            |path, node| self.entry(path, node, problems).map_err(shown),
            |p| late.push(p),
        )?;
        problems.append(&mut late);
        Ok(())
    }

    /// Ends the lists. Gives the files copied, their bytes, and the names refused.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(mut self) -> Result<(u64, u64, u64), Error> {
        let done = self.manifest.flush().and_then(|()| self.sums.flush());
        done.map_err(|source| Error::Path {
            path: self.at,
            source,
        })?;
        Ok((self.copied, self.bytes, self.refused))
    }

    /// The directory that `place` lies in, made where it is not there.
    fn parent(&mut self, place: &[u8]) -> io::Result<OwnedFd> {
        let mut at = self.files.try_clone()?;
        for end in slashes(place) {
            let name = place[..end]
                .rsplit(|&b| b == b'/')
                .next()
                .unwrap_or_default();
            at = match directory(&at, name) {
                Ok(at) => at,
                Err(e) => {
                    self.unmade.insert(place[..end].to_vec());
                    return Err(e.into());
                }
            };
        }
        Ok(at)
    }

    /// Makes a directory, or says why the target does not take it.
    fn make_dir(&mut self, place: &[u8]) -> io::Result<Option<String>> {
        let name = place.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let made = self.parent(place).and_then(|at| match name {
            b"" => Ok(()), // the container's root
            name => directory(&at, name).map(drop).map_err(io::Error::from),
        });
        let why = made.err().map(of_a_name).transpose()?;
        if why.is_some() {
            self.unmade.insert(place.to_vec());
        }
        Ok(why)
    }

    fn entry(&mut self, place: &[u8], node: &Node, problems: &mut Vec<Problem>) -> io::Result<()> {
        if !self.done.insert(place.to_vec()) {
            return Ok(()); // asked for twice
        }
        let mut fault = |severity, what: String, kept: &str| {
            let shown = format!("/{}", lossless(place));
            problems.push(Defect::new(what, kept).in_file(severity, shown));
        };
        let unmade = slashes(place).any(|end| self.unmade.contains(&place[..end]));
        match node {
            Node::Dir(dir) => {
                // Told of once, with the directory that it is below.
                let why = if unmade {
                    Some(BELOW.to_owned())
                } else {
                    let why = self.make_dir(place)?;
                    if let Some(why) = &why {
                        let kept = "rows in manifest.csv, of all below it too";
                        fault(Severity::Error, why.clone(), kept);
                    }
                    why
                };
                self.refused += u64::from(why.is_some());
                match dir.meta() {
                    Ok(meta) => self.row(place, &meta, None, None, why),
                    Err(e) => {
                        fault(
                            Severity::Error,
                            format!("cannot be read: {e}"),
                            "what is in it",
                        );
                        Ok(())
                    }
                }
            }
            Node::Leaf(leaf) if leaf.meta.kind() == FileType::RegularFile && unmade => {
                self.refused += 1;
                let why = Some(BELOW.to_owned());
                self.row(place, &leaf.meta, Some(leaf), None, why)
            }
            Node::Leaf(leaf) if leaf.meta.kind() == FileType::RegularFile => {
                let Copy { hash, owner } = self.copy(place, leaf)?;
                if let Some(why) = owner {
                    fault(Severity::Warning, why, "a copy");
                }
                let (hash, why) = match hash {
                    Ok(Some(hash)) => (Some(hash), None),
                    Ok(None) => {
                        let what = "more holes than are hashed";
                        fault(Severity::Warning, what.into(), "a copy, without a hash");
                        (None, Some(what.to_owned()))
                    }
                    Err((why, kept)) => {
                        fault(Severity::Error, why.clone(), kept);
                        (None, Some(why))
                    }
                };
                let hash = hash.map(|h| h.iter().map(|b| format!("{b:02x}")).collect::<String>());
                if let Some(hash) = &hash {
                    self.sum(place, hash)?;
                }
                self.row(place, &leaf.meta, Some(leaf), hash, why)
            }
            Node::Leaf(leaf) => self.row(place, &leaf.meta, Some(leaf), None, None),
        }
    }

    /// Copies a file. The error is that of the whole target.
    fn copy(&mut self, place: &[u8], leaf: &Leaf) -> io::Result<Copy> {
        let source = match self.view.content(leaf) {
            Ok(source) => source,
            Err(evidence::Error::Missing) => {
                return Ok(Copy::not("no layer has its content".into(), ROW));
            }
            Err(e) => return Ok(Copy::not(format!("content cannot be read: {e}"), ROW)),
        };
        let name = place.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let made = self.parent(place);
        let out = match made.and_then(|parent| Ok(new_file(&parent, name)?)) {
            Ok(out) => out,
            Err(e) => {
                let why = of_a_name(e)?;
                self.refused += 1;
                return Ok(Copy::not(why, ROW));
            }
        };
        let mut bytes = 0;
        let digest = source.digest(&mut self.buffer, |at, data| {
            bytes += data.len() as u64;
            out.write_all_at(data, at)
        });
        self.copied += 1;
        let part = "what could be read of it";
        let mut hash = match digest {
            Err(Fault::Sink(e)) => Err((of_a_name(e)?, part)),
            Ok(hash) => Ok(hash),
            Err(e) => Err((e.to_string(), part)),
        };
        if hash.is_ok() {
            // A hole at its end.
            match out.set_len(source.meta.size) {
                Ok(()) => bytes = source.meta.size,
                Err(e) => hash = Err((of_a_name(e)?, part)),
            }
        }
        self.bytes += bytes;
        let time = |ns| {
            let (tv_sec, nanoseconds) = time::parts(ns);
            let tv_nsec = nanoseconds.into();
            Timespec { tv_sec, tv_nsec }
        };
        let times = Timestamps {
            last_access: time(leaf.meta.atime),
            last_modification: time(leaf.meta.mtime),
        };
        let mut owner = None;
        if self.owners {
            let (uid, gid) = (leaf.meta.uid, leaf.meta.gid);
            if let Err(e) = std::os::unix::fs::fchown(&out, Some(uid), Some(gid)) {
                owner = Some(format!("it cannot have the owner {uid}:{gid}: {e}"));
            }
        }
        // Permissions and times that this file system has not, past 2446 on ext4 say, stand in the manifest.
        let _ = rustix::fs::fchmod(&out, Mode::from_raw_mode(leaf.meta.mode & 0o777 | 0o600));
        let _ = rustix::fs::futimens(&out, &times);
        Ok(Copy { hash, owner })
    }

    /// A line of `SHA256SUMS`, names escaped as sha256sum does.
    fn sum(&mut self, place: &[u8], hash: &str) -> io::Result<()> {
        let odd = |b: &u8| matches!(b, b'\\' | b'\n' | b'\r');
        if place.iter().any(odd) {
            self.sums.write_all(b"\\")?;
        }
        self.sums.write_all(format!("{hash}  files/").as_bytes())?;
        for b in place {
            match b {
                b'\\' => self.sums.write_all(b"\\\\")?,
                b'\n' => self.sums.write_all(b"\\n")?,
                b'\r' => self.sums.write_all(b"\\r")?,
                b => self.sums.write_all(&[*b])?,
            }
        }
        self.sums.write_all(b"\n")
    }

    fn row(
        &mut self,
        place: &[u8],
        meta: &Meta,
        leaf: Option<&Leaf>,
        hash: Option<String>,
        fault: Option<String>,
    ) -> io::Result<()> {
        let kind = match meta.kind() {
            FileType::RegularFile => "file",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Fifo => "fifo",
            FileType::Socket => "socket",
            FileType::CharacterDevice => "chardev",
            FileType::BlockDevice => "blockdev",
            FileType::Unknown => "unknown",
        };
        let link = match leaf {
            Some(leaf) if kind == "symlink" => self.view.read_link(leaf).ok(),
            _ => None,
        };
        let device = matches!(kind, "chardev" | "blockdev");
        let (host_path, layer) = match leaf.map(|leaf| self.view.origin(place, leaf)) {
            Some((path, layer)) => (path.map(|p| p.host()), Some(layer.host())),
            None => (None, None),
        };
        let text = time::rfc3339_nine;
        let fields: [String; 17] = [
            format!("/{}", lossless(place)),
            if is_plain(place) {
                String::new()
            } else {
                place
                    .iter()
                    .fold("2f".into(), |hex, b| hex + &format!("{b:02x}"))
            },
            kind.into(),
            meta.size.to_string(),
            hash.unwrap_or_default(),
            format!("{:04o}", meta.mode & 0o7777),
            meta.uid.to_string(),
            meta.gid.to_string(),
            text(meta.mtime),
            text(meta.atime),
            text(meta.ctime),
            meta.crtime.map(text).unwrap_or_default(),
            link.map(|l| lossless(&l).into_owned()).unwrap_or_default(),
            if device {
                format!("{}:{}", meta.rdev >> 32, meta.rdev as u32)
            } else {
                String::new()
            },
            layer.unwrap_or_default(),
            host_path.unwrap_or_default(),
            fault.unwrap_or_default(),
        ];
        self.manifest
            .write_record(&fields)
            .map_err(io::Error::other)
    }
}
