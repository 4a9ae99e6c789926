//! The stacks of layers of a host: which layers of each container and image count, and those that they share.

use super::entries::{Entries, Fault, View};
use crate::overlay::Stacking;
use rusqlite::Connection;
use std::collections::HashMap;

/// A layer as it stands in a stack.
#[derive(Clone, Debug)]
struct Layer {
    id: i64,
    role: String,
    stacking: Stacking,
    /// Its files and their root, where they are on the disk.
    tree: Option<(i64, i64)>,
}

/// A layer upon the stack below it.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Row id in `stack`.
    pub id: i64,
    /// The stack below, by its place in [`Stacks::all`].
    pub below: Option<usize>,
    layer: i64,
    /// How many layers it has.
    pub depth: usize,
    /// Its topmost layer's files and their root.
    pub tree: (i64, i64),
}

/// What a container or an image is made of: stacks by their place in [`Stacks::all`].
#[derive(Clone, Debug)]
pub struct Made {
    /// Row id of the container or image.
    pub id: i64,
    /// What it shows; `None` where no layer is on the disk.
    pub now: Option<usize>,
    /// Whether that can be compared with what it was started from.
    pub is_compared: bool,
    /// What it was started from; `None` for nothing.
    pub before: Option<usize>,
    /// The same without the layer of the engine's own files.
    pub image: Option<usize>,
    /// How its layers count.
    pub stacking: Stacking,
    /// How it has each layer of `now`, base first: own, init, image, unowned.
    how: Vec<String>,
}

/// All stacks of a host, those below before those upon them.
#[derive(Default)]
pub struct Stacks {
    pub all: Vec<Stack>,
    by_parts: HashMap<(Option<usize>, i64), usize>,
    next: i64,
}

impl Stacks {
    /// Those of a case that has this many already.
    pub fn new(last: i64) -> Self {
        Stacks {
            next: last + 1,
            ..Stacks::default()
        }
    }

    /// The stack of these layers, base first.
    fn of<'l>(&mut self, layers: impl IntoIterator<Item = &'l Layer>) -> Option<usize> {
        let mut top = None;
        for layer in layers {
            let Some(tree) = layer.tree else { continue };
            let depth = top.map_or(1, |below: usize| self.all[below].depth + 1);
            let next = *self.by_parts.entry((top, layer.id)).or_insert_with(|| {
                let id = self.next;
                self.next += 1;
                self.all.push(Stack {
                    id,
                    below: top,
                    layer: layer.id,
                    depth,
                    tree,
                });
                self.all.len() - 1
            });
            top = Some(next);
        }
        top
    }

    /// The stacks from this one down.
    pub fn down(&self, top: Option<usize>) -> impl Iterator<Item = &Stack> {
        std::iter::successors(top, |&at| self.all[at].below).map(|at| &self.all[at])
    }

    /// The layers of a stack, to be looked at.
    pub fn view<'v, 'c>(
        &self,
        entries: &'v Entries<'c>,
        top: Option<usize>,
    ) -> Result<View<'v, 'c>, Fault> {
        View::new(entries, self.down(top).map(|stack| stack.tree))
    }

    /// Reads what the images of a host are made of.
    pub fn images(&mut self, db: &Connection, host: i64) -> rusqlite::Result<Vec<Made>> {
        let sql = "SELECT i.id FROM image i JOIN engine g ON g.id = i.engine_id
                    WHERE g.host_id = ? ORDER BY i.id";
        let layers = "SELECT l.id, 'image', l.stacking, t.id, d.id
                        FROM image_layer s CROSS JOIN layer l ON l.id = s.layer_id
                             LEFT JOIN tree t ON t.layer_id = l.id
                             LEFT JOIN directory d ON d.tree_id = t.id AND d.path = ''
                       WHERE s.image_id = ? ORDER BY s.position";
        self.read(db, host, sql, layers, None)
    }

    /// Reads what the containers of a host are made of.
    pub fn containers(&mut self, db: &Connection, host: i64) -> rusqlite::Result<Vec<Made>> {
        let sql = "SELECT c.id FROM container c JOIN engine g ON g.id = c.engine_id
                    WHERE g.host_id = ? ORDER BY c.id";
        let layers = |table| {
            format!(
                "SELECT l.id, l.role, l.stacking, t.id, d.id
                   FROM {table} s CROSS JOIN layer l ON l.id = s.layer_id
                        LEFT JOIN tree t ON t.layer_id = l.id
                        LEFT JOIN directory d ON d.tree_id = t.id AND d.path = ''
                  WHERE s.container_id = ? ORDER BY s.position"
            )
        };
        let before = layers("container_before");
        self.read(db, host, sql, &layers("container_layer"), Some(&before))
    }

    fn read(
        &mut self,
        db: &Connection,
        host: i64,
        ids: &str,
        layers: &str,
        before: Option<&str>,
    ) -> rusqlite::Result<Vec<Made>> {
        let mut stmt = db.prepare(ids)?;
        let ids: Vec<i64> = stmt
            .query_map([host], |r| r.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let of = |sql: &str, id: i64| -> rusqlite::Result<Vec<Layer>> {
            let mut stmt = db.prepare_cached(sql)?;
            let rows = stmt.query_map([id], |r| {
                let stacking: Option<String> = r.get(2)?;
                let tree: Option<i64> = r.get(3)?;
                let root: Option<i64> = r.get(4)?;
                Ok(Layer {
                    id: r.get(0)?,
                    role: r.get(1)?,
                    stacking: stacking
                        .and_then(|word| Stacking::named(&word))
                        .unwrap_or(Stacking::Each),
                    tree: tree.zip(root),
                })
            })?;
            rows.collect()
        };
        let mut all = Vec::new();
        for id in ids {
            let mine = of(layers, id)?;
            let begun = match before {
                Some(sql) => of(sql, id)?,
                None => Vec::new(),
            };
            all.push(self.made(id, &mine, &begun));
        }
        Ok(all)
    }

    /// Which of its layers a container or image shows. `begun` are those that its own was begun on, where they are others.
    fn made(&mut self, id: i64, layers: &[Layer], begun: &[Layer]) -> Made {
        let is_own = |l: &&Layer| l.role == "container";
        let is_image = |l: &&Layer| l.role == "image";
        let stacking = layers.last().map_or(Stacking::Each, |l| l.stacking);
        let below = || layers.iter().filter(|l| !is_own(l));
        let own = || layers.iter().filter(is_own);
        let has_own = own().next().is_some();
        let (now, before): (Vec<&Layer>, Vec<&Layer>) = match stacking {
            Stacking::Each if begun.is_empty() => (layers.iter().collect(), below().collect()),
            Stacking::Each => (layers.iter().collect(), begun.iter().collect()),
            Stacking::Topmost if has_own => {
                (own().collect(), below().next_back().into_iter().collect())
            }
            Stacking::Topmost => (below().next_back().into_iter().collect(), Vec::new()),
            Stacking::UpperOverRoot => {
                let root = || layers.iter().rfind(is_image);
                let init = layers.iter().filter(|l| l.role == "init");
                (
                    root().into_iter().chain(own()).collect(),
                    root().into_iter().chain(init).collect(),
                )
            }
        };
        // Of a full copy that is gone nothing can be said.
        let known = stacking == Stacking::Each || before.iter().all(|l| l.tree.is_some());
        let image: Vec<&Layer> = match stacking {
            Stacking::Topmost => layers.iter().rfind(is_image).into_iter().collect(),
            _ => before
                .iter()
                .copied()
                .filter(|l| l.role != "init")
                .collect(),
        };
        let how = |l: &&Layer| match &l.role[..] {
            "container" => "own".to_owned(),
            role => role.to_owned(),
        };
        Made {
            id,
            how: now.iter().filter(|l| l.tree.is_some()).map(how).collect(),
            now: self.of(now),
            is_compared: has_own && known,
            before: self.of(before),
            image: self.of(image),
            stacking,
        }
    }

    /// Writes the stacks.
    pub fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut put =
            db.prepare("INSERT INTO stack (id, below_id, layer_id, tree_id) VALUES (?, ?, ?, ?)")?;
        for stack in &self.all {
            let below = stack.below.map(|at| self.all[at].id);
            put.execute((stack.id, below, stack.layer, stack.tree.0))?;
        }
        Ok(())
    }

    /// Writes the layers that an image shows.
    pub fn write_image(&self, db: &Connection, image: &Made) -> rusqlite::Result<()> {
        let mut put = db.prepare_cached(
            "INSERT INTO image_stack (image_id, position, stack_id, tree_id) VALUES (?, ?, ?, ?)",
        )?;
        for (position, stack) in self.upward(image) {
            put.execute((image.id, position as i64, stack.id, stack.tree.0))?;
        }
        Ok(())
    }

    /// Writes the layers that a container shows.
    pub fn write_container(&self, db: &Connection, container: &Made) -> rusqlite::Result<()> {
        let mut put = db.prepare_cached(
            "INSERT INTO container_stack (container_id, position, stack_id, tree_id, how)
             VALUES (?, ?, ?, ?, ?)",
        )?;
        for (position, stack) in self.upward(container) {
            let how = &container.how[position - 1];
            put.execute((container.id, position as i64, stack.id, stack.tree.0, how))?;
        }
        Ok(())
    }

    /// Its layers with their positions; one that is in the stack twice counts where it is topmost.
    fn upward(&self, made: &Made) -> Vec<(usize, &Stack)> {
        let layers: Vec<&Stack> = self.down(made.now).collect();
        let mut seen = std::collections::HashSet::new();
        let numbered = layers
            .iter()
            .enumerate()
            .map(|(i, s)| (layers.len() - i, *s));
        numbered.filter(|(_, s)| seen.insert(s.tree.0)).collect()
    }
}
