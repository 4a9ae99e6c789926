//! A container's file system: which layers and mounts it is made of, and ways to have it.
//!
//! [`mount`] has the kernel put it together, as it was when the container ran; [`merge`] does so by reading the layers, for
//! which neither root nor a kernel that knows the driver is needed, [`archive`] writes what it shows as a tar archive, and
//! [`extract`] as files.

pub mod archive;
pub mod extract;
pub mod merge;
pub mod mount;

use crate::engine::{self, Marks};
use crate::evidence::EvidencePath;
use crate::overlay::Stacking;
use std::path::{Path, PathBuf};

/// What a container's file system is made of.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Roots of its layers on the host, topmost first; `None` for one that is not on the disk.
    pub layers: Vec<Option<EvidencePath>>,
    /// The kind of engine they are of.
    pub engine: String,
    /// The storage driver they are of.
    pub driver: String,
    /// Whether a user's own engine wrote them.
    pub rootless: bool,
    /// Source on the host and place in the container of what is mounted inside, outer places first.
    pub mounts: Vec<(EvidencePath, String)>,
}

/// The layers that count, as the storage driver has it.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Their roots, topmost first; at least one.
    pub layers: Vec<EvidencePath>,
    /// How deletions are marked in them.
    pub marks: Marks,
    /// How many more there should be.
    pub missing: usize,
}

/// Why a container's file system cannot be had, or not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of the container's own is on the disk.
    #[error("its layers are not on this disk")]
    NoLayer,
    /// A storage driver dof does not know.
    #[error("layers of the storage driver {0:?} are not known to dof")]
    Driver(String),
    /// The place lies in the evidence.
    #[error("{} lies in the evidence; choose a place outside it", .0.display())]
    InEvidence(PathBuf),
    /// A path of the analyst's cannot be used.
    #[error("{}: {source}", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Container {
    /// The layers that make the file system.
    ///
    /// # Errors
    /// When none is there, or the driver is not known.
    pub fn stack(&self) -> Result<Stack, Error> {
        let driver = engine::driver(&self.engine, &self.driver)
            .ok_or_else(|| Error::Driver(self.driver.clone()))?;
        let counting: Vec<&Option<EvidencePath>> = match driver.stacking {
            Stacking::Each => self.layers.iter().collect(),
            // Nothing stands in for a full copy that is gone.
            Stacking::Topmost => self.layers.iter().take(1).collect(),
            Stacking::UpperOverRoot => {
                let is_root = |l: &&Option<EvidencePath>| {
                    l.as_ref().is_some_and(|p| p.file_name() == b"root")
                };
                let root = self.layers.iter().skip(1).find(is_root);
                self.layers.iter().take(1).chain(root).collect()
            }
        };
        let layers: Vec<EvidencePath> = counting.iter().copied().flatten().cloned().collect();
        if layers.is_empty() {
            return Err(Error::NoLayer);
        }
        Ok(Stack {
            missing: counting.len() - layers.len(),
            layers,
            marks: driver.marks(self.rootless),
        })
    }
}

/// Refuses a place within the evidence: nothing is made there, nothing mounted over it.
///
/// # Errors
/// [`Error::InEvidence`], or when one of them is not there.
pub fn outside(evidence: &Path, at: &Path) -> Result<(), Error> {
    let real = |path: &Path| {
        path.canonicalize().map_err(|source| Error::Path {
            path: path.to_path_buf(),
            source,
        })
    };
    if real(at)?.starts_with(real(evidence)?) {
        return Err(Error::InEvidence(at.to_path_buf()));
    }
    Ok(())
}
