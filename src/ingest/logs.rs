//! Log files read in pieces: plain json-file logs by ranges in parallel, compressed and binary ones in sequence.

use crate::batch::{LogBatch, LogHead, Stream, Untimed};
use crate::engine::{LogFormat, LogPlan};
use crate::evidence::{Evidence, EvidenceFile};
use crate::parse::{json, json_log, local_log};
use crate::problem::{Defect, Problem, Severity};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

/// Bytes of log a task reads.
const PIECE: u64 = 4 << 20;
/// Longest entry that is kept together, in bytes; Docker's own end at 16 KiB.
const LONGEST: usize = 16 << 20;
/// Most bytes of one compressed file that are read, decompressed: nothing Docker rotates comes near it.
const BOMB: u64 = 16 << 30;
/// Most parts of a sparse file that are told apart.
const PARTS: usize = 10_000;
/// Bytes that cannot be read, at least, when one cannot.
const BAD_BLOCK: u64 = 4096;
/// Most bytes of an entry that goes on over several lines, which Docker reads and does not write.
const SPREAD: usize = 64 * 1024;
/// Most bytes of a piece that are looked at in vain for such entries.
const IN_VAIN: usize = 64 << 20;
/// Most entries of one line that are told apart: Docker writes one.
const ON_A_LINE: usize = 1000;
/// Faulty entries of one piece that are named one by one.
const NAMED: usize = 20;

/// A log file, or a part of one, to read.
pub enum LogTask {
    /// A file to open.
    Open(LogPlan),
    /// The lines that begin in a range of an open file.
    Range {
        /// The log.
        plan: Arc<LogPlan>,
        /// The open file.
        file: Arc<EvidenceFile>,
        /// The written part of the file that the range lies in: it begins a line, and no line goes on behind it.
        part: std::ops::Range<u64>,
        /// First byte of the range, which is at most [`PIECE`] long.
        start: u64,
    },
    /// The rest of a file that is read in sequence.
    Further(Box<Sequence>),
}

/// A file read in sequence.
pub struct Sequence {
    plan: Arc<LogPlan>,
    reader: Box<dyn Read + Send>,
    /// Bytes read and not yet used.
    held: Vec<u8>,
    /// Offset of `held` in the decompressed file.
    at: u64,
}

impl Sequence {
    fn task(plan: Arc<LogPlan>, reader: Box<dyn Read + Send>) -> LogTask {
        LogTask::Further(Box::new(Sequence {
            plan,
            reader,
            held: Vec::new(),
            at: 0,
        }))
    }
}

/// Reads a piece; what follows it comes back as tasks.
/// `space` is what a range is read into, to be used again for the next one.
pub fn step(evidence: &Evidence, task: LogTask, space: &mut Vec<u8>) -> (LogBatch, Vec<LogTask>) {
    match task {
        LogTask::Open(plan) => open(evidence, plan),
        LogTask::Range {
            plan,
            file,
            part,
            start,
        } => (range(&plan, &file, &part, start, space), Vec::new()),
        LogTask::Further(sequence) => further(*sequence),
    }
}

/// An empty batch of a log file.
fn batch(plan: &LogPlan) -> LogBatch {
    LogBatch {
        file: plan.id,
        follows: plan.follows,
        mtime: plan.mtime,
        ..LogBatch::default()
    }
}

fn open(evidence: &Evidence, plan: LogPlan) -> (LogBatch, Vec<LogTask>) {
    let mut batch = batch(&plan);
    let file = match evidence.open_file(&plan.path) {
        Ok(file) => file,
        Err(e) => {
            batch.problems.push(
                Defect::new(format!("cannot be opened: {e}"), "nothing of this log")
                    .in_file(Severity::Error, plan.path.host()),
            );
            return (batch, Vec::new());
        }
    };
    let plan = Arc::new(plan);
    if plan.compressed {
        let unpacked = flate2::read::MultiGzDecoder::new(io::BufReader::new(file)).take(BOMB);
        return (batch, vec![Sequence::task(plan, Box::new(unpacked))]);
    }
    let size = file.meta.size;
    let parts = file.data(PARTS);
    let missing = size - parts.iter().map(|p| p.end - p.start).sum::<u64>();
    if missing > 0 {
        let what = format!("{missing} of its {size} bytes were never written");
        batch
            .problems
            .push(Defect::new(what, "all the others").in_file(Severity::Warning, plan.path.host()));
    }
    let file = Arc::new(file);
    if plan.format == LogFormat::Local {
        return (
            batch,
            vec![Sequence::task(
                plan,
                Box::new(Parts {
                    file,
                    parts: parts.into(),
                }),
            )],
        );
    }
    let mut more = Vec::new();
    for part in parts {
        for start in part.clone().step_by(PIECE as usize) {
            more.push(LogTask::Range {
                plan: plan.clone(),
                file: file.clone(),
                part: part.clone(),
                start,
            });
        }
    }
    (batch, more)
}

/// The written parts of a file, one after another.
struct Parts {
    file: Arc<EvidenceFile>,
    parts: VecDeque<std::ops::Range<u64>>,
}

impl Read for Parts {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.parts.front_mut() {
            let want = buf.len().min((part.end - part.start) as usize);
            match self.file.read_at(&mut buf[..want], part.start)? {
                n if n > 0 => {
                    part.start += n as u64;
                    return Ok(n);
                }
                _ => drop(self.parts.pop_front()),
            }
        }
        Ok(0)
    }
}

/// The lines that begin in the range at `start`: a line belongs to the range its first byte lies in. Behind a place that cannot
/// be read it goes on, the torn line's rest as an entry of its own.
fn range(
    plan: &LogPlan,
    file: &EvidenceFile,
    part: &std::ops::Range<u64>,
    start: u64,
    space: &mut Vec<u8>,
) -> LogBatch {
    let mut out = Lines::new(plan);
    let end = (start + PIECE).min(part.end);
    let mut at = start;
    let mut begins_line = start == part.start;
    let mut skip = BAD_BLOCK;
    while let Err((bad, e)) = out.stretch(file, at..end, part.end, begins_line, space) {
        out.unreadable(bad, &e, "the lines before and behind it");
        // Blocks are bad in rows, and a disk takes long over each: the steps grow.
        at = (bad + 1).next_multiple_of(BAD_BLOCK);
        while at < end && file.read_at(&mut [0], at).is_err() {
            at += skip;
            skip *= 2;
        }
        if at >= end {
            break;
        }
        begins_line = true;
    }
    out.done()
}

fn fill(file: &EvidenceFile, buf: &mut [u8], have: &mut usize, from: u64) -> Option<io::Error> {
    while *have < buf.len() {
        match file.read_at(&mut buf[*have..], from + *have as u64) {
            Ok(0) => return None,
            Ok(n) => *have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Some(e),
        }
    }
    None
}

fn further(mut s: Sequence) -> (LogBatch, Vec<LogTask>) {
    let plan = s.plan.clone();
    let mut out = Lines::new(&plan);
    let before = s.held.len();
    let failed = s.reader.by_ref().take(PIECE).read_to_end(&mut s.held).err();
    let eof = failed.is_some() || s.held.len() == before;
    let used = match plan.format {
        LogFormat::JsonFile => {
            let whole = if eof || s.held.len() >= LONGEST {
                s.held.len()
            } else {
                memchr::memrchr(b'\n', &s.held).map_or(0, |i| i + 1)
            };
            out.lines(&s.held[..whole], s.at);
            whole
        }
        LogFormat::Local => out.frames(&s.held, s.at, eof),
    };
    s.held.drain(..used);
    s.at += used as u64;
    if eof && s.at >= BOMB {
        out.fault(
            s.at,
            format!("more than {BOMB} bytes when decompressed"),
            "the first of them",
        );
    }
    if let Some(e) = failed {
        out.unreadable(s.at, &e, "what stands before");
    }
    let batch = out.done();
    if eof {
        (batch, Vec::new())
    } else {
        (batch, vec![LogTask::Further(Box::new(s))])
    }
}

/// Where to go on in a line.
enum Next {
    /// At another entry.
    At(usize),
    /// At the same place of a longer line: the entry goes on over lines that follow.
    Longer(usize),
}

/// Entries on their way into a batch.
struct Lines<'p> {
    plan: &'p LogPlan,
    batch: LogBatch,
    scratch: String,
    faults: usize,
    /// Bytes that were looked at in vain for lines that an entry goes on over.
    in_vain: usize,
}

impl<'p> Lines<'p> {
    fn new(plan: &'p LogPlan) -> Self {
        Lines {
            plan,
            batch: batch(plan),
            scratch: String::new(),
            faults: 0,
            in_vain: 0,
        }
    }

    fn fault(&mut self, offset: u64, what: String, kept: &str) {
        self.faults += 1;
        if self.faults <= NAMED {
            self.batch.problems.push(
                Defect::at(offset, what, kept).in_file(Severity::Warning, self.plan.path.host()),
            );
        }
    }

    /// Notes a whole entry whose time cannot be used.
    fn untimed(&mut self, offset: u64) {
        let path = || self.plan.path.host();
        let untimed = self.batch.untimed.get_or_insert_with(|| Untimed {
            path: path(),
            first: offset,
            count: 0,
        });
        untimed.count += 1;
    }

    fn too_long(&mut self, at: u64) {
        let what = format!("entry longer than {LONGEST} bytes");
        self.fault(at, what, "what it begins with");
    }

    fn unreadable(&mut self, at: u64, e: &io::Error, kept: &str) {
        self.batch.problems.push(
            Defect::at(at, format!("cannot be read: {e}"), kept)
                .in_file(Severity::Error, self.plan.path.host()),
        );
    }

    /// The json-file lines that begin in a range, up to the first byte that cannot be read; the last may go on behind the
    /// range, but not behind `last`.
    fn stretch(
        &mut self,
        file: &EvidenceFile,
        range: std::ops::Range<u64>,
        last: u64,
        begins_line: bool,
        buf: &mut Vec<u8>,
    ) -> Result<(), (u64, io::Error)> {
        // One byte before: a newline there says that a line begins at the range.
        let from = range.start - u64::from(!begins_line);
        buf.resize((range.end - from) as usize, 0);
        let mut have = 0;
        let mut failed = fill(file, buf, &mut have, from);
        buf.truncate(have);
        // What lies behind the range is the next one's to tell.
        let bad = |failed: Option<io::Error>, have: usize| match failed {
            Some(e) if from + (have as u64) < range.end => Err((from + have as u64, e)),
            _ => Ok(()),
        };
        let begin = if begins_line {
            Some(0)
        } else {
            memchr::memchr(b'\n', buf).map(|i| i + 1)
        };
        let Some(begin) = begin.filter(|&i| from + (i as u64) < range.end) else {
            return bad(failed, have);
        };
        while failed.is_none() && buf.last() != Some(&b'\n') && buf.len() < LONGEST {
            let before = buf.len();
            let more = (last - from - before as u64).min(64 * 1024) as usize;
            buf.resize(before + more, 0);
            have = before;
            failed = fill(file, buf, &mut have, from);
            let found = memchr::memchr(b'\n', &buf[before..have]);
            buf.truncate(found.map_or(have, |i| before + i + 1));
            if have == before {
                break;
            }
        }
        self.batch.text.reserve(buf.len());
        self.lines(&buf[begin.min(buf.len())..], from + begin as u64);
        if buf.len() >= LONGEST && !buf.ends_with(b"\n") {
            self.too_long(from + begin as u64);
        }
        bad(failed, have)
    }

    /// json-file lines; the last may lack its newline.
    fn lines(&mut self, buf: &[u8], base: u64) {
        let mut at = 0;
        while at < buf.len() {
            let end = memchr::memchr(b'\n', &buf[at..]).map_or(buf.len(), |i| at + i);
            at += self.json(&buf[at..], end - at, base + at as u64) + 1;
        }
    }

    /// A json-file line, with what follows it; how many bytes were used. Docker reads the file as a stream of objects: one line
    /// may have several, and one object may go on over several lines.
    fn json(&mut self, buf: &[u8], first: usize, offset: u64) -> usize {
        let (mut at, mut end) = (0, first);
        for n in 0.. {
            let here = offset + at as u64;
            if n == ON_A_LINE {
                let what = format!("more than {ON_A_LINE} entries on one line");
                self.fault(here, what, "the bytes of the others, as one entry");
                self.torn(here, &buf[at..end]);
                break;
            }
            match self.json_entry(&buf[at..], end - at, here) {
                Some(Next::At(more)) => at += more,
                Some(Next::Longer(longer)) => end = at + longer,
                None => break,
            }
        }
        end
    }

    /// Where the line ends that the object on the first one goes on to; that one has this length.
    fn further_lines(&mut self, buf: &[u8], first: usize) -> Option<usize> {
        if first == buf.len() || !buf.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        if self.in_vain > IN_VAIN {
            return None;
        }
        let used = match json::passed(&buf[..buf.len().min(first + SPREAD)]) {
            Ok(used) => used,
            Err(at) => {
                self.in_vain += at;
                return None;
            }
        };
        let rest = memchr::memchr(b'\n', &buf[used..]);
        Some(rest.map_or(buf.len(), |n| used + n)).filter(|end| *end > first)
    }

    /// Bytes that are no entry.
    fn torn(&mut self, offset: u64, bytes: &[u8]) {
        let head = LogHead {
            offset,
            ts: None,
            stream: Stream::Other,
            partial: false,
        };
        self.batch.push(head, bytes, b"", bytes);
    }

    /// The first entry of what is left of a line, which has this length. Where to go on, if there is more.
    fn json_entry(&mut self, buf: &[u8], length: usize, offset: u64) -> Option<Next> {
        let line = &buf[..length];
        let unended = length == buf.len();
        if line.is_empty() {
            return None;
        }
        if line.iter().all(|&b| b == 0) {
            let what = format!("{} NUL bytes", line.len());
            self.fault(offset, what, "nothing, there is nothing in them");
            return None;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let next = match json_log::parse(line, &mut scratch) {
            Ok(e) => {
                let next = (e.end < line.len()).then_some(e.end);
                if let Some(end) = next {
                    let what = "another entry, or something else, follows on the same line: Docker ends each line after one entry";
                    self.fault(
                        offset + end as u64,
                        what.into(),
                        "what follows, read on its own",
                    );
                }
                if let Some(name) = e.odd {
                    let what = format!(
                        "the field {name} is there more than once or in another case: Docker writes each name once and in one case only"
                    );
                    self.fault(offset, what, "the entry as Docker reads it");
                }
                if let Some(wrong) = e.wrong {
                    let what = format!("{wrong}: docker logs leaves this entry out");
                    self.fault(offset, what, "the entry without that field");
                }
                let (text, partial) = match e.line.strip_suffix('\n') {
                    Some(text) => (text, false),
                    None => (e.line, true),
                };
                let stream = Stream::new(e.stream.as_bytes());
                let exact = e.canonical
                    && e.time_ns.is_some()
                    && stream != Stream::Other
                    && !e.line.contains('\0');
                self.batch.push(
                    LogHead {
                        offset,
                        ts: e.time_ns,
                        stream,
                        partial,
                    },
                    text.as_bytes(),
                    e.attrs.unwrap_or_default().as_bytes(),
                    if exact { b"" } else { &line[..e.end] },
                );
                if e.time_ns.is_none() {
                    self.untimed(offset);
                }
                next
            }
            Err(defect) => {
                if let Some(longer) = self.further_lines(buf, length) {
                    self.scratch = scratch;
                    let what = "an entry goes on over several lines: Docker writes each on one";
                    self.fault(offset, what.into(), "the entry as Docker reads it");
                    return Some(Next::Longer(longer));
                }
                // After a power cut a new entry may begin where a torn one ends, without a newline between.
                let next = memchr::memmem::rfind(line, b"{\"log\":").filter(|&at| at > 0);
                let torn = next.unwrap_or(line.len());
                let what = match (next, unended) {
                    (None, true) => format!("entry ends half-written: {}", defect.what),
                    (Some(_), _) => {
                        format!("entry torn off, another begins in it: {}", defect.what)
                    }
                    _ => defect.what,
                };
                self.fault(offset + defect.offset.unwrap_or(0), what, "its bytes");
                self.torn(offset, &line[..torn]);
                next
            }
        };
        self.scratch = scratch;
        next.map(Next::At)
    }

    /// Frames of the local driver; how many bytes were used.
    fn frames(&mut self, buf: &[u8], base: u64, eof: bool) -> usize {
        let mut at = 0;
        loop {
            match local_log::step(&buf[at..], eof) {
                local_log::Step::Entry { entry, used } => {
                    let attrs: Option<serde_json::Map<String, serde_json::Value>> =
                        (!entry.attrs.is_empty()).then(|| {
                            entry
                                .attrs
                                .iter()
                                .map(|(k, v)| {
                                    (
                                        crate::text::lossless(k).into_owned(),
                                        crate::text::lossless(v).into_owned().into(),
                                    )
                                })
                                .collect()
                        });
                    let attrs = attrs
                        .map(|a| serde_json::Value::Object(a).to_string())
                        .unwrap_or_default();
                    let raw: &[u8] = if crate::text::is_plain(entry.line) {
                        b""
                    } else {
                        entry.line
                    };
                    // The last part of a split line is marked partial too; only its metadata says that it is the last.
                    let goes_on =
                        entry.partial && !entry.partial_meta.as_ref().is_some_and(|m| m.last);
                    let head = LogHead {
                        offset: base + at as u64,
                        ts: entry.time_ns,
                        stream: Stream::new(entry.source),
                        partial: goes_on,
                    };
                    self.batch.push(head, entry.line, attrs.as_bytes(), raw);
                    if entry.time_ns.is_none() {
                        self.untimed(head.offset);
                    }
                    at += used;
                }
                local_log::Step::Bad { defect, used } => {
                    self.fault(
                        base + at as u64 + defect.offset.unwrap_or(0),
                        defect.what,
                        &defect.kept,
                    );
                    at += used.max(1);
                }
                local_log::Step::More | local_log::Step::End => return at.min(buf.len()),
            }
        }
    }

    fn done(mut self) -> LogBatch {
        if self.in_vain > IN_VAIN {
            let what = "too many lines that begin an entry and do not end it";
            let kept = "their bytes; entries over several lines were no longer put together";
            self.batch
                .problems
                .push(Defect::new(what, kept).in_file(Severity::Warning, self.plan.path.host()));
        }
        if self.faults > NAMED {
            let what = format!(
                "{} more faulty entries in this part of the log",
                self.faults - NAMED
            );
            self.batch.problems.push(
                Defect::new(what, "their bytes").in_file(Severity::Warning, self.plan.path.host()),
            );
        }
        self.batch
    }
}

/// Gathers from all pieces of a log file, which come one after the other, how many entries have no usable time.
#[derive(Default)]
pub struct UntimedFile {
    file: i64,
    untimed: Option<Untimed>,
}

impl UntimedFile {
    /// Takes the next piece; `None` when no more come. Gives the problem of the file before, if it has one.
    pub fn next(&mut self, batch: Option<&mut LogBatch>) -> Option<Problem> {
        let (file, more) = batch.map_or((0, None), |b| (b.file, b.untimed.take()));
        if file == self.file
            && let Some(all) = &mut self.untimed
        {
            all.count += more.map_or(0, |more| more.count);
            return None;
        }
        let ended = std::mem::replace(&mut self.untimed, more);
        self.file = file;
        let Untimed { path, first, count } = ended?;
        let what = format!("{count} entries without a usable time, the first here");
        let kept = "the entries, listed at their time_near";
        Some(Defect::at(first, what, kept).in_file(Severity::Warning, path))
    }
}
