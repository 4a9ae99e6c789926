//! Text is looked for in parts of the log lines at once, one a core.
//!
//! Where `logs` has no window, no container and no run of entries to go by, it reads all lines. Then each core asks it for those
//! of one run, over a connection of its own, and here their rows become one list, in the order in which one core would give them.

use super::{Error, Query, emptied};
use crate::case::Case;
use crate::render::{Place, Render, Rows};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};

/// Log lines that are worth a thread and a connection.
const WORTH: i64 = 100_000;
/// How many heaps of rows may wait for those of other parts.
const WAITING: usize = 4;

/// Asks each core for a run of the log lines, and gives what they find, rows of these columns, to `out` by time and id. Returns
/// their number, or `None` where one core does as well or there can be no threads.
///
/// # Errors
/// Those of [`Query::run`]; those of the case, which is opened once more for each.
pub fn search(
    query: &Query,
    db: &Connection,
    arguments: &[(String, String)],
    columns: &[String],
    out: impl FnMut(&[ValueRef<'_>]) -> io::Result<()>,
) -> Result<Option<u64>, Error> {
    let given = |one: &[&str]| {
        let mut arguments = arguments.iter();
        arguments.any(|(name, value)| one.contains(&&name[..]) && !value.trim().is_empty())
    };
    let fewer = ["container", "since", "until", "first", "last"];
    let all_lines = given(&["match", "like"]) && !given(&fewer);
    let Some(case) = db.path().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    if !(query.shipped && query.name == "logs" && all_lines) {
        return Ok(None);
    }
    // As long as this lasts nobody changes the case.
    let held = db.unchecked_transaction()?;
    let ends = "SELECT (SELECT min(id) FROM log_entry), (SELECT max(id) FROM log_entry)";
    let (first, last): (Option<i64>, Option<i64>) =
        held.query_row(ends, [], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let Some((first, last)) = first.zip(last) else {
        return Ok(None);
    };
    let cores = thread::available_parallelism().map_or(1, |n| n.get() as i64);
    match split(first, last, cores) {
        runs if runs.len() < 2 => Ok(None),
        runs => together(query, Path::new(case), arguments, &runs, columns, out),
    }
}

/// A run of rows of `log_entry`: the first and the last id.
type Run = (i64, i64);

/// As many runs of about the same length as there are cores, where they are worth it.
fn split(first: i64, last: i64, cores: i64) -> Vec<Run> {
    let lines = last.saturating_sub(first).saturating_add(1);
    let runs = cores.min(lines / WORTH).max(1);
    let length = lines / runs;
    let run = |n| match (first + n * length, n + 1 == runs) {
        (begin, true) => (begin, last),
        (begin, false) => (begin, begin + length - 1),
    };
    (0..runs).map(run).collect()
}

/// The rows of each of these runs, one after the other.
fn together(
    query: &Query,
    case: &Path,
    arguments: &[(String, String)],
    runs: &[Run],
    columns: &[String],
    mut out: impl FnMut(&[ValueRef<'_>]) -> io::Result<()>,
) -> Result<Option<u64>, Error> {
    let column = |name| columns.iter().position(|column| column == name);
    let (Some(time), Some(id)) = (column("time"), column("entry_id")) else {
        return Ok(None);
    };
    thread::scope(|scope| {
        let mut parts = Vec::new();
        for &(first, last) in runs {
            let (give, more) = sync_channel(WAITING);
            let ask = move || -> Result<(), Error> {
                let case = Case::open(case)?;
                let run = [("first", first), ("last", last)];
                let run = run.map(|(name, id)| (name.to_owned(), id.to_string()));
                let mut gather = Gather {
                    rows: Rows::default(),
                    give,
                };
                query.run(case.db(), &[arguments, &run].concat(), &mut gather)?;
                Ok(())
            };
            let thread = thread::Builder::new().name("search".into());
            let Ok(asking) = thread.spawn_scoped(scope, ask) else {
                return Ok(None);
            };
            parts.push(Part {
                rows: Rows::default(),
                next: Place::default(),
                more,
                asking,
            });
        }
        let mut n = 0;
        let mut values = Vec::new();
        loop {
            let heads = parts.iter_mut().enumerate().filter_map(|(at, part)| {
                let there = part.is_there();
                there.then(|| (part.integer(time), part.integer(id), at))
            });
            let Some((.., first)) = heads.min() else {
                break;
            };
            let Part { rows, next, .. } = &mut parts[first];
            let mut row = emptied(values);
            rows.read(next, &mut row);
            out(&row)?;
            n += 1;
            values = emptied(row);
        }
        parts.into_iter().try_for_each(Part::end)?;
        Ok(Some(n))
    })
}

/// What one core finds.
struct Part<'s> {
    rows: Rows,
    next: Place,
    more: Receiver<Rows>,
    asking: ScopedJoinHandle<'s, Result<(), Error>>,
}

impl Part<'_> {
    /// Whether there is a next row; waits for it.
    fn is_there(&mut self) -> bool {
        while self.rows.is_read(&self.next) {
            let Ok(rows) = self.more.recv() else {
                return false;
            };
            (self.rows, self.next) = (rows, Place::default());
        }
        true
    }

    /// An INTEGER of the next row.
    fn integer(&self, column: usize) -> Option<i64> {
        self.rows.integer(&self.next, column)
    }

    /// The error that stopped it.
    fn end(self) -> Result<(), Error> {
        match self.asking.join() {
            Ok(ended) => ended,
            Err(_) => Err(io::Error::other("a searching thread failed").into()),
        }
    }
}

/// Rows on their way to the thread that puts them together; times stay numbers.
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
    fn prints_times(&mut self, _in_columns: &[bool]) -> bool {
        true
    }

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
            let runs = split(first, last, cores);
            prop_assert!(runs.len() as i64 == cores || lines < cores * WORTH);
            prop_assert_eq!((runs[0].0, runs[runs.len() - 1].1), (first, last));
            prop_assert!(runs.windows(2).all(|two| two[0].1 + 1 == two[1].0));
            prop_assert!(runs.len() == 1 || runs.iter().all(|run| run.1 - run.0 + 1 >= WORTH));
        }
    }
}
