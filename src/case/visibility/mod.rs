//! What containers and images show, worked out once, when an ingest ends, from the rows of the case: the tables of
//! schema/visibility.sql. The rules are those of [`crate::overlay`].
//!
//! Containers and images that share layers share stacks of layers (`stacks.rs`). For each stack that is new, the topmost
//! layer is held against what the stack below shows (`hidden.rs`); for each container, its view against that which it was
//! started from (`changed.rs`); and the places of its mounts are looked up in it (`mounted.rs`). The time it takes goes with
//! what layers have in common, and has a bound: layers can be made that are crossed with each other without end.

mod changed;
mod entries;
mod hidden;
mod links;
mod mounted;
mod stacks;

use crate::overlay::Stacking;
use crate::overlay::compare::Comparison;
use crate::problem::{Problem, Severity};
pub use changed::Makes;
use changed::{Changed, Rule};
use entries::{Entries, Fault};
use hidden::Hidden;
pub use links::follow_links;
use rusqlite::Connection;
use stacks::{Made, Stacks};
use std::collections::HashSet;

/// Steps that a host may take, whatever its files; and for each file.
const STEPS: (u64, u64) = (200_000_000, 100);

/// Layers of a stack that is worked out: engines make some 128, and the kernel mounts 500.
const MOST_LAYERS: usize = 1024;

/// Works out what a host's containers and images show. `files` is how many files it has, `marked` says in which trees there
/// are marks of layers, and `makes` what engines put into containers themselves. Gives what is to be said of it.
pub fn work_out(
    db: &Connection,
    host: i64,
    files: u64,
    marked: &HashSet<i64>,
    makes: &Makes,
) -> rusqlite::Result<Vec<Problem>> {
    let steps = STEPS.0.saturating_add(files.saturating_mul(STEPS.1));
    let entries = Entries::new(db, steps);
    let last = |table: &str| -> rusqlite::Result<i64> {
        let sql = format!("SELECT coalesce(max(id), 0) FROM {table}");
        db.query_row(&sql, [], |r| r.get(0))
    };
    let mut stacks = Stacks::new(last("stack")?);
    let images = stacks.images(db, host)?;
    let containers = stacks.containers(db, host)?;
    for stack in &stacks.all {
        if !marked.contains(&stack.tree.0) {
            entries.without_marks(stack.tree.0);
        }
    }
    stacks.write(db)?;
    let mut hidden = Hidden::new(db, &entries, last("moved")?);
    let mut known = vec![false; stacks.all.len()];
    for at in 0..stacks.all.len() {
        let is_below_known = stacks.all[at].below.is_none_or(|below| known[below]);
        let is_flat = stacks.all[at].depth <= MOST_LAYERS;
        let mut stack = || entries.part(|| hidden.stack(&stacks, at));
        known[at] = is_flat && is_below_known && is_worked_out(stack())?;
    }
    let is_known = |made: &Made| made.now.is_none_or(|now| known[now]);
    let mut left_out = 0;
    for image in &images {
        match is_known(image) {
            true => stacks.write_image(db, image)?,
            false => left_out += 1,
        }
    }
    let mut changed = Changed::new(db, &entries);
    let mut problems = Vec::new();
    for container in &containers {
        let shown = engine_of(db, container.id)?;
        if !is_known(container) {
            left_out += 1;
            continue;
        }
        stacks.write_container(db, container)?;
        let mounts = || mounted::container(db, &entries, &stacks, container);
        let done = is_worked_out(entries.part(mounts))?
            && match entries.part(|| changed.container(&stacks, container, shown.rule(makes))) {
                Ok(0) => true,
                Ok(n) => {
                    problems.push(shown.put_into_init(n, container.stacking));
                    true
                }
                Err(Fault::Spent) => false,
                Err(Fault::Sqlite(e)) => return Err(e),
            };
        left_out += i64::from(!done);
    }
    if left_out > 0 {
        let sql = "SELECT coalesce(min(data_root), '/') FROM engine WHERE host_id = ?";
        problems.push(Problem {
            severity: Severity::Error,
            path: db.query_row(sql, [host], |r| r.get(0))?,
            offset: None,
            what: format!(
                "what {left_out} containers and images show or changed was not worked out: they have more than {MOST_LAYERS} layers, or these are crossed with each other too often"
            ),
            kept: "the files of all layers, and what the others show".into(),
        });
    }
    Ok(problems)
}

/// Runs a step of a recursion that goes as deep as the directories do: on more stack where there is little left.
fn deep<T>(step: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(64 << 10, 4 << 20, step)
}

/// Whether something was worked out to its end.
fn is_worked_out(done: Result<(), Fault>) -> rusqlite::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(Fault::Spent) => Ok(false),
        Err(Fault::Sqlite(e)) => Err(e),
    }
}

/// A container as its engine has it.
struct Shown {
    name: String,
    init_layer: Option<String>,
    kind: String,
    comparison: Comparison,
}

impl Shown {
    fn rule<'r>(&'r self, makes: &'r Makes) -> Rule<'r> {
        Rule {
            comparison: self.comparison,
            kind: &self.kind,
            makes,
        }
    }

    /// Files that the engine did not put there, in the layer of its own files.
    fn put_into_init(&self, n: usize, stacking: Stacking) -> Problem {
        let so = match stacking {
            Stacking::Each => {
                "the container sees them where its own layer does not hide them, and docker diff does not show them"
            }
            _ => {
                "the container's own layer is a copy of it, and docker diff shows as deleted what was put there later"
            }
        };
        Problem {
            severity: Severity::Warning,
            path: self.init_layer.clone().unwrap_or_default(),
            offset: None,
            what: format!(
                "{n} {} in the init layer of container {} that the engine does not make: {so}",
                if n == 1 { "entry" } else { "entries" },
                self.name
            ),
            kept: "a row of drift for each, with made_in init".into(),
        }
    }
}

fn engine_of(db: &Connection, container: i64) -> rusqlite::Result<Shown> {
    let mut stmt = db.prepare_cached(
        "SELECT coalesce(c.name, c.full_id), g.kind, g.comparison,
                (SELECT l.host_path FROM container_layer s CROSS JOIN layer l ON l.id = s.layer_id
                  WHERE s.container_id = c.id AND l.role = 'init')
           FROM container c CROSS JOIN engine g ON g.id = c.engine_id WHERE c.id = ?",
    )?;
    stmt.query_row([container], |r| {
        let comparison: String = r.get(2)?;
        Ok(Shown {
            name: r.get(0)?,
            init_layer: r.get(3)?,
            kind: r.get(1)?,
            comparison: Comparison::named(&comparison).unwrap_or(Comparison::FileType),
        })
    })
}
