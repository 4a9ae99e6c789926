//! The only module that touches the host's files.
//!
//! [`Evidence`] opens the mounted root once and resolves every path inside it, as the host would have:
//! symbolic links are followed, but absolute ones and `..` stay below the root and magic links are refused
//! (`openat2` with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`; a walk by components where the kernel lacks it).
//! As root all that happens in a private read-only copy of the mount without access times (`detached.rs`).
//! Nothing is opened for writing, access times stay where they are (`O_NOATIME` where the kernel allows it),
//! and only regular files are opened for reading, so a FIFO or a device in place of a file cannot block.
//!
//! [`walk`] reads directories with one `statx` an entry, relative to the directory's descriptor.

mod content;
mod detached;
mod path;
pub mod resolve;
pub mod walk;

pub use content::{Fault, MOST_HOLES};
pub(crate) use detached::{copy as private_copy, copy_file as private_file};
pub use path::EvidencePath;
pub(crate) use resolve::open_in_root;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, OFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why a piece of evidence could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("not there")]
    Missing,
    /// It is there, but not what was looked for.
    #[error("{0} where a {1} was expected")]
    WrongKind(&'static str, &'static str),
    /// It is larger than anything of its kind may be; limit in bytes.
    #[error("larger than {0} bytes, not read")]
    TooLarge(u64),
    /// A directory with more entries than are looked at.
    #[error("more than {0} entries")]
    TooMany(usize),
    /// The kernel said no.
    #[error("{0}")]
    Io(io::Error),
}

impl From<Errno> for Error {
    fn from(e: Errno) -> Self {
        match e {
            Errno::NOENT | Errno::NOTDIR => Error::Missing,
            e => Error::Io(e.into()),
        }
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        match Errno::from_io_error(&e) {
            Some(e) => e.into(),
            None => Error::Io(e),
        }
    }
}

/// Metadata of one directory entry, never of what a symbolic link points to. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Type and permissions as in `st_mode`.
    pub mode: u32,
    /// Owner as it stands on disk.
    pub uid: u32,
    /// Group as it stands on disk.
    pub gid: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Device the entry lies on, as `(major << 32) | minor`.
    pub dev: u64,
    /// Device the entry stands for, `(major << 32) | minor`; 0 unless it is a device.
    pub rdev: u64,
    /// Last access.
    pub atime: i64,
    /// Last change of content.
    pub mtime: i64,
    /// Last change of the inode.
    pub ctime: i64,
    /// Birth, where the file system keeps it.
    pub crtime: Option<i64>,
    /// Whether something is mounted here.
    pub mount_root: bool,
}

/// Names and values of extended attributes.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

impl Meta {
    fn new(s: &Statx) -> Self {
        // Times past 2262 and before 1677 stand at the ends, within reach of every query.
        let ns = |sec: i64, nsec: u32| {
            let ns = sec
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(nsec));
            ns.clamp(i64::MIN + 2, i64::MAX - 2)
        };
        let born = s.stx_mask & StatxFlags::BTIME.bits() != 0
            && (s.stx_btime.tv_sec, s.stx_btime.tv_nsec) != (0, 0);
        Meta {
            mode: u32::from(s.stx_mode),
            uid: s.stx_uid,
            gid: s.stx_gid,
            nlink: s.stx_nlink,
            inode: s.stx_ino,
            size: s.stx_size,
            blocks: s.stx_blocks,
            dev: (u64::from(s.stx_dev_major) << 32) | u64::from(s.stx_dev_minor),
            rdev: (u64::from(s.stx_rdev_major) << 32) | u64::from(s.stx_rdev_minor),
            atime: ns(s.stx_atime.tv_sec, s.stx_atime.tv_nsec),
            mtime: ns(s.stx_mtime.tv_sec, s.stx_mtime.tv_nsec),
            ctime: ns(s.stx_ctime.tv_sec, s.stx_ctime.tv_nsec),
            crtime: born.then(|| ns(s.stx_btime.tv_sec, s.stx_btime.tv_nsec)),
            mount_root: s
                .stx_attributes
                .contains(rustix::fs::StatxAttributes::MOUNT_ROOT),
        }
    }

    /// What kind of entry this is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Device and inode: what makes a file the same file.
    pub fn identity(&self) -> (u64, u64) {
        (self.dev, self.inode)
    }
}

/// `statx` of `name` relative to `dir`, not following a link in the last component.
fn stat_at(dir: impl AsFd, name: &std::ffi::CStr) -> Result<Meta, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(dir, name, flags, WANTED).map(|s| Meta::new(&s))
}

/// `statx` of an open descriptor.
fn stat_fd(fd: impl AsFd) -> Result<Meta, Errno> {
    rustix::fs::statx(
        fd,
        c"",
        AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC,
        WANTED,
    )
    .map(|s| Meta::new(&s))
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "unknown object",
    }
}

/// Descriptors the program may hold: a deep tree needs one a level.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// A mounted host, opened once.
#[derive(Debug)]
pub struct Evidence {
    root: OwnedFd,
    shown: PathBuf,
}

impl Evidence {
    /// Opens the directory a host is mounted at.
    ///
    /// # Errors
    /// When `root` is missing or no directory.
    pub fn open(root: &Path) -> Result<Evidence, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let plain =
            rustix::fs::open(root, flags, rustix::fs::Mode::empty()).map_err(|e| match e {
                Errno::NOTDIR => Error::WrongKind("file", "directory"),
                e => e.into(),
            })?;
        let fd = detached::copy(root).unwrap_or(plain);
        Ok(Evidence {
            root: fd,
            shown: root.to_path_buf(),
        })
    }

    /// The mount point as it was given.
    pub fn mount(&self) -> &Path {
        &self.shown
    }

    fn resolve(&self, path: &EvidencePath, flags: OFlags) -> Result<OwnedFd, Errno> {
        resolve::open_in_root(self.root.as_fd(), path.as_bytes(), flags)
    }

    /// Opens for reading without moving the access time; those who may not ask for that read all the same.
    fn open_noatime(&self, path: &EvidencePath, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self.resolve(path, flags | OFlags::NOATIME) {
            Err(Errno::PERM) => self.resolve(path, flags),
            r => r,
        }
    }

    /// Metadata of what `path` leads to, links followed within the evidence.
    ///
    /// # Errors
    /// [`Error::Missing`] or what the kernel said.
    pub fn stat(&self, path: &EvidencePath) -> Result<Meta, Error> {
        Ok(stat_fd(self.resolve(path, OFlags::PATH)?)?)
    }

    /// Metadata of what stands at `path` itself, a link in its last component not followed.
    ///
    /// # Errors
    /// [`Error::Missing`] or what the kernel said.
    pub fn stat_link(&self, path: &EvidencePath) -> Result<Meta, Error> {
        Ok(stat_fd(
            self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?,
        )?)
    }

    /// Whether `path` leads to something, even to what cannot be looked at.
    pub fn exists(&self, path: &EvidencePath) -> bool {
        !matches!(self.stat(path), Err(Error::Missing))
    }

    /// The target of the symbolic link at `path`, as its bytes stand on disk.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when it is no link.
    pub fn read_link(&self, path: &EvidencePath) -> Result<Vec<u8>, Error> {
        let fd = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let kind = stat_fd(&fd)?.kind();
        if kind != FileType::Symlink {
            return Err(Error::WrongKind(kind_name(kind), "symbolic link"));
        }
        Ok(rustix::fs::readlinkat(fd, c"", Vec::new())?.into_bytes())
    }

    /// Opens a regular file for reading. Its type is known before it is opened, so that opening a FIFO or a
    /// device (which may block, or act) never happens.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongKind`], or what the kernel said.
    pub fn open_file(&self, path: &EvidencePath) -> Result<EvidenceFile, Error> {
        let seen = stat_fd(self.resolve(path, OFlags::PATH)?)?;
        if seen.kind() != FileType::RegularFile {
            return Err(Error::WrongKind(kind_name(seen.kind()), "file"));
        }
        let fd = self.open_noatime(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        EvidenceFile::new(fd)
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// Those of [`Evidence::open_file`], and [`Error::TooLarge`].
    pub fn read(&self, path: &EvidencePath, limit: u64) -> Result<(Vec<u8>, Meta), Error> {
        match self.read_on(path, limit)? {
            (bytes, meta, None) => Ok((bytes, meta)),
            (_, _, Some(e)) => Err(e.into()),
        }
    }

    /// As [`Evidence::read`]; of a file that cannot be read to its end what stands before that place, and why it ends there.
    ///
    /// # Errors
    /// Those of [`Evidence::open_file`], and [`Error::TooLarge`].
    pub fn read_on(
        &self,
        path: &EvidencePath,
        limit: u64,
    ) -> Result<(Vec<u8>, Meta, Option<io::Error>), Error> {
        let EvidenceFile { file, meta } = self.open_file(path)?;
        if meta.size > limit {
            return Err(Error::TooLarge(limit));
        }
        let mut bytes = Vec::with_capacity(meta.size as usize);
        let failed = file.take(limit + 1).read_to_end(&mut bytes).err();
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge(limit));
        }
        match failed {
            Some(e) if bytes.is_empty() => Err(e.into()),
            failed => Ok((bytes, meta, failed)),
        }
    }

    /// The names in a directory, sorted; and what kept it from naming all: a fault, or that there are more than `limit`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongKind`], or what the kernel said.
    pub fn list(
        &self,
        path: &EvidencePath,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<Error>), Error> {
        let dir = self.open_dir(path)?;
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut stopped = None;
        let mut buf = Vec::with_capacity(32 * 1024);
        let mut raw = rustix::fs::RawDir::new(dir, buf.spare_capacity_mut());
        while let Some(entry) = raw.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    stopped = Some(e.into());
                    break;
                }
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == limit {
                stopped = Some(Error::TooMany(limit));
                break;
            }
            names.push(name.to_vec());
        }
        names.sort();
        Ok((names, stopped))
    }

    /// Opens a directory to read its entries.
    fn open_dir(&self, path: &EvidencePath) -> Result<OwnedFd, Error> {
        match self.open_noatime(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK) {
            Err(Errno::NOTDIR) => match self.stat(path) {
                Ok(m) if !m.is_dir() => Err(Error::WrongKind(kind_name(m.kind()), "directory")),
                _ => Err(Error::Missing),
            },
            r => Ok(r?),
        }
    }
}

/// An open regular file of the evidence.
#[derive(Debug)]
pub struct EvidenceFile {
    file: File,
    /// Its metadata when it was opened.
    pub meta: Meta,
}

impl EvidenceFile {
    fn new(fd: OwnedFd) -> Result<Self, Error> {
        let meta = stat_fd(&fd)?;
        if meta.kind() != FileType::RegularFile {
            return Err(Error::WrongKind(kind_name(meta.kind()), "file"));
        }
        Ok(EvidenceFile {
            file: File::from(fd),
            meta,
        })
    }

    /// All its extended attributes, by name.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn xattrs(&self) -> Result<Xattrs, Error> {
        walk::all_xattrs(
            |out| rustix::fs::flistxattr(&self.file, out),
            |name, out| rustix::fs::fgetxattr(&self.file, name, out),
        )
    }

    /// Reads up to `buf.len()` bytes from `offset`; several threads may do so at once.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buf, offset)
    }

    /// The parts of the file that hold data, as ranges of bytes: a file may be sparse to terabytes. Where the file
    /// system does not say, all of it. More than `limit` parts are given as one, holes and all.
    pub fn data(&self, limit: usize) -> Vec<std::ops::Range<u64>> {
        use rustix::fs::SeekFrom;
        let (size, mut at, mut parts) = (self.meta.size, 0, Vec::new());
        while at < size {
            let start = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break, // nothing but a hole from here on
                Err(_) => at,
            };
            let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))
                .unwrap_or(size)
                .min(size);
            if end <= start || parts.len() == limit {
                let first = parts
                    .first()
                    .map_or(start, |p: &std::ops::Range<u64>| p.start);
                parts.clear();
                parts.push(first..size);
                break;
            }
            parts.push(start..end);
            at = end;
        }
        let _ = rustix::fs::seek(&self.file, SeekFrom::Start(0));
        parts
    }
}

impl Read for EvidenceFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}
