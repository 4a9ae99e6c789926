//! Trees on disk: what is in them and when it was written.

use dof::text::lossless;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn time(seconds: i64, nanoseconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, nanoseconds as u32)
        .unwrap()
        .format("%Y-%m-%dT%H:%M:%S%.9fZ")
        .to_string()
}

/// What a walk of a mounted file system shows: all that a row of `container-files` says too.
pub fn walked(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        // The kernel lists a whiteout that hides nothing, and then has nothing there.
        let Ok(m) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        let inside = entry.path().strip_prefix(root).unwrap();
        let link = fs::read_link(entry.path()).unwrap_or_default();
        let kind = match m.mode() & 0o170_000 {
            0o100_000 => "file",
            0o040_000 => "directory",
            0o120_000 => "symlink",
            0o010_000 => "fifo",
            0o140_000 => "socket",
            0o020_000 => "chardev",
            _ => "blockdev",
        };
        let said = format!(
            "{kind} {:04o} {}:{} {} m{} c{} -> {}",
            m.mode() & 0o7777,
            m.uid(),
            m.gid(),
            m.size(),
            time(m.mtime(), m.mtime_nsec()),
            time(m.ctime(), m.ctime_nsec()),
            lossless(link.as_os_str().as_bytes())
        );
        let path = format!("/{}", lossless(inside.as_os_str().as_bytes()));
        all.entry(path).or_default().insert(said);
    }
    all
}

/// Sets when a file was written, and read.
pub fn set_mtime(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 7,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
