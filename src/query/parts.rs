//! Text is looked for in parts of the log lines at once, one a core.
//!
//! Where `logs` has no window and no run of entries to go by, it reads all lines, or all of a container. Then each core asks it for
//! those of one run, over a connection of its own, and here their rows become one list, in the order in which one core would
//! give them. One core does it where the lines are few, or where there cannot be more: it then also says what is wrong.

use super::{Error, Query, emptied, reference};
use crate::case::Case;
use crate::render::{Place, Render, Rows};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};

/// Log lines that are worth a thread and a connection.
const WORTH: i64 = 100_000;
/// How many heaps of rows may wait for those of other parts.
const WAITING: usize = 4;

/// Asks each core for a run of the log lines, and gives what they find, rows of these columns, to `out`. Returns their number, or
/// `None`, with nothing given, where one core is to do it.
///
/// # Errors
/// Those of [`Query::run`].
pub fn search(
    query: &Query,
    db: &Connection,
    arguments: &[(String, String)],
    columns: &[String],
    out: impl FnMut(&[ValueRef<'_>]) -> io::Result<()>,
) -> Result<Option<u64>, Error> {
    let given = |wanted: &str| {
        let argument = arguments.iter().find(|(name, _)| name == wanted);
        argument.filter(|(_, value)| !value.trim().is_empty())
    };
    let is_text = ["match", "like", "regexp"]
        .iter()
        .any(|name| given(name).is_some());
    let is_part = ["since", "until", "first", "last"]
        .iter()
        .any(|name| given(name).is_some());
    let column = |name| columns.iter().position(|column| column == name);
    let (true, Some(case), Some(time), Some(near), Some(id)) = (
        query.shipped && query.name == "logs" && is_text && !is_part,
        db.path().filter(|path| !path.is_empty()).map(|_| db),
        column("time"),
        column("time_near"),
        column("entry_id"),
    ) else {
        return Ok(None);
    };
    let container = match given("container") {
        Some((_, asked)) => Some(reference::container(db, asked)?),
        None => None,
    };
    let all = Lines::of(db, container.as_deref())?;
    let cores = thread::available_parallelism().map_or(1, |n| n.get() as i64);
    let runs = all.runs(cores);
    if runs.len() < 2 {
        return Ok(None);
    }
    let mut asked = Vec::new();
    for run in runs {
        match Case::another(case) {
            // Under its name there may be another file by now.
            Ok(more) if Lines::of(&more, container.as_deref()).as_ref() == Ok(&all) => {
                asked.push((run, more));
            }
            _ => return Ok(None),
        }
    }
    // A container's own are in the order in which they stand.
    let by = (container.is_none().then_some([time, near]), id);
    together(query, arguments, asked, by, out)
}

/// The lines to look through, and whose they are.
#[derive(PartialEq)]
struct Lines {
    first: Option<i64>,
    last: Option<i64>,
    hosts: Option<String>,
}

impl Lines {
    /// All of a case, or those of the container of this id.
    fn of(db: &Connection, container: Option<&str>) -> rusqlite::Result<Self> {
        let sql = "SELECT min(w.first_entry), max(w.last_entry), (SELECT group_concat(identity) FROM host)
                     FROM log_file w JOIN container c ON c.id = w.container_id WHERE ?1 IS NULL OR c.full_id = ?1";
        db.query_row(sql, [container], |r| {
            Ok(Lines {
                first: r.get(0)?,
                last: r.get(1)?,
                hosts: r.get(2)?,
            })
        })
    }

    /// As many runs of about the same length as there are cores, where they are worth it; none of no lines.
    fn runs(&self, cores: i64) -> Vec<Run> {
        let Some((first, last)) = self.first.zip(self.last) else {
            return Vec::new();
        };
        let lines = last.saturating_sub(first).saturating_add(1);
        let runs = cores.min(lines / WORTH).max(1);
        let length = lines / runs;
        let run = |n| match (first + n * length, n + 1 == runs) {
            (begin, true) => (begin, last),
            (begin, false) => (begin, begin + length - 1),
        };
        (0..runs).map(run).collect()
    }
}

/// A run of rows of `log_entry`: the first and the last id.
type Run = (i64, i64);

/// Asks each of these connections for its run, and gives the rows by what is in the columns `by`: the first of two that is
/// there, and the id. `None` where a thread cannot be made or
/// fails before there is a row.
fn together(
    query: &Query,
    arguments: &[(String, String)],
    asked: Vec<(Run, Connection)>,
    by: (Option<[usize; 2]>, usize),
    mut out: impl FnMut(&[ValueRef<'_>]) -> io::Result<()>,
) -> Result<Option<u64>, Error> {
    thread::scope(|scope| {
        let mut parts = Vec::new();
        for ((first, last), db) in asked {
            let (give, more) = sync_channel(WAITING);
            let stop = db.get_interrupt_handle();
            let ask = move || {
                let run = [("first", first), ("last", last)];
                let run = run.map(|(name, id)| (name.to_owned(), id.to_string()));
                let mut gather = Gather {
                    rows: Rows::default(),
                    give,
                };
                query.run(&db, &[arguments, &run].concat(), &mut gather)
            };
            let thread = thread::Builder::new().name("search".into());
            let Ok(asking) = thread.spawn_scoped(scope, ask) else {
                return Ok(None);
            };
            parts.push(Part {
                rows: Rows::default(),
                next: Place::default(),
                more,
                asking: Some(asking),
                stop,
            });
        }
        let mut n = 0;
        let mut values = Vec::new();
        loop {
            let mut first = None;
            for (at, part) in parts.iter_mut().enumerate() {
                match part.is_there() {
                    Ok(true) => {
                        // Times as text are in their order.
                        let time = by.0.and_then(|columns| {
                            columns.iter().find_map(|c| part.rows.text(&part.next, *c))
                        });
                        let key = (time, part.rows.integer(&part.next, by.1), at);
                        first = Some(first.map_or(key, |other: (_, _, _)| other.min(key)));
                    }
                    Ok(false) => {}
                    // One core will see what is wrong.
                    Err(_) if n == 0 => return Ok(None),
                    Err(e) => return Err(e),
                }
            }
            let Some((.., first)) = first else {
                return Ok(Some(n));
            };
            let Part { rows, next, .. } = &mut parts[first];
            let mut row = emptied(values);
            rows.read(next, &mut row);
            out(&row)?;
            n += 1;
            values = emptied(row);
        }
    })
}

/// What one core finds. Dropped before its end, it is stopped.
struct Part<'s> {
    rows: Rows,
    next: Place,
    more: Receiver<Rows>,
    asking: Option<ScopedJoinHandle<'s, Result<u64, Error>>>,
    stop: InterruptHandle,
}

impl Part<'_> {
    /// Whether there is a next row; waits for it. The error that stopped it, if one did.
    fn is_there(&mut self) -> Result<bool, Error> {
        while self.rows.is_read(&self.next) {
            let Ok(rows) = self.more.recv() else {
                return match self.asking.take().map(ScopedJoinHandle::join) {
                    None | Some(Ok(Ok(_))) => Ok(false),
                    Some(Ok(Err(e))) => Err(e),
                    Some(Err(_)) => Err(io::Error::other("a searching thread failed").into()),
                };
            };
            (self.rows, self.next) = (rows, Place::default());
        }
        Ok(true)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.stop.interrupt();
    }
}

/// Rows on their way to the thread that puts them together.
struct Gather {
    rows: Rows,
    give: SyncSender<Rows>,
}

impl Gather {
    fn hand_over(&mut self) -> io::Result<()> {
        let more = self.rows.room();
        let rows = std::mem::replace(&mut self.rows, more);
        let gone = |_| io::ErrorKind::BrokenPipe.into();
        self.give.send(rows).map_err(gone)
    }
}

impl Render for Gather {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.rows.push(values);
        match self.rows.size() < Rows::MANY {
            true => Ok(()),
            false => self.hand_over(),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Each line is in one run, in order, and no run is too short.
        #[test]
        fn runs_are_all_lines_once(first in 1..5_000_000i64, lines in 1..5_000_000i64, cores in 1..70i64) {
            let last = first + lines - 1;
            let all = Lines { first: Some(first), last: Some(last), hosts: None };
            let runs = all.runs(cores);
            prop_assert!(runs.len() as i64 == cores || lines < cores * WORTH);
            prop_assert_eq!((runs[0].0, runs[runs.len() - 1].1), (first, last));
            prop_assert!(runs.windows(2).all(|two| two[0].1 + 1 == two[1].0));
            prop_assert!(runs.len() == 1 || runs.iter().all(|run| run.1 - run.0 + 1 >= WORTH));
        }
    }
}
