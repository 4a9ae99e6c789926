//! What a command answers from: a case, or a mounted host that is read into memory for it.

use super::{Failure, exit};
use crate::case::{Case, Existing, Target};
use crate::ingest::{self, Options, Progress};
use crate::stderr;
use clap::Args;
use std::path::{Path, PathBuf};

/// A case or a mounted host.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// A case, or the directory a host is mounted at [default: $DOF_IMAGE_MOUNTPOINT, $DOF_CASE, case.db]
    #[arg(value_name = "MOUNT|CASE")]
    source: Option<PathBuf>,
    #[command(flatten)]
    homes: Homes,
    #[command(flatten)]
    trust: Trust,
}

/// Whether a case that somebody hands over is read whatever it is made of.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Trust {
    /// Read a case though its tables and views are not as dof makes them; what differs is said, and a query ends after a minute
    #[arg(long)]
    untrusted: bool,
}

impl Trust {
    /// Opens a case, and says what is not as dof makes it where that does not count.
    pub fn open(self, path: &Path) -> Result<Case, Failure> {
        if !self.untrusted {
            return Ok(Case::open(path)?);
        }
        let (case, faults) = Case::open_untrusted(path)?;
        for fault in faults {
            stderr::line(format_args!("dof: {}: {fault}", path.display()));
        }
        Ok(case)
    }
}

/// How commands write to a case that is there already.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Writing {
    /// Write to a case though it is not as dof sealed it; the case then says for ever what differed, when and by whom
    #[arg(long)]
    accept_changes: bool,
}

impl Writing {
    /// What it comes to.
    pub fn how<'t>(self, tell: &'t mut dyn FnMut(&str)) -> Existing<'t> {
        Existing {
            accept: self.accept_changes,
            tell,
        }
    }

    /// The case to write to.
    pub fn target(self, path: &Path) -> Result<Target, Failure> {
        Ok(Target::at(path, self.how(&mut tell))?)
    }
}

/// A line on standard error.
pub fn tell(line: &str) {
    stderr::line(format_args!("dof: {line}"));
}

/// Data roots the analyst names.
#[derive(Clone, Debug, Default, Args)]
pub struct Homes {
    /// Docker's data root on the host, e.g. /srv/docker; may be given several times [env: DOF_DOCKER_HOME]
    #[arg(long = "docker-home", value_name = "DIR")]
    docker_home: Vec<PathBuf>,
}

impl Homes {
    /// Those of the command line, else the one of the environment.
    pub fn paths(&self) -> Vec<PathBuf> {
        if self.docker_home.is_empty() {
            variable("DOF_DOCKER_HOME").into_iter().collect()
        } else {
            self.docker_home.clone()
        }
    }
}

/// An environment variable that names a path, unless empty.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

/// The case of `--case`, `DOF_CASE`, or `case.db`.
pub fn default_case(given: Option<&Path>) -> PathBuf {
    given
        .map(Path::to_path_buf)
        .or_else(|| variable("DOF_CASE"))
        .unwrap_or_else(|| "case.db".into())
}

/// An open case and the exit code a command that succeeds shall have.
pub struct Opened {
    /// The case.
    pub case: Case,
    /// 0, or 1 when problems were recorded while a mount was read.
    pub code: u8,
}

impl SourceArgs {
    /// A mounted host named otherwise than by its place on the command line.
    pub fn host(mount: Option<PathBuf>, homes: Homes) -> Self {
        SourceArgs {
            source: mount,
            homes,
            trust: Trust::default(),
        }
    }

    /// What was named, or the mount that the environment names.
    pub fn named(&self) -> Option<PathBuf> {
        self.source
            .clone()
            .or_else(|| variable("DOF_IMAGE_MOUNTPOINT"))
    }

    /// What was named, or what the environment names.
    pub fn path(&self) -> PathBuf {
        self.named().unwrap_or_else(|| default_case(None))
    }

    /// Data roots the analyst names.
    pub fn homes(&self) -> Vec<PathBuf> {
        self.homes.paths()
    }

    /// Opens it; a mount is read as far as listings need, binaries only for `versions`.
    pub fn open(&self, versions: bool) -> Result<Opened, Failure> {
        open(
            &self.path(),
            Options {
                versions,
                docker_homes: self.homes(),
                ..Options::default()
            },
            self.trust,
        )
    }

    /// How far a case is trusted.
    pub fn trust(&self) -> Trust {
        self.trust
    }
}

/// Opens a case file, or reads a mounted host into memory.
pub fn open(path: &Path, options: Options, trust: Trust) -> Result<Opened, Failure> {
    if !path.is_dir() {
        return Ok(Opened {
            case: trust.open(path)?,
            code: exit::OK,
        });
    }
    let progress = Progress::on_stderr();
    let (case, summary) = ingest::ingest(path, Target::temporary()?, &options, &progress)?;
    let lost = summary.counted.problems[1] + summary.counted.problems[2] > 0;
    Ok(Opened {
        case,
        code: if lost { exit::PROBLEMS } else { exit::OK },
    })
}
