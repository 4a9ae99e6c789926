//! Hashes of files' contents: tasks of their own behind the directory that names the files, so that they spread over the
//! threads whatever lies where. A file of several names is read once.

use crate::batch::{FileBatch, HashBatch};
use crate::evidence::walk::OpenDir;
use crate::evidence::{self, Evidence, EvidenceFile, EvidencePath, Meta};
use crate::overlay::bits;
use crate::problem::{Defect, Severity};
use rustix::fs::FileType;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Files and bytes a task takes on; a larger file is a task of its own.
const FILES: usize = 256;
const BYTES: u64 = 16 << 20;

/// Which files are hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// None.
    #[default]
    Nothing,
    /// Those of containers' own layers and of volumes.
    Containers,
    /// Those of every layer, volume and bind source.
    All,
}

/// A hash, or why there is none.
type Hashed = Result<[u8; 32], String>;

/// Files by device and inode; who comes second waits for who came first.
type Links = HashMap<(u64, u64), Arc<OnceLock<Hashed>>>;

/// What the hashing tasks share.
#[derive(Default)]
pub struct Hashing {
    /// Trees whose files are hashed.
    trees: HashSet<i64>,
    /// Files of several names, by device and inode.
    links: Mutex<Links>,
}

/// Files of one directory to hash.
pub struct HashTask {
    /// `None` for a tree that is one file.
    dir: Option<Arc<OpenDir>>,
    path: EvidencePath,
    rows: Arc<AtomicI64>,
    files: Vec<(u32, CString, Meta)>,
}

impl Hashing {
    /// For the files of these trees.
    pub fn new(trees: HashSet<i64>) -> Self {
        Hashing {
            trees,
            links: Mutex::default(),
        }
    }

    /// The tasks for the files of a batch, which lies in `dir`, or is the whole tree where there is none.
    pub fn tasks(
        &self,
        batch: &mut FileBatch,
        dir: Option<&Arc<OpenDir>>,
        path: impl Fn() -> EvidencePath,
    ) -> Vec<HashTask> {
        let mut tasks: Vec<HashTask> = Vec::new();
        if !self.trees.contains(&batch.dir.tree) {
            return tasks;
        }
        let path = path();
        let rows = Arc::new(AtomicI64::new(0));
        batch.first_row = Some(rows.clone());
        let mut bytes = 0;
        for (i, row) in batch.rows.iter().enumerate() {
            // The content of a metacopy lies in a layer below.
            if row.meta.kind() != FileType::RegularFile
                || (row.name_len == 0 && dir.is_some())
                || row.overlay & (bits::WHITEOUT | bits::METACOPY) != 0
            {
                continue;
            }
            let Ok(name) = CString::new(batch.text(row).0) else {
                continue;
            };
            bytes += row.meta.size;
            let file = (i as u32, name, row.meta);
            match tasks.last_mut() {
                Some(task) if task.files.len() < FILES && bytes <= BYTES => task.files.push(file),
                _ => {
                    bytes = row.meta.size;
                    tasks.push(HashTask {
                        dir: dir.cloned(),
                        path: path.clone(),
                        rows: rows.clone(),
                        files: vec![file],
                    });
                }
            }
        }
        tasks
    }

    /// Hashes the files of a task.
    pub fn step(&self, evidence: &Evidence, task: HashTask) -> HashBatch {
        let open = |name: &CString| -> Result<EvidenceFile, evidence::Error> {
            match &task.dir {
                Some(dir) => dir.open_file(name),
                None => evidence.open_file(&task.path),
            }
        };
        let mut batch = HashBatch {
            first_row: task.rows,
            rows: Vec::with_capacity(task.files.len()),
            problems: Vec::new(),
        };
        let mut buffer = Vec::new();
        for (row, name, meta) in task.files {
            let mut hash = || -> Hashed {
                let file = open(&name).map_err(|e| e.to_string())?;
                if file.meta.identity() != meta.identity() {
                    return Err("another file by now".into());
                }
                file.sha256(&mut buffer).map_err(|e| e.to_string())
            };
            let hashed = if meta.nlink > 1 {
                let once = {
                    let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
                    links.entry(meta.identity()).or_default().clone()
                };
                once.get_or_init(hash).clone()
            } else {
                hash()
            };
            match hashed {
                Ok(hash) => batch.rows.push((row, hash)),
                Err(why) => {
                    let path = task.path.join(name.to_bytes()).host();
                    let what = format!("content not hashed: {why}");
                    let defect = Defect::new(what, "its metadata");
                    batch.problems.push(defect.in_file(Severity::Warning, path));
                }
            }
        }
        batch
    }
}
