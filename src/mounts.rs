//! The analyst's own table of mounts: which are dof's, and undoing them.

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options a mount of dof's has; unmounting touches no other.
pub const OURS: [&str; 5] = ["ro", "nosuid", "nodev", "noexec", "noatime"];

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub at: PathBuf,
    /// Whether it looks like one of dof's.
    pub ours: bool,
    /// What is mounted: a device, or whatever name it was given.
    pub source: PathBuf,
}

/// The lines of `/proc/self/mountinfo` in their order: inner mounts after those they are in.
///
/// # Errors
/// When it cannot be read.
pub fn table() -> std::io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// Format: proc_pid_mountinfo(5).
fn parse(table: &[u8]) -> Vec<Mount> {
    let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescape(field)));
    let line = |line: &[u8]| {
        let mut fields = line.split(|&b| b == b' ').skip(4);
        let (at, options) = (fields.next()?, fields.next()?);
        let options: Vec<&[u8]> = options.split(|&b| b == b',').collect();
        let ours = OURS.iter().all(|o| options.contains(&o.as_bytes()));
        let source = fields.skip_while(|f| *f != b"-").nth(2)?;
        Some(Mount {
            at: path(at),
            ours,
            source: path(source),
        })
    };
    table.split(|&b| b == b'\n').filter_map(line).collect()
}

/// `\040` and the like, as the kernel writes blanks and backslashes in that file.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [b, tail @ ..] = rest {
        let code = tail
            .get(..3)
            .filter(|_| *b == b'\\')
            .and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        out.push(code.unwrap_or(*b));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    out
}

/// Unmounts a place, waiting a second for those that only pass by: an indexer, a process about to start another.
///
/// # Errors
/// What the kernel said.
pub fn unmount(at: &Path) -> Result<(), Errno> {
    for _ in 0..20 {
        match rustix::mount::unmount(at, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) => std::thread::sleep(Duration::from_millis(50)),
            r => return r,
        }
    }
    rustix::mount::unmount(at, UnmountFlags::NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_of_mounts() {
        let table = b"36 35 98:0 /m /mnt\\040a ro,nosuid,nodev,noexec,noatime shared:1 - overlay dof ro\n37 35 98:0 / /home rw,noatime - ext4 /dev/a\\134b rw\n";
        let mount = |at: &str, ours, source: &str| Mount {
            at: at.into(),
            ours,
            source: source.into(),
        };
        let want = [
            mount("/mnt a", true, "dof"),
            mount("/home", false, "/dev/a\\b"),
        ];
        assert_eq!(parse(table), want);
    }
}
