//! Opening a path below the evidence root, as a process chrooted there would, without being one.
//!
//! The kernel does it (`openat2`, Linux 5.6). Where it cannot (older kernels, a seccomp filter), the path is
//! walked by components with `O_NOFOLLOW`, symbolic links read and spliced in here, `..` at the root staying
//! at the root. A descriptor of every directory passed is held, so that `..` needs no name.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::CString;

/// As the kernel's own limit (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// Longest run of components the fallback walks.
const MAX_COMPONENTS: usize = 10_000;

/// Opens `path` (relative, bytes) within `root`.
///
/// # Errors
/// What the kernel says; [`Errno::LOOP`] and [`Errno::NAMETOOLONG`] past the limits of the fallback.
pub fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let name = CString::new(path).map_err(|_| Errno::NOENT)?;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..8 {
        match rustix::fs::openat2(root, &name, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN) => {} // a rename raced with the resolution of `..`
            Err(Errno::NOSYS) => return open_by_components(root, path, flags),
            r => return r,
        }
    }
    open_by_components(root, path, flags)
}

/// The same without `openat2`; public so that both can be held against each other (`fuzz/targets.rs`).
///
/// # Errors
/// As [`open_in_root`].
pub fn open_by_components(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let dir_flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut todo: Vec<Vec<u8>> = components(path);
    let mut held: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    let mut steps = 0;
    loop {
        let here = held.last().map_or(root, |fd| fd.as_fd());
        let Some(part) = todo.pop() else {
            let name = CString::new(".").map_err(|_| Errno::INVAL)?;
            return rustix::fs::openat(
                here,
                &name,
                (flags | OFlags::CLOEXEC) - OFlags::NOFOLLOW,
                Mode::empty(),
            );
        };
        steps += 1;
        if steps > MAX_COMPONENTS {
            return Err(Errno::NAMETOOLONG);
        }
        if part == b".." {
            held.pop();
            continue;
        }
        let name = CString::new(part).map_err(|_| Errno::NOENT)?;
        let fd = rustix::fs::openat(here, &name, dir_flags, Mode::empty())?;
        let kind = super::stat_fd(&fd)?.kind();
        if kind == FileType::Symlink {
            if todo.is_empty() && flags.contains(OFlags::NOFOLLOW) {
                return if flags.contains(OFlags::PATH) {
                    Ok(fd)
                } else {
                    Err(Errno::LOOP)
                };
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP);
            }
            let target = rustix::fs::readlinkat(&fd, c"", Vec::new())?.into_bytes();
            if target.first() == Some(&b'/') {
                held.clear();
            }
            todo.extend(components(&target));
        } else if todo.is_empty() {
            return rustix::fs::openat(
                here,
                &name,
                flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            );
        } else if kind == FileType::Directory {
            held.push(fd);
        } else {
            return Err(Errno::NOTDIR);
        }
    }
}

/// The components of a path, last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&b| b == b'/')
        .filter(|p| !p.is_empty() && *p != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A tree of links that try to leave, with a canary outside it.
    fn trap() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("canary");
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(&outside, "outside").unwrap();
        fs::write(root.join("canary"), "inside").unwrap();
        fs::write(root.join("a/b/file"), "deep").unwrap();
        symlink("/canary", root.join("absolute")).unwrap();
        symlink("../../../../canary", root.join("a/dotdot")).unwrap();
        symlink("/a/b", root.join("dirlink")).unwrap();
        symlink("loop2", root.join("loop1")).unwrap();
        symlink("loop1", root.join("loop2")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
        let fd = rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (dir, fd)
    }

    fn text(fd: Result<OwnedFd, Errno>) -> Result<String, Errno> {
        let mut s = String::new();
        std::io::Read::read_to_string(&mut fs::File::from(fd?), &mut s).unwrap();
        Ok(s)
    }

    #[test]
    fn both_ways_agree_and_stay_inside() {
        let (_dir, root) = trap();
        for (path, want) in [
            ("absolute", Ok("inside")),
            ("a/dotdot", Ok("inside")),
            ("../../canary", Ok("inside")),
            ("dirlink/file", Ok("deep")),
            ("dirlink/../b/./file", Ok("deep")),
            ("loop1", Err(Errno::LOOP)),
            ("magic", Err(Errno::NOENT)),
            ("canary/x", Err(Errno::NOTDIR)),
            ("nothing", Err(Errno::NOENT)),
        ] {
            let kernel = text(open_in_root(root.as_fd(), path.as_bytes(), OFlags::RDONLY));
            let ours = text(open_by_components(
                root.as_fd(),
                path.as_bytes(),
                OFlags::RDONLY,
            ));
            assert_eq!(kernel.as_deref().map_err(|e| *e), want, "kernel: {path}");
            assert_eq!(
                ours.as_deref().map_err(|e| *e),
                want,
                "by components: {path}"
            );
        }
    }
}
