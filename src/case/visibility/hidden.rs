//! What each layer hides of the stack below it, and where its renamed directories bring what lies there: the rows of `hides`,
//! `hides_below`, `moved` and `metacopy`.
//!
//! A layer hides of a name what the stack below shows there, and no more: the rest is hidden already. A directory that does
//! not go on below is hidden whole, as a run of files. Only directories that both have are read.

use super::deep;
use super::entries::{Entries, Entry, Fault, Part, ROW, Run, View, within};
use super::stacks::Stacks;
use crate::case::insert::Insert;
use crate::overlay::lookup::{Content, Merged, Node, find};
use crate::text::lossless;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};

/// What came to stand elsewhere: by whose redirect, at which path, which directory.
type Move = (i64, String, i64);

/// Works out what the layers of a host hide.
pub struct Hidden<'p, 'c> {
    entries: &'p Entries<'c>,
    /// Row ids of moves.
    moves: HashMap<Move, i64>,
    /// Whose they are: row ids of stacks.
    movers: HashMap<i64, i64>,
    /// Those of a stack's topmost layer: where they lead, their row ids, and what they bring there.
    led: HashMap<i64, BTreeMap<String, Vec<(i64, Run)>>>,
    next_move: i64,
    rows: Rows<'c>,
    /// The stack that is worked out.
    stack: i64,
    /// Row ids of the stacks it is made of, by [`Part::level`].
    levels: Vec<i64>,
}

/// Rows on their way.
struct Rows<'c> {
    hides: (Insert<'c>, Vec<[i64; 4]>),
    below: (Insert<'c>, Vec<[i64; 5]>),
    metacopy: (Insert<'c>, Vec<[i64; 3]>),
    db: &'c Connection,
}

/// Steps that a move counts for: all of them are remembered.
const MOVE: usize = 1000;
/// Rows that wait.
const WAITING: usize = 10_000;

impl<'c> Rows<'c> {
    fn new(db: &'c Connection) -> Self {
        let below = ["stack_id", "moved_id", "first_file", "last_file", "by_id"];
        let insert = |table, columns: &[&str]| Insert::of_new(db, table, columns);
        Rows {
            hides: (
                insert("hides", &["file_id", "moved_id", "stack_id", "by_id"]),
                Vec::new(),
            ),
            below: (insert("hides_below", &below), Vec::new()),
            metacopy: (
                insert("metacopy", &["file_id", "stack_id", "content_id"]),
                Vec::new(),
            ),
            db,
        }
    }

    fn flush(&mut self) -> rusqlite::Result<()> {
        put(&mut self.hides)?;
        put(&mut self.below)?;
        put(&mut self.metacopy)
    }
}

fn put<const N: usize>((insert, rows): &mut (Insert<'_>, Vec<[i64; N]>)) -> rusqlite::Result<()> {
    rows.sort_unstable();
    rows.dedup();
    insert.all(rows, |row, _, values| {
        (1..)
            .zip(values)
            .try_for_each(|(at, value)| row.set(at, value))
    })?;
    rows.clear();
    Ok(())
}

impl<'p, 'c> Hidden<'p, 'c> {
    /// Of a case, which has this many moves already.
    pub fn new(db: &'c Connection, entries: &'p Entries<'c>, last_move: i64) -> Self {
        Hidden {
            entries,
            moves: HashMap::new(),
            movers: HashMap::new(),
            led: HashMap::new(),
            next_move: last_move + 1,
            rows: Rows::new(db),
            stack: 0,
            levels: Vec::new(),
        }
    }

    /// Works one stack out; those below it come first.
    pub fn stack(&mut self, stacks: &Stacks, at: usize) -> Result<(), Fault> {
        let stack = &stacks.all[at];
        self.stack = stack.id;
        self.levels = stacks.down(Some(at)).map(|s| s.id).collect();
        let view = stacks.view(self.entries, Some(at))?;
        let below = stacks.view(self.entries, stack.below)?;
        let [own, lower @ ..] = &view.roots[..] else {
            return Ok(());
        };
        let marked = self.entries.marked(own.tree)?;
        for &id in &marked.marks {
            self.hide(id, 0, id)?;
        }
        if let Some(top) = below.roots.first() {
            self.hide(top.entry.id, 0, own.entry.id)?;
        }
        if lower.is_empty() {
            self.hide_all("", &below.roots, own.entry.id)?;
        }
        self.merge(&view, own, lower, &mut String::new())?;
        self.flush()
    }

    /// Writes what waits.
    fn flush(&mut self) -> Result<(), Fault> {
        Ok(self.rows.flush()?)
    }

    fn hide(&mut self, id: i64, moved: i64, by: i64) -> Result<(), Fault> {
        self.entries.spend(ROW)?;
        self.rows.hides.1.push([id, moved, self.stack, by]);
        self.full()
    }

    /// Hides all below a directory.
    fn hide_below(&mut self, dir: &Part, by: i64) -> Result<(), Fault> {
        let (first, last) = self.entries.below(dir.tree, dir.entry.id)?;
        self.entries.spend(ROW)?;
        if first <= last {
            let row = [self.stack, dir.moved, first, last, by];
            self.rows.below.1.push(row);
        }
        self.full()
    }

    /// Hides a directory of the stack below with these parts: all below it, and what was moved to there.
    fn hide_all(&mut self, path: &str, parts: &[Part], by: i64) -> Result<(), Fault> {
        for part in parts {
            self.hide_below(part, by)?;
        }
        let mut rows = Vec::new();
        for led in self.levels.iter().filter_map(|stack| self.led.get(stack)) {
            let from = led.range(path.to_owned()..);
            for (to, moves) in from.take_while(|(to, _)| to.starts_with(path)) {
                self.entries.spend(moves.len() * ROW)?;
                if matches!(to.as_bytes().get(path.len()), None | Some(b'/')) {
                    let rows_of = moves.iter().filter(|(_, (first, last))| first <= last);
                    rows.extend(
                        rows_of.map(|(id, (first, last))| [self.stack, *id, *first, *last, by]),
                    );
                }
            }
        }
        self.rows.below.1.extend(rows);
        self.full()
    }

    fn full(&mut self) -> Result<(), Fault> {
        let waiting = [self.rows.hides.1.len(), self.rows.below.1.len()];
        if waiting.into_iter().max() >= Some(WAITING) {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether a directory was renamed below this one, in its own layer.
    fn leads_away(&self, dir: &Part) -> Result<bool, Fault> {
        let marked = self.entries.marked(dir.tree)?;
        if marked.redirects.is_empty() {
            return Ok(false);
        }
        let run = self.entries.below(dir.tree, dir.entry.id)?;
        Ok(!within(&marked.redirects, run).is_empty())
    }

    /// Notes what a directory of the topmost layer hides of that which the layers below have at its path.
    fn merge(
        &mut self,
        view: &View<'_, '_>,
        own: &Part,
        lower: &[Part],
        path: &mut String,
    ) -> Result<(), Fault> {
        deep(|| self.merge_here(view, own, lower, path))
    }

    fn merge_here(
        &mut self,
        view: &View<'_, '_>,
        own: &Part,
        lower: &[Part],
        path: &mut String,
    ) -> Result<(), Fault> {
        if lower.is_empty() && !self.leads_away(own)? {
            return Ok(());
        }
        let listing = self.entries.listing(own.entry.id)?;
        for (name, entry) in &listing.entries {
            let length = path.len();
            path.push('/');
            path.push_str(&lossless(name));
            self.merge_entry(view, (own, name, entry), lower, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    /// The same for an entry of the directory.
    fn merge_entry(
        &mut self,
        view: &View<'_, '_>,
        (own, name, entry): (&Part, &[u8], &Entry),
        lower: &[Part],
        path: &mut String,
    ) -> Result<(), Fault> {
        let here = own.holds(entry);
        let mut there = match lower {
            [] => None,
            lower => find(view, lower, name)?,
        };
        if let Some(Node::Dir(merged)) = &mut there {
            self.place(merged, path)?;
        }
        let shown = match &there {
            None => None,
            Some(Node::Dir(merged)) => merged.parts.first(),
            Some(Node::Leaf(leaf, _)) => Some(leaf),
        };
        if let Some(shown) = shown {
            self.hide(shown.entry.id, shown.moved, entry.id)?;
        }
        let parts = match there {
            Some(Node::Dir(merged)) => merged.parts,
            _ => Vec::new(),
        };
        if entry.merges() {
            return self.merge(view, &here, &parts, path);
        }
        if !parts.is_empty() {
            self.hide_all(path, &parts, entry.id)?;
        }
        let all = || [std::slice::from_ref(own), lower].concat();
        if entry.is_dir() && entry.redirect.is_some() && !entry.is_opaque() {
            if let Some(Node::Dir(mut merged)) = find(view, &all(), name)? {
                self.place(&mut merged, path)?;
                self.bring(view, &merged.parts, path)?;
            }
        } else if entry.is_dir() {
            self.merge(view, &here, &[], path)?;
        } else if entry.is_metacopy() {
            self.content(entry, find(view, &all(), name)?.as_ref());
        }
        Ok(())
    }

    /// Notes where the content of a metacopy of the topmost layer lies, which is shown there.
    fn content(&mut self, entry: &Entry, shown: Option<&Node<Part, Part>>) {
        if let Some(Node::Leaf(_, Content::Below(content))) = shown {
            let row = [entry.id, self.stack, content.entry.id];
            self.rows.metacopy.1.push(row);
        }
    }

    /// Notes what hides what in a directory that was renamed, in which nothing stands where it stood: all of its parts, and
    /// all below.
    fn bring(
        &mut self,
        view: &View<'_, '_>,
        parts: &[Part],
        path: &mut String,
    ) -> Result<(), Fault> {
        deep(|| self.bring_here(view, parts, path))
    }

    fn bring_here(
        &mut self,
        view: &View<'_, '_>,
        parts: &[Part],
        path: &mut String,
    ) -> Result<(), Fault> {
        if let [only] = parts
            && !self.leads_away(only)?
        {
            return Ok(());
        }
        let mut names: BTreeMap<Box<[u8]>, Vec<Part>> = BTreeMap::new();
        for part in parts {
            for (name, entry) in &self.entries.listing(part.entry.id)?.entries {
                self.entries.spend(1)?;
                let entries = names.entry(name.clone()).or_default();
                entries.push(part.holds(entry));
            }
        }
        for (name, here) in &names {
            let Some((top, others)) = here.split_first() else {
                continue;
            };
            let mut shown = find(view, parts, name)?;
            let length = path.len();
            path.push('/');
            path.push_str(&lossless(name));
            if let Some(Node::Dir(merged)) = &mut shown {
                self.place(merged, path)?;
            }
            let merged: &[Part] = match &shown {
                Some(Node::Dir(merged)) => &merged.parts,
                _ => &[],
            };
            for other in others.iter().filter(|other| !other.entry.is_whiteout()) {
                self.hide(other.entry.id, other.moved, top.entry.id)?;
                // One that a redirect led to again stands there by another move.
                let is_shown = |part: &Part| part == other && part.moved == other.moved;
                if other.entry.is_dir() && !merged.iter().any(is_shown) {
                    self.hide_below(other, top.entry.id)?;
                }
            }
            if top.level == 0 && top.entry.is_metacopy() {
                self.content(&top.entry, shown.as_ref());
            }
            if !merged.is_empty() {
                self.bring(view, merged, path)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Says of each part of a directory which move brought it there, where one did. Those of the stack that is worked out are
    /// made so.
    fn place(&mut self, merged: &mut Merged<Part>, path: &str) -> Result<(), Fault> {
        if merged.moved >= merged.parts.len() {
            return Ok(());
        }
        let from = merged.moved.max(1);
        let by = &merged.parts[from - 1];
        let by = match by.moved {
            0 => self.levels[by.level],
            moved => self.movers.get(&moved).copied().unwrap_or(self.stack),
        };
        for part in &mut merged.parts[from..] {
            let key = (by, path.to_owned(), part.entry.id);
            part.moved = match self.moves.get(&key) {
                Some(id) => *id,
                None => self.moved(key, part)?,
            };
        }
        Ok(())
    }

    /// Writes a move: all below a directory comes to stand elsewhere, but for the marks in it.
    fn moved(&mut self, key: Move, dir: &Part) -> Result<i64, Fault> {
        self.entries.spend(MOVE)?;
        let id = self.next_move;
        self.next_move += 1;
        let (by, path, _) = &key;
        let run = self.entries.below(dir.tree, dir.entry.id)?;
        let from = self.entries.path(dir.entry.id)?;
        let mut put = self.rows.db.prepare_cached(
            "INSERT INTO moved (id, stack_id, tree_id, first_file, last_file, from_path, to_path)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?;
        put.execute((id, by, dir.tree, run.0, run.1, from, path))?;
        let marked = self.entries.marked(dir.tree)?;
        for &mark in within(&marked.marks, run) {
            self.hide(mark, id, mark)?;
        }
        self.movers.insert(id, *by);
        let led = self.led.entry(*by).or_default();
        led.entry(path.clone()).or_default().push((id, run));
        self.moves.insert(key, id);
        Ok(id)
    }
}
