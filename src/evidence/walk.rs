//! Directories read entry by entry, relative to their descriptors: what the parallel walk is made of.
//!
//! Order is that of the directory on disk. Symbolic links below a tree's root are never followed. Opening a
//! directory does not move its access time. Errors belong to one entry or one directory and stop no more than that.

use super::{Error, Evidence, EvidencePath, Meta, stat_at, stat_fd};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// Bytes of directory entries asked of the kernel at once.
const BUFFER: usize = 64 * 1024;

/// Reusable space for [`OpenDir::read`].
pub struct Buffer(Box<[MaybeUninit<u8>]>);

impl Default for Buffer {
    fn default() -> Self {
        Buffer(Box::new_uninit_slice(BUFFER))
    }
}

/// An open directory of the evidence.
#[derive(Debug)]
pub struct OpenDir(OwnedFd);

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
        Ok(Top::Dir(OpenDir(dir), meta))
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
        let flags = OFlags::RDONLY
            | OFlags::DIRECTORY
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK;
        let fd = match rustix::fs::openat(&self.0, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => rustix::fs::openat(&self.0, name, flags, Mode::empty()),
            r => r,
        }?;
        Ok(OpenDir(fd))
    }

    /// Metadata of the directory itself.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn meta(&self) -> Result<Meta, Error> {
        Ok(stat_fd(&self.0)?)
    }

    /// Whether it lies on a file system that is no part of a disk (proc, sysfs, a mounted overlay, ...).
    pub fn is_pseudo(&self) -> bool {
        rustix::fs::fstatfs(&self.0).is_ok_and(|s| PSEUDO.contains(&(s.f_type as u64)))
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
        let mut raw = RawDir::new(&self.0, &mut buffer.0);
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

    /// Metadata of an entry, links not followed.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn stat(&self, name: &CStr) -> Result<Meta, Error> {
        Ok(stat_at(&self.0, name)?)
    }

    /// Appends the target of the symbolic link `name` to `out`; returns its length.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read_link(&self, name: &CStr, out: &mut Vec<u8>) -> Result<usize, Error> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let (target, _) = rustix::fs::readlinkat_raw(&self.0, name, &mut space)?;
        out.extend_from_slice(target);
        Ok(target.len())
    }

    /// The overlay attributes of the directory itself.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn overlay_xattrs(&self) -> Result<OverlayXattrs, Error> {
        overlay_xattrs(
            |out| rustix::fs::flistxattr(&self.0, out),
            |name, out| rustix::fs::fgetxattr(&self.0, name, out),
        )
    }

    /// The overlay attributes of an entry that is no directory. Linux reads the attributes of a file that is not open
    /// only by path: the path is that of our own descriptor (`/proc/self/fd`), whose last component is not followed.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn entry_overlay_xattrs(&self, name: &CStr) -> Result<OverlayXattrs, Error> {
        let own = [
            format!("/proc/self/fd/{}/", self.0.as_raw_fd()).as_bytes(),
            name.to_bytes(),
        ]
        .concat();
        let own = own.as_slice();
        overlay_xattrs(
            |out| rustix::fs::llistxattr(own, out),
            |name, out| rustix::fs::lgetxattr(own, name, out),
        )
    }
}

/// Lists the attributes there are and reads those of overlayfs.
fn overlay_xattrs(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&str, &mut [u8]) -> Result<usize, Errno>,
) -> Result<OverlayXattrs, Error> {
    let mut names = [0u8; 1024];
    match list(&mut names) {
        Ok(0) | Err(Errno::OPNOTSUPP) => Ok(OverlayXattrs::default()),
        Ok(n) => Ok(OverlayXattrs::of(
            names[..n]
                .split(|&b| b == 0)
                .filter_map(|b| std::str::from_utf8(b).ok()),
            get,
        )),
        // More attributes than any layer has: ask for ours by name.
        Err(Errno::RANGE) => Ok(OverlayXattrs::of(OVERLAY_NAMES.iter().copied(), get)),
        Err(e) => Err(e.into()),
    }
}

const OVERLAY_NAMES: [&str; 8] = [
    "trusted.overlay.opaque",
    "user.overlay.opaque",
    "trusted.overlay.redirect",
    "user.overlay.redirect",
    "trusted.overlay.metacopy",
    "user.overlay.metacopy",
    "trusted.overlay.whiteout",
    "user.overlay.whiteout",
];

/// What overlayfs notes in extended attributes (Documentation/filesystems/overlayfs.rst), as `trusted.overlay.*` or,
/// rootless, as `user.overlay.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayXattrs {
    /// `opaque=y`: the directory hides those below it.
    pub opaque: bool,
    /// `opaque=x`: some of its files are whiteouts by attribute.
    pub has_xattr_whiteouts: bool,
    /// Where the directory was renamed from.
    pub redirect: Option<Vec<u8>>,
    /// Only metadata here.
    pub metacopy: bool,
    /// A whiteout by attribute.
    pub whiteout: bool,
}

impl OverlayXattrs {
    fn of<'a>(
        names: impl Iterator<Item = &'a str>,
        get: impl Fn(&str, &mut [u8]) -> Result<usize, Errno>,
    ) -> Self {
        let mut found = OverlayXattrs::default();
        let mut value = [0u8; 4096];
        for name in names {
            let Some(what) = name
                .strip_prefix("trusted.overlay.")
                .or_else(|| name.strip_prefix("user.overlay."))
            else {
                continue;
            };
            if !matches!(what, "opaque" | "redirect" | "metacopy" | "whiteout") {
                continue; // origin, impure, uuid, ...: bookkeeping, no change of the view
            }
            let Ok(n) = get(name, &mut value) else {
                continue;
            };
            match what {
                "opaque" => match &value[..n] {
                    b"y" => found.opaque = true,
                    b"x" => found.has_xattr_whiteouts = true,
                    _ => {}
                },
                "redirect" => found.redirect = Some(value[..n].to_vec()),
                "metacopy" => found.metacopy = true,
                _ => found.whiteout = true,
            }
        }
        found
    }
}
