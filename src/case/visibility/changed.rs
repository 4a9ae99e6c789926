//! What containers changed, by the engine's rules of comparison: the rows of `file_change`.

use super::deep;
use super::entries::{Entries, Entry, Fault, Part, ROW, View};
use super::stacks::{Made, Stacks};
use crate::case::insert::Insert;
use crate::overlay::Stacking;
use crate::overlay::compare::{Attributes, Comparison, DIRECTORY, Pair, TYPE, executable, gained};
use crate::overlay::lookup::{Content, Node, find};
use crate::text::lossless;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// Whether the engine of a kind makes an entry of these attributes itself, at this path of the layer of its own files.
pub type Makes = dyn Fn(&str, &str, &Attributes) -> bool;

/// How the engine of a container compares, and what it makes itself.
#[derive(Clone, Copy)]
pub struct Rule<'r> {
    pub comparison: Comparison,
    pub kind: &'r str,
    pub makes: &'r Makes,
}

/// A row of `file_change`.
struct Change {
    container: i64,
    path: String,
    change: &'static str,
    made_in: &'static str,
    file: Option<i64>,
    before: Option<i64>,
    differs: Option<String>,
    same_content: Option<bool>,
    metadata_only: Option<bool>,
    executable: Option<&'static str>,
    gained: Option<String>,
}

const COLUMNS: &[&str] = &[
    "container_id",
    "path",
    "change",
    "made_in",
    "file_id",
    "before_id",
    "differs",
    "same_content",
    "metadata_only",
    "executable",
    "gained",
];

/// Works out what the containers of a host changed.
pub struct Changed<'p, 'c> {
    entries: &'p Entries<'c>,
    insert: Insert<'c>,
    rows: Vec<Change>,
    /// How many were put into the layer of the engine's own files.
    put_in: usize,
}

/// Rows that wait.
const WAITING: usize = 10_000;

/// An entry of a merged view: the file that is effective, the one that has its content, and its parts if it is a directory.
#[derive(Clone)]
struct Shown {
    part: Part,
    content: Option<i64>,
    parts: Vec<Part>,
}

impl Shown {
    fn of(node: Node<Part, Part>) -> Option<Shown> {
        Some(match node {
            Node::Dir(merged) => Shown {
                part: merged.parts.first()?.clone(),
                content: None,
                parts: merged.parts,
            },
            Node::Leaf(part, content) => Shown {
                content: match content {
                    Content::Own => Some(part.entry.id),
                    Content::Below(below) => Some(below.entry.id),
                    Content::Nowhere => None,
                },
                part,
                parts: Vec::new(),
            },
        })
    }

    fn entry(&self) -> &Entry {
        &self.part.entry
    }
}

/// Two views that are compared.
struct Compared<'a, 'v, 'c> {
    now: &'a View<'v, 'c>,
    before: &'a View<'v, 'c>,
    rule: Rule<'a>,
    stacking: Stacking,
    container: i64,
    made_in: &'static str,
}

impl<'p, 'c> Changed<'p, 'c> {
    /// Of a case.
    pub fn new(db: &'c Connection, entries: &'p Entries<'c>) -> Self {
        Changed {
            entries,
            insert: Insert::new(db, "file_change", COLUMNS),
            rows: Vec::new(),
            put_in: 0,
        }
    }

    /// Works one container out. What was put into the layer of the engine's own files comes too, each once; how many that is.
    pub fn container(
        &mut self,
        stacks: &Stacks,
        container: &Made,
        rule: Rule<'_>,
    ) -> Result<usize, Fault> {
        self.rows.clear();
        if container.now.is_none() || !container.is_compared {
            return Ok(0);
        }
        let now = stacks.view(self.entries, container.now)?;
        let before = stacks.view(self.entries, container.before)?;
        let of = |now, before, made_in| Compared {
            now,
            before,
            rule,
            stacking: container.stacking,
            container: container.id,
            made_in,
        };
        let path = &mut String::new();
        self.walk(&of(&now, &before, "own"), &now.roots, &before.roots, path)?;
        let image = stacks.view(self.entries, container.image)?;
        self.put_in = 0;
        let two = of(&before, &image, "init");
        self.walk(&two, &before.roots, &image.roots, path)?;
        self.flush()?;
        Ok(self.put_in)
    }

    /// Takes a row of these files; of the layer of the engine's own files only what the engine does not make itself.
    fn take(
        &mut self,
        two: &Compared<'_, '_, '_>,
        row: Change,
        now: Option<&Attributes>,
        before: Option<&Attributes>,
    ) -> Result<(), Fault> {
        self.entries.spend(ROW)?;
        if two.made_in == "init" {
            if is_engines(two.rule, &row, now, before) {
                return Ok(());
            }
            self.put_in += 1;
        }
        self.rows.push(row);
        match self.rows.len() < WAITING {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.insert.all(&self.rows, |to, _, row| {
            to.set(1, row.container)?;
            to.set(2, &row.path)?;
            to.set(3, row.change)?;
            to.set(4, row.made_in)?;
            to.set(5, row.file)?;
            to.set(6, row.before)?;
            to.set(7, &row.differs)?;
            to.set(8, row.same_content)?;
            to.set(9, row.metadata_only)?;
            to.set(10, row.executable)?;
            to.set(11, &row.gained)
        })?;
        self.rows.clear();
        Ok(())
    }

    /// Compares two merged directories of one path; whether the engine sees a change in them.
    fn walk(
        &mut self,
        two: &Compared<'_, '_, '_>,
        now: &[Part],
        before: &[Part],
        path: &mut String,
    ) -> Result<bool, Fault> {
        deep(|| self.walk_here(two, now, before, path))
    }

    fn walk_here(
        &mut self,
        two: &Compared<'_, '_, '_>,
        now: &[Part],
        before: &[Part],
        path: &mut String,
    ) -> Result<bool, Fault> {
        // What both have below shows the same in both, but for names that the rest has.
        let same = now.iter().rev().zip(before.iter().rev());
        let same = same.take_while(|(a, b)| a == b).count();
        let mut names: BTreeSet<Box<[u8]>> = BTreeSet::new();
        let differing = [&now[..now.len() - same], &before[..before.len() - same]];
        for part in differing.into_iter().flatten() {
            let listing = self.entries.listing(part.entry.id)?;
            self.entries.spend(listing.entries.len())?;
            names.extend(listing.entries.iter().map(|(name, _)| name.clone()));
        }
        let mut changed = false;
        for name in &names {
            let look = |view: &View<'_, '_>, parts: &[Part]| match parts {
                [] => Ok(None),
                parts => find(view, parts, name).map(|node| node.and_then(Shown::of)),
            };
            let (n, o) = (look(two.now, now)?, look(two.before, before)?);
            let length = path.len();
            path.push('/');
            path.push_str(&lossless(name));
            changed |= self.compare(two, n, o, path)?;
            path.truncate(length);
        }
        Ok(changed)
    }

    /// Compares what stands at one path.
    fn compare(
        &mut self,
        two: &Compared<'_, '_, '_>,
        now: Option<Shown>,
        before: Option<Shown>,
        path: &mut String,
    ) -> Result<bool, Fault> {
        match (now, before) {
            (None, None) => Ok(false),
            (Some(now), None) => {
                let attributes = self.entries.attributes(now.entry())?;
                self.push(two, path, "A", (&now, &attributes), None)?;
                self.walk(two, &now.parts, &[], path)?;
                Ok(true)
            }
            (None, Some(before)) => {
                let gone = Change {
                    metadata_only: Some(false),
                    before: Some(before.entry().id),
                    ..row(two, path, "D")
                };
                self.take(two, gone, None, None)?;
                Ok(true)
            }
            (Some(now), Some(before)) => self.both(two, &now, &before, path),
        }
    }

    fn both(
        &mut self,
        two: &Compared<'_, '_, '_>,
        now: &Shown,
        before: &Shown,
        path: &mut String,
    ) -> Result<bool, Fault> {
        // What lay below a directory that is gone the engine does not list.
        let goes_on = two.rule.comparison.is_dir(now.entry().mode);
        let parts_before = if goes_on { &before.parts[..] } else { &[] };
        let below = self.walk(two, &now.parts, parts_before, path)?;
        let is_same = now.part == before.part;
        if is_same && !below {
            return Ok(false);
        }
        let is = self.entries.attributes(now.entry())?;
        let was = match is_same {
            true => is.clone(),
            false => self.entries.attributes(before.entry())?,
        };
        let pair = Pair {
            now: &is,
            before: &was,
            same_content: self.same_content(now, before)?,
        };
        let changed = below || !is_same && pair.is_changed(two.rule.comparison);
        let change = match changed {
            true => "C",
            false if pair.differs_otherwise() || self.is_copied_up(two, now)? => "U",
            false => return Ok(false),
        };
        let before = (before.entry().id, pair);
        self.push(two, path, change, (now, &is), Some(before))?;
        Ok(changed)
    }

    /// Whether a file that is as before was copied up, or a directory was and is empty in the container's own layer.
    fn is_copied_up(&self, two: &Compared<'_, '_, '_>, now: &Shown) -> Result<bool, Fault> {
        if two.stacking == Stacking::Topmost {
            return Ok(false);
        }
        let is_empty = || -> Result<bool, Fault> {
            let listing = self.entries.listing(now.entry().id)?;
            Ok(listing.entries.is_empty())
        };
        Ok(!now.entry().is_dir() || is_empty()?)
    }

    /// Whether two regular files have the same content: where one is the other's metadata, or by their hashes.
    fn same_content(&self, now: &Shown, before: &Shown) -> Result<Option<bool>, Fault> {
        if !(now.entry().is_file() && before.entry().is_file()) {
            return Ok(None);
        }
        let Some((now, before)) = now.content.zip(before.content) else {
            return Ok(None);
        };
        if now == before {
            return Ok(Some(true));
        }
        let hashes = self.entries.hash(now)?.zip(self.entries.hash(before)?);
        Ok(hashes.map(|(now, before)| now == before))
    }

    /// Takes what is there now, and what was before.
    fn push(
        &mut self,
        two: &Compared<'_, '_, '_>,
        path: &str,
        change: &'static str,
        (now, is): (&Shown, &Attributes),
        before: Option<(i64, Pair<'_>)>,
    ) -> Result<(), Fault> {
        let pair = before.map(|(_, pair)| pair);
        let was = pair.map(|pair| pair.before);
        let changed = change != "U";
        let same_content = pair.and_then(|pair| pair.same_content);
        let differs = pair.map(|pair| pair.differs());
        let differs = differs.filter(|words| changed || !words.is_empty());
        let words = |words: Vec<&str>| match words[..] {
            [] => "children".to_owned(),
            _ => words.join(","),
        };
        let gained = gained(is, was);
        let row = Change {
            file: Some(now.entry().id),
            before: before.map(|(id, _)| id),
            differs: differs.map(words),
            same_content,
            metadata_only: match pair {
                Some(pair) => pair.is_metadata_only(changed),
                None => Some(false),
            },
            executable: executable(is, was, same_content, pair.is_some() && changed),
            gained: (!gained.is_empty()).then(|| gained.join(",")),
            ..row(two, path, change)
        };
        self.take(two, row, Some(is), was)
    }
}

/// Whether the engine makes what a row of its own layer tells of: a place for a mount, the way there, a copy.
fn is_engines(
    rule: Rule<'_>,
    row: &Change,
    now: Option<&Attributes>,
    before: Option<&Attributes>,
) -> bool {
    let Some(now) = now else {
        return false;
    };
    let makes = || (rule.makes)(rule.kind, &row.path, now);
    let Some(before) = before else {
        return makes();
    };
    let pair = Pair {
        now,
        before,
        same_content: row.same_content,
    };
    let are_dirs = [now, before].iter().all(|a| a.mode & TYPE == DIRECTORY);
    // It copies what is as it was, and changes no directory that an image has.
    match are_dirs || row.differs.is_some() && pair.is_copy() {
        true => pair.is_copy(),
        false => makes(),
    }
}

/// A row with nothing known of its files.
fn row(two: &Compared<'_, '_, '_>, path: &str, change: &'static str) -> Change {
    Change {
        container: two.container,
        path: path.to_owned(),
        change,
        made_in: two.made_in,
        file: None,
        before: None,
        differs: None,
        same_content: None,
        metadata_only: None,
        executable: None,
        gained: None,
    }
}
