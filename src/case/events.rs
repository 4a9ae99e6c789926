//! The time index: events gathered during a load, sorted, and written in order of time.
//!
//! In memory up to [`CHUNK`] events; beyond that sorted runs go to an unnamed temporary file and are merged, so
//! that memory does not grow with the host.

use rayon::slice::ParallelSliceMut;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// Events held in memory: 16 bytes each, 64 MiB.
const CHUNK: usize = 4 << 20;
/// Bytes of one event in a run.
const WIDTH: usize = 16;

/// Events given at once.
const GIVEN: usize = 4096;

/// A time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// The time; nanoseconds.
    pub ts: i64,
    /// The file's id and, in the last four bits, MACB: so that events of one time sort by file.
    of: u64,
}

impl Event {
    /// Row id of the file.
    pub fn file(self) -> i64 {
        (self.of >> 4) as i64
    }

    /// Which of its times it is: 1 = accessed, 2 = modified, 4 = changed, 8 = born.
    pub fn macb(self) -> i64 {
        (self.of & 15) as i64
    }
}

/// Gathers events and gives them back sorted by time and file.
pub struct Events {
    held: Vec<Event>,
    runs: Vec<u64>, // events in each run of the spill file
    spill: Option<File>,
    chunk: usize,
}

impl Default for Events {
    fn default() -> Self {
        Events::with_chunk(CHUNK)
    }
}

impl Events {
    fn with_chunk(chunk: usize) -> Self {
        Events {
            held: Vec::new(),
            runs: Vec::new(),
            spill: None,
            chunk,
        }
    }

    /// Adds the distinct times of a file: access, modification, change, birth.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn add(
        &mut self,
        file: i64,
        atime: i64,
        mtime: i64,
        ctime: i64,
        crtime: Option<i64>,
    ) -> io::Result<()> {
        let times = [Some(atime), Some(mtime), Some(ctime), crtime];
        for (i, t) in times.iter().enumerate() {
            let Some(ts) = *t else { continue };
            if times[..i].contains(t) {
                continue;
            }
            let macb = (i..4)
                .filter(|&j| times[j] == *t)
                .fold(0, |bits, j| bits | 1u64 << j);
            self.held.push(Event {
                ts,
                of: (file as u64) << 4 | macb,
            });
        }
        if self.held.len() >= self.chunk {
            self.spill()
        } else {
            Ok(())
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.par_sort_unstable();
        let file = match &mut self.spill {
            Some(f) => f,
            none => none.insert(tempfile::tempfile()?),
        };
        let mut out = BufWriter::with_capacity(1 << 20, file);
        for event in &self.held {
            out.write_all(&event.ts.to_le_bytes())?;
            out.write_all(&event.of.to_le_bytes())?;
        }
        out.flush()?;
        self.runs.push(self.held.len() as u64);
        self.held.clear();
        Ok(())
    }

    /// Gives `sink` all events in order, some at once; returns how many there were.
    ///
    /// # Errors
    /// Those of the temporary file and of `sink`.
    pub fn drain<E: From<io::Error>>(
        mut self,
        mut sink: impl FnMut(&[Event]) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.held.par_sort_unstable();
        let Some(spill) = self.spill else {
            sink(&self.held)?;
            return Ok(self.held.len() as u64);
        };
        let mut runs = Vec::new();
        let mut start = 0;
        for &n in &self.runs {
            runs.push(Run {
                file: spill.try_clone()?,
                at: start,
                left: n,
                buf: Vec::new().into_iter(),
            });
            start += n * WIDTH as u64;
        }
        let mut held = self.held.into_iter();
        let mut heap = BinaryHeap::new();
        for (i, run) in runs.iter_mut().enumerate() {
            heap.extend(run.next()?.map(|e| Reverse((e, i))));
        }
        let memory = runs.len();
        heap.extend(held.next().map(|e| Reverse((e, memory))));
        let (mut n, mut some) = (0, Vec::with_capacity(GIVEN));
        while let Some(Reverse((event, i))) = heap.pop() {
            some.push(event);
            if some.len() == GIVEN {
                sink(&some)?;
                n += GIVEN as u64;
                some.clear();
            }
            let next = if i == memory {
                held.next()
            } else {
                runs[i].next()?
            };
            heap.extend(next.map(|e| Reverse((e, i))));
        }
        sink(&some)?;
        Ok(n + some.len() as u64)
    }
}

/// A sorted run in the spill file, read by blocks.
struct Run {
    file: File,
    at: u64,
    left: u64,
    buf: std::vec::IntoIter<Event>,
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Event>> {
        if let Some(e) = self.buf.next() {
            return Ok(Some(e));
        }
        let n = self.left.min(16 * 1024);
        if n == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; n as usize * WIDTH];
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.read_exact(&mut bytes)?;
        self.at += bytes.len() as u64;
        self.left -= n;
        let word = |b: &[u8]| <[u8; 8]>::try_from(b).unwrap_or_default();
        let block: Vec<Event> = bytes
            .chunks_exact(WIDTH)
            .map(|b| Event {
                ts: i64::from_le_bytes(word(&b[..8])),
                of: u64::from_le_bytes(word(&b[8..])),
            })
            .collect();
        self.buf = block.into_iter();
        Ok(self.buf.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Spilled or not, the events are those of a plain set.
        #[test]
        fn the_same_however_small_the_chunk(files in proptest::collection::vec((-5i64..5, -5i64..5, -5i64..5, proptest::option::of(-5i64..5)), 0..60), chunk in 1usize..80) {
            let mut events = Events::with_chunk(chunk);
            let mut want = BTreeSet::new();
            for (i, &(a, m, c, b)) in files.iter().enumerate() {
                let id = i as i64 + 1;
                events.add(id, a, m, c, b).unwrap();
                for ts in [Some(a), Some(m), Some(c), b].into_iter().flatten() {
                    let bits = i64::from(a == ts) | i64::from(m == ts) << 1 | i64::from(c == ts) << 2 | i64::from(b == Some(ts)) << 3;
                    want.insert((ts, id, bits));
                }
            }
            let mut got = Vec::new();
            let n = events.drain(|some| { got.extend(some.iter().map(|e| (e.ts, e.file(), e.macb()))); Ok::<_, io::Error>(()) }).unwrap();
            prop_assert_eq!(n as usize, got.len());
            prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
        }
    }
}
