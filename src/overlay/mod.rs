//! The rules by which layers make one file system: how deletions are marked ([`marks`]), which layers of a stack count
//! ([`Stacking`]), what a merged directory has under a name ([`lookup`]), where a path leads ([`place`]), and when an engine
//! calls a file changed ([`compare`]).
//!
//! Pure: who has the layers says what one of them has under a name. The export and the mount of a container read them on the
//! disk (`rootfs`), an ingest reads their rows in the case (`case::visibility`).
//!
//! The facts are those of fs/overlayfs/namei.c and Documentation/filesystems/overlayfs.rst of Linux, and of the `.wh.` names
//! of aufs and fuse-overlayfs.

pub mod bits;
pub mod compare;
pub mod lookup;
pub mod marks;
pub mod place;

pub use marks::Marks;

/// What of a stack of layers makes a container's file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stacking {
    /// Every layer, one over the other.
    Each,
    /// The topmost alone: each layer is a full copy.
    Topmost,
    /// The container's `upper` over the `root` of the topmost image layer, each of which is a full copy.
    UpperOverRoot,
}

impl Stacking {
    /// The word for it in `layer.stacking`.
    pub fn word(self) -> &'static str {
        match self {
            Stacking::Each => "each",
            Stacking::Topmost => "topmost",
            Stacking::UpperOverRoot => "upper-over-root",
        }
    }

    /// What that word means.
    pub fn named(word: &str) -> Option<Stacking> {
        [Stacking::Each, Stacking::Topmost, Stacking::UpperOverRoot]
            .into_iter()
            .find(|stacking| stacking.word() == word)
    }
}
