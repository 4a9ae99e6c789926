//! `dof ingest`: a mounted host into a case.

use super::source::{Homes, Writing, default_case};
use super::{Failure, exit, known};
use crate::ingest::{self, Hash, Options, Progress, Summary};
use crate::stderr;
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `dof ingest`.
#[derive(Debug, Args)]
#[command(after_help = "\
A host that is already in the case is replaced, the hashes of its files too; another host is added to it.

Example:
  dof ingest /mnt/host case.db")]
pub struct Ingest {
    /// The directory the host's disk is mounted at
    #[arg(env = "DOF_IMAGE_MOUNTPOINT")]
    mount: PathBuf,
    /// The case to write [default: $DOF_CASE, case.db]
    case: Option<PathBuf>,
    /// Threads that read the evidence; the case is the same whatever their number [default: two a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Leave the files of layers, volumes and bind sources out
    #[arg(long)]
    no_files: bool,
    /// Hash the contents of files, so that duplicates and known files can be asked for
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    hash: Option<Algorithm>,
    /// Which files to hash
    #[arg(long, value_enum, default_value = "all", requires = "hash")]
    hash_scope: Scope,
    /// Add a list of known hashes, for --hash: sha256sum's output, or CSV with a column sha256; may be given several times
    #[arg(long, value_name = "FILE")]
    known: Vec<PathBuf>,
    /// Leave log lines out
    #[arg(long)]
    no_logs: bool,
    #[command(flatten)]
    homes: Homes,
    #[command(flatten)]
    writing: Writing,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Algorithm {
    Sha256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scope {
    /// Every layer, volume and bind source
    All,
    /// Containers' own layers, and volumes
    Containers,
}

impl Ingest {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        if self.jobs == Some(0) {
            return Err(Failure::usage("--jobs 0: at least one thread is needed"));
        }
        if self.hash.is_some() && self.no_files {
            return Err(Failure::usage(
                "--hash: there is nothing to hash with --no-files",
            ));
        }
        if self.hash.is_none() && !self.known.is_empty() {
            return Err(Failure::usage(
                "--known: nothing can be found without hashes; add --hash sha256 (`dof known LIST CASE` adds a list alone)",
            ));
        }
        let case = default_case(self.case.as_deref());
        if self.mount.is_dir() && super::parent(&case).is_dir() {
            crate::rootfs::outside(&self.mount, super::parent(&case))?;
        }
        let options = Options {
            jobs: self.jobs.unwrap_or(0),
            files: !self.no_files,
            hash: match (self.hash, self.hash_scope) {
                (None, _) => Hash::Nothing,
                (Some(Algorithm::Sha256), Scope::All) => Hash::All,
                (Some(Algorithm::Sha256), Scope::Containers) => Hash::Containers,
            },
            logs: !self.no_logs,
            versions: true,
            only: None,
            docker_homes: self.homes.paths(),
            arguments: std::env::args_os()
                .skip(1)
                .map(|a| a.to_string_lossy().into_owned())
                .collect(),
        };
        let progress = Progress::on_stderr();
        let target = self.writing.target(&case)?;
        for list in &self.known {
            stderr::line(format_args!("{}", known::added(list, target.known(list)?)));
        }
        let before = target.hashes()?;
        let (ingested, summary) = ingest::ingest(&self.mount, target, &options, &progress)?;
        summarise(&summary, &case).iter().for_each(stderr::line);
        if self.hash.is_none() && ingested.hashes()? < before {
            stderr::line(format_args!(
                "dof: the hashes of the earlier ingest of this host are gone; --hash sha256 makes them anew"
            ));
        }
        let [_, warnings, errors] = summary.counted.problems;
        Ok(if warnings + errors > 0 {
            exit::PROBLEMS
        } else {
            exit::OK
        })
    }
}

fn summarise(s: &Summary, case: &Path) -> [String; 2] {
    let c = s.counted;
    let seconds = s.took.as_secs_f64();
    let [notes, warnings, errors] = c.problems;
    let done = format!(
        "{} {} {} {}: {} containers, {} images, {} layers, {} volumes, {} files, {} log lines",
        if s.replaced { "Replaced" } else { "Ingested" },
        s.host,
        if s.replaced { "in" } else { "into" },
        case.display(),
        c.containers,
        c.images,
        c.layers,
        c.volumes,
        c.files,
        c.log_entries,
    );
    let pace = format!(
        "{} rows in {seconds:.2} s ({:.0} rows/s); problems: {errors} errors, {warnings} warnings, {notes} notes{}",
        s.rows,
        s.rows as f64 / seconds.max(1e-9),
        if errors + warnings + notes > 0 {
            format!(" (dof query problems --case {})", case.display())
        } else {
            String::new()
        },
    );
    [done, pace]
}
