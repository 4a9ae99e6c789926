//! Docker's storage drivers (moby daemon/graphdriver/*). The one place that knows.

use crate::engine::Marks;
use crate::engine::driver::Driver;
use crate::overlay::Stacking;

/// The driver of this name; `None` for one dof does not know, whose metadata is read all the same.
pub fn named(name: &str) -> Option<Driver> {
    DRIVERS.iter().find(|d| d.name == name).copied()
}

/// All known drivers.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "overlay2",
        folder: "overlay2",
        within: &["diff"],
        marks: Marks::Overlay,
        stacking: Stacking::Each,
        mounted: Some("merged"),
        not_layers: &["l"],
    },
    Driver {
        name: "overlay",
        folder: "overlay",
        within: &["upper", "root"],
        marks: Marks::Overlay,
        stacking: Stacking::UpperOverRoot,
        mounted: Some("merged"),
        not_layers: &[],
    },
    Driver {
        name: "fuse-overlayfs",
        folder: "fuse-overlayfs",
        within: &["diff"],
        marks: Marks::FuseOverlay,
        stacking: Stacking::Each,
        mounted: Some("merged"),
        not_layers: &["l"],
    },
    Driver {
        name: "aufs",
        folder: "aufs/diff",
        within: &[""],
        marks: Marks::Aufs,
        stacking: Stacking::Each,
        mounted: Some("/aufs/mnt"),
        not_layers: &[],
    },
    Driver {
        name: "vfs",
        folder: "vfs/dir",
        within: &[""],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        mounted: None,
        not_layers: &[],
    },
    Driver {
        name: "btrfs",
        folder: "btrfs/subvolumes",
        within: &[""],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        mounted: None,
        not_layers: &[],
    },
    Driver {
        name: "zfs",
        folder: "zfs/graph",
        within: &[""],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        mounted: None,
        not_layers: &[],
    },
    Driver {
        name: "devicemapper",
        folder: "devicemapper/mnt",
        within: &["rootfs"],
        marks: Marks::None,
        stacking: Stacking::Topmost,
        mounted: None,
        not_layers: &[],
    },
];
