//! `dof known`: lists of known hashes into a case.

use super::source::{Writing, default_case};
use super::{Failure, exit};
use crate::case::{self, Imported};
use crate::parse::hash_list::LONGEST;
use crate::stderr;
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `dof known`.
#[derive(Debug, Args)]
#[command(after_help = "\
The hashes of the case's files come from `dof ingest --hash sha256`; `dof query known` then says which of them are on a list.

Example:
  dof known malware.sha256 case.db")]
pub struct Known {
    /// sha256sum's output (--tag too), CSV with a column sha256, or hashes alone; it replaces a list of the same file name
    list: PathBuf,
    /// The case to add it to [default: $DOF_CASE, case.db]
    case: Option<PathBuf>,
    #[command(flatten)]
    writing: Writing,
}

impl Known {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let case = default_case(self.case.as_deref());
        if !case.exists() {
            return Err(case::Error::Missing(case).into()); // a list alone makes no case
        }
        let target = self.writing.target(&case)?;
        let done = target.known(&self.list)?;
        let hashes = target.seal()?.hashes()?;
        stderr::line(format_args!("{}", added(&self.list, done)));
        if hashes == 0 {
            stderr::line(format_args!(
                "dof: no file of this case has a hash yet: `dof ingest --hash sha256` makes them"
            ));
        }
        Ok(exit::OK)
    }
}

/// What was added, for people.
pub fn added(list: &Path, done: Imported) -> String {
    let odd = match done.odd {
        0 => String::new(),
        n => format!("; {n} lines without a hash left out"),
    };
    let long = match done.long {
        0 => String::new(),
        n => format!("; {n} lines of more than {LONGEST} bytes left out"),
    };
    let list = list.display();
    format!("{list}: {} known hashes{odd}{long}", done.added)
}
