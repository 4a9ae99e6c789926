//! Directories read entry by entry, relative to their descriptors: what the parallel walk is made of.
//!
//! Order is that of the directory on disk. Symbolic links below a tree's root are never followed. Opening a
//! directory does not move its access time. Errors belong to one entry or one directory and stop no more than that.

use super::{Error, Evidence, EvidenceFile, EvidencePath, Meta, Xattrs, stat_at, stat_fd};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of directory entries asked of the kernel at once.
const BUFFER: usize = 64 * 1024;

/// Reusable space for [`OpenDir::read`].
pub struct Buffer(Box<[MaybeUninit<u8>]>);

impl Default for Buffer {
    fn default() -> Self {
        Buffer(Box::new_uninit_slice(BUFFER))
    }
}

/// The path of an entry of the directory at `dir`, which is empty for the root of a tree.
pub fn entry_path(dir: &[u8], name: &CStr) -> Vec<u8> {
    let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
    [dir, slash, name.to_bytes()].concat()
}

/// An open directory of the evidence.
#[derive(Debug)]
pub struct OpenDir {
    fd: OwnedFd,
    /// What no other open directory has, unlike `fd` also when this one is closed.
    id: u64,
}

impl OpenDir {
    fn new(fd: OwnedFd) -> OpenDir {
        static OPENED: AtomicU64 = AtomicU64::new(1);
        OpenDir {
            fd,
            id: OPENED.fetch_add(1, Relaxed),
        }
    }
}

/// What stands at the root of a tree.
#[derive(Debug)]
pub enum Top {
    /// A directory to walk, with its own metadata.
    Dir(OpenDir, Meta),
    /// Anything else: a bound file, socket or device.
    Other(Meta),
}

impl Evidence {
    /// Opens the root of a tree, links on the way followed within the evidence.
    ///
    /// # Errors
    /// When it is missing or cannot be opened.
    pub fn open_tree(&self, path: &EvidencePath) -> Result<Top, Error> {
        let meta = self.stat(path)?;
        if !meta.is_dir() {
            return Ok(Top::Other(meta));
        }
        let dir = self.open_dir(path)?;
        Ok(Top::Dir(OpenDir::new(dir), meta))
    }
}

/// File systems that hold no files of a disk: kernel interfaces, and overlay mounts whose layers are walked already.
/// Magic numbers from linux/magic.h.
const PSEUDO: &[u64] = &[
    0x9fa0,
    0x6265_6572,
    0x27_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6165_676c,
    0xcafe_4a11,
    0x4249_4e4d,
    0x1980_0202,
    0x9584_58f6,
    0x6265_6570,
    0x6573_5543,
    0x6e73_6673,
    0x0187,
    0xde5e_81e4,
    0x794c_7630,
];

impl OpenDir {
    /// Opens a subdirectory by name, not following a link.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn child(&self, name: &CStr) -> Result<OpenDir, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(OpenDir::new(self.open(name, flags)?))
    }

    /// Metadata of the directory itself.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn meta(&self) -> Result<Meta, Error> {
        Ok(stat_fd(&self.fd)?)
    }

    /// Whether it lies on a file system that is no part of a disk (proc, sysfs, a mounted overlay, ...).
    pub fn is_pseudo(&self) -> bool {
        rustix::fs::fstatfs(&self.fd).is_ok_and(|s| PSEUDO.contains(&(s.f_type as u64)))
    }

    /// Gives `each` at least `enough` further entries, where there are as many; `false` when that was all.
    ///
    /// # Errors
    /// When the directory cannot be read on.
    pub fn read(
        &self,
        buffer: &mut Buffer,
        enough: usize,
        mut each: impl FnMut(&CStr),
    ) -> Result<bool, Error> {
        let mut raw = RawDir::new(&self.fd, &mut buffer.0);
        let mut n = 0;
        loop {
            if n >= enough && raw.is_buffer_empty() {
                return Ok(true);
            }
            let Some(entry) = raw.next() else {
                return Ok(false);
            };
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                each(name);
                n += 1;
            }
        }
    }

    /// The names of its entries, sorted, and what kept it from being read on; of one with more than `enough`, not all.
    pub fn names(&self, buffer: &mut Buffer, enough: usize) -> (Vec<CString>, Option<Error>) {
        let mut names = Vec::new();
        let read = self.read(buffer, enough, |name| names.push(name.to_owned()));
        names.sort();
        (names, read.err())
    }

    /// Metadata of an entry, links not followed.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn stat(&self, name: &CStr) -> Result<Meta, Error> {
        if working_directory::enter(self)? {
            return Ok(stat_at(rustix::fs::CWD, name)?);
        }
        Ok(stat_at(&self.fd, name)?)
    }

    /// Appends the target of the symbolic link `name` to `out`; returns its length.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read_link(&self, name: &CStr, out: &mut Vec<u8>) -> Result<usize, Error> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let (target, _) = rustix::fs::readlinkat_raw(&self.fd, name, &mut space)?;
        out.extend_from_slice(target);
        Ok(target.len())
    }

    /// The overlay marks of the directory itself, in attributes whose names begin with one of `prefixes`.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn overlay_xattrs(&self, prefixes: &[&str]) -> Result<OverlayXattrs, Error> {
        overlay_xattrs(
            prefixes,
            |out| rustix::fs::flistxattr(&self.fd, out),
            |name, out| rustix::fs::fgetxattr(&self.fd, name, out),
        )
    }

    /// The overlay marks of an entry that is no directory.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn entry_overlay_xattrs(
        &self,
        name: &CStr,
        prefixes: &[&str],
    ) -> Result<OverlayXattrs, Error> {
        let own = self.own_path(name);
        let own = own.as_slice();
        overlay_xattrs(
            prefixes,
            |out| rustix::fs::llistxattr(own, out),
            |name, out| rustix::fs::lgetxattr(own, name, out),
        )
    }

    /// All extended attributes of the directory itself.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn xattrs(&self) -> Result<Xattrs, Error> {
        all_xattrs(
            |out| rustix::fs::flistxattr(&self.fd, out),
            |name, out| rustix::fs::fgetxattr(&self.fd, name, out),
        )
    }

    /// All extended attributes of an entry that is no directory.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn entry_xattrs(&self, name: &CStr) -> Result<Xattrs, Error> {
        let own;
        let path = if working_directory::enter(self)? {
            name.to_bytes()
        } else {
            own = self.own_path(name);
            &own
        };
        all_xattrs(
            |out| rustix::fs::llistxattr(path, out),
            |name, out| rustix::fs::lgetxattr(path, name, out),
        )
    }

    /// Opens a regular file by name, not following a link; its type is known before it is opened, as with
    /// [`Evidence::open_file`].
    ///
    /// # Errors
    /// [`Error::WrongKind`], or what the kernel said.
    pub fn open_file(&self, name: &CStr) -> Result<EvidenceFile, Error> {
        let kind = self.stat(name)?.kind();
        if kind != FileType::RegularFile {
            return Err(Error::WrongKind(super::kind_name(kind), "file"));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        EvidenceFile::new(self.open(name, flags)?)
    }

    /// Opens without moving the access time; those who may not ask for that read all the same.
    fn open(&self, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => rustix::fs::openat(&self.fd, name, flags, Mode::empty()),
            r => r,
        }
    }

    /// A path to an entry. Linux reads the attributes of a file that is not open only by path: this is that of our own
    /// descriptor (`/proc/self/fd`), whose last component is not to be followed.
    fn own_path(&self, name: &CStr) -> Vec<u8> {
        let fd = format!("/proc/self/fd/{}/", self.fd.as_raw_fd());
        [fd.as_bytes(), name.to_bytes()].concat()
    }
}

/// Threads with a working directory of their own.
///
/// Linux reads the attributes of files that are not open only by path. A path through `/proc/self/fd` takes three times as
/// long as a name in the working directory, which threads share unless they part from it (`unshare(CLONE_FS)`). Other
/// metadata too takes a little less by such a name than relative to a descriptor, which has to be looked up each time.
pub mod working_directory {
    use super::OpenDir;
    use rustix::io::Errno;
    use rustix::thread::UnshareFlags;
    use std::cell::Cell;

    thread_local! {
        /// Of a thread that has its own: the `id` of the directory it is at, 0 at the beginning.
        static AT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Gives the calling thread a working directory of its own, if the kernel lets it. Paths of the analyst's must not be
    /// used by it from then on.
    #[allow(unsafe_code)]
    pub fn part() {
        // SAFETY: CLONE_FS parts the thread's root, working directory and umask from the others'. No memory and no
        // descriptor is concerned, which is what makes unshare(2) unsafe with other flags.
        let parted = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) };
        AT.set(parted.is_ok().then_some(0));
    }

    /// Makes a directory the thread's own working directory; `false` when it has none.
    pub(super) fn enter(dir: &OpenDir) -> Result<bool, Errno> {
        let Some(at) = AT.get() else {
            return Ok(false);
        };
        if at != dir.id {
            rustix::process::fchdir(&dir.fd)?;
            AT.set(Some(dir.id));
        }
        Ok(true)
    }
}

/// Most bytes of attributes, names and values, that are read of one file. Linux allows 64 KiB for one value and for all names
/// (XATTR_SIZE_MAX, XATTR_LIST_MAX of linux/limits.h): thousands of values, on some file systems.
const MOST_ATTRIBUTES: usize = 1 << 20;

/// Reads all attributes; [`Error::TooLarge`] where they have more than [`MOST_ATTRIBUTES`].
pub(super) fn all_xattrs(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Xattrs, Error> {
    let whole = |read: &dyn Fn(&mut [u8]) -> Result<usize, Errno>| {
        let mut small = [0; 512];
        let n = match read(&mut small) {
            Ok(0) => return Ok(Vec::new()), // most files have none
            Err(Errno::RANGE) => {
                let mut large = vec![0; 64 * 1024];
                let n = read(&mut large)?;
                large.truncate(n);
                return Ok(large);
            }
            r => r?,
        };
        Ok::<_, Errno>(small[..n].to_vec())
    };
    let names = match whole(&list) {
        Err(Errno::OPNOTSUPP) => return Ok(Xattrs::new()),
        r => r?,
    };
    let mut found = Xattrs::new();
    let mut left = MOST_ATTRIBUTES;
    for name in names.split(|&b| b == 0).filter(|n| !n.is_empty()) {
        match whole(&|out| get(name, out)) {
            Ok(value) => {
                left = left
                    .checked_sub(name.len() + value.len())
                    .ok_or(Error::TooLarge(MOST_ATTRIBUTES as u64))?;
                found.push((name.to_vec(), value));
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {} // listed, not readable: ACLs of some file systems
            Err(e) => return Err(e.into()),
        }
    }
    Ok(found)
}

/// Lists the attributes there are and reads the overlay marks among them.
fn overlay_xattrs(
    prefixes: &[&str],
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&str, &mut [u8]) -> Result<usize, Errno>,
) -> Result<OverlayXattrs, Error> {
    let mut found = OverlayXattrs::default();
    let mut names = [0u8; 1024];
    match list(&mut names) {
        Ok(0) | Err(Errno::OPNOTSUPP) => {}
        Ok(n) => {
            let names = names[..n].split(|&b| b == 0);
            for name in names.filter_map(|b| std::str::from_utf8(b).ok()) {
                if let Some(mark) = prefixes.iter().find_map(|p| name.strip_prefix(p)) {
                    found.note(mark, |out| get(name, out));
                }
            }
        }
        // More attributes than any layer has: ask for the marks by name.
        Err(Errno::RANGE) => {
            for prefix in prefixes {
                for mark in OVERLAY_MARKS {
                    let name = format!("{prefix}{mark}");
                    found.note(mark, |out| get(&name, out));
                }
            }
        }
        Err(e) => return Err(e.into()),
    }
    Ok(found)
}

/// What of overlayfs's attributes changes the view; origin, impure, uuid, ... are bookkeeping.
const OVERLAY_MARKS: [&str; 4] = ["opaque", "redirect", "metacopy", "whiteout"];

/// What overlayfs notes in extended attributes (Documentation/filesystems/overlayfs.rst): `trusted.overlay.*` for root,
/// `user.overlay.*` for a mount made with `userxattr`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayXattrs {
    /// `opaque=y`: the directory hides those below it.
    pub opaque: bool,
    /// Where the directory was renamed from.
    pub redirect: Option<Vec<u8>>,
    /// Only metadata here.
    pub metacopy: bool,
    /// A whiteout by attribute, where the file is empty.
    pub whiteout: bool,
}

impl OverlayXattrs {
    /// The marks among these attributes, which are taken out with all of overlayfs's own, those whose names begin with one of
    /// `prefixes`.
    pub fn take(prefixes: &[&str], attributes: &mut Xattrs) -> OverlayXattrs {
        let mut found = OverlayXattrs::default();
        attributes.retain(|(name, value)| {
            let own = prefixes
                .iter()
                .find_map(|p| name.strip_prefix(p.as_bytes()));
            if let Some(mark) = own.and_then(|m| std::str::from_utf8(m).ok()) {
                found.note(mark, |out| {
                    let n = value.len().min(out.len());
                    out[..n].copy_from_slice(&value[..n]);
                    Ok(n)
                });
            }
            own.is_none()
        });
        found
    }

    fn note(&mut self, mark: &str, value: impl Fn(&mut [u8]) -> Result<usize, Errno>) {
        if !OVERLAY_MARKS.contains(&mark) {
            return;
        }
        let mut space = [0u8; 4096];
        let Ok(n) = value(&mut space) else {
            return;
        };
        match (mark, &space[..n]) {
            ("opaque", b"y") => self.opaque = true,
            ("opaque", _) => {}
            ("redirect", to) => self.redirect = Some(to.to_vec()),
            ("metacopy", _) => self.metacopy = true,
            _ => self.whiteout = true,
        }
    }
}
