//! What an engine prepares for a container in a layer of its own: places for what it mounts, all of them empty.

use crate::overlay::compare::{Attributes, DIRECTORY, FILE, TYPE};

/// An entry that an engine makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// A directory with these permissions.
    Directory(u32),
    /// An empty file with these.
    File(u32),
    /// A symbolic link to this.
    Link(&'static [u8]),
}

impl Prepared {
    /// Whether it is a directory.
    pub fn is_dir(self) -> bool {
        matches!(self, Prepared::Directory(_))
    }

    /// Whether an entry is as the engine made it.
    pub fn is(self, entry: &Attributes) -> bool {
        let plain = entry.own_xattrs().next().is_none();
        match self {
            Prepared::Directory(mode) => plain && entry.mode == DIRECTORY | mode,
            Prepared::File(mode) => plain && entry.mode == FILE | mode && entry.size == 0,
            Prepared::Link(to) => {
                entry.mode & TYPE == 0o120_000 && entry.link.as_deref() == Some(to)
            }
        }
    }
}
