//! The layer of an engine's own files between an image and a container, as far as its driver keeps in it what is its own: it
//! must hold places for mounts, and nothing else.
//!
//! Directories that the engine makes or passes are compared by their place alone: where an image has them, they are copies of
//! what it has. Full copies are not compared here; an ingest with files does that (`container_change`).

use super::compare::describe;
use super::{Change, ENGINE, Finding, Init, Verdict, linked, of_itself, unreadable, verdict};
use crate::engine;
use crate::evidence::walk::{self, Buffer, OpenDir, Top};
use crate::evidence::{self, Evidence, Meta};
use crate::overlay::compare::Attributes;
use crate::overlay::marks::{Marks, Named};
use crate::text::lossless;
use std::ffi::{CStr, CString};

/// Compares one.
pub(super) fn init(evidence: &Evidence, init: &Init, marks: Marks) -> Verdict {
    let gone = |at: Option<String>| {
        let finding = of_itself(Change::Missing, "directory", at, None);
        let note = Some("its files are gone".into());
        verdict(vec![finding], false, note, Vec::new())
    };
    let Some(files) = &init.files else {
        return gone(None);
    };
    let root = match evidence.open_tree(files) {
        Ok(Top::Dir(root, _)) if linked(evidence, &init.data_root, files).is_none() => root,
        Ok(_) => {
            let [shipped, found] = ["directory", "something else, or behind a link"];
            let [shipped, found] = [shipped, found].map(|s| Some(s.to_owned()));
            let finding = of_itself(Change::Changed, "type", shipped, found);
            return verdict(vec![finding], false, None, Vec::new());
        }
        Err(evidence::Error::Missing) => return gone(Some(files.host())),
        Err(e) => {
            let note = format!("{}: cannot be opened: {e}", files.host());
            return verdict(Vec::new(), true, Some(note), Vec::new());
        }
    };
    let mut compared = Compared {
        marks,
        entries: 0,
        findings: Vec::new(),
    };
    compared.walk(&root);
    let problems = unreadable(&compared.findings, files);
    Verdict {
        entries: Some(compared.entries),
        ..verdict(compared.findings, false, None, problems)
    }
}

struct Compared {
    marks: Marks,
    entries: u64,
    findings: Vec<Finding>,
}

impl Compared {
    fn found(&mut self, change: Change, path: &[u8], found: String) {
        self.findings.push(Finding {
            change,
            path: Some(path.to_vec()),
            attribute: None,
            shipped: None,
            found: Some(found),
        });
    }

    fn walk(&mut self, root: &OpenDir) {
        let mut buffer = Buffer::default();
        let mut open: Vec<(Vec<u8>, OpenDir, std::vec::IntoIter<CString>)> = Vec::new();
        match root.child(c".") {
            Ok(dir) => {
                let names = self.names(b"", &dir, &mut buffer);
                open.push((Vec::new(), dir, names));
            }
            Err(e) => self.found(Change::Unreadable, b"", e.to_string()),
        }
        while let Some((at, dir, names)) = open.last_mut() {
            let Some(name) = names.next() else {
                open.pop();
                continue;
            };
            let path = walk::entry_path(at, &name);
            let child = self.entry(&path, dir, &name).and_then(|is_dir| {
                let child = is_dir.then(|| dir.child(&name));
                child.transpose()
            });
            match child {
                Ok(Some(child)) => {
                    let names = self.names(&path, &child, &mut buffer);
                    open.push((path, child, names));
                }
                Ok(None) => {}
                Err(e) => self.found(Change::Unreadable, &path, e.to_string()),
            }
        }
    }

    fn names(
        &mut self,
        path: &[u8],
        dir: &OpenDir,
        buffer: &mut Buffer,
    ) -> std::vec::IntoIter<CString> {
        let (names, failed) = dir.names(buffer, usize::MAX);
        if let Some(e) = failed {
            self.found(Change::Unreadable, path, e.to_string());
        }
        names.into_iter()
    }

    /// Compares an entry; whether it is a directory.
    fn entry(&mut self, path: &[u8], dir: &OpenDir, name: &CStr) -> Result<bool, evidence::Error> {
        // What the driver itself writes into any layer.
        match self.marks.of_name(name.to_bytes()) {
            Named::Opaque => return Ok(false),
            Named::Whiteout(of) if of.starts_with(b".wh.") => return Ok(false),
            _ => {}
        }
        let meta = dir.stat(name)?;
        self.entries += 1;
        let found = describe(&meta, self.marks);
        let Some(made) = engine::prepares(ENGINE, &format!("/{}", lossless(path))) else {
            self.found(Change::Added, path, found);
            return Ok(meta.is_dir());
        };
        if meta.is_dir() && made.is_dir() {
            return Ok(true);
        }
        if !made.is(&self.attributes(&meta, dir, name)?) {
            self.found(Change::Changed, path, found);
        }
        Ok(meta.is_dir())
    }

    /// What is compared of what is no directory.
    fn attributes(
        &self,
        meta: &Meta,
        dir: &OpenDir,
        name: &CStr,
    ) -> Result<Attributes, evidence::Error> {
        let mut target = Vec::new();
        let is_link = meta.kind() == rustix::fs::FileType::Symlink;
        if is_link {
            dir.read_link(name, &mut target)?;
        }
        let marks = self.marks.attributes();
        let is_mark = |n: &[u8]| marks.iter().any(|mark| n.starts_with(mark.as_bytes()));
        let xattrs = match meta.is_dir() {
            true => Vec::new(),
            false => dir.entry_xattrs(name)?,
        };
        let xattrs = xattrs.into_iter().filter(|(n, _)| !is_mark(n));
        Ok(Attributes {
            mode: meta.mode,
            size: i64::try_from(meta.size).unwrap_or(i64::MAX),
            link: is_link.then_some(target),
            xattrs: xattrs
                .map(|(n, value)| (lossless(&n).into_owned(), value))
                .collect(),
            ..Attributes::default()
        })
    }
}
