//! Merged views, drift and whose-file answers: against a plain model, the kernel's overlay mounts, and `docker diff`.

mod drift;
mod hidden;
mod hostile;
mod init;
mod kernel;
mod live;
mod model;
mod mounts;
mod renamed;

use crate::support::str_of;
use dof::text::lossless;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The same of the query's rows.
fn shown(rows: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for r in rows {
        let said = format!(
            "{} {} {}:{} {} m{} c{} -> {}",
            str_of(r, "type"),
            str_of(r, "mode"),
            r["uid"],
            r["gid"],
            r["size"],
            str_of(r, "mtime"),
            str_of(r, "ctime"),
            str_of(r, "link_target")
        );
        // Two names may be printed alike (\xff, and a byte 0xff), but no file is there twice.
        let new = all.entry(str_of(r, "path")).or_default().insert(said);
        assert!(new, "{r}: one row a path");
    }
    all
}

#[track_caller]
fn equal<V: PartialEq + std::fmt::Debug>(
    ours: &BTreeMap<String, V>,
    truth: &BTreeMap<String, V>,
    what: &str,
) {
    let keys: BTreeSet<&String> = ours.keys().chain(truth.keys()).collect();
    let differ: Vec<String> = keys
        .into_iter()
        .filter(|k| ours.get(*k) != truth.get(*k))
        .map(|k| format!("{k}\n  truth {:?}\n  ours  {:?}", truth.get(k), ours.get(k)))
        .collect();
    assert!(
        differ.is_empty(),
        "{what}: {}\n{}",
        differ.len(),
        differ.join("\n")
    );
}

/// `docker diff` of two trees that a walk showed, as moby's pkg/archive compares them: what is different, and then up.
fn diff(now: &Path, before: &Path) -> BTreeMap<String, String> {
    let stat = |root: &Path| -> BTreeMap<String, fs::Metadata> {
        walkdir::WalkDir::new(root)
            .min_depth(1)
            .into_iter()
            .filter_map(|e| {
                let e = e.unwrap();
                let inside = e.path().strip_prefix(root).unwrap().as_os_str().as_bytes();
                let meta = fs::symlink_metadata(e.path()).ok()?;
                Some((format!("/{}", lossless(inside)), meta))
            })
            .collect()
    };
    let (new, old) = (stat(now), stat(before));
    changes(&new, &old, fs::Metadata::is_dir, |n, o| {
        n.mode() != o.mode()
            || (n.uid(), n.gid(), n.rdev()) != (o.uid(), o.gid(), o.rdev())
            || !o.is_dir()
                && (n.size(), n.mtime(), n.mtime_nsec()) != (o.size(), o.mtime(), o.mtime_nsec())
    })
}

/// A, C and D of two trees.
fn changes<V>(
    new: &BTreeMap<String, V>,
    old: &BTreeMap<String, V>,
    is_dir: impl Fn(&V) -> bool,
    differ: impl Fn(&V, &V) -> bool,
) -> BTreeMap<String, String> {
    let parent = |p: &str| p[..p.rfind('/').unwrap()].to_owned();
    let mut found = BTreeMap::new();
    for (path, n) in new {
        match old.get(path) {
            None => drop(found.insert(path.clone(), "A".to_owned())),
            Some(o) if differ(n, o) => drop(found.insert(path.clone(), "C".to_owned())),
            Some(_) => {}
        }
    }
    for path in old.keys().filter(|p| !new.contains_key(*p)) {
        let above = parent(path);
        if above.is_empty() || new.get(&above).is_some_and(&is_dir) {
            found.insert(path.clone(), "D".to_owned());
        }
    }
    for path in found.keys().cloned().collect::<Vec<_>>() {
        let mut above = parent(&path);
        while !above.is_empty() {
            found.entry(above.clone()).or_insert_with(|| "C".to_owned());
            above = parent(&above);
        }
    }
    found
}

/// The rows of `drift` that `docker diff` has too.
fn drift(rows: &[Value]) -> BTreeMap<String, String> {
    rows.iter()
        .filter(|r| r["change"] != "U")
        .map(|r| (str_of(r, "path"), str_of(r, "change")))
        .collect()
}

/// The rows that it does not have.
fn unlisted(rows: &[Value]) -> BTreeSet<String> {
    rows.iter()
        .filter(|r| r["change"] == "U")
        .map(|r| str_of(r, "path"))
        .collect()
}

/// What a layer of overlayfs's has that was there before and is no change to `docker diff`: files, and directories it has empty.
fn copied_up(own: &Path, before: &Path, diff: &BTreeMap<String, String>) -> BTreeSet<String> {
    walkdir::WalkDir::new(own)
        .min_depth(1)
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| {
            let meta = e.metadata().unwrap();
            let whiteout = meta.mode() & 0o170_000 == 0o020_000 && meta.rdev() == 0;
            let filled = meta.is_dir() && fs::read_dir(e.path()).unwrap().next().is_some();
            !whiteout && !filled
        })
        .map(|e| e.path().strip_prefix(own).unwrap().to_owned())
        .filter(|p| fs::symlink_metadata(before.join(p)).is_ok())
        .map(|p| format!("/{}", lossless(p.as_os_str().as_bytes())))
        .filter(|p| !diff.contains_key(p))
        .collect()
}
