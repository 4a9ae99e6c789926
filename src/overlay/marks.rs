//! How the layers of a storage driver mark what they delete: by devices, by extended attributes, by names.

/// How a tree's overlay marks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// No overlay: volumes, bind sources, full copies.
    None,
    /// Character devices 0/0 and `trusted.overlay.*`, which no container can write.
    Overlay,
    /// Character devices 0/0 and `user.overlay.*`, as rootless Docker has them.
    RootlessOverlay,
    /// As fuse-overlayfs has them: those of overlay, attributes of its own, and `.wh.` names.
    FuseOverlay,
    /// `.wh.` names.
    Aufs,
}

/// What a name says where deletions are marked by names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'n> {
    /// `.wh.NAME`: NAME is deleted from here up.
    Whiteout(&'n [u8]),
    /// `.wh..wh..opq` (aufs) or `.wh..opq` (fuse-overlayfs): the directory hides those below it.
    Opaque,
    /// Nothing: it is an entry like any other.
    Entry,
}

/// Marks of an opaque directory: aufs, fuse-overlayfs.
pub const OPAQUE_NAMES: [&[u8]; 2] = [b".wh..wh..opq", b".wh..opq"];

/// What names of marks begin with.
pub const PREFIX: &[u8] = b".wh.";

impl Marks {
    /// What the names of extended attributes that are marks begin with. Others of overlayfs are a container's own doing:
    /// root in it may set `user.*` as it likes.
    pub fn attributes(self) -> &'static [&'static str] {
        match self {
            Marks::None | Marks::Aufs => &[],
            Marks::Overlay => &["trusted.overlay."],
            // The second: Ubuntu let users mount overlays before Linux 5.11 had names for them.
            Marks::RootlessOverlay => &["user.overlay.", "trusted.overlay."],
            Marks::FuseOverlay => &["user.fuseoverlayfs.", "user.overlay.", "trusted.overlay."],
        }
    }

    /// The word for it in `layer.marks`.
    pub fn word(self) -> &'static str {
        match self {
            Marks::None => "none",
            Marks::Overlay => "overlay",
            Marks::RootlessOverlay => "user-overlay",
            Marks::FuseOverlay => "fuse-overlay",
            Marks::Aufs => "aufs",
        }
    }

    /// Whether a character device 0/0 is a whiteout.
    pub fn by_device(self) -> bool {
        matches!(
            self,
            Marks::Overlay | Marks::RootlessOverlay | Marks::FuseOverlay
        )
    }

    /// Whether names that begin with `.wh.` are marks.
    pub fn by_name(self) -> bool {
        matches!(self, Marks::FuseOverlay | Marks::Aufs)
    }

    /// What a name in a layer says.
    pub fn of_name(self, name: &[u8]) -> Named<'_> {
        if !self.by_name() {
            Named::Entry
        } else if OPAQUE_NAMES.contains(&name) {
            Named::Opaque
        } else {
            name.strip_prefix(PREFIX)
                .map_or(Named::Entry, Named::Whiteout)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_marks_where_the_driver_writes_such() {
        assert_eq!(Marks::Aufs.of_name(b".wh.a"), Named::Whiteout(b"a"));
        assert_eq!(Marks::Aufs.of_name(b".wh..wh..opq"), Named::Opaque);
        assert_eq!(Marks::FuseOverlay.of_name(b".wh..opq"), Named::Opaque);
        assert_eq!(Marks::Aufs.of_name(b"a.wh."), Named::Entry);
        assert_eq!(Marks::Overlay.of_name(b".wh.a"), Named::Entry);
    }
}
