//! What was set up for a mounted image, step by step, on record in `/run/dof` until it is undone: whatever ends dof,
//! `unmount-image` finds it.

use super::{Error, step};
use crate::mounts;
use crate::tools::{self, LOSETUP, QEMU, Tool};
use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where setups stand: only root may write there, and a restart clears it with the mounts.
const RUN: &str = "/run/dof";
/// The record of one setup, in its directory.
const RECORD: &str = "setup.json";

/// A program that shows a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Shown {
    /// qemu-storage-daemon shows this file; the pid stands in the file beside it.
    Qemu { file: PathBuf, pid: PathBuf },
    /// ewfmount shows a file in this directory.
    Ewf { dir: PathBuf },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    image: PathBuf,
    shown: Vec<Shown>,
    /// Loop devices and their files. Each goes with its last user, which need not be the mount it was made for: a container
    /// mounted from there keeps it.
    loops: Vec<(PathBuf, PathBuf)>,
    /// Directories made for mounts.
    places: Vec<PathBuf>,
}

/// What was set up for one image.
#[derive(Debug)]
pub struct Setup {
    dir: PathBuf,
    record: Record,
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
        let setup = Setup { dir, record };
        setup.save()?;
        Ok(setup)
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
                let record = serde_json::from_slice(&fs::read(dir.join(RECORD)).ok()?).ok()?;
                Some(Setup { dir, record })
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

    /// Has qemu-storage-daemon show a block device as a raw file.
    ///
    /// # Errors
    /// When it is missing or fails.
    pub fn show(&mut self, node: &Value) -> Result<PathBuf, Error> {
        let n = self.record.shown.len();
        let file = self.dir.join(format!("disk{n}"));
        let pid = self.dir.join(format!("pid{n}"));
        fs::write(&file, "").map_err(made(&file))?;
        self.record.shown.push(Shown::Qemu {
            file: file.clone(),
            pid: pid.clone(),
        });
        self.save()?;
        let export = json!({"type": "fuse", "id": "disk", "node-name": "disk", "mountpoint": file, "writable": false});
        QEMU.run([
            "--daemonize",
            "--pidfile",
            &pid.display().to_string(),
            "--blockdev",
            &node.to_string(),
            "--export",
            &export.to_string(),
        ])?;
        Ok(file)
    }

    /// Has ewfmount show an image as a raw file.
    ///
    /// # Errors
    /// When it is missing or fails.
    pub fn show_ewf(&mut self, tool: Tool, first: &Path) -> Result<PathBuf, Error> {
        let dir = self.dir.join("ewf");
        fs::create_dir(&dir).map_err(made(&dir))?;
        self.record.shown.push(Shown::Ewf { dir: dir.clone() });
        self.save()?;
        tool.run([first, &dir])?;
        // It says it is done a moment before it is.
        let file = dir.join("ewf1");
        for _ in 0..100 {
            if file.exists() {
                return Ok(file);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Error::Tool(tools::Error::Failed {
            program: tool.name(),
            said: "it shows no disk".into(),
        }))
    }

    /// Has runs of files (path, offset and length in bytes) shown as one file.
    ///
    /// # Errors
    /// When the tool is missing or fails.
    pub fn join<'p>(
        &mut self,
        runs: impl IntoIterator<Item = (&'p Path, u64, u64)>,
    ) -> Result<PathBuf, Error> {
        // A descriptor of flat extents, which QEMU reads; names in it are links of ours.
        let mut text = String::from(
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n",
        );
        let n = self.record.shown.len();
        for (i, (path, offset, length)) in runs.into_iter().enumerate() {
            let name = format!("run{n}-{i}");
            let link = self.dir.join(&name);
            symlink(path, &link).map_err(made(&link))?;
            text.push_str(&format!(
                "RW {} FLAT \"{name}\" {}\n",
                length / 512,
                offset / 512
            ));
        }
        let descriptor = self.dir.join(format!("joined{n}.vmdk"));
        fs::write(&descriptor, text).map_err(made(&descriptor))?;
        let file =
            json!({"driver": "file", "filename": descriptor, "read-only": true, "locking": "off"});
        self.show(&json!({"driver": "vmdk", "node-name": "disk", "read-only": true, "backing": null, "file": file}))
    }

    /// A read-only loop device for a part of a file; bytes.
    ///
    /// # Errors
    /// When losetup fails.
    pub fn attach(&mut self, file: &Path, offset: u64, length: u64) -> Result<PathBuf, Error> {
        let mut tries = 0..20;
        loop {
            let device = PathBuf::from(LOSETUP.run(["--find"])?);
            // On record before it is used; another program may be quicker to use it.
            self.record.loops.push((device.clone(), file.to_path_buf()));
            self.save()?;
            let done = LOSETUP.run([
                "--read-only".as_ref(),
                "--offset".as_ref(),
                offset.to_string().as_ref(),
                "--sizelimit".as_ref(),
                length.to_string().as_ref(),
                device.as_os_str(),
                file.as_os_str(),
            ]);
            match done {
                Ok(_) => return Ok(device),
                Err(e) => {
                    self.record.loops.pop();
                    self.save()?;
                    if tries.next().is_none() || !e.to_string().contains("busy") {
                        return Err(e.into());
                    }
                }
            }
        }
    }

    /// Gives a loop device free; the kernel does so when its last user goes.
    ///
    /// # Errors
    /// When losetup fails.
    pub fn detach(&self, device: &Path) -> Result<(), Error> {
        LOSETUP.run(["--detach".as_ref(), device.as_os_str()])?;
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
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let table = mounts::table().unwrap_or_default();
        let mounted = |at: &Path| table.iter().any(|m| m.at == at);
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
        let is_ours = |(device, file): &(PathBuf, PathBuf)| {
            let number = device.file_name().unwrap_or_default().as_bytes();
            let backing = [b"/sys/block/", number, b"/loop/backing_file"].concat();
            let backing = fs::read(Path::new(std::ffi::OsStr::from_bytes(&backing)));
            // The number may be another file's by now.
            backing.is_ok_and(|b| b.trim_ascii_end() == file.as_os_str().as_bytes())
        };
        for own in self.record.loops.iter().filter(|l| is_ours(l)) {
            // What no mount holds goes now, the rest when its last user does.
            let _ = self.detach(&own.0);
        }
        for _ in 0..50 {
            self.record.loops.retain(is_ours);
            if self.record.loops.is_empty() || !self.record.places.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.record.places.is_empty() && !self.record.loops.is_empty() {
            let devices: Vec<String> = self
                .record
                .loops
                .iter()
                .map(|(d, _)| d.display().to_string())
                .collect();
            failed.push(Error::InUse(devices.join(", ")));
        }
        if self.record.places.is_empty() && self.record.loops.is_empty() {
            while let Some(shown) = self.record.shown.pop() {
                let gone = match &shown {
                    Shown::Qemu { file, pid } => end(pid, &self.dir).map(|()| {
                        if mounted(file) {
                            let _ = mounts::unmount(file); // it did so itself when it ended
                        }
                    }),
                    Shown::Ewf { dir } if mounted(dir) => {
                        mounts::unmount(dir).map_err(step(dir.display().to_string()))
                    }
                    Shown::Ewf { .. } => Ok(()),
                };
                if let Err(e) = gone {
                    failed.push(e);
                    self.record.shown.push(shown);
                    break;
                }
            }
        }
        let gone = if failed.is_empty() {
            fs::remove_dir_all(&self.dir).map_err(made(&self.dir))
        } else {
            self.save()
        };
        failed.extend(gone.err());
        (done, failed)
    }
}

/// Ends the qemu-storage-daemon whose pid stands in a file, and waits for it; only one that was started for `dir`.
fn end(file: &Path, dir: &Path) -> Result<(), Error> {
    let Some(pid) = fs::read_to_string(file)
        .ok()
        .and_then(|text| Pid::from_raw(text.trim().parse().ok()?))
    else {
        return Ok(()); // it never started
    };
    let ours = || {
        let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        let dir = dir.as_os_str().as_bytes();
        memchr::memmem::find(&line, dir).is_some()
    };
    if !ours() {
        return Ok(());
    }
    let _ = rustix::process::kill_process(pid, Signal::TERM);
    for _ in 0..250 {
        if !ours() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let stays = io::Error::other("does not end");
    Err(step(format!("{} {}", QEMU.name(), pid.as_raw_nonzero()))(
        stays,
    ))
}
