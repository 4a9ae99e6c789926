//! What was set up for a mounted image, step by step, on record in `/run/dof` until it is undone: whatever ends dof,
//! `unmount-image` finds it.

use super::folder::{Folder, Id, Piece};
use super::{Error, step};
use crate::mounts;
use crate::parse::vmdk::{self, Content, Extent};
use crate::tools::{self, EWFMOUNT, Given, LOSETUP, QEMU, Tool};
use rustix::fd::BorrowedFd;
use rustix::fs::FlockOperation;
use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where setups are: only root may write there, and a restart clears it with the mounts.
const RUN: &str = "/run/dof";
/// The record of one setup, in its directory.
const RECORD: &str = "setup.json";
/// What the names of an EWF image's segments begin with, as ewfmount sees them.
pub const EWF_SOURCE: &str = "disk";
/// How long the tools may take to end before dof kills them, and until dof gives up.
const PATIENCE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(15)];

/// What unmounting needs to know. The tools are found by themselves ([`tools::running`]), and what they mounted by its place
/// in the setup's directory.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    image: PathBuf,
    /// Loop devices and what they show. Each goes with its last user, which need not be the mount it was made for: a container
    /// mounted from there keeps it.
    loops: Vec<(PathBuf, Id)>,
    /// Directories made for mounts.
    places: Vec<PathBuf>,
}

/// What was set up for one image.
#[derive(Debug)]
pub struct Setup {
    dir: PathBuf,
    record: Record,
    /// Locked by the one process that works on it. A child has it until it became a tool.
    lock: Option<File>,
    /// Files that the tools were given.
    given: Vec<Id>,
    /// How many things were made in the directory.
    made: usize,
}

fn made(path: &Path) -> impl FnOnce(io::Error) -> Error {
    step(path.display().to_string())
}

impl Setup {
    /// A new one.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn new(image: &Path) -> Result<Setup, Error> {
        if image.to_str().is_none() {
            // The record and the tools' arguments are JSON.
            let why = io::Error::other("its path is not UTF-8; give it another name");
            return Err(made(image)(why));
        }
        let run = Path::new(RUN);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(run)
            .map_err(made(run))?;
        let dir = tempfile::Builder::new()
            .prefix("image-")
            .tempdir_in(run)
            .map_err(made(run))?
            .keep();
        let record = Record {
            image: image.to_path_buf(),
            ..Record::default()
        };
        let mut setup = Setup::of(dir, record);
        setup.lock()?;
        setup.save()?;
        Ok(setup)
    }

    fn of(dir: PathBuf, record: Record) -> Setup {
        Setup {
            dir,
            record,
            lock: None,
            given: Vec::new(),
            made: 0,
        }
    }

    /// Waits a moment for another process that works on it.
    fn lock(&mut self) -> Result<(), Error> {
        for _ in 0..100 {
            if self.try_lock()? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Error::AtWork(self.record.image.clone()))
    }

    /// Whether this process is the one that works on it from now on.
    fn try_lock(&mut self) -> Result<bool, Error> {
        if self.lock.is_none() {
            let dir = File::open(&self.dir).map_err(made(&self.dir))?;
            match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => self.lock = Some(dir),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(e) => return Err(made(&self.dir)(e.into())),
            }
        }
        Ok(self.lock.is_some())
    }

    /// All there are.
    ///
    /// # Errors
    /// When the directory cannot be read. A record that makes no sense is passed over.
    pub fn all() -> Result<Vec<Setup>, Error> {
        let run = Path::new(RUN);
        let entries = match fs::read_dir(run) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            r => r.map_err(made(run))?,
        };
        let mut all: Vec<Setup> = entries
            .filter_map(|entry| {
                let dir = entry.ok()?.path();
                let Ok(record) = fs::read(dir.join(RECORD)) else {
                    // Its dof ended before there was anything to undo, or at the end of the undoing.
                    let mut setup = Setup::of(dir, Record::default());
                    if setup.try_lock().is_ok_and(|locked| locked) {
                        let _ = setup.end();
                    }
                    return None;
                };
                Some(Setup::of(dir, serde_json::from_slice(&record).ok()?))
            })
            .collect();
        all.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(all)
    }

    /// The image.
    pub fn image(&self) -> &Path {
        &self.record.image
    }

    /// Directories made for its volumes.
    pub fn places(&self) -> &[PathBuf] {
        &self.record.places
    }

    fn save(&self) -> Result<(), Error> {
        let file = self.dir.join(RECORD);
        let next = self.dir.join("next");
        let text =
            serde_json::to_vec(&self.record).map_err(|e| step(RECORD)(io::Error::other(e)))?;
        fs::write(&next, text).map_err(made(&next))?;
        fs::rename(&next, &file).map_err(made(&file))
    }

    /// Runs a tool for this setup with files to inherit.
    ///
    /// # Errors
    /// When it is missing or fails.
    pub fn run<S: AsRef<OsStr>>(
        &mut self,
        tool: Tool,
        arguments: impl IntoIterator<Item = S>,
        files: &[Piece],
    ) -> Result<String, tools::Error> {
        self.given.extend(files.iter().filter_map(|f| f.id().ok()));
        let open: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let given = Given {
            files: &open,
            setup: Some(&self.dir),
        };
        tool.run_with(arguments, given)
    }

    /// A path in the directory that is not there yet.
    fn fresh(&mut self, name: &str) -> PathBuf {
        self.made += 1;
        self.dir.join(format!("{name}{}", self.made))
    }

    /// Has qemu-storage-daemon show a block device of these files as a raw file.
    ///
    /// # Errors
    /// When it is missing or fails.
    pub fn show(&mut self, node: &Value, files: &[Piece]) -> Result<(PathBuf, Piece), Error> {
        let file = self.fresh("disk");
        fs::write(&file, "").map_err(made(&file))?;
        let export = json!({"type": "fuse", "id": "disk", "node-name": "disk", "mountpoint": file, "writable": false});
        let arguments = [
            "--daemonize",
            "--blockdev",
            &node.to_string(),
            "--export",
            &export.to_string(),
        ];
        self.run(QEMU, arguments, files)?;
        self.shown(file)
    }

    /// Has ewfmount show an image as a raw file. libewf looks for segments by their names: it finds these.
    ///
    /// # Errors
    /// When it is missing or fails.
    pub fn show_ewf(
        &mut self,
        names: impl Iterator<Item = String>,
        segments: &[Piece],
    ) -> Result<(PathBuf, Piece), Error> {
        let [from, to] = ["segments", "ewf"].map(|name| self.fresh(name));
        for dir in [&from, &to] {
            fs::create_dir(dir).map_err(made(dir))?;
        }
        let mut first = None;
        for (name, segment) in names.zip(segments) {
            let link = from.join(name);
            symlink(tools::by_number(segment.as_fd()), &link).map_err(made(&link))?;
            first.get_or_insert(link);
        }
        self.run(EWFMOUNT, [&first.unwrap_or(from), &to], segments)?;
        // It says it is done a moment before it is.
        let file = to.join("ewf1");
        for _ in 0..100 {
            if file.exists() {
                return self.shown(file);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Error::Tool(tools::Error::Failed {
            program: EWFMOUNT.name(),
            said: "it shows no disk".into(),
        }))
    }

    /// Opens what a tool shows, if the tool holds nothing open but what dof gave it.
    fn shown(&self, file: PathBuf) -> Result<(PathBuf, Piece), Error> {
        for pid in tools::running(&self.dir) {
            let open = format!("/proc/{}/fd", pid.as_raw_nonzero());
            for open in fs::read_dir(open).into_iter().flatten().flatten() {
                let Ok(meta) = fs::metadata(open.path()) else {
                    continue; // closed by now
                };
                let kind = meta.file_type();
                let is_data =
                    kind.is_file() || std::os::unix::fs::FileTypeExt::is_block_device(&kind);
                // Without a name it is memory of its own.
                if is_data && meta.nlink() > 0 && !self.given.contains(&(meta.dev(), meta.ino())) {
                    let file = open.path().canonicalize().unwrap_or_default();
                    return Err(Error::Reached(file));
                }
            }
        }
        let name = file.file_name().unwrap_or_default();
        let piece = Folder::open(file.parent().unwrap_or(&self.dir))?.piece(name, false)?;
        let piece = piece.ok_or_else(|| made(&file)(rustix::io::Errno::NOENT.into()))?;
        Ok((file, piece))
    }

    /// What QEMU needs to read these extents of open files as one disk: a descriptor of dof's own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn joined(&mut self, extents: &[Extent<usize>], files: &[Piece]) -> Result<Value, Error> {
        let name = |i: &usize| tools::by_number(files[*i].as_fd());
        let text = vmdk::write(extents.iter().map(|extent| Extent {
            sectors: extent.sectors,
            content: match &extent.content {
                Content::Zero => Content::Zero,
                Content::Flat(i, first) => Content::Flat(name(i), *first),
                Content::Sparse(i) => Content::Sparse(name(i)),
            },
        }));
        let descriptor = self.fresh("joined");
        fs::write(&descriptor, text).map_err(made(&descriptor))?;
        let meta = fs::metadata(&descriptor).map_err(made(&descriptor))?;
        self.given.push((meta.dev(), meta.ino()));
        let file =
            json!({"driver": "file", "filename": descriptor, "read-only": true, "locking": "off"});
        Ok(
            json!({"driver": "vmdk", "node-name": "disk", "read-only": true, "backing": null, "file": file}),
        )
    }

    /// A read-only loop device for a part of a file; bytes. It shows the file that is open, or there is none.
    ///
    /// # Errors
    /// When losetup fails.
    pub fn attach(
        &mut self,
        (path, file): (&Path, &Piece),
        offset: u64,
        length: u64,
    ) -> Result<PathBuf, Error> {
        let id = file.id().map_err(made(path))?;
        let (offset, length) = (offset.to_string(), length.to_string());
        let mut tries = 0..20;
        loop {
            let device = PathBuf::from(self.run(LOSETUP, ["--find"], &[])?);
            // On record before it is used; another program may be quicker to use it.
            self.record.loops.push((device.clone(), id));
            self.save()?;
            let arguments = [
                "--read-only".as_ref(),
                "--offset".as_ref(),
                offset.as_ref(),
                "--sizelimit".as_ref(),
                length.as_ref(),
                device.as_os_str(),
                path.as_os_str(),
            ];
            let e = match self.run(LOSETUP, arguments, &[]) {
                // losetup goes by the name, which may lead elsewhere by now.
                Ok(_) if self.loops()?.contains(&(device.clone(), id)) => return Ok(device),
                Ok(_) => {
                    self.detach(&device)?;
                    made(path)(io::Error::other("it was replaced while dof opened it"))
                }
                Err(e) if tries.next().is_some() && e.to_string().contains("busy") => {
                    self.record.loops.pop();
                    continue;
                }
                Err(e) => e.into(),
            };
            self.record.loops.pop();
            self.save()?;
            return Err(e);
        }
    }

    /// The loop devices there are, and what each shows.
    fn loops(&mut self) -> Result<Vec<(PathBuf, Id)>, Error> {
        let columns = "NAME,BACK-MAJ:MIN,BACK-INO";
        let list = ["--list", "--noheadings", "--output", columns];
        let text = self.run(LOSETUP, list, &[])?;
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let device = PathBuf::from(words.next()?);
            let (major, minor) = words.next()?.split_once(':')?;
            let number = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
            Some((device, (number, words.next()?.parse().ok()?)))
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// Gives a loop device free; the kernel does so when its last user goes.
    ///
    /// # Errors
    /// When losetup fails.
    pub fn detach(&mut self, device: &Path) -> Result<(), Error> {
        self.run(LOSETUP, ["--detach".as_ref(), device.as_os_str()], &[])?;
        Ok(())
    }

    /// A new directory for a mount: of this name, or with a number behind it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn place(&mut self, parent: &Path, name: &str) -> Result<PathBuf, Error> {
        let parent = parent.canonicalize().map_err(made(parent))?;
        for n in 1..10_000 {
            let at = match n {
                1 => parent.join(name),
                n => parent.join(format!("{name}-{n}")),
            };
            if at.symlink_metadata().is_ok() {
                continue;
            }
            // On record before it is there: who is killed in between leaves nothing that nobody knows of.
            self.record.places.push(at.clone());
            self.save()?;
            match fs::create_dir(&at) {
                Ok(()) => return Ok(at),
                Err(e) => {
                    self.record.places.pop();
                    self.save()?;
                    if e.kind() != io::ErrorKind::AlreadyExists {
                        return Err(made(&at)(e));
                    }
                }
            }
        }
        Err(made(&parent.join(name))(
            io::ErrorKind::AlreadyExists.into(),
        ))
    }

    /// Mounts a device read-only at a place; the place goes again when that fails.
    ///
    /// # Errors
    /// What the kernel said, or that it mounted something else.
    pub fn mount(
        &mut self,
        device: &Path,
        at: &Path,
        driver: &str,
        options: &str,
    ) -> Result<(), Error> {
        let flags = MountFlags::RDONLY
            | MountFlags::NOSUID
            | MountFlags::NODEV
            | MountFlags::NOEXEC
            | MountFlags::NOATIME;
        let data = CString::new(options).unwrap_or_default();
        let mut done = rustix::mount::mount(device, at, driver, flags, data.as_c_str())
            .map_err(step(format!("mounting {driver} ({options})")));
        // btrfs knows file systems by their UUID, and may give one that is mounted already instead of this one.
        if done.is_ok() {
            let table = mounts::table().map_err(step("/proc/self/mountinfo"))?;
            let is = table.iter().rev().find(|m| m.at == at).map(|m| &m.source);
            if is.is_some_and(|source| source != device) {
                let _ = mounts::unmount(at);
                done = Err(step(format!("mounting {driver}"))(io::Error::other(
                    "a file system of the same UUID is mounted already; unmount it first",
                )));
            }
        }
        if done.is_err() {
            let _ = fs::remove_dir(at);
            self.record.places.retain(|p| p != at);
            self.save()?;
        }
        done
    }

    /// Undoes everything, the last step first. Gives the places unmounted and what could not be undone, which stays on
    /// record.
    pub fn undo(mut self) -> (Vec<PathBuf>, Vec<Error>) {
        let mut done = Vec::new();
        let mut failed = match self.lock() {
            Ok(()) => self.unmount(&mut done),
            Err(e) => return (done, vec![e]),
        };
        if failed.is_empty() {
            failed.extend(self.give_free().err());
        }
        let gone = if failed.is_empty() {
            self.end()
        } else {
            self.save()
        };
        failed.extend(gone.err());
        (done, failed)
    }

    /// Unmounts the places and removes them. Gives what could not be unmounted.
    fn unmount(&mut self, done: &mut Vec<PathBuf>) -> Vec<Error> {
        let mut failed = Vec::new();
        let table = mounts::table().unwrap_or_default();
        self.record.places.reverse();
        self.record.places.retain(|at| {
            if table.iter().any(|m| m.at == *at && m.ours) {
                match mounts::unmount(at) {
                    Ok(()) => done.push(at.clone()),
                    Err(e) => {
                        failed.push(step(at.display().to_string())(e));
                        return true;
                    }
                }
            }
            let _ = fs::remove_dir(at);
            false
        });
        self.record.places.reverse();
        failed
    }

    /// Gives the loop devices free, and waits a moment for their last users.
    fn give_free(&mut self) -> Result<(), Error> {
        // One that a killed dof left may make a device yet.
        let start = Instant::now();
        while let [pid, ..] = tools::running_as(LOSETUP, &self.dir)[..] {
            let [patience, end] = PATIENCE;
            if start.elapsed() > end {
                return Err(Error::Stays(pid.as_raw_nonzero().to_string()));
            }
            if start.elapsed() > patience {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for tries in 0..50 {
            if self.record.loops.is_empty() {
                return Ok(());
            }
            // The number may be another file's by now.
            let there = self.loops()?;
            self.record.loops.retain(|own| there.contains(own));
            if tries == 0 {
                for (device, _) in self.record.loops.clone() {
                    // What no mount holds goes now, the rest when its last user does.
                    let _ = self.detach(&device);
                }
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let names = self
            .record
            .loops
            .iter()
            .map(|(d, _)| d.display().to_string());
        let names: Vec<String> = names.collect();
        Err(Error::InUse(names.join(", ")))
    }

    /// Ends the tools, unmounts what they show, and removes the directory: what starts late finds no place in it.
    fn end(&self) -> Result<(), Error> {
        let start = Instant::now();
        let mut asked: HashSet<Pid> = HashSet::new();
        loop {
            let tools = tools::running(&self.dir);
            let table = mounts::table().map_err(step("/proc/self/mountinfo"))?;
            let shown = table.iter().map(|m| &m.at);
            let shown: Vec<&PathBuf> = shown.filter(|at| at.starts_with(&self.dir)).collect();
            let mut gone = Ok(());
            if tools.is_empty() && shown.is_empty() {
                gone = fs::remove_dir_all(&self.dir);
                if tools::running(&self.dir).is_empty() && !self.dir.exists() {
                    return Ok(());
                }
            }
            let [patience, end] = PATIENCE;
            if start.elapsed() > end {
                gone.map_err(made(&self.dir))?;
                let pids = tools.iter().map(|p| p.as_raw_nonzero().to_string());
                let what = pids.chain(shown.iter().map(|at| at.display().to_string()));
                return Err(Error::Stays(what.collect::<Vec<_>>().join(", ")));
            }
            for pid in &tools {
                if start.elapsed() > patience {
                    let _ = rustix::process::kill_process(*pid, Signal::KILL);
                } else if asked.insert(*pid) {
                    let _ = rustix::process::kill_process(*pid, Signal::TERM);
                }
            }
            // Each unmounts its own when it ends; what is left is left of one that was killed.
            if tools.is_empty() {
                for at in shown.iter().rev() {
                    let _ = mounts::unmount(at);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
