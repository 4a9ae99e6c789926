//! `dof check`: whether a case is as dof left it.

use super::source::default_case;
use super::{Failure, exit};
use crate::case::{self, RolledBack};
use crate::parse::time::rfc3339_nano;
use crate::text::printable;
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `dof check`.
#[derive(Debug, Args)]
#[command(after_help = "\
The digest is that of dof's own tables and indexes, and of the words of the seal. The seal is no secret: note the digest down \
elsewhere, and you can tell later that nobody changed the case and sealed it again. Tables and views of your own are listed; \
they change nothing that is sealed. Exit code 1 when the case is not as it was sealed.

Example:
  dof check case.db")]
pub struct Check {
    /// The case [default: $DOF_CASE, case.db]
    case: Option<PathBuf>,
    /// First undo what an ingest had written when it was cut off, or take in what another program left in CASE-wal
    #[arg(long)]
    recover: bool,
}

impl Check {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let path = default_case(self.case.as_deref());
        let mut out = io::stdout().lock();
        if self.recover {
            let done = match case::recover(&path)? {
                RolledBack::Nothing => "nothing was cut off: there is nothing to undo",
                RolledBack::Journal(_) => "what was being written when it was cut off is undone",
                RolledBack::Wal => "what another program left in its -wal file is now in the case",
            };
            writeln!(out, "{}: {done}", crate::text::shown(&path))?;
        }
        let check = case::check(&path)?;
        writeln!(out, "SHA-256 {}", check.found)?;
        if let Some(sealed) = &check.sealed {
            writeln!(
                out,
                "Sealed  {} at {} by dof {}",
                printable(sealed),
                rfc3339_nano(check.sealed_at),
                printable(&check.dof_version)
            )?;
        }
        for line in &check.accepted {
            writeln!(
                out,
                "Changes by others were accepted at {}",
                printable(line)
            )?;
        }
        for own in &check.own {
            let since = match check.new.contains(own) {
                true => ", made since it was sealed",
                false => "",
            };
            writeln!(out, "Not dof's: {}{since}", printable(own))?;
        }
        for fault in &check.faults {
            writeln!(out, "{}", printable(fault))?;
        }
        let shown = crate::text::shown(&path);
        if !check.faults.is_empty() {
            writeln!(out, "{shown} is NOT as it was sealed")?;
            return Ok(exit::PROBLEMS);
        }
        writeln!(out, "{shown} is as it was sealed, {} rows", check.rows)?;
        Ok(exit::OK)
    }
}
