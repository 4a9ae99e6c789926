//! The files of an image. dof opens each one itself, in the image's own folder, and only if it is a plain file. A tool gets
//! the open file and no name.

use super::{Error, step};
use crate::evidence::private_file;
use crate::tools;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file by what the kernel knows it by, whatever its name is by now: its device and inode.
pub type Id = (u64, u64);

/// The folder that an image is in.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// An open file of an image, or another one whose bytes dof reads.
#[derive(Debug)]
pub struct Piece {
    /// Its name, for messages.
    pub name: OsString,
    /// Its bytes.
    pub size: u64,
    /// Whether it is a block device.
    pub device: bool,
    file: File,
}

impl Folder {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Folder, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty());
        Ok(Folder {
            fd: fd.map_err(step(path.display().to_string()))?,
            path: path.to_path_buf(),
        })
    }

    /// Whether something has this name.
    pub fn has(&self, name: &OsStr) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Opens a plain file for reading, or a block device where that is allowed. `None` when nothing has this name.
    ///
    /// # Errors
    /// When it is something else, which dof does not open at all, or cannot be opened.
    pub fn piece(&self, name: &OsStr, device: bool) -> Result<Option<Piece>, Error> {
        let path = self.path.join(name);
        let failed = |e: io::Error| step(path.display().to_string())(e);
        if name.is_empty() || name == "." || name == ".." || name.as_bytes().contains(&b'/') {
            return Err(failed(io::Error::other("not the name of a file")));
        }
        // A descriptor that only names it: neither a FIFO nor a device notices.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            r => r.map_err(|e| failed(e.into()))?,
        };
        let stat = rustix::fs::fstat(&found).map_err(|e| failed(e.into()))?;
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => None,
            FileType::BlockDevice if device => None,
            FileType::Symlink => Some("a symbolic link, which leads to another file"),
            FileType::Directory => Some("a directory"),
            FileType::Fifo => Some("a FIFO"),
            FileType::Socket => Some("a socket"),
            _ => Some("a device"),
        };
        if let Some(what) = what {
            return Err(Error::NotPlain { file: path, what });
        }
        let device = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
        // Behind a private mount, where the kernel lets nobody write, however often a tool opens it again.
        let shown = if device { None } else { private_file(&found) };
        let shown = shown.unwrap_or(found);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let by_number = tools::by_number(shown.as_fd());
        let file = rustix::fs::openat(CWD, by_number, flags, Mode::empty());
        let mut file = File::from(file.map_err(|e| failed(e.into()))?);
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Some(Piece {
            name: name.to_owned(),
            size,
            device,
            file,
        }))
    }
}

impl Piece {
    /// What the kernel knows it by.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn id(&self) -> io::Result<Id> {
        let stat = rustix::fs::fstat(&self.file)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// As many bytes as can be read there, up to `length`.
    pub fn read(&self, at: u64, length: u64) -> Vec<u8> {
        let length = length.min(self.size.saturating_sub(at));
        let mut out = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut n = 0;
        while n < out.len() {
            match self.file.read_at(&mut out[n..], at + n as u64) {
                Ok(0) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
                Ok(more) => n += more,
            }
        }
        out.truncate(n);
        out
    }

    /// Its name as text.
    pub fn shown(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

impl AsFd for Piece {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
