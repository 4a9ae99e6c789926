//! What Docker itself puts into the `-init` layer between an image and a container (moby daemon/initlayer/setup_unix.go):
//! places for what it mounts, all of them empty.

use crate::engine::prepared::Prepared;

/// Directories: those that it makes, and those above the files.
const DIRECTORIES: &[&str] = &["/dev", "/dev/pts", "/dev/shm", "/etc", "/proc", "/sys"];

/// Empty files; the last but one is of Docker before 1.12.
const FILES: &[&str] = &[
    "/.dockerenv",
    "/dev/console",
    "/etc/hostname",
    "/etc/hosts",
    "/.dockerinit",
    "/etc/resolv.conf",
];

/// A symbolic link, and where it points to.
const LINK: (&str, &[u8]) = ("/etc/mtab", b"/proc/mounts");

/// Of all but the link: the daemon sets its umask to 022.
const MODE: u32 = 0o755;

/// What Docker makes at this path of the layer.
pub fn prepares(path: &str) -> Option<Prepared> {
    match path {
        _ if DIRECTORIES.contains(&path) => Some(Prepared::Directory(MODE)),
        _ if FILES.contains(&path) => Some(Prepared::File(MODE)),
        _ => (path == LINK.0).then_some(Prepared::Link(LINK.1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::compare::Attributes;

    #[test]
    fn places_for_mounts_and_nothing_else() {
        let entry = |mode, size| Attributes {
            mode,
            size,
            ..Attributes::default()
        };
        let makes = |path: &str, entry: &Attributes| prepares(path).is_some_and(|p| p.is(entry));
        assert!(makes("/etc/hosts", &entry(0o100_755, 0)));
        assert!(!makes("/etc/hosts", &entry(0o100_755, 1)));
        assert!(!makes("/etc/hosts", &entry(0o104_755, 0)));
        assert!(!makes("/etc", &entry(0o040_777, 4096)));
        assert!(!makes("/etc/ld.so.preload", &entry(0o100_644, 0)));
        assert!(makes("/dev/pts", &entry(0o040_755, 4096)));
        assert!(!makes("/dev/pts/x", &entry(0o040_755, 4096)));
        let link = |to: &[u8]| Attributes {
            link: Some(to.to_vec()),
            ..entry(0o120_777, 12)
        };
        assert!(makes("/etc/mtab", &link(b"/proc/mounts")));
        assert!(!makes("/etc/mtab", &link(b"/tmp/mounts")));
    }
}
