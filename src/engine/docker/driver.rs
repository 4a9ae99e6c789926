//! Storage drivers: where each keeps a layer's files, and how it marks deletions. The one place that knows.

use crate::engine::Marks;
use crate::evidence::EvidencePath;

/// How a storage driver lays layers out (moby daemon/graphdriver/*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name, which is also its folder's.
    pub name: &'static str,
    /// Folder of layers below the data root.
    folder: &'static str,
    /// The files within a layer's folder; candidates in order.
    within: &'static [&'static str],
    /// How it marks deletions, rootful.
    marks: Marks,
    /// What of a stack of layers makes the file system.
    pub stacking: Stacking,
    /// Folders among the layers that are none.
    not_layers: &'static [&'static str],
}

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

const DRIVERS: &[Driver] = &[
    Driver {
        name: "overlay2",
        folder: "overlay2",
        within: &["diff"],
        marks: Marks::Overlay,
        stacking: Stacking::Each,
        not_layers: &["l"],
    },
    Driver {
        name: "overlay",
        folder: "overlay",
        within: &["upper", "root"],
        marks: Marks::Overlay,
        stacking: Stacking::UpperOverRoot,
        not_layers: &[],
    },
    Driver {
        name: "fuse-overlayfs",
        folder: "fuse-overlayfs",
        within: &["diff"],
        marks: Marks::FuseOverlay,
        stacking: Stacking::Each,
        not_layers: &["l"],
    },
    Driver {
        name: "aufs",
        folder: "aufs/diff",
        within: &[""],
        marks: Marks::Aufs,
        stacking: Stacking::Each,
        not_layers: &[],
    },
    Driver {
        name: "vfs",
        folder: "vfs/dir",
        within: &[""],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        not_layers: &[],
    },
    Driver {
        name: "btrfs",
        folder: "btrfs/subvolumes",
        within: &[""],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        not_layers: &[],
    },
    Driver {
        name: "zfs",
        folder: "zfs/graph",
        within: &[""],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        not_layers: &[],
    },
    Driver {
        name: "devicemapper",
        folder: "devicemapper/mnt",
        within: &["rootfs"],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        not_layers: &[],
    },
];

impl Driver {
    /// The driver of this name; `None` for one dof does not know, whose metadata is read all the same.
    pub fn named(name: &str) -> Option<Driver> {
        DRIVERS.iter().find(|d| d.name == name).copied()
    }

    /// All known drivers.
    pub fn all() -> &'static [Driver] {
        DRIVERS
    }

    /// How it marks deletions in an engine of root's or of a user's.
    pub fn marks(&self, rootless: bool) -> Marks {
        match self.marks {
            Marks::Overlay if rootless => Marks::RootlessOverlay,
            marks => marks,
        }
    }

    /// The folder that holds a folder a layer.
    pub fn layers(&self, root: &EvidencePath) -> EvidencePath {
        root.join(self.folder)
    }

    /// A layer's own folder.
    pub fn home(&self, root: &EvidencePath, cache_id: &str) -> EvidencePath {
        self.layers(root).join(one_component(cache_id))
    }

    /// Where a layer's files may stand, most likely first.
    pub fn candidates(
        &self,
        root: &EvidencePath,
        cache_id: &str,
    ) -> impl Iterator<Item = EvidencePath> {
        let home = self.home(root, cache_id);
        self.within.iter().map(move |w| home.join(w))
    }

    /// Whether an entry of the layers' folder is a layer.
    pub fn is_layer(&self, name: &[u8]) -> bool {
        !self.not_layers.iter().any(|n| n.as_bytes() == name)
    }
}

/// A cache ID is a name and no path: what a hostile one says after a slash is no folder of ours.
fn one_component(cache_id: &str) -> String {
    cache_id
        .chars()
        .map(|c| if c == '/' || c == '\0' { '_' } else { c })
        .collect::<String>()
        .replace("..", "__")
}
