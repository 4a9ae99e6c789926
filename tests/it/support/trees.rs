//! Trees on disk: what is in them and when it was written.

use super::{must, text};
use dof::text::lossless;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

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

/// What stands in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = names
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A file's SHA-256, by a program that is fast in a debug build too.
pub fn digest(path: &Path) -> String {
    let line = must("sha256sum", &[text(path)]);
    line.split_whitespace().next().unwrap().to_owned()
}

/// A tree: names, kinds, owners, links, contents, and times to the nanosecond, but for when things were read. Sparse files of
/// terabytes are known by their times.
pub fn state(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir) {
        let path = entry.unwrap().into_path();
        let m = path.symlink_metadata().unwrap();
        let content = match m.len() {
            _ if m.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
            _ if !m.is_file() => String::new(),
            0..0x1_0000 => dof::engine::sha256_hex(&fs::read(&path).unwrap()),
            0x1_0000..0x4000_0000 => digest(&path),
            _ => String::new(),
        };
        let said = format!(
            "{:o} {}:{} {} {} {} {}.{} {}.{} {content}",
            m.mode(),
            m.uid(),
            m.gid(),
            m.nlink(),
            m.ino(),
            m.size(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec()
        );
        all.insert(path, said);
    }
    all
}

/// All there is to say of a tree: metadata to the nanosecond, access times too, link targets, contents.
pub fn accessed(mount: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in walkdir::WalkDir::new(mount).sort_by_file_name() {
        let entry = entry.unwrap();
        let m = entry.metadata().unwrap();
        out.push(format!(
            "{} {:o} {}:{} {} {} {} {}.{} {}.{} {}.{}",
            entry.path().display(),
            m.mode(),
            m.uid(),
            m.gid(),
            m.nlink(),
            m.size(),
            m.ino(),
            m.atime(),
            m.atime_nsec(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec()
        ));
    }
    out
}

/// All there is to say of each entry of a tree, as the kernel tells it; names of one file are one file.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut files: HashMap<_, Vec<PathBuf>> = HashMap::new();
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path();
        let meta = fs::symlink_metadata(path).unwrap();
        if meta.file_type().is_socket() {
            continue;
        }
        let name = path.strip_prefix(dir).unwrap().to_owned();
        let mut said = format!(
            "mode {:o} owner {}:{} mtime {}.{:09} rdev {}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.rdev()
        );
        if meta.is_symlink() {
            said += &format!(" -> {}", fs::read_link(path).unwrap().display());
        }
        if meta.is_file() {
            use sha2::Digest;
            let mut sum = sha2::Sha256::new();
            std::io::copy(&mut fs::File::open(path).unwrap(), &mut sum).unwrap();
            said += &format!(" size {} content {:x}", meta.size(), sum.finalize());
        }
        if !meta.is_dir() {
            let names = files.entry((meta.dev(), meta.ino())).or_default();
            names.push(name.clone());
        }
        let mut names = vec![0; 65536];
        let n = rustix::fs::llistxattr(path, &mut names).unwrap();
        let mut attributes: Vec<String> = Vec::new();
        for attribute in names[..n].split(|&b| b == 0).filter(|a| !a.is_empty()) {
            let mut value = vec![0; 65536];
            let attribute = CString::new(attribute).unwrap();
            let n = rustix::fs::lgetxattr(path, &attribute, &mut value).unwrap();
            attributes.push(format!("{attribute:?}={:?}", &value[..n]));
        }
        attributes.sort();
        all.insert(name, format!("{said} {attributes:?}"));
    }
    // The count of links also counts names that a layer above deleted: only those that are there tell.
    for names in files.values().filter(|names| names.len() > 1) {
        for name in names {
            let said = all.get_mut(name).expect("just inserted");
            *said += &format!(" is {}", names[0].display());
        }
    }
    all
}

#[track_caller]
pub fn same_trees(ours: &Path, truth: &Path, what: &str) {
    let (ours, truth) = (tree(ours), tree(truth));
    let mut differ = Vec::new();
    for (path, said) in &truth {
        if ours.get(path) != Some(said) {
            differ.push(format!("{path:?}\n  {said}\n  {:?}", ours.get(path)));
        }
    }
    differ.extend(
        ours.keys()
            .filter(|p| !truth.contains_key(*p))
            .map(|p| format!("{p:?} is ours alone")),
    );
    assert!(differ.is_empty(), "{what}: {}", differ.join("\n"));
    assert!(truth.len() > 1, "{what}: nothing compared");
}
