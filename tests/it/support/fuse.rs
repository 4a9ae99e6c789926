//! File systems of the tests' own: a host whose disk fails where a test says, and a disk that notes what is written to it and
//! when it was told to keep it.

use crate::support::folder;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Mounts a file system for as long as what is given lives.
pub fn mount(at: &Path, fs: impl Filesystem, read_only: bool) -> BackgroundSession {
    spawn(at, fs, read_only).expect("FUSE mounts")
}

fn spawn(at: &Path, fs: impl Filesystem, read_only: bool) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("dof-test".into())];
    if read_only {
        config.mount_options.push(MountOption::RO);
    }
    fuser::spawn_mount(fs, at, &config)
}

/// Mounts one with nothing in it.
///
/// # Errors
/// Why that cannot be done here.
pub fn works() -> std::io::Result<()> {
    struct Nothing;
    impl Filesystem for Nothing {}
    spawn(folder().path(), Nothing, true).map(drop)
}

/// What fails with EIO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Looking at a name.
    Stat,
    /// Opening a file or a directory.
    Open,
    /// Reading the block of a file that this byte lies in.
    Read(u64),
    /// Reading on in a directory, behind some entries.
    List,
    /// Reading a link.
    Link,
    /// Extended attributes.
    Attributes,
}

/// A directory as a file system on a failing disk.
pub struct Failing {
    /// Paths by inode number, of which 1 is the first.
    nodes: Mutex<(Vec<PathBuf>, HashMap<PathBuf, u64>)>,
    faults: Vec<(PathBuf, Fails)>,
    /// What it says of names that are to be made.
    takes: fn(&OsStr) -> Result<(), Errno>,
}

impl Failing {
    /// The directory `root`, failing at these paths within it.
    pub fn new(root: &Path, faults: &[(PathBuf, Fails)]) -> Failing {
        let faults = faults.iter().map(|(p, f)| (root.join(p), *f)).collect();
        Failing {
            nodes: Mutex::new((vec![root.to_owned()], HashMap::from([(root.to_owned(), 1)]))),
            faults,
            takes: |_| Ok(()),
        }
    }

    /// The directory `root`, to be written to, where not every name can be made.
    pub fn taking(root: &Path, takes: fn(&OsStr) -> Result<(), Errno>) -> Failing {
        Failing {
            takes,
            ..Failing::new(root, &[])
        }
    }

    /// Makes what is there then.
    fn made(
        &self,
        parent: INodeNo,
        name: &OsStr,
        make: impl Fn(&Path) -> std::io::Result<()>,
    ) -> Result<FileAttr, Errno> {
        (self.takes)(name)?;
        let path = self.path(parent).join(name);
        make(&path)?;
        self.attributes(&path)
    }

    fn path(&self, node: INodeNo) -> PathBuf {
        self.nodes.lock().unwrap().0[u64::from(node) as usize - 1].clone()
    }

    fn node(&self, path: &Path) -> INodeNo {
        let (paths, numbers) = &mut *self.nodes.lock().unwrap();
        if let Some(&number) = numbers.get(path) {
            return INodeNo(number);
        }
        paths.push(path.to_owned());
        let number = paths.len() as u64;
        numbers.insert(path.to_owned(), number);
        INodeNo(number)
    }

    fn check(&self, path: &Path, fails: impl Fn(Fails) -> bool) -> Result<(), Errno> {
        let fault = self.faults.iter().any(|(p, f)| p == path && fails(*f));
        if fault { Err(Errno::EIO) } else { Ok(()) }
    }

    fn attributes(&self, path: &Path) -> Result<FileAttr, Errno> {
        self.check(path, |f| f == Fails::Stat)?;
        let m = fs::symlink_metadata(path)?;
        let time = |s: i64, ns: i64| -> SystemTime {
            let ns = Duration::from_nanos(ns as u64);
            match u64::try_from(s) {
                Ok(s) => UNIX_EPOCH + Duration::from_secs(s) + ns,
                Err(_) => UNIX_EPOCH - Duration::from_secs(s.unsigned_abs()) + ns,
            }
        };
        Ok(FileAttr {
            ino: self.node(path),
            size: m.size(),
            blocks: m.blocks(),
            atime: time(m.atime(), m.atime_nsec()),
            mtime: time(m.mtime(), m.mtime_nsec()),
            ctime: time(m.ctime(), m.ctime_nsec()),
            crtime: UNIX_EPOCH,
            kind: kind(m.file_type()),
            perm: (m.permissions().mode() & 0o7777) as u16,
            nlink: m.nlink() as u32,
            uid: m.uid(),
            gid: m.gid(),
            rdev: m.rdev() as u32,
            blksize: 4096,
            flags: 0,
        })
    }

    fn open_at(&self, node: INodeNo, reply: ReplyOpen) {
        match self.check(&self.path(node), |f| f == Fails::Open) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(e) => reply.error(e),
        }
    }

    fn bytes(&self, node: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let path = self.path(node);
        let end = offset + u64::from(size);
        self.check(
            &path,
            |f| matches!(f, Fails::Read(at) if offset <= at && at < end),
        )?;
        let mut bytes = vec![0; size as usize];
        let n = fs::File::open(&path)?.read_at(&mut bytes, offset)?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// A list or a value of an extended attribute.
    fn extended(
        &self,
        node: INodeNo,
        size: u32,
        reply: ReplyXattr,
        read: impl Fn(&Path, &mut [u8]) -> rustix::io::Result<usize>,
    ) {
        let path = self.path(node);
        if let Err(e) = self.check(&path, |f| f == Fails::Attributes) {
            return reply.error(e);
        }
        let mut space = vec![0; 64 * 1024];
        match read(&path, &mut space) {
            Ok(n) if size == 0 => reply.size(n as u32),
            Ok(n) if n > size as usize => reply.error(Errno::ERANGE),
            Ok(n) => reply.data(&space[..n]),
            Err(e) => reply.error(Errno::from_i32(e.raw_os_error())),
        }
    }
}

fn kind(t: fs::FileType) -> FileType {
    match t {
        t if t.is_dir() => FileType::Directory,
        t if t.is_symlink() => FileType::Symlink,
        t if t.is_fifo() => FileType::NamedPipe,
        t if t.is_char_device() => FileType::CharDevice,
        t if t.is_block_device() => FileType::BlockDevice,
        t if t.is_socket() => FileType::Socket,
        _ => FileType::RegularFile,
    }
}

impl Filesystem for Failing {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(&self.path(parent).join(name)) {
            Ok(a) => reply.entry(&Duration::ZERO, &a, Generation(0)),
            Err(e) => reply.error(e),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(&self.path(node)) {
            Ok(a) => reply.attr(&Duration::ZERO, &a),
            Err(e) => reply.error(e),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        match self.made(parent, name, |path| fs::create_dir(path)) {
            Ok(a) => reply.entry(&Duration::ZERO, &a, Generation(0)),
            Err(e) => reply.error(e),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = |path: &Path| fs::File::create_new(path).map(drop);
        match self.made(parent, name, made) {
            Ok(a) => reply.created(
                &Duration::ZERO,
                &a,
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(e) => reply.error(e),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let file = fs::File::options().write(true).open(self.path(node));
        match file.and_then(|file| file.write_all_at(data, offset)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(e.into()),
        }
    }

    /// Sizes only: it has neither permissions nor owners, as FAT.
    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let path = self.path(node);
        if mode.is_some() || uid.is_some() {
            return reply.error(Errno::EPERM);
        }
        if let Some(size) = size {
            let file = fs::File::options().write(true).open(&path);
            if let Err(e) = file.and_then(|file| file.set_len(size)) {
                return reply.error(e.into());
            }
        }
        match self.attributes(&path) {
            Ok(a) => reply.attr(&Duration::ZERO, &a),
            Err(e) => reply.error(e),
        }
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        let path = self.path(node);
        let target = self
            .check(&path, |f| f == Fails::Link)
            .and_then(|()| Ok(fs::read_link(&path)?));
        match target {
            Ok(target) => reply.data(target.as_os_str().as_bytes()),
            Err(e) => reply.error(e),
        }
    }

    fn open(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.open_at(node, reply);
    }

    fn opendir(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.open_at(node, reply);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.bytes(node, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(e),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let path = self.path(node);
        let fault = self.check(&path, |f| f == Fails::List);
        let Ok(entries) = fs::read_dir(&path) else {
            return reply.error(Errno::EIO);
        };
        let mut entries: Vec<_> = entries.map(|e| e.unwrap()).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for (i, e) in entries.iter().enumerate().skip(offset as usize) {
            match fault {
                // The first half, and an error behind it.
                Err(_) if i >= entries.len() / 2 && i > offset as usize => break,
                Err(e) if i >= entries.len() / 2 => return reply.error(e),
                _ => {}
            }
            let kind = kind(e.file_type().unwrap());
            if reply.add(INodeNo(i as u64 + 2), i as u64 + 1, kind, e.file_name()) {
                break;
            }
        }
        reply.ok();
    }

    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.extended(node, size, reply, |p, out| {
            rustix::fs::lgetxattr(p, name, out)
        });
    }

    fn listxattr(&self, _: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        self.extended(node, size, reply, |p, out| rustix::fs::llistxattr(p, out));
    }
}

/// What a disk was told.
#[derive(Clone, Debug)]
pub enum Told {
    /// To write these bytes there.
    Write(u64, Vec<u8>),
    /// That all of it must be there after a power cut.
    Sync,
}

/// A disk as the one file of a file system.
#[derive(Clone)]
pub struct Disk {
    /// What is on it.
    pub bytes: Arc<Mutex<Vec<u8>>>,
    /// What it was told, in order.
    pub told: Arc<Mutex<Vec<Told>>>,
}

const DISK: INodeNo = INodeNo(2);

impl Disk {
    /// One with these bytes.
    pub fn new(bytes: Vec<u8>) -> Disk {
        Disk {
            bytes: Arc::new(Mutex::new(bytes)),
            told: Arc::default(),
        }
    }

    fn attributes(&self, node: INodeNo) -> FileAttr {
        let (kind, perm) = match node {
            DISK => (FileType::RegularFile, 0o600),
            _ => (FileType::Directory, 0o700),
        };
        let size = self.bytes.lock().unwrap().len() as u64;
        FileAttr {
            ino: node,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "disk" {
            reply.entry(&Duration::MAX, &self.attributes(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::from_secs(60), &self.attributes(node));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = self.bytes.lock().unwrap();
        let start = (offset as usize).min(bytes.len());
        let end = (start + size as usize).min(bytes.len());
        reply.data(&bytes[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let start = offset as usize;
        self.bytes.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        let mut told = self.told.lock().unwrap();
        told.push(Told::Write(offset, data.to_vec()));
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.told.lock().unwrap().push(Told::Sync);
        reply.ok();
    }
}
