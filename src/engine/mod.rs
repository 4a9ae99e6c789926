//! Where container engines keep things: each engine turns a host's metadata into rows and names the file trees and
//! logs that are worth a sweep.
//!
//! An engine reads through [`Survey`] (so that every file becomes a source and every fault a problem), parses
//! through [`crate::parse`], and never sees SQL. To add one: a folder beside `docker/` and its entry in [`ENGINES`].

pub mod docker;
pub mod driver;
pub mod host;
pub mod lower;
pub mod prepared;

pub use crate::overlay::Marks;

use crate::evidence::{self, Evidence, EvidencePath, Meta};
use crate::overlay::compare::{Attributes, Comparison};
use crate::parse::json;
use crate::problem::{Defect, Problem, Severity};
use crate::record::{self, Content, Record};
use driver::Driver;
use prepared::Prepared;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Largest database or text file that is read whole, in bytes. Docker's own are kilobytes, BuildKit's may be megabytes.
pub const METADATA_LIMIT: u64 = 64 << 20;
/// Largest JSON file that is read.
const JSON_LIMIT: u64 = 16 << 20;
/// JSON files of more bytes than this share [`LARGE_JSON`], for what is in them is held in memory several times.
const SMALL_JSON: u64 = 1 << 20;
/// Bytes that all large JSON files of a host have together, of those that are read.
const LARGE_JSON: u64 = 32 << 20;
/// Bytes of files whose rows are held before they are given away; several times that in memory.
const HELD: usize = 8 << 20;
/// Rows that are.
const HELD_ROWS: usize = 16 * 1024;
/// Most entries of one metadata directory that are looked at.
pub const LISTING_LIMIT: usize = 1_000_000;

/// What an engine has to do.
pub trait Engine: Sync {
    /// The word for it in `engine.kind`.
    fn kind(&self) -> &'static str;

    /// What it makes itself at this path of the layer that it puts between an image and a container for files of its own.
    fn prepares(&self, path: &str) -> Option<Prepared>;

    /// What people call it.
    fn name(&self) -> &'static str;

    /// Where it looks for data roots, for a message. `homes` are data roots the analyst named.
    fn places(&self, homes: &[EvidencePath]) -> String;

    /// Its storage drivers.
    fn drivers(&self) -> &'static [Driver];

    /// How its `diff` tells directories from other files, in this version of its daemon; `None` where that is not known.
    fn comparison(&self, daemon_version: Option<&str>) -> Comparison;

    /// Its data roots on this host. `homes` are data roots the analyst named.
    fn find(&self, survey: &mut Survey<'_>, homes: &[EvidencePath]) -> Vec<Install>;

    /// Everything one data root's metadata says; with `versions`, what its binaries say of themselves too.
    fn survey(&self, survey: &mut Survey<'_>, install: &Install, versions: bool);
}

/// The engines dof knows.
pub const ENGINES: &[&dyn Engine] = &[&docker::Docker];

/// What the engine of this kind makes itself: see [`Engine::prepares`].
pub fn prepares(kind: &str, path: &str) -> Option<Prepared> {
    let engine = ENGINES.iter().find(|engine| engine.kind() == kind)?;
    engine.prepares(path)
}

/// Whether an entry of these attributes is one that it makes.
pub fn makes(kind: &str, path: &str, entry: &Attributes) -> bool {
    prepares(kind, path).is_some_and(|prepared| prepared.is(entry))
}

/// The storage driver of this name of the engine of this kind; `None` for one dof does not know.
pub fn driver(kind: &str, name: &str) -> Option<Driver> {
    let engine = ENGINES.iter().find(|e| e.kind() == kind)?;
    engine.drivers().iter().find(|d| d.name == name).copied()
}

/// Where all engines look for data roots, for a message.
pub fn places(homes: &[EvidencePath]) -> String {
    let each = |engine: &&dyn Engine| format!("{} at {}", engine.name(), engine.places(homes));
    ENGINES.iter().map(each).collect::<Vec<_>>().join("; ")
}

/// The data roots of all engines on a host, with nothing of them read but what names them.
pub fn installs(evidence: &Evidence, homes: &[EvidencePath]) -> Vec<Install> {
    let mut survey = Survey::new(evidence, 0, HashMap::new(), |_, _| {});
    ENGINES
        .iter()
        .flat_map(|engine| engine.find(&mut survey, homes))
        .collect()
}

/// One data root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// Where it is.
    pub root: EvidencePath,
    /// What named it.
    pub found_by: String,
    /// Row id of the engine's source with its configuration, where there is one.
    pub config: Option<i64>,
    /// Whether it lies in a user's home.
    pub rootless: bool,
}

/// What a directory is walked for. One may be walked for several: then for the last of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Walked {
    /// A volume has its files, though it is no folder of the engine's.
    Device,
    /// It is mounted in a container.
    Bind,
    /// It is a volume's own folder.
    Volume,
    /// It is the layer of this row id.
    Layer(i64),
}

/// A file tree for the sweep.
#[derive(Clone, Debug)]
pub struct TreePlan {
    /// Its row id.
    pub id: i64,
    /// What it is walked for.
    pub walked: Walked,
    /// Its root.
    pub path: EvidencePath,
    /// Device and inode of its root.
    pub identity: (u64, u64),
    /// How its overlay marks are written.
    pub marks: Marks,
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    JsonFile,
    /// Length-prefixed protobuf.
    Local,
}

impl LogFormat {
    /// The word for it in `log_file.format`.
    pub fn word(self) -> &'static str {
        match self {
            LogFormat::JsonFile => "json-file",
            LogFormat::Local => "local",
        }
    }
}

/// A log file for the sweep.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// Its row id.
    pub id: i64,
    /// Where it is.
    pub path: EvidencePath,
    /// How it is written.
    pub format: LogFormat,
    /// Whether it is gzip.
    pub compressed: bool,
    /// Whether it goes on with the log of the plan before it: the next of its rotated files.
    pub follows: bool,
    /// Its time of modification.
    pub mtime: i64,
}

/// A JSON file of an engine.
#[derive(Clone, Debug)]
pub struct JsonFile {
    /// What could be read of it.
    pub value: serde_json::Value,
    /// Row id of the source.
    pub source: i64,
    /// Why the engine's decoder returns an error for it, if it does.
    pub refused: Option<String>,
}

/// Takes the rows and problems that a survey found since it was called last.
type Sink<'e> = Box<dyn FnMut(Vec<Record>, Vec<Problem>) + 'e>;

/// What the first phase of an ingest gathers: rows, which are given away as they come to much, and work for the second phase.
pub struct Survey<'e> {
    /// The host.
    pub evidence: &'e Evidence,
    /// Row id of the host.
    pub host: i64,
    /// Trees to walk.
    pub trees: Vec<TreePlan>,
    /// Logs to read.
    pub logs: Vec<LogPlan>,
    /// The ids that the engines give themselves.
    pub engine_ids: Vec<String>,
    /// Rows not given away yet.
    records: Vec<Record>,
    /// What went wrong, and was not given away yet.
    pub problems: Vec<Problem>,
    /// Bytes of the files that those rows are of.
    held: usize,
    sink: Sink<'e>,
    /// Bytes of large JSON files so far.
    large: u64,
    ids: HashMap<&'static str, i64>,
    /// Trees by device and inode of their roots: places in `trees`.
    trees_by_identity: HashMap<(u64, u64), usize>,
}

impl<'e> Survey<'e> {
    /// A survey for the host with this row id; `ids` has the first free row id of each table of [`Survey::COUNTED`], and
    /// `sink` is given all rows and problems, in order.
    pub fn new(
        evidence: &'e Evidence,
        host: i64,
        ids: HashMap<&'static str, i64>,
        sink: impl FnMut(Vec<Record>, Vec<Problem>) + 'e,
    ) -> Self {
        Survey {
            evidence,
            host,
            trees: Vec::new(),
            logs: Vec::new(),
            engine_ids: Vec::new(),
            records: Vec::new(),
            problems: Vec::new(),
            held: 0,
            sink: Box::new(sink),
            large: 0,
            ids,
            trees_by_identity: HashMap::new(),
        }
    }

    /// Tables whose row ids a survey gives out.
    pub const COUNTED: &'static [&'static str] = &[
        "engine",
        "source",
        "image",
        "image_reference",
        "layer",
        "container",
        "container_port",
        "container_mount",
        "volume",
        "network",
        "tree",
        "log_file",
        "trace",
    ];

    /// The next row id of a table of [`Survey::COUNTED`].
    pub fn next_id(&mut self, table: &'static str) -> i64 {
        let next = self.ids.entry(table).or_insert(1);
        *next += 1;
        *next - 1
    }

    /// Adds a row.
    pub fn put(&mut self, row: impl Into<Record>) {
        self.records.push(row.into());
        if self.records.len() >= HELD_ROWS {
            self.give();
        }
    }

    /// Gives away the rows and problems there are.
    fn give(&mut self) {
        self.held = 0;
        let records = std::mem::take(&mut self.records);
        (self.sink)(records, std::mem::take(&mut self.problems));
    }

    /// Ends the survey: the trees to walk and the logs to read.
    pub fn end(mut self) -> (Vec<TreePlan>, Vec<LogPlan>) {
        for plan in &self.trees {
            let (kind, layer_id) = match plan.walked {
                Walked::Layer(row) => ("layer", Some(row)),
                Walked::Bind => ("bind", None),
                Walked::Volume | Walked::Device => ("volume", None),
            };
            self.records.push(
                record::Tree {
                    id: plan.id,
                    host_id: self.host,
                    kind: kind.into(),
                    host_path: plan.path.host(),
                    dev: plan.identity.0 as i64,
                    layer_id,
                }
                .into(),
            );
        }
        self.give();
        (self.trees, self.logs)
    }

    /// Notes a fault in a file.
    pub fn problem(
        &mut self,
        severity: Severity,
        path: &EvidencePath,
        what: impl Into<String>,
        kept: impl Into<String>,
    ) {
        self.problems
            .push(Defect::new(what, kept).in_file(severity, path.host()));
    }

    /// Notes the faults a parser found in a file.
    pub fn defects(&mut self, severity: Severity, path: &EvidencePath, defects: Vec<Defect>) {
        self.problems.extend(
            defects
                .into_iter()
                .map(|d| d.in_file(severity, path.host())),
        );
    }

    /// Reads a metadata file, makes it a source and gives its bytes and the
    /// source's row id. A missing file is `None` in silence; any other failure is a problem. One that cannot be read to its
    /// end is given as far as it can.
    pub fn read(&mut self, path: &EvidencePath) -> Option<(Vec<u8>, i64)> {
        self.read_most(path, METADATA_LIMIT, false)
    }

    fn read_most(&mut self, path: &EvidencePath, most: u64, keep: bool) -> Option<(Vec<u8>, i64)> {
        match self.evidence.read_on(path, most) {
            Ok((bytes, meta, failed)) => {
                self.held += bytes.len();
                if self.held > HELD {
                    self.give();
                }
                let id = self.source(path, &meta, Some(&bytes), keep);
                if let Some(e) = failed {
                    let what = format!("cannot be read on: {e}");
                    self.problems.push(
                        Defect::at(bytes.len() as u64, what, "what stands before")
                            .in_file(Severity::Error, path.host()),
                    );
                }
                Some((bytes, id))
            }
            Err(evidence::Error::Missing) => None,
            Err(e) => {
                self.problem(
                    Severity::Error,
                    path,
                    format!("cannot be read: {e}"),
                    "nothing",
                );
                None
            }
        }
    }

    /// Reads a small text file, of 64 KiB at most: its content without surrounding blanks, and the source's row id.
    pub fn read_text(&mut self, path: &EvidencePath) -> Option<(String, i64)> {
        let (bytes, id) = self.read_most(path, 64 * 1024, false)?;
        Some((crate::text::lossless(bytes.trim_ascii()).into_owned(), id))
    }

    /// Reads a JSON file as the engine does, repaired where it is damaged; `Value::Null` when nothing of it could be read.
    pub fn read_json(&mut self, path: &EvidencePath, kind: &json::Document) -> Option<JsonFile> {
        let left = JSON_LIMIT.min(LARGE_JSON - self.large).max(SMALL_JSON);
        let (bytes, id) = self.read_most(path, left, true)?;
        if bytes.len() as u64 > SMALL_JSON {
            self.large += bytes.len() as u64;
        }
        let read = json::read(&bytes, kind);
        let severity = if read.value.is_null() {
            Severity::Error
        } else {
            Severity::Warning
        };
        self.defects(severity, path, read.defects);
        Some(JsonFile {
            value: read.value,
            source: id,
            refused: read.refused,
        })
    }

    /// Makes a file a source.
    pub fn source(
        &mut self,
        path: &EvidencePath,
        meta: &Meta,
        content: Option<&[u8]>,
        keep: bool,
    ) -> i64 {
        let id = self.next_id("source");
        let host_id = self.host;
        self.put(record::Source {
            id,
            host_id,
            path: path.host(),
            size: meta.size as i64,
            mtime: meta.mtime,
            sha256: content.map(sha256_hex),
            content: content.filter(|_| keep).map(|c| Content(c.to_vec())),
        });
        id
    }

    /// Names in a directory, sorted; missing is empty in silence, any other failure is a problem.
    pub fn names(&mut self, path: &EvidencePath) -> Vec<Vec<u8>> {
        match self.evidence.list(path, LISTING_LIMIT) {
            Ok((names, stopped)) => {
                if let Some(e) = stopped {
                    self.problem(
                        Severity::Error,
                        path,
                        format!("cannot be listed on: {e}"),
                        format!("the first {} entries", names.len()),
                    );
                }
                names
            }
            Err(evidence::Error::Missing) => Vec::new(),
            Err(e) => {
                self.problem(
                    Severity::Error,
                    path,
                    format!("cannot be listed: {e}"),
                    "nothing",
                );
                Vec::new()
            }
        }
    }

    /// Whether `path` leads to a directory. One that cannot be looked at is a problem, and counts as one: its name is known.
    pub fn is_dir(&mut self, path: &EvidencePath) -> bool {
        match self.evidence.stat(path) {
            Ok(meta) => meta.is_dir(),
            Err(evidence::Error::Missing) => false,
            Err(e) => {
                let what = format!("cannot be looked at: {e}");
                self.problem(Severity::Error, path, what, "its name");
                true
            }
        }
    }

    /// A file of one line, which becomes no source: without surrounding blanks, `None` when that is nothing. A missing file is
    /// `None` in silence, any other failure is a problem.
    pub fn line(&mut self, path: &EvidencePath) -> Option<String> {
        match self.evidence.read(path, 4096) {
            Ok((bytes, _)) => Some(crate::text::lossless(bytes.trim_ascii()).into_owned())
                .filter(|s| !s.is_empty()),
            Err(evidence::Error::Missing) => None,
            Err(e) => {
                let what = format!("cannot be read: {e}");
                self.problem(Severity::Warning, path, what, "all else");
                None
            }
        }
    }

    /// Plans a tree; the same directory is planned once, whatever it is called. `None` when there is nothing.
    pub fn tree(&mut self, walked: Walked, path: &EvidencePath, marks: Marks) -> Option<i64> {
        let meta = match self.evidence.stat(path) {
            Ok(meta) => meta,
            Err(evidence::Error::Missing) => return None,
            Err(e) => {
                self.problem(
                    Severity::Error,
                    path,
                    format!("cannot be opened: {e}"),
                    "nothing",
                );
                return None;
            }
        };
        let known = self.trees_by_identity.get(&meta.identity());
        if let Some(plan) = known.and_then(|&at| self.trees.get_mut(at)) {
            let is_layer = matches!(plan.walked, Walked::Layer(_));
            if !is_layer && walked > plan.walked {
                (plan.walked, plan.path, plan.marks) = (walked, path.clone(), marks);
            }
            return Some(plan.id);
        }
        let id = self.next_id("tree");
        self.trees_by_identity
            .insert(meta.identity(), self.trees.len());
        self.trees.push(TreePlan {
            id,
            walked,
            path: path.clone(),
            identity: meta.identity(),
            marks,
        });
        Some(id)
    }
}

/// SHA-256 as hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a directory is asked for first, it is one tree, and of the most that it is.
    #[test]
    fn one_directory_is_one_tree() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir(host.path().join("d")).unwrap();
        std::os::unix::fs::symlink("d", host.path().join("l")).unwrap();
        let evidence = Evidence::open(host.path()).unwrap();
        let [dir, link] = ["d", "l"].map(EvidencePath::new);
        let (layer, other) = (Walked::Layer(7), Walked::Layer(8));
        for (asked, kind, marks) in [
            (&[Walked::Device, Walked::Device][..], "volume", Marks::None),
            (&[Walked::Device, Walked::Bind], "bind", Marks::None),
            (&[Walked::Bind, Walked::Device], "bind", Marks::None),
            (&[Walked::Bind, Walked::Volume], "volume", Marks::None),
            (&[Walked::Volume, Walked::Bind], "volume", Marks::None),
            (&[Walked::Bind, layer], "layer", Marks::Overlay),
            (&[layer, Walked::Volume], "layer", Marks::Overlay),
            (&[layer, other], "layer", Marks::Overlay),
        ] {
            let mut rows = Vec::new();
            let mut survey = Survey::new(&evidence, 1, HashMap::new(), |r, _| rows.extend(r));
            let mut ids = Vec::new();
            for (walked, path) in asked.iter().zip([&dir, &link]) {
                let marks = match walked {
                    Walked::Layer(_) => Marks::Overlay,
                    _ => Marks::None,
                };
                ids.push(survey.tree(*walked, path, marks));
            }
            let (trees, _) = survey.end();
            assert_eq!(ids, [Some(1), Some(1)], "{asked:?}");
            assert_eq!((trees.len(), trees[0].marks), (1, marks), "{asked:?}");
            let [Record::Tree(row)] = &rows[..] else {
                panic!("{asked:?}: {rows:?}");
            };
            let layer_id = (kind == "layer").then_some(7);
            assert_eq!(
                (row.kind.as_str(), row.layer_id),
                (kind, layer_id),
                "{asked:?}"
            );
        }
    }
}
