//! The sample host that comes with dof: a small real Docker host, packed as GNU tar, unpacked into a folder of ours.
//!
//! Without root, or as root of a container, the host unpacks as far as the kernel allows: owners become the user's own and
//! `trusted.*` attributes (opaque directories) are left out; whiteouts any user may make.

use crate::parse::time;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The packed host: see tests/hosts/sample/README.md.
const SAMPLE: &[u8] = include_bytes!("../tests/hosts/sample/host.tar.gz");
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

/// A member's pax records (the tar crate's own reader does not expect values with newlines).
fn pax_records(data: &[u8]) -> HashMap<String, Vec<u8>> {
    crate::parse::tar_split::pax_records(data)
        .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.to_vec()))
        .collect()
}

/// Unpacks a tar we packed ourselves (GNU tar, posix format, attributes included): its names lead nowhere else.
fn unpack_tar(tar: impl Read, to: &Path) -> io::Result<()> {
    let root = rustix::process::geteuid().is_root();
    // Root of a container may not do all that root may, and has not all users.
    let lenient = |done: rustix::io::Result<()>| match done {
        Err(Errno::PERM | Errno::INVAL) => Ok(()),
        Err(e) if root => Err(io::Error::from(e)),
        _ => Ok(()),
    };
    let mut archive = tar::Archive::new(tar);
    let mut pax = HashMap::new();
    let mut finish = Vec::new();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let header = entry.header().clone();
        if matches!(header.entry_type(), tar::EntryType::XHeader) {
            let mut data = Vec::new();
            entry.read_to_end(&mut data)?;
            pax = pax_records(&data);
            continue;
        }
        let pax = std::mem::take(&mut pax);
        let name = pax
            .get("path")
            .cloned()
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let path = to.join(OsStr::from_bytes(name.strip_prefix(b"./").unwrap_or(&name)));
        let link = pax
            .get("linkpath")
            .cloned()
            .or_else(|| header.link_name_bytes().map(|l| l.into_owned()))
            .unwrap_or_default();
        let mode = Mode::from_raw_mode(header.mode()?);
        let device = rustix::fs::makedev(
            header.device_major()?.unwrap_or(0),
            header.device_minor()?.unwrap_or(0),
        );
        let node = |kind| rustix::fs::mknodat(CWD, &path, kind, mode, device);
        match header.entry_type() {
            tar::EntryType::Directory => fs::create_dir_all(&path)?,
            tar::EntryType::Symlink => std::os::unix::fs::symlink(OsStr::from_bytes(&link), &path)?,
            tar::EntryType::Link => {
                fs::hard_link(
                    to.join(OsStr::from_bytes(link.strip_prefix(b"./").unwrap_or(&link))),
                    &path,
                )?;
                continue; // all but the name is the other's
            }
            tar::EntryType::Fifo => node(FileType::Fifo)?,
            tar::EntryType::Char | tar::EntryType::Block => {
                let kind = if header.entry_type() == tar::EntryType::Char {
                    FileType::CharacterDevice
                } else {
                    FileType::BlockDevice
                };
                match node(kind) {
                    Err(Errno::PERM) => continue,
                    done => done?,
                }
            }
            _ => drop(io::copy(&mut entry, &mut fs::File::create(&path)?)?),
        }
        finish.push((path, header, pax));
    }
    // Backwards, so that a directory comes after what is in it, which moves its times and needs its permissions.
    for (path, header, pax) in finish.into_iter().rev() {
        let number = |key: &str, field: u64| {
            pax.get(key)
                .and_then(|v| std::str::from_utf8(v).ok()?.parse().ok())
                .unwrap_or(field) as u32
        };
        let owner = rustix::fs::Uid::from_raw(number("uid", header.uid()?));
        let group = rustix::fs::Gid::from_raw(number("gid", header.gid()?));
        if root {
            let (owner, group) = (Some(owner), Some(group));
            let of_the_link = AtFlags::SYMLINK_NOFOLLOW;
            lenient(rustix::fs::chownat(CWD, &path, owner, group, of_the_link))?;
        }
        if header.entry_type() != tar::EntryType::Symlink {
            // Without root one reads only what one may: overlay2's work directories have no permissions at all.
            let readable = if header.entry_type().is_dir() {
                0o700
            } else {
                0o400
            };
            let mode = header.mode()? | if root { 0 } else { readable };
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode))?;
        }
        for (key, value) in &pax {
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                lenient(rustix::fs::lsetxattr(
                    &path,
                    name,
                    value,
                    XattrFlags::empty(),
                ))?;
            }
        }
        let exact = pax.get("mtime").and_then(|v| time::pax(v));
        let (tv_sec, nanoseconds) = exact.map_or((header.mtime()? as i64, 0), time::parts);
        let tv_nsec = nanoseconds.into();
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        lenient(rustix::fs::utimensat(
            CWD,
            &path,
            &times,
            AtFlags::SYMLINK_NOFOLLOW,
        ))?;
    }
    Ok(())
}
