//! A private view of the mounted host: a detached copy of its mounts, read-only and without access times.
//!
//! `O_NOATIME` covers files and directories that are opened, but reading a symbolic link, or following one, moves the
//! link's access time whatever a program does. Root can have a copy of the mount (`open_tree`, Linux 5.2) that nobody
//! else sees, made read-only, noatime, nodev, noexec and nosuid (`mount_setattr`, Linux 5.12), and it vanishes with its
//! last descriptor. Without root or on older kernels there is none; then a mount with `-o ro,noatime` does the same.

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;
use std::path::Path;

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// MOUNT_ATTR_RDONLY | NOSUID | NODEV | NOEXEC | NOATIME of linux/mount.h.
const SET: u64 = 0x1 | 0x2 | 0x4 | 0x8 | 0x10;
/// MOUNT_ATTR__ATIME, which must be cleared before one of its values is set.
const CLEAR: u64 = 0x70;

/// A detached copy of the mounts at and below `root`; `None` where that cannot be had.
pub fn copy(root: &Path) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, root, flags).ok()?;
    set_attributes(&tree).then_some(tree)
}

/// A detached copy of the mount of a file, which shows just that file; `None` where that cannot be had.
pub fn copy_file(file: &OwnedFd) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(file, c"", flags).ok()?;
    set_attributes(&tree).then_some(tree)
}

/// Makes the detached mounts behind `tree` read-only and all the rest. Whether it worked.
#[allow(unsafe_code)]
fn set_attributes(tree: &OwnedFd) -> bool {
    let attr = MountAttr {
        attr_set: SET,
        attr_clr: CLEAR,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: mount_setattr(2) reads an empty C string and `size_of::<MountAttr>()` bytes of a struct laid out as the
    // kernel's; both live until it returns, and it writes to neither. rustix has no wrapper for it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as libc::c_uint,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    done == 0
}
