//! Layers as the case has them: what a directory of one holds, and a stack of them to look names up in.

use crate::overlay::bits;
use crate::overlay::compare::{Attributes, DIRECTORY, FILE, LINK, TYPE};
use crate::overlay::lookup::{Found, Layers};
use crate::overlay::marks::PREFIX;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Of the steps that are left, one in so many may go into one part of the work.
const SHARE: u64 = 4;
/// Steps that a row counts for.
pub const ROW: usize = 20;
/// Entries of directories that are remembered.
const REMEMBERED: usize = 500_000;

/// Why something was not worked out.
#[derive(Debug)]
pub enum Fault {
    /// SQLite said no.
    Sqlite(rusqlite::Error),
    /// It took more steps than a host of that many files may take.
    Spent,
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Fault::Sqlite(e)
    }
}

/// An entry of a layer's directory: a row of `file`.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: i64,
    pub mode: u32,
    /// Bits of [`bits`].
    marks: u8,
    pub redirect: Option<Rc<[u8]>>,
    uid: i64,
    gid: i64,
    size: i64,
    mtime: i64,
    rdev: Option<i64>,
}

impl Entry {
    pub fn is_dir(&self) -> bool {
        self.mode & TYPE == DIRECTORY && !self.is_whiteout()
    }

    pub fn is_file(&self) -> bool {
        self.mode & TYPE == FILE
    }

    pub fn is_whiteout(&self) -> bool {
        self.marks & bits::WHITEOUT != 0
    }

    pub fn is_opaque(&self) -> bool {
        self.marks & bits::OPAQUE != 0
    }

    pub fn is_metacopy(&self) -> bool {
        self.marks & bits::METACOPY != 0
    }

    /// Whether a directory below it of the same name is one with it.
    pub fn merges(&self) -> bool {
        self.is_dir() && !self.is_opaque() && self.redirect.is_none()
    }
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// By name, sorted. A whiteout by a name (`.wh.NAME`) stands under that of what it deletes; marks of opaque directories
    /// are not here.
    pub entries: Vec<(Box<[u8]>, Entry)>,
    /// Whether a mark in it makes it opaque.
    pub is_opaque: bool,
}

impl Listing {
    fn get(&self, name: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|(n, _)| (**n).cmp(name));
        at.ok().map(|i| &self.entries[i].1)
    }
}

/// Files whose ids follow one another: the first and the last.
pub type Run = (i64, i64);

/// What marks there are in a tree, by the ids of their files, in order.
#[derive(Debug, Default)]
pub struct Marked {
    /// Marks of deletions, and of opaque directories by name: they show nothing themselves.
    pub marks: Vec<i64>,
    /// Directories that were renamed.
    pub redirects: Vec<i64>,
}

/// Those of a run.
pub fn within(ids: &[i64], (first, last): Run) -> &[i64] {
    let from = ids.partition_point(|&id| id < first);
    let to = ids.partition_point(|&id| id <= last);
    &ids[from..to.max(from)]
}

/// The directories of the case.
pub struct Entries<'c> {
    db: &'c Connection,
    listings: RefCell<HashMap<i64, Rc<Listing>>>,
    held: Cell<usize>,
    roots: RefCell<HashMap<i64, Option<Entry>>>,
    below: RefCell<HashMap<i64, Run>>,
    marked: RefCell<HashMap<i64, Rc<Marked>>>,
    steps: Cell<u64>,
}

const COLUMNS: &str = "id, name, name_raw, mode, overlay, redirect, uid, gid, size, mtime, rdev";

impl<'c> Entries<'c> {
    /// Of this case; reading ends after so many steps.
    pub fn new(db: &'c Connection, steps: u64) -> Self {
        Entries {
            db,
            listings: RefCell::default(),
            held: Cell::default(),
            roots: RefCell::default(),
            below: RefCell::default(),
            marked: RefCell::default(),
            steps: Cell::new(steps),
        }
    }

    /// Counts steps.
    pub fn spend(&self, steps: usize) -> Result<(), Fault> {
        let left = self.steps.get().checked_sub(steps as u64);
        self.steps.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(Fault::Spent)
    }

    /// Does a part of the work, which may take a share of the steps that are left: one stack does not use up those of all.
    pub fn part<T>(&self, work: impl FnOnce() -> T) -> T {
        let all = self.steps.get();
        let share = all / SHARE;
        self.steps.set(share);
        let done = work();
        self.steps.set(all - share + self.steps.get());
        done
    }

    /// What the directory of this id holds.
    pub fn listing(&self, dir: i64) -> Result<Rc<Listing>, Fault> {
        if let Some(listing) = self.listings.borrow().get(&dir) {
            return Ok(listing.clone());
        }
        let listing = Rc::new(self.read(dir)?);
        let size = listing.entries.len() + 1;
        self.spend(size)?;
        if self.held.get() + size > REMEMBERED {
            self.listings.borrow_mut().clear();
            self.held.set(0);
        }
        self.held.set(self.held.get() + size);
        self.listings.borrow_mut().insert(dir, listing.clone());
        Ok(listing)
    }

    fn read(&self, dir: i64) -> rusqlite::Result<Listing> {
        let run = "SELECT first_file, last_file FROM directory WHERE id = ?";
        let mut run = self.db.prepare_cached(run)?;
        let run = run.query_row([dir], |r| Ok((r.get(0)?, r.get(1)?)));
        let mut listing = Listing::default();
        let Some((first, last)) = run.optional()? else {
            return Ok(listing);
        };
        let sql = format!("SELECT {COLUMNS} FROM file WHERE id BETWEEN ? AND ?");
        let mut stmt = self.db.prepare_cached(&sql)?;
        let mut rows = stmt.query([first, last] as [i64; 2])?;
        while let Some(row) = rows.next()? {
            let entry = entry(row)?;
            let mut name = name(row)?;
            if name.is_empty() {
                continue; // the root of the tree
            }
            if entry.is_opaque() && entry.mode & TYPE != DIRECTORY {
                listing.is_opaque = true;
                continue;
            }
            let by_device = entry.mode & TYPE == 0o020_000;
            if entry.is_whiteout() && !by_device && name.len() > PREFIX.len() {
                name = name.strip_prefix(PREFIX).unwrap_or(name);
            }
            listing.entries.push((name.into(), entry));
        }
        // Of a name and a mark that deletes it, the name is what is asked first.
        listing.entries.sort_by(|(name, entry), (other, beside)| {
            let by = |entry: &Entry| (entry.is_whiteout(), entry.id);
            name.cmp(other).then_with(|| by(entry).cmp(&by(beside)))
        });
        listing.entries.dedup_by(|later, first| later.0 == first.0);
        Ok(listing)
    }

    /// The entry of this id.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM file WHERE id = ?");
        let mut stmt = self.db.prepare_cached(&sql)?;
        Ok(stmt.query_row([id], entry).optional()?)
    }

    /// The entry of a tree's root.
    fn root(&self, id: i64) -> Result<Option<Entry>, Fault> {
        if let Some(root) = self.roots.borrow().get(&id) {
            return Ok(root.clone());
        }
        let root = self.entry(id)?;
        self.roots.borrow_mut().insert(id, root.clone());
        Ok(root)
    }

    /// All that lies below a directory of a tree, however deep.
    pub fn below(&self, tree: i64, dir: i64) -> Result<Run, Fault> {
        if let Some(run) = self.below.borrow().get(&dir) {
            return Ok(*run);
        }
        let path = self.path(dir)?;
        let sql = "SELECT min(first_file), max(last_file) FROM directory
                    WHERE tree_id = ?1 AND last_file >= first_file
                      AND (path = ?2 OR path > ?2 || '/' AND path < ?2 || '0')";
        let mut stmt = self.db.prepare_cached(sql)?;
        let run: (Option<i64>, Option<i64>) =
            stmt.query_row((tree, &path), |r| Ok((r.get(0)?, r.get(1)?)))?;
        let run = (run.0.unwrap_or(1), run.1.unwrap_or(0));
        self.spend(1)?;
        let mut below = self.below.borrow_mut();
        if below.len() > REMEMBERED {
            below.clear();
        }
        below.insert(dir, run);
        Ok(run)
    }

    /// A directory's path in its tree.
    pub fn path(&self, dir: i64) -> Result<String, Fault> {
        let sql = "SELECT path FROM directory WHERE id = ?";
        let mut stmt = self.db.prepare_cached(sql)?;
        let path = stmt.query_row([dir], |r| r.get(0)).optional()?;
        Ok(path.unwrap_or_default())
    }

    /// Takes it that a tree has no marks, as is known from the load: it is never searched for them.
    pub fn without_marks(&self, tree: i64) {
        self.marked.borrow_mut().insert(tree, Rc::default());
    }

    /// The marks of a tree.
    pub fn marked(&self, tree: i64) -> Result<Rc<Marked>, Fault> {
        if let Some(marked) = self.marked.borrow().get(&tree) {
            return Ok(marked.clone());
        }
        let root = "SELECT id FROM directory WHERE tree_id = ? AND path = ''";
        let mut root = self.db.prepare_cached(root)?;
        let root = root.query_row([tree], |r| r.get(0))?;
        let (first, last) = self.below(tree, root)?;
        let sql = "SELECT id, mode, overlay, redirect IS NOT NULL FROM file
                    WHERE id BETWEEN ? AND ? AND (overlay IS NOT NULL OR redirect IS NOT NULL)";
        let mut stmt = self.db.prepare_cached(sql)?;
        let mut rows = stmt.query([first, last])?;
        let mut marked = Marked::default();
        while let Some(row) = rows.next()? {
            let is_dir = row.get::<_, u32>(1)? & TYPE == DIRECTORY;
            let marks = marks(row.get_ref(2)?);
            if marks & bits::WHITEOUT != 0 || marks & bits::OPAQUE != 0 && !is_dir {
                marked.marks.push(row.get(0)?);
            } else if is_dir && row.get(3)? {
                marked.redirects.push(row.get(0)?);
            }
        }
        let marked = Rc::new(marked);
        self.marked.borrow_mut().insert(tree, marked.clone());
        Ok(marked)
    }

    /// Where a symbolic link points to.
    pub fn link(&self, id: i64) -> Result<Vec<u8>, Fault> {
        let sql = "SELECT coalesce(link_raw, link, '') FROM file WHERE id = ?";
        let mut stmt = self.db.prepare_cached(sql)?;
        Ok(stmt.query_row([id], |r| Ok(bytes(r.get_ref(0)?).to_vec()))?)
    }

    /// What is compared of an entry.
    pub fn attributes(&self, entry: &Entry) -> Result<Attributes, Fault> {
        let sql = "SELECT name, value FROM file_xattr WHERE file_id = ? ORDER BY name";
        let mut stmt = self.db.prepare_cached(sql)?;
        let xattrs = stmt.query_map([entry.id], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let is_link = entry.mode & TYPE == LINK;
        Ok(Attributes {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            mtime: entry.mtime,
            rdev: entry.rdev,
            link: is_link.then(|| self.link(entry.id)).transpose()?,
            xattrs: xattrs.collect::<rusqlite::Result<_>>()?,
        })
    }

    /// The hash of a file's content, where it has one.
    pub fn hash(&self, id: i64) -> Result<Option<Vec<u8>>, Fault> {
        let mut stmt = self
            .db
            .prepare_cached("SELECT sha256 FROM file_hash WHERE file_id = ?")?;
        Ok(stmt.query_row([id], |r| r.get(0)).optional()?)
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let redirect = match row.get_ref(5)? {
        ValueRef::Null => None,
        text => Some(unescaped(bytes(text)).into()),
    };
    Ok(Entry {
        id: row.get(0)?,
        mode: row.get(3)?,
        marks: marks(row.get_ref(4)?),
        redirect,
        uid: row.get(6)?,
        gid: row.get(7)?,
        size: row.get(8)?,
        mtime: row.get(9)?,
        rdev: row.get(10)?,
    })
}

/// The exact bytes of an entry's name.
fn name<'r>(row: &'r Row<'_>) -> rusqlite::Result<&'r [u8]> {
    Ok(match row.get_ref(2)? {
        ValueRef::Null => bytes(row.get_ref(1)?),
        raw => bytes(raw),
    })
}

fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

/// The marks that the words of `file.overlay` say.
fn marks(words: ValueRef<'_>) -> u8 {
    let is = |word: &[u8]| bytes(words).split(|&b| b == b',').any(|w| w == word);
    bits::of(is(b"whiteout"), is(b"opaque"), is(b"metacopy"))
}

/// A redirect's exact bytes: the case has `\xNN` for each of a path that is not UTF-8.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let hex = rest.strip_prefix(b"\\x").and_then(|hex| hex.get(..2));
        let byte = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        (rest, _) = match byte {
            Some(byte) => (&rest[4..], out.push(byte)),
            None => (more, out.push(*first)),
        };
    }
    // What only looks like such a path is one of UTF-8.
    match std::str::from_utf8(&out) {
        Ok(_) => text.to_vec(),
        Err(_) => out,
    }
}

/// What one layer has at a place: a directory, or anything else.
#[derive(Clone, Debug)]
pub struct Part {
    /// Of its layer: 0 = topmost.
    pub level: usize,
    /// Of its layer's files.
    pub tree: i64,
    /// The row of `moved` that brought it to its place, 0 for none.
    pub moved: i64,
    pub entry: Entry,
}

impl PartialEq for Part {
    fn eq(&self, other: &Part) -> bool {
        self.entry.id == other.entry.id
    }
}

impl Part {
    /// An entry of this directory.
    pub fn holds(&self, entry: &Entry) -> Part {
        Part {
            entry: entry.clone(),
            ..*self
        }
    }
}

/// A stack of layers.
pub struct View<'v, 'c> {
    pub entries: &'v Entries<'c>,
    /// The roots of its layers, topmost first.
    pub roots: Vec<Part>,
}

impl<'v, 'c> View<'v, 'c> {
    /// Of these trees with their roots, topmost first. A tree that is in it twice counts once; a root that a mark in it makes
    /// opaque is the last.
    pub fn new(
        entries: &'v Entries<'c>,
        trees: impl IntoIterator<Item = (i64, i64)>,
    ) -> Result<Self, Fault> {
        let mut roots: Vec<Part> = Vec::new();
        let mut seen = HashSet::new();
        for (level, (tree, root)) in trees.into_iter().enumerate() {
            let Some(entry) = entries.root(root)?.filter(|_| seen.insert(tree)) else {
                continue;
            };
            roots.push(Part {
                level,
                tree,
                moved: 0,
                entry,
            });
            if entries.listing(root)?.is_opaque {
                break;
            }
        }
        Ok(View { entries, roots })
    }
}

impl Layers for View<'_, '_> {
    type Dir = Part;
    type Leaf = Part;
    type Error = Fault;

    fn entry(&self, dir: &Part, name: &[u8]) -> Result<Found<Part, Part>, Fault> {
        self.entries.spend(1)?;
        let listing = self.entries.listing(dir.entry.id)?;
        let Some(entry) = listing.get(name) else {
            return Ok(Found::Nothing);
        };
        let redirect = entry.redirect.as_deref().map(<[u8]>::to_vec);
        Ok(if entry.is_whiteout() {
            Found::Whiteout
        } else if entry.is_dir() {
            Found::Dir {
                dir: dir.holds(entry),
                opaque: entry.is_opaque(),
                redirect,
            }
        } else {
            Found::Leaf {
                leaf: dir.holds(entry),
                is_file: entry.is_file(),
                metacopy: entry.is_metacopy(),
                redirect,
            }
        })
    }

    fn below(&self, dir: &Part) -> &[Part] {
        let from = self.roots.partition_point(|part| part.level <= dir.level);
        &self.roots[from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_told_from_what_looks_like_them() {
        for (text, bytes) in [
            (&b"/a/b"[..], &b"/a/b"[..]),
            (b"/a\\xff/b", b"/a\xff/b"),
            (b"/a\\x41", b"/a\\x41"),
            (b"\\x", b"\\x"),
            (b"\\xfg", b"\\xfg"),
        ] {
            assert_eq!(unescaped(text), bytes);
        }
    }

    /// A stack that takes all it may leaves most to the others.
    #[test]
    fn one_part_does_not_take_all_steps() {
        let db = Connection::open_in_memory().unwrap();
        let entries = Entries::new(&db, 1000);
        let spend = |steps| entries.part(|| entries.spend(steps)).is_ok();
        assert!(spend(100));
        for _ in 0..5 {
            assert!(!spend(900));
        }
        assert!(spend(50) && !spend(100));
    }

    #[test]
    fn runs_cut_lists() {
        let ids = [2, 4, 6];
        assert_eq!(within(&ids, (3, 6)), [4, 6]);
        assert_eq!(within(&ids, (7, 9)), [0; 0]);
        assert_eq!(within(&ids, (5, 4)), [0; 0]);
    }
}
