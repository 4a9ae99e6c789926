//! The sample host that comes with dof: a small real Docker host, packed as GNU tar, unpacked into a folder of ours.
//!
//! Without root the host unpacks as far as the kernel allows: owners become the user's own and `trusted.*`
//! attributes (opaque directories) are left out; whiteouts any user may make.

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The packed host: see tests/hosts/sample/README.md.
const SAMPLE: &[u8] = include_bytes!("/tmp/tmp-host.tar.gz");
/// Says that a folder is ours to replace.
const MARK: &str = ".dof-demo";

/// Unpacks the sample host to `dir/host`, replacing an earlier demo; returns that path.
///
/// # Errors
/// When `dir` holds something else, or cannot be written.
pub fn unpack(dir: &Path) -> io::Result<PathBuf> {
    if dir.exists() && !dir.join(MARK).exists() && fs::read_dir(dir)?.next().is_some() {
        return Err(io::Error::other(
            "not empty and not an earlier demo; name another place",
        ));
    }
    for old in ["host", "case.db"] {
        let old = dir.join(old);
        if fs::symlink_metadata(&old).is_ok() {
            if old.is_dir() {
                fs::remove_dir_all(&old)?
            } else {
                fs::remove_file(&old)?
            }
        }
    }
    fs::create_dir_all(dir)?;
    fs::write(
        dir.join(MARK),
        "made by `dof demo`, which replaces this folder\n",
    )?;
    let host = dir.join("host");
    fs::create_dir(&host)?;
    unpack_tar(flate2::read::GzDecoder::new(SAMPLE), &host)?;
    Ok(host)
}

/// Unpacks a tar we packed ourselves: names are plain, nothing leads outside.
pub fn unpack_tar(tar: impl Read, to: &Path) -> io::Result<()> {
    let root = rustix::process::geteuid().is_root();
    let mut archive = tar::Archive::new(tar);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.set_preserve_ownerships(root);
    let mut times: Vec<(PathBuf, i64, i64)> = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = to.join(
            entry
                .path()?
                .strip_prefix("./")
                .map(Path::to_path_buf)
                .unwrap_or(entry.path()?.into_owned()),
        );
        let header = entry.header().clone();
        let pax: Vec<(String, Vec<u8>)> = match entry.pax_extensions()? {
            Some(list) => list
                .flatten()
                .filter_map(|e| Some((e.key().ok()?.to_owned(), e.value_bytes().to_vec())))
                .collect(),
            None => Vec::new(),
        };
        let kind = match header.entry_type() {
            tar::EntryType::Char => Some(FileType::CharacterDevice),
            tar::EntryType::Block => Some(FileType::BlockDevice),
            tar::EntryType::Fifo => Some(FileType::Fifo),
            _ => None,
        };
        match kind {
            Some(kind) => {
                let dev = rustix::fs::makedev(
                    header.device_major()?.unwrap_or(0),
                    header.device_minor()?.unwrap_or(0),
                );
                match rustix::fs::mknodat(
                    CWD,
                    &path,
                    kind,
                    Mode::from_raw_mode(header.mode()?),
                    dev,
                ) {
                    Err(rustix::io::Errno::PERM) if !root => continue,
                    r => r?,
                }
                if root {
                    std::os::unix::fs::lchown(
                        &path,
                        Some(header.uid()? as u32),
                        Some(header.gid()? as u32),
                    )?;
                }
            }
            None => {
                entry.unpack_in(to)?;
            }
        }
        for (key, value) in &pax {
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                match rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty()) {
                    Err(_) if !root => {}
                    r => r?,
                }
            }
        }
        if header.entry_type() != tar::EntryType::Link {
            let text = pax
                .iter()
                .find(|(k, _)| k == "mtime")
                .and_then(|(_, v)| std::str::from_utf8(v).ok());
            let (seconds, nanoseconds) = text.map_or((header.mtime()? as i64, 0), parse_time);
            times.push((path, seconds, nanoseconds));
        }
    }
    // Directories last: what is put into them moves their times.
    for (path, tv_sec, tv_nsec) in times.into_iter().rev() {
        let t = Timespec { tv_sec, tv_nsec };
        match rustix::fs::utimensat(
            CWD,
            &path,
            &Timestamps {
                last_access: t,
                last_modification: t,
            },
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Err(_) if !root => {}
            r => r?,
        }
    }
    Ok(())
}

/// Seconds and nanoseconds of pax's `1558966331.123456789`.
fn parse_time(s: &str) -> (i64, i64) {
    let (whole, fraction) = s.split_once('.').unwrap_or((s, ""));
    let seconds: i64 = whole.parse().unwrap_or(0);
    let nanoseconds: i64 = format!("{fraction:0<9}")[..9].parse().unwrap_or(0);
    if whole.starts_with('-') && nanoseconds > 0 {
        (seconds - 1, 1_000_000_000 - nanoseconds)
    } else {
        (seconds, nanoseconds)
    }
}
