//! The walk of the file trees: one task a directory, entries read relative to its descriptor.

use super::hashes::{HashTask, Hashing};
use crate::batch::{DirNote, FileBatch, FileRow};
use crate::engine::TreePlan;
use crate::evidence::walk::{Buffer, OpenDir, OverlayXattrs, Top};
use crate::evidence::{self, Evidence, Meta, Xattrs};
use crate::overlay::bits;
use crate::overlay::marks::Named;
use crate::problem::{Defect, Severity};
use rustix::fs::FileType;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// Entries of one directory a task reads before it makes room for others.
const ENTRIES: usize = 8192;
/// Bytes of extended attributes of one batch.
const ATTRIBUTES: usize = 16 << 20;
/// Longest path within a tree that is walked into, in bytes.
const DEEPEST: usize = 64 * 1024;

/// What all tasks of a walk share.
pub struct Walk<'e> {
    evidence: &'e Evidence,
    /// Roots of trees by device and inode: a walk does not enter another tree.
    roots: HashMap<(u64, u64), i64>,
    /// What is hashed.
    pub hashing: Hashing,
}

/// A tree being walked.
pub struct Tree {
    plan: TreePlan,
    dev: u64,
}

/// A directory to read, or to read on.
pub struct DirTask {
    tree: Arc<Tree>,
    note: Arc<DirNote>,
    at: Place,
    /// Subdirectories found by earlier tasks of the same directory.
    found: Vec<DirTask>,
}

enum Place {
    /// To be opened by name below its parent.
    Below(Arc<OpenDir>, CString),
    /// Open, just begun.
    Root(Arc<OpenDir>, Meta),
    /// Open, some entries read.
    Further(Arc<OpenDir>),
}

impl<'e> Walk<'e> {
    /// A walk of these trees.
    pub fn new(evidence: &'e Evidence, trees: &[TreePlan], hashing: Hashing) -> Self {
        Walk {
            evidence,
            hashing,
            roots: trees.iter().map(|t| (t.identity, t.id)).collect(),
        }
    }

    /// Opens a tree's root: the first batch of a tree that is no directory, or the task that walks it.
    pub fn start(&self, plan: TreePlan) -> (FileBatch, Vec<HashTask>, Vec<DirTask>) {
        let note = DirNote::new(plan.id, Vec::new(), None);
        let mut batch = FileBatch::new(note.clone(), true);
        match self.evidence.open_tree(&plan.path) {
            Ok(Top::Dir(dir, meta)) if dir.is_pseudo() => {
                batch.problems.push(
                    Defect::new(
                        "not a file system of a disk, not walked",
                        "its own metadata",
                    )
                    .in_file(Severity::Note, plan.path.host()),
                );
                push_root(&mut batch, &meta);
            }
            Ok(Top::Dir(dir, meta)) => {
                let tree = Arc::new(Tree {
                    dev: meta.dev,
                    plan,
                });
                // The directory's own batch begins with its own row, so nothing is to be said here.
                let task = DirTask {
                    tree,
                    note,
                    at: Place::Root(Arc::new(dir), meta),
                    found: Vec::new(),
                };
                batch.first = false;
                return (batch, Vec::new(), vec![task]);
            }
            Ok(Top::Other(meta)) => {
                push_root(&mut batch, &meta);
                if meta.kind() == FileType::RegularFile {
                    let read = self.evidence.open_file(&plan.path);
                    keep(
                        &mut batch,
                        0,
                        read.and_then(|file| file.xattrs()),
                        &[],
                        || plan.path.host(),
                    );
                }
                let hashes = self.hashing.tasks(&mut batch, None, || plan.path.clone());
                return (batch, hashes, Vec::new());
            }
            Err(e) => batch.problems.push(
                Defect::new(format!("cannot be opened: {e}"), "nothing of this tree")
                    .in_file(Severity::Error, plan.path.host()),
            ),
        }
        (batch, Vec::new(), Vec::new())
    }

    /// Reads a directory, or some of it.
    pub fn step(
        &self,
        task: DirTask,
        buffer: &mut Buffer,
    ) -> (FileBatch, Vec<HashTask>, Vec<DirTask>) {
        let DirTask {
            tree,
            note,
            at,
            mut found,
        } = task;
        let first = !matches!(at, Place::Further(..));
        let marks = tree.plan.marks;
        let mut batch = FileBatch::new(note.clone(), first);
        let shown = |path: &[u8]| tree.plan.path.join(path).host();
        let opened = match at {
            Place::Below(parent, name) => parent.child(&name).map(|d| (Arc::new(d), None)),
            Place::Root(dir, meta) => Ok((dir, Some(meta))),
            Place::Further(dir) => Ok((dir, None)),
        };
        let (dir, root) = match opened {
            Ok(o) => o,
            Err(e) => {
                batch.problems.push(
                    Defect::new(
                        format!("directory cannot be opened: {e}"),
                        "its own metadata",
                    )
                    .in_file(Severity::Error, shown(&note.path)),
                );
                return (batch, Vec::new(), Vec::new());
            }
        };
        if first {
            match dir.xattrs() {
                Ok(mut all) => {
                    let x = OverlayXattrs::take(marks.attributes(), &mut all);
                    batch.dir_xattrs = worth_keeping(all);
                    batch.xattr_bytes += size(&batch.dir_xattrs);
                    batch.dir_marks = bits::of(false, x.opaque, x.metacopy);
                    batch.dir_redirect = x.redirect;
                }
                Err(e) => {
                    // Too many, perhaps: the marks can be asked for by name.
                    let x = dir.overlay_xattrs(marks.attributes());
                    let kept = match x {
                        _ if marks.attributes().is_empty() => "everything else",
                        Ok(_) => "overlay marks",
                        Err(_) => "all but overlay marks",
                    };
                    let x = x.unwrap_or_default();
                    batch.dir_marks = bits::of(false, x.opaque, x.metacopy);
                    batch.dir_redirect = x.redirect;
                    batch.problems.push(
                        Defect::new(format!("extended attributes cannot be read: {e}"), kept)
                            .in_file(Severity::Warning, shown(&note.path)),
                    );
                }
            }
        }
        if let Some(meta) = &root {
            push_root(&mut batch, meta);
        }
        if first && note.dev.is_some() && dir.is_pseudo() {
            batch.problems.push(
                Defect::new(
                    "not a file system of a disk, not walked",
                    "its own metadata",
                )
                .in_file(Severity::Note, shown(&note.path)),
            );
            return (batch, Vec::new(), Vec::new());
        }
        let more = dir.read(buffer, ENTRIES, |name| {
            if let Err(e) = self.entry(&tree, &note, &dir, name, &mut batch, &mut found) {
                let path = [&note.path[..], b"/", name.to_bytes()].concat();
                batch.problems.push(
                    Defect::new(format!("cannot be read: {e}"), "nothing")
                        .in_file(Severity::Error, shown(&path)),
                );
            }
        });
        let path = || tree.plan.path.join(&note.path);
        let hashes = self.hashing.tasks(&mut batch, Some(&dir), path);
        match more {
            Ok(true) => {
                let rest = DirTask {
                    tree,
                    note,
                    at: Place::Further(dir),
                    found,
                };
                return (batch, hashes, vec![rest]);
            }
            Ok(false) => {}
            Err(e) => batch.problems.push(
                Defect::new(
                    format!("directory cannot be read: {e}"),
                    format!("{} entries", batch.rows.len()),
                )
                .in_file(Severity::Error, shown(&note.path)),
            ),
        }
        (batch, hashes, found)
    }

    fn entry(
        &self,
        tree: &Arc<Tree>,
        note: &Arc<DirNote>,
        dir: &Arc<OpenDir>,
        name: &CStr,
        batch: &mut FileBatch,
        found: &mut Vec<DirTask>,
    ) -> Result<(), evidence::Error> {
        let meta = dir.stat(name)?;
        let bytes = name.to_bytes();
        let mut marks = 0;
        let mut link_len = 0;
        let mut redirect = None;
        let kind = meta.kind();
        let written = tree.plan.marks;
        let path = || tree.plan.path.join(&note.path).join(bytes).host();
        if written.by_device() && kind == FileType::CharacterDevice && meta.rdev == 0 {
            marks |= bits::WHITEOUT;
        }
        if kind == FileType::RegularFile {
            let (at, all) = (batch.rows.len(), dir.entry_xattrs(name));
            let x = keep(batch, at, all, written.attributes(), path)
                .or_else(|| dir.entry_overlay_xattrs(name, written.attributes()).ok());
            if let (true, Some(x)) = (written.by_device(), x) {
                // Whatever its directory says (`opaque=x`): only listings of the kernel's depend on that.
                let whiteout = x.whiteout && meta.size == 0;
                marks |= bits::of(whiteout, false, x.metacopy);
                redirect = x.redirect.filter(|_| x.metacopy);
            }
        }
        marks |= match written.of_name(bytes) {
            Named::Opaque => bits::OPAQUE,
            Named::Whiteout(_) => bits::WHITEOUT,
            Named::Entry => 0,
        };
        let name_at = batch.names.len() as u32;
        batch.names.extend_from_slice(bytes);
        if kind == FileType::Symlink {
            link_len = match dir.read_link(name, &mut batch.names) {
                Ok(n) => n as u32,
                Err(e) => {
                    batch.problems.push(
                        Defect::new(format!("link cannot be read: {e}"), "its metadata")
                            .in_file(Severity::Warning, path()),
                    );
                    0
                }
            };
        }
        if let Some(to) = redirect {
            batch.redirects.push((batch.rows.len(), to));
        }
        if kind == FileType::Directory {
            let below = [&note.path[..], b"/", bytes].concat();
            let inner = self.roots.get(&meta.identity());
            if inner.is_some() || below.len() > DEEPEST {
                // It is not opened here, as others are.
                let (at, all) = (batch.rows.len(), dir.entry_xattrs(name));
                keep(batch, at, all, written.attributes(), path);
            }
            if let Some(&inner) = inner {
                batch.nested.push((inner, below));
            } else if below.len() > DEEPEST {
                batch.problems.push(
                    Defect::new(
                        format!("path longer than {DEEPEST} bytes"),
                        "everything above it",
                    )
                    .in_file(Severity::Warning, tree.plan.path.join(&note.path).host()),
                );
            } else {
                let child = DirNote::new(
                    tree.plan.id,
                    below,
                    (meta.dev != tree.dev).then_some(meta.dev),
                );
                batch.children.push((batch.rows.len(), child.clone()));
                found.push(DirTask {
                    tree: tree.clone(),
                    note: child,
                    at: Place::Below(dir.clone(), name.to_owned()),
                    found: Vec::new(),
                });
            }
        }
        batch.rows.push(FileRow {
            name_at,
            name_len: bytes.len() as u32,
            link_len,
            overlay: marks,
            meta,
        });
        Ok(())
    }
}

/// Keeps the extended attributes of the entry in row `at` of a batch, if there is room for them. Gives the overlay marks
/// among them, whose names begin with one of `marks`; `None` where they could not be read.
fn keep(
    batch: &mut FileBatch,
    at: usize,
    all: Result<Xattrs, evidence::Error>,
    marks: &[&str],
    path: impl Fn() -> String,
) -> Option<OverlayXattrs> {
    let (x, what) = match all {
        Ok(mut all) => {
            let x = OverlayXattrs::take(marks, &mut all);
            let kept = worth_keeping(all);
            let size = size(&kept);
            if batch.xattr_bytes + size <= ATTRIBUTES {
                if !kept.is_empty() {
                    batch.xattrs.push((at, kept));
                    batch.xattr_bytes += size;
                }
                return Some(x);
            }
            let what = format!(
                "extended attributes left out, {size} bytes: those of the files beside it have {} already",
                batch.xattr_bytes
            );
            (Some(x), what)
        }
        Err(e) => (None, format!("extended attributes cannot be read: {e}")),
    };
    let lost = Defect::new(what, "everything else").in_file(Severity::Warning, path());
    batch.problems.push(lost);
    x
}

/// Bytes of attributes, names and values.
fn size(attributes: &Xattrs) -> usize {
    attributes.iter().map(|(n, v)| n.len() + v.len()).sum()
}

/// All but the SELinux label, which every file of some hosts has.
fn worth_keeping(mut attributes: Xattrs) -> Xattrs {
    attributes.retain(|(name, _)| name != b"security.selinux");
    attributes.sort();
    attributes
}

/// The row of a tree's own root, which has no name.
fn push_root(batch: &mut FileBatch, meta: &Meta) {
    batch.rows.push(FileRow {
        name_at: 0,
        name_len: 0,
        link_len: 0,
        overlay: batch.dir_marks,
        meta: *meta,
    });
}
