//! A container's file system mounted by the kernel as the container saw it, and the undoing.
//!
//! The evidence is first given a private place of its own: a copy of its mounts, read-only, without access times, nosuid,
//! nodev and noexec. Layers, volumes and bind sources are opened inside that copy, links resolved within the evidence, and
//! handed to the kernel as descriptors: neither a colon nor a comma in a path matters, and layers go in one by one, so the
//! length of a mount option does not either. Places inside the container are resolved within the container: no link in the
//! evidence makes a volume land elsewhere. Places that a container which never ran does not have yet are made in memory, in a
//! layer below all others.

use super::Container;
use super::merge::View;
use crate::engine::Marks;
use crate::evidence::{Evidence, EvidencePath, open_in_root, private_copy};
use crate::mounts::{self, Mount};
use crate::text::{file_name, lossless};
use crate::tools::{self, FUSE_OVERLAYFS};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What the kernel calls an overlay of ours: the first field of /proc/mounts.
const SOURCE: &str = "dof";
/// Names of directories made for a mount and removed with it begin so.
const PREFIX: &str = "dof-";
/// Why a file system could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The evidence's mounts could not be copied.
    #[error(
        "cannot make a private read-only copy of {}: it takes root and Linux 5.12", .0.display()
    )]
    Private(PathBuf),
    /// A step failed.
    #[error("{what}: {source}")]
    Step {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is nothing to mount.
    #[error(transparent)]
    Container(#[from] super::Error),
    /// Layers the kernel cannot put together, and the tool that could did not.
    #[error(
        "the kernel cannot put layers of the storage driver {driver:?} together: {source}; dof export-container needs no tool"
    )]
    Tool {
        /// The storage driver.
        driver: String,
        /// What is wrong with the tool.
        source: tools::Error,
    },
    /// Something of dof's is mounted there already.
    #[error("{} is taken: dof unmount-container first", .0.display())]
    Taken(PathBuf),
    /// Something else is mounted within.
    #[error("{} is mounted in it, not by dof; unmount that first", .0.display())]
    Within(PathBuf),
    /// Not a place dof mounted.
    #[error("{} is no file system that dof mounted", .0.display())]
    NotOurs(PathBuf),
}

/// A step's name, for its error.
fn step<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Error {
    move |e| Error::Step {
        what: what.into(),
        source: e.into(),
    }
}

/// A file system at a private place, gone when dropped; what was mounted from it goes on living.
struct Stage {
    place: PathBuf,
    root: OwnedFd,
}

impl Stage {
    /// The evidence.
    fn new(mount: &Path) -> Result<Stage, Error> {
        let copy = private_copy(mount).ok_or_else(|| Error::Private(mount.to_path_buf()))?;
        Stage::of(&copy)
    }

    /// A directory in memory with these places in it, each a directory (`true`) or an empty file, and nothing else. No one
    /// removes it: the kernel lists nothing of a merge with a removed one.
    fn skeleton(places: &[(Vec<u8>, bool)]) -> Result<Stage, Error> {
        let made = || {
            let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            rustix::mount::fsconfig_set_string(fs.as_fd(), "mode", "0755")?;
            rustix::mount::fsconfig_create(fs.as_fd())?;
            let attributes = MountAttrFlags::empty();
            rustix::mount::fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        };
        let stage = Stage::of(&made().map_err(step("cannot make an empty directory"))?)?;
        for (path, is_dir) in places {
            let what = || step(format!("/{}", lossless(path)));
            let mut dir = stage.open(&EvidencePath::root()).map_err(what())?;
            let mut names = path.split(|&b| b == b'/').peekable();
            while let Some(name) = names.next() {
                if names.peek().is_none() && !is_dir {
                    let flags =
                        OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    rustix::fs::openat(&dir, name, flags, Mode::from(0o644)).map_err(what())?;
                    break;
                }
                match rustix::fs::mkdirat(&dir, name, Mode::from(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(what()(e)),
                }
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                dir = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(what())?;
            }
        }
        Ok(stage)
    }

    fn of(mount: &OwnedFd) -> Result<Stage, Error> {
        // Kept: what a temporary directory does when dropped, removing all below it, must never meet evidence.
        let place = tempfile::Builder::new()
            .prefix(".dof-stage-")
            .tempdir()
            .map_err(step("cannot make a temporary directory"))?
            .keep();
        let attached = open(&place).and_then(|at| {
            attach(mount, &at).map_err(step("cannot attach a file system"))?;
            open(&place)
        });
        match attached {
            Ok(root) => Ok(Stage { place, root }),
            Err(e) => {
                let _ = fs::remove_dir(&place);
                Err(e)
            }
        }
    }

    fn open(&self, path: &EvidencePath) -> Result<OwnedFd, Errno> {
        open_in_root(self.root.as_fd(), path.as_bytes(), OFlags::PATH)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What was mounted from here goes on living by itself.
        let _ = rustix::mount::unmount(&self.place, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.place);
    }
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(step(path.display().to_string()))
}

/// Puts a detached mount at the place `at` stands for.
fn attach(mount: &OwnedFd, at: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", at, c"", flags)
}

/// A detached copy of what `source` stands for; it has the attributes of the stage it lies in.
fn bind(source: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(source, c"", flags)
}

fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Mounts a read-only overlay of these directories, topmost first, at `at`.
fn overlay(layers: &[OwnedFd], user_marks: bool, at: &OwnedFd) -> Result<(), Errno> {
    match overlay_one_by_one(layers, user_marks) {
        Ok(made) => attach(&made, at),
        Err(Errno::INVAL) => overlay_by_option(layers, user_marks, at),
        Err(e) => Err(e),
    }
}

/// A detached overlay, a layer a call: Linux 6.5 and later, up to 500 layers.
fn overlay_one_by_one(layers: &[OwnedFd], user_marks: bool) -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, value: &str| rustix::mount::fsconfig_set_string(fs.as_fd(), key, value);
    set("source", SOURCE)?;
    if user_marks {
        rustix::mount::fsconfig_set_flag(fs.as_fd(), "userxattr")?;
    } else {
        set("redirect_dir", "follow")?;
        set("metacopy", "on")?;
    }
    for layer in layers {
        set("lowerdir+", &by_descriptor(layer))?;
    }
    rustix::mount::fsconfig_create(fs.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    rustix::mount::fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The same for older kernels, all layers in one option: a page holds some 220, more than Docker ever stacks (128).
fn overlay_by_option(layers: &[OwnedFd], user_marks: bool, at: &OwnedFd) -> Result<(), Errno> {
    let lower: Vec<String> = layers.iter().map(by_descriptor).collect();
    let marks = if user_marks {
        "userxattr"
    } else {
        "redirect_dir=follow,metacopy=on"
    };
    let options =
        CString::new(format!("{marks},lowerdir={}", lower.join(":"))).map_err(|_| Errno::INVAL)?;
    let flags = MountFlags::RDONLY
        | MountFlags::NOSUID
        | MountFlags::NODEV
        | MountFlags::NOEXEC
        | MountFlags::NOATIME;
    rustix::mount::mount(
        SOURCE,
        by_descriptor(at),
        "overlay",
        flags,
        options.as_c_str(),
    )
}

/// The same by a program: layers whose deletions are marked by names (aufs, fuse-overlayfs).
fn overlay_by_tool(layers: &[OwnedFd], at: &OwnedFd) -> Result<(), tools::Error> {
    let pid = std::process::id();
    let path = |fd: &OwnedFd| format!("/proc/{pid}/fd/{}", fd.as_raw_fd());
    let lower: Vec<String> = layers.iter().map(path).collect();
    let options = format!("{},lowerdir={}", mounts::OURS.join(","), lower.join(":"));
    FUSE_OVERLAYFS.run(["-o", &options, &path(at)]).map(|_| ())
}

/// Mounts a container of the host mounted at `evidence` at the directory `at`, read-only, nosuid, nodev, noexec. Gives what
/// could not be part of it, a line each.
///
/// # Errors
/// When nothing could be mounted; then nothing is.
pub fn container(evidence: &Path, made_of: &Container, at: &Path) -> Result<Vec<String>, Error> {
    super::outside(evidence, at)?;
    let table = mounts::table().map_err(step("/proc/self/mountinfo"))?;
    let place = real(at)?;
    if table.iter().any(|m| m.at == place && m.ours) {
        return Err(Error::Taken(place));
    }
    let stack = made_of.stack()?;
    crate::evidence::raise_descriptor_limit();
    let stage = Stage::new(evidence)?;
    let mut missing = Vec::new();
    if stack.missing > 0 {
        missing.push(format!(
            "{} of its layers are not on the disk and left out",
            stack.missing
        ));
    }
    let mut layers = Vec::new();
    for path in &stack.layers {
        match stage.open(path) {
            Ok(fd) => layers.push(fd),
            Err(e) => missing.push(format!("layer {path} is left out: {e}")),
        }
    }
    let Some(top) = layers.first() else {
        return Err(super::Error::NoLayer.into());
    };
    let place = open(at)?;
    if stack.marks == Marks::None {
        bind(top)
            .and_then(|copy| attach(&copy, &place))
            .map_err(step("cannot bind its layer"))?;
    } else {
        let lost = lost_places(evidence, made_of)?;
        // An overlay takes two layers at least.
        let mut skeleton = None;
        if layers.len() == 1 || !lost.is_empty() {
            let made = skeleton.insert(Stage::skeleton(&lost)?);
            layers.push(open(&made.place)?);
        }
        if stack.marks.by_name() {
            overlay_by_tool(&layers, &place).map_err(|source| Error::Tool {
                driver: made_of.driver.clone(),
                source,
            })?;
        } else {
            overlay(&layers, stack.marks == Marks::RootlessOverlay, &place)
                .map_err(step(format!("cannot overlay {} layers", layers.len())))?;
        }
    }
    let root = open(at)?;
    for (source, destination) in &made_of.mounts {
        let mounted = stage.open(source).and_then(|source| {
            let place = EvidencePath::new(destination);
            let at = open_in_root(root.as_fd(), place.as_bytes(), OFlags::PATH)?;
            attach(&bind(&source)?, &at)
        });
        if let Err(e) = mounted {
            missing.push(format!("{source} is not mounted at {destination}: {e}"));
        }
    }
    Ok(missing)
}

/// Places of mounts that the container's layers lack.
fn lost_places(evidence: &Path, made_of: &Container) -> Result<Vec<(Vec<u8>, bool)>, Error> {
    if made_of.mounts.is_empty() {
        return Ok(Vec::new());
    }
    let evidence = Evidence::open(evidence)
        .map_err(|e| step(evidence.display().to_string())(io::Error::other(e)))?;
    // What cannot be opened is told when it is mounted.
    Ok(View::open(&evidence, made_of, &mut Vec::new())?.lost_places())
}

/// A new directory for a mount, which [`unmount`] removes.
///
/// # Errors
/// When it cannot be made.
pub fn place(name: &str) -> Result<PathBuf, Error> {
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", file_name(name)))
        .tempdir()
        .map(tempfile::TempDir::keep)
        .map_err(step("cannot make a temporary directory"))
}

/// A directory for a mount of this name in `dir`, which [`unmount`] removes. It has a number behind its name where that is among
/// the `taken` already, to which it is added.
///
/// # Errors
/// When it cannot be made.
pub fn place_in(dir: &Path, name: &str, taken: &mut HashSet<String>) -> Result<PathBuf, Error> {
    let name = format!("{PREFIX}{}", file_name(name));
    let mut own = name.clone();
    let mut number = 1;
    while !taken.insert(own.clone()) {
        number += 1;
        own = format!("{name}-{number}");
    }
    let at = dir.join(own);
    match fs::create_dir(&at) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(step(at.display().to_string())(e))
        }
        _ => Ok(at),
    }
}

/// Removes directories made for mounts, as far as they are empty.
pub fn tidy<'p>(places: impl IntoIterator<Item = &'p PathBuf>) {
    for at in places {
        let name = at.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX) {
            let _ = fs::remove_dir(at);
        }
    }
}

/// Undoes every mount of ours at or below `dir`, innermost first, and removes directories made for them. Gives the places.
///
/// # Errors
/// [`Error::NotOurs`], or when one is in use; the others are undone all the same.
pub fn unmount(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let dir = real(dir)?;
    let table = mounts::table().map_err(step("/proc/self/mountinfo"))?;
    let below: Vec<Mount> = table
        .into_iter()
        .filter(|m| m.at.starts_with(&dir))
        .collect();
    match below.iter().find(|m| !m.ours) {
        Some(other) if other.at != dir && below.iter().any(|m| m.ours) => {
            return Err(Error::Within(other.at.clone()));
        }
        None if !below.is_empty() => {}
        _ => return Err(Error::NotOurs(dir)),
    }
    let mut failed = None;
    let mut done = Vec::new();
    for Mount { at, .. } in below.into_iter().rev() {
        match mounts::unmount(&at) {
            Ok(()) => done.push(at),
            Err(e) => failed = Some(step(at.display().to_string())(e)),
        }
    }
    tidy(done.iter().chain([&dir]));
    failed.map_or(Ok(done), Err)
}

/// The analyst's path without links, as the kernel knows it.
fn real(path: &Path) -> Result<PathBuf, Error> {
    let fd = open(path)?;
    let target = rustix::fs::readlinkat(CWD, by_descriptor(&fd), Vec::new())
        .map_err(step(path.display().to_string()))?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of handing layers to the kernel, with more of them than an option holds by path, and with colons and
    /// commas in their paths.
    #[test]
    fn two_hundred_layers_either_way() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: mounting needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("at");
        fs::create_dir(&at).unwrap();
        let layers: Vec<OwnedFd> = (0..200)
            .map(|i| {
                let layer = dir.path().join(format!("a:b,c\\{i}{}", "x".repeat(60)));
                fs::create_dir(&layer).unwrap();
                fs::write(layer.join(format!("file{i}")), "").unwrap();
                fs::write(layer.join("top"), i.to_string()).unwrap();
                open(&layer).unwrap()
            })
            .collect();
        for by_option in [false, true] {
            let place = open(&at).unwrap();
            let done = if by_option {
                overlay_by_option(&layers, false, &place)
            } else {
                overlay_one_by_one(&layers, false).and_then(|made| attach(&made, &place))
            };
            if !by_option && done == Err(Errno::INVAL) {
                continue; // a kernel before 6.5
            }
            done.unwrap();
            let files = fs::read_dir(&at).unwrap().count();
            let top = fs::read_to_string(at.join("top")).unwrap();
            let undone = unmount(&at);
            assert_eq!((files, top.as_str()), (201, "0"));
            assert_eq!(undone.unwrap(), std::slice::from_ref(&at));
        }
    }
}
