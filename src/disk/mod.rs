//! Disk images: what is in them, every volume mounted read-only, and the undoing.
//!
//! ```text
//! image file(s) -> a file with the disk's bytes -> volumes -> loop device -> mount
//!                  (the image itself, or what     (partitions,  (read-only)   (ro, nosuid, nodev, noexec, noatime;
//!                  qemu-storage-daemon or          logical                     no journal replayed)
//!                  ewfmount show)                  volumes)
//! ```
//!
//! dof opens every file of the image itself, for reading only: plain files in the image's own folder (`folder.rs`). The tools
//! inherit the open files and are told no name of the image's. All that was set up is on record in `/run/dof` until it is
//! undone (`setup.rs`), so a partial failure leaves nothing.

mod folder;
mod image;
mod setup;
mod volumes;

use crate::engine::{self, Install};
use crate::evidence::{Evidence, EvidencePath};
use crate::parse::disk_image::{Format, Refusal};
use crate::parse::superblock::Kind;
use crate::parse::vmdk::{Content, Extent};
use crate::tools;
use rustix::process::{Resource, Rlimit};
use setup::Setup;
use std::io;
use std::path::{Path, PathBuf};
pub use volumes::Volume;

/// Why an image could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel lets only root mount.
    #[error("mounting an image needs root")]
    Root,
    /// The image is not one dof reads.
    #[error("{}: {why}", .image.display())]
    Image {
        /// The image.
        image: PathBuf,
        /// Why.
        why: Refusal,
    },
    /// It is not the first piece of a split image.
    #[error("{}: not the first piece; name that one: {}", .given.display(), .first.display())]
    NotFirst {
        /// What was given.
        given: PathBuf,
        /// What seems to be the first piece.
        first: PathBuf,
    },
    /// A file of the image is no plain file.
    #[error("{}: it is {what}; dof opens only plain files in the image's folder", .file.display())]
    NotPlain {
        /// The file.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A tool opened a file that it was not given: someone changed the image meanwhile.
    #[error("the image led a tool to another file, {}; nothing of it was mounted", .0.display())]
    Reached(PathBuf),
    /// Another dof is mounting or unmounting it.
    #[error("{}: another dof is still at work on it; try again when that one is done", .0.display())]
    AtWork(PathBuf),
    /// Something does not end.
    #[error("still there: {0}; try again, or end it by hand")]
    Stays(String),
    /// More than dof does for one image.
    #[error("{0}")]
    TooMany(String),
    /// A tool is missing or failed.
    #[error(transparent)]
    Tool(#[from] tools::Error),
    /// A step failed.
    #[error("{what}: {source}")]
    Step {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something else holds what the image's volumes were mounted from.
    #[error("{0} still in use: containers mounted from there come first (dof unmount-container)")]
    InUse(String),
    /// There is nothing dof mounted there.
    #[error("{0}")]
    NotOurs(String),
}

/// Most volumes of an image that are mounted.
const MOST_VOLUMES: usize = 512;
/// Most of them that lie in several runs: each has a tool of its own.
const MOST_JOINED: usize = 64;
/// Most runs of a volume. QEMU opens the disk once for each.
const MOST_RUNS: usize = 1024;

/// A step's name, for its error.
fn step<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Error {
    move |e| Error::Step {
        what: what.into(),
        source: e.into(),
    }
}

/// A Docker host found on a mounted volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerHost {
    /// The directory to give to other commands.
    pub mount: PathBuf,
    /// Its data roots, relative to that directory.
    pub data_roots: Vec<String>,
    /// Whether other commands must be told of them (`--docker-home`): the volume is a part of the host's tree only.
    pub named: bool,
}

/// What became of a volume.
#[derive(Debug)]
pub enum Outcome {
    /// It is mounted.
    Mounted {
        /// Where.
        at: PathBuf,
        /// The Docker host on it.
        host: Option<DockerHost>,
    },
    /// A physical volume of LVM: the group it is of and its logical volumes, which come next.
    Lvm(String),
    /// Nothing dof mounts.
    Unsupported,
    /// The kernel would not.
    Refused(Error),
}

/// What [`mount`] has to tell.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Something is wrong with the image or its partition table.
    Wrong(&'a str),
    /// What became of a volume.
    Volume(&'a Volume, &'a Outcome),
}

/// Mounts every volume of an image, each at a new directory of `parent`, and tells of each.
///
/// # Errors
/// When the image cannot be read at all; then nothing is left of what was tried. When no volume could be mounted, neither.
pub fn mount(
    image: &Path,
    format: Option<Format>,
    parent: &Path,
    mut tell: impl FnMut(Told<'_>),
) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Root);
    }
    // Each piece of an image is open in dof and twice in a tool.
    let files = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: files.maximum,
        ..files
    };
    let _ = rustix::process::setrlimit(Resource::Nofile, all);
    let found = image::find(image, format)?;
    found
        .missing
        .iter()
        .for_each(|line| tell(Told::Wrong(line)));
    let mut setup = Setup::new(&found.path)?;
    let name = found.path.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.into_owned();
    let opened = image::open(found, &mut setup, |line| tell(Told::Wrong(line)))
        .and_then(|(path, file)| volumes::Disk::new(path, file));
    let disk = match opened {
        Ok(disk) => disk,
        Err(e) => {
            setup.undo();
            return Err(e);
        }
    };
    let mut mounted = 0;
    let mut joined = 0;
    let (volumes, wrong) = disk.volumes();
    wrong.iter().for_each(|line| tell(Told::Wrong(line)));
    for volume in volumes {
        let outcome = if let Some(group) = &volume.lvm {
            Outcome::Lvm(group.clone())
        } else if volume.file_system().is_some() {
            joined += usize::from(volume.extents.len() > 1);
            let done = if mounted >= MOST_VOLUMES || joined > MOST_JOINED {
                Err(Error::TooMany(format!(
                    "dof mounts at most {MOST_VOLUMES} volumes of an image, {MOST_JOINED} of them in several runs"
                )))
            } else {
                mount_volume(&mut setup, &disk, &volume, parent, &name)
            };
            match done {
                Ok(at) => {
                    mounted += 1;
                    Outcome::Mounted {
                        host: docker_host(&at),
                        at,
                    }
                }
                Err(e) => Outcome::Refused(e),
            }
        } else {
            Outcome::Unsupported
        };
        tell(Told::Volume(&volume, &outcome));
    }
    if mounted == 0 {
        setup.undo();
    }
    Ok(())
}

/// What keeps the kernel from replaying a journal, and from believing what a hostile superblock says to do on errors.
fn options(kind: Kind) -> &'static str {
    match kind {
        // `errors` in a superblock may say to halt the machine.
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => "noload,errors=continue",
        // The same UUID may be mounted already: another copy, or the analyst's own disk.
        Kind::Xfs => "norecovery,nouuid",
        // All subvolumes, not only the one the host would have mounted.
        Kind::Btrfs => "rescue=nologreplay,subvolid=5",
        Kind::Lvm | Kind::Other(_) => "",
    }
}

fn mount_volume(
    setup: &mut Setup,
    disk: &volumes::Disk,
    volume: &Volume,
    parent: &Path,
    name: &str,
) -> Result<PathBuf, Error> {
    let Some(kind) = volume.file_system() else {
        return Err(Error::NotOurs("no file system".into()));
    };
    let joined;
    let (base, offset) = match volume.extents.as_slice() {
        [(offset, _)] => (disk.file(), *offset),
        many if many.len() > MOST_RUNS => {
            return Err(Error::TooMany(format!(
                "it lies in {} runs; dof joins at most {MOST_RUNS}",
                many.len()
            )));
        }
        // A logical volume in several runs: joined by a tool first.
        many => {
            let run = |&(offset, length): &(u64, u64)| Extent {
                sectors: length / 512,
                content: Content::Flat(0, offset / 512),
            };
            let runs: Vec<Extent<usize>> = many.iter().map(run).collect();
            let files = std::slice::from_ref(disk.file().1);
            let node = setup.joined(&runs, files)?;
            joined = setup.show(&node, files)?;
            ((joined.0.as_path(), &joined.1), 0)
        }
    };
    let device = setup.attach(base, offset, volume.length)?;
    let driver = match kind {
        Kind::Ext2 | Kind::Ext3 => "ext4", // it reads all three
        kind => kind.word(),
    };
    let mounted = setup
        .place(parent, &volume.place_name(name))
        .and_then(|at| {
            setup
                .mount(&device, &at, driver, options(kind))
                .map(|()| at)
        });
    // It goes with its last user.
    let detached = setup.detach(&device);
    let at = mounted?;
    detached.map(|()| at)
}

/// Directories of a btrfs volume that distributions have as the root of the host.
const ROOTS: [&str; 3] = ["@", "@rootfs", "root"];
/// Where the data root is on a volume that is not the host's root, but its /var/lib/docker, /var/lib or /var, or a btrfs volume
/// with /var apart.
const PARTS: [&str; 6] = [
    "/",
    "docker",
    "lib/docker",
    "@/var/lib/docker",
    "@var/lib/docker",
    "@docker",
];

/// Looks for a Docker host at a mounted volume.
fn docker_host(at: &Path) -> Option<DockerHost> {
    let roots = |installs: Vec<Install>| installs.iter().map(|i| i.root.host()).collect::<Vec<_>>();
    let whole = |mount: PathBuf| {
        let evidence = Evidence::open(&mount).ok()?;
        let installs = engine::installs(&evidence, &[]);
        (!installs.is_empty()).then(|| DockerHost {
            mount,
            data_roots: roots(installs),
            named: false,
        })
    };
    let evidence = Evidence::open(at).ok()?;
    let subvolume = |name: &&str| {
        let path = EvidencePath::new(name);
        // A link there could lead anywhere on this machine.
        evidence.read_link(&path).is_err() && evidence.stat(&path).is_ok_and(|m| m.is_dir())
    };
    whole(at.to_path_buf())
        .or_else(|| {
            ROOTS
                .iter()
                .filter(|n| subvolume(n))
                .find_map(|n| whole(at.join(n)))
        })
        .or_else(|| {
            let parts: Vec<EvidencePath> = PARTS.iter().map(EvidencePath::new).collect();
            let installs = engine::installs(&evidence, &parts);
            (!installs.is_empty()).then(|| DockerHost {
                mount: at.to_path_buf(),
                data_roots: roots(installs),
                named: true,
            })
        })
}

/// Undoes what [`mount`] did for an image, named by itself or by a place it is mounted at; the only one, when none is named.
/// Gives the places that were unmounted and what could not be.
///
/// # Errors
/// [`Error::NotOurs`] when there is none, or several.
pub fn unmount(what: Option<&Path>) -> Result<(Vec<PathBuf>, Vec<Error>), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Root);
    }
    let all = Setup::all()?;
    let of = |list: &[Setup]| {
        let images: Vec<String> = list
            .iter()
            .map(|s| s.image().display().to_string())
            .collect();
        images.join(", ")
    };
    let chosen = match what {
        Some(what) => {
            let known = of(&all);
            let real = what.canonicalize().unwrap_or_else(|_| what.to_path_buf());
            let is =
                |s: &Setup| s.image() == real || s.image() == what || s.places().contains(&real);
            let chosen: Vec<Setup> = all.into_iter().filter(is).collect();
            if chosen.is_empty() {
                let mounted = if known.is_empty() {
                    "none is".to_owned()
                } else {
                    format!("these are: {known}")
                };
                return Err(Error::NotOurs(format!(
                    "{} is not mounted by dof; {mounted}",
                    what.display()
                )));
            }
            chosen
        }
        None if all.len() > 1 => {
            return Err(Error::NotOurs(format!(
                "several images are mounted, name one: {}",
                of(&all)
            )));
        }
        None if all.is_empty() => return Err(Error::NotOurs("no image is mounted by dof".into())),
        None => all,
    };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for setup in chosen {
        let (places, errors) = setup.undo();
        done.extend(places);
        failed.extend(errors);
    }
    Ok((done, failed))
}
