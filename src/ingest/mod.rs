//! The ingest: survey the metadata of every engine, then sweep trees and logs in parallel into one writer.
//!
//! The survey is sequential and small. The sweep is an ordered list of work (`sweep.rs`): rayon's threads walk and parse, this thread
//! writes what they give in the order of the work, so the case is the same whatever the number of threads.

mod files;
mod hashes;
mod logs;
mod progress;
mod selection;
mod sweep;

use crate::batch::{Batch, FileBatch, LogBatch};
use crate::case::{self, Case, Counted, Target, Writer, now};
use crate::engine::{self, ENGINES, LogPlan, Survey, TreePlan};
use crate::evidence::walk::{Buffer, working_directory};
use crate::evidence::{self, Evidence, EvidencePath};
use crate::problem::{Problem, Severity};
use crate::record::{self, Record};
use files::{DirTask, Walk};
pub use hashes::Hash;
use hashes::{HashTask, Hashing};
use logs::{LogTask, UntimedFile};
pub use progress::Progress;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sweep::Sweep;

/// What to ingest, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads of the sweep; 0 picks a number that suits the machine.
    pub jobs: usize,
    /// Whether to walk file trees.
    pub files: bool,
    /// Which files to hash, of those that are walked.
    pub hash: Hash,
    /// Whether to read logs.
    pub logs: bool,
    /// Whether to look into the engines' binaries for their versions.
    pub versions: bool,
    /// A name, id or prefix: only files and logs of containers it may mean are read.
    pub only: Option<String>,
    /// Data roots on the host, beside those that are found.
    pub docker_homes: Vec<PathBuf>,
    /// The arguments, for the record.
    pub arguments: Vec<String>,
}

/// Why nothing was ingested.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mount cannot be opened.
    #[error("{path}: {source}")]
    Mount {
        /// The mount.
        path: PathBuf,
        /// Why.
        source: evidence::Error,
    },
    /// No container engine on it.
    #[error(
        "{path}: no container engine found: looked for {looked} (name a data root with --docker-home){why}"
    )]
    NoEngine {
        /// The mount.
        path: PathBuf,
        /// The places that were tried.
        looked: String,
        /// What went wrong there, a line each.
        why: String,
    },
    /// The case cannot be written.
    #[error(transparent)]
    Case(#[from] case::Error),
    /// Threads cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// What an ingest did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the case holds of the host, counted in it.
    pub counted: Counted,
    /// Rows of the host, what dof works out of them included.
    pub rows: i64,
    /// How long it took.
    pub took: Duration,
    /// Whether an earlier ingest of the same host was replaced.
    pub replaced: bool,
    /// What to call the host.
    pub host: String,
}

/// Ingests the host mounted at `mount` into `target` and seals it.
///
/// # Errors
/// See [`Error`]. Faults of the evidence are no errors: they are given to `progress` and become rows.
pub fn ingest(
    mount: &Path,
    mut target: Target,
    options: &Options,
    progress: &Progress,
) -> Result<(Case, Summary), Error> {
    let begun = Instant::now();
    evidence::raise_descriptor_limit();
    let evidence = Evidence::open(mount).map_err(|source| Error::Mount {
        path: mount.to_path_buf(),
        source,
    })?;
    let started = now();
    let mut writer = target.writer()?;
    let mut ids = HashMap::new();
    for table in Survey::COUNTED {
        ids.insert(*table, writer.first_free(table)?);
    }
    let host_id = writer.host_id();
    let before = writer.rows()?;
    let mut stored = Ok(());
    let mut survey = Survey::new(&evidence, host_id, ids, |records, problems| {
        if stored.is_ok() {
            stored = store(&mut writer, &records, &problems, progress);
        }
    });
    let (mut host, identity) = survey_host(&mut survey, mount, options)?;
    let (trees, mut logs) = survey.end();
    stored?;
    host.dof_version = env!("CARGO_PKG_VERSION").into();
    host.arguments = serde_json::Value::from(options.arguments.clone()).to_string();
    host.ingest_start = started;
    let replaced = writer.replace(&identity)?;
    let name = host
        .name
        .clone()
        .unwrap_or_else(|| mount.display().to_string());
    writer.record(&host.into())?;
    let mut only = None;
    if let Some(asked) = &options.only {
        let chosen = writer.of_container(asked)?;
        logs.retain(|l| chosen.logs.contains(&l.id));
        only = Some(selection::widened(&evidence, &trees, chosen.trees));
    }
    sweep_all(
        &evidence,
        trees,
        logs,
        only.as_ref(),
        options,
        &mut writer,
        progress,
    )?;
    progress.phase("indexing");
    let firsts = writer.firsts();
    let left_out = writer.finish(now(), &engine::makes)?;
    left_out.iter().for_each(|problem| tell(problem, progress));
    progress.phase("writing to disk");
    let case = target.seal()?;
    let counted = case.counted(firsts)?;
    progress.finish();
    Ok((
        case,
        Summary {
            counted,
            rows: counted.rows + replaced.unwrap_or(0) - before,
            took: begun.elapsed(),
            replaced: replaced.is_some(),
            host: name,
        },
    ))
}

/// Writes what a survey found.
fn store(
    writer: &mut Writer<'_>,
    records: &[Record],
    problems: &[Problem],
    progress: &Progress,
) -> Result<(), case::Error> {
    for record in records {
        writer.record(record)?;
    }
    problems
        .iter()
        .try_for_each(|problem| note(writer, problem, progress))
}

/// Everything the metadata says, and who the host is.
fn survey_host(
    survey: &mut Survey<'_>,
    mount: &Path,
    options: &Options,
) -> Result<(record::Host, String), Error> {
    use std::os::unix::ffi::OsStrExt;
    let homes: Vec<EvidencePath> = options
        .docker_homes
        .iter()
        .map(|p| EvidencePath::new(p.as_os_str().as_bytes()))
        .collect();
    let mut host = engine::host::survey(survey, mount);
    let mut found = Vec::new();
    for engine in ENGINES {
        for install in engine.find(survey, &homes) {
            found.push((*engine, install));
        }
    }
    if found.is_empty() {
        return Err(Error::NoEngine {
            path: mount.to_path_buf(),
            looked: engine::places(&homes),
            why: survey.problems.iter().map(|p| format!("\n  {p}")).collect(),
        });
    }
    let mut identity = vec![
        host.machine_id.clone().unwrap_or_default(),
        host.name.clone().unwrap_or_default(),
    ];
    for (engine, install) in &found {
        engine.survey(survey, install, options.versions);
        identity.push(install.root.host());
    }
    identity.extend(survey.engine_ids.iter().cloned());
    if identity[0].is_empty() && identity[1].is_empty() {
        identity.push(mount.display().to_string());
    }
    host.identity = engine::sha256_hex(identity.join("\n").as_bytes());
    let identity = host.identity.clone();
    Ok((host, identity))
}

/// What a thread reads into.
#[derive(Default)]
struct Space {
    entries: Buffer,
    log: Vec<u8>,
}

/// A piece of the sweep.
enum Task {
    Tree(TreePlan),
    Dir(DirTask),
    Hash(HashTask),
    Log(LogTask),
    LogsEnd,
}

fn sweep_all(
    evidence: &Evidence,
    trees: Vec<TreePlan>,
    logs: Vec<LogPlan>,
    only: Option<&HashSet<i64>>,
    options: &Options,
    writer: &mut Writer<'_>,
    progress: &Progress,
) -> Result<(), Error> {
    let hashed = match options.hash {
        Hash::Nothing => HashSet::new(),
        Hash::Containers => writer.written_by_containers()?,
        Hash::All => trees.iter().map(|t| t.id).collect(),
    };
    let walk = Walk::new(evidence, &trees, Hashing::new(hashed));
    let trees = trees
        .into_iter()
        .filter(|t| options.files && only.is_none_or(|only| only.contains(&t.id)))
        .map(Task::Tree);
    let logs = logs
        .into_iter()
        .filter(|_| options.logs)
        .map(|l| Task::Log(LogTask::Open(l)));
    // Logs keep the one busy who writes, files those who read: so while he is behind, and makes the index of the logs, they
    // read on.
    let line = logs.chain([Task::LogsEnd]).chain(trees);
    let sweep: Sweep<Task, Vec<Batch>> = Sweep::new(line);
    if !(options.files || options.logs) {
        return Ok(());
    }
    let jobs = match options.jobs {
        0 => std::thread::available_parallelism().map_or(2, usize::from) * 2,
        n => n,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .thread_name(|i| format!("sweep-{i}"))
        .build()?;
    progress.phase("reading files and logs");
    pool.in_place_scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|_| {
                let mut space = Space::default();
                working_directory::part();
                let _ = rustix::process::nice(READERS); // on Linux the thread's own
                sweep.work(|task| step(evidence, &walk, task, &mut space));
            });
        }
        let mut untimed = UntimedFile::default();
        let mut write = || -> Result<(), case::Error> {
            while let Some(batches) = sweep.next() {
                for mut batch in batches.into_iter().flatten() {
                    let of_log = match &mut batch {
                        Batch::Log(batch) => untimed.next(Some(batch)),
                        Batch::LogsEnd => untimed.next(None),
                        Batch::Files(_) | Batch::Hashes(_) => None,
                    };
                    for problem in of_log.into_iter().chain(batch.problems()) {
                        note(writer, &problem, progress)?;
                    }
                    writer.batch(&batch)?;
                }
                progress.counts(writer.counts());
            }
            Ok(())
        };
        let done = write();
        if done.is_err() {
            sweep.abort();
        }
        done
    })?;
    Ok(())
}

/// What is added to the nice value of the threads that read. They are several: without, the one that writes, which all of them
/// wait for in the end, gets too little of the processor.
const READERS: i32 = 10;

/// Weight a worker gathers before it hands over: most directories are small.
const GATHER: usize = 2048;

/// Does a task, and those of the directories that follow it until enough is gathered: outputs in order, their weight, and the
/// tasks that are left.
fn step(
    evidence: &Evidence,
    walk: &Walk<'_>,
    task: Task,
    space: &mut Space,
) -> (Vec<Batch>, usize, Vec<Task>) {
    let (mut batches, mut weight) = (Vec::new(), 0);
    // The next one last.
    let mut todo = vec![task];
    while let Some(task) = todo.pop() {
        let (batch, more) = single(evidence, walk, task, space);
        weight += batch.weight();
        batches.push(batch);
        todo.extend(more.into_iter().rev());
        if weight >= GATHER || !matches!(todo.last(), Some(Task::Dir(_))) {
            break;
        }
    }
    todo.reverse();
    (batches, weight, todo)
}

fn single(
    evidence: &Evidence,
    walk: &Walk<'_>,
    task: Task,
    space: &mut Space,
) -> (Batch, Vec<Task>) {
    let files = |(batch, hashes, more): (FileBatch, Vec<HashTask>, Vec<DirTask>)| {
        let hashes = hashes.into_iter().map(Task::Hash);
        let more = more.into_iter().map(Task::Dir);
        (Batch::Files(batch), hashes.chain(more).collect::<Vec<_>>())
    };
    match task {
        Task::Tree(plan) => files(walk.start(plan)),
        Task::Dir(task) => files(walk.step(task, &mut space.entries)),
        Task::Hash(task) => (Batch::Hashes(walk.hashing.step(evidence, task)), Vec::new()),
        Task::Log(task) => {
            let (batch, more): (LogBatch, Vec<LogTask>) =
                logs::step(evidence, task, &mut space.log);
            (Batch::Log(batch), more.into_iter().map(Task::Log).collect())
        }
        Task::LogsEnd => (Batch::LogsEnd, Vec::new()),
    }
}

fn note(
    writer: &mut Writer<'_>,
    problem: &Problem,
    progress: &Progress,
) -> Result<(), case::Error> {
    tell(problem, progress);
    writer.problem(problem)
}

fn tell(problem: &Problem, progress: &Progress) {
    if problem.severity > Severity::Note {
        progress.line(&problem.to_string());
    }
}
