//! `dof check`: whether a case is as dof left it.

use super::source::default_case;
use super::{Failure, exit};
use crate::case;
use crate::parse::time::rfc3339_nano;
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `dof check`.
#[derive(Debug, Args)]
#[command(after_help = "\
The digest is that of the whole file but for the seal itself. The seal is no secret: note the digest down elsewhere, and you \
can tell later that nobody changed the case and sealed it again. Exit code 1 when it is not as it was sealed.

Example:
  dof check case.db")]
pub struct Check {
    /// The case [default: $DOF_CASE, case.db]
    case: Option<PathBuf>,
}

impl Check {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let path = default_case(self.case.as_deref());
        let check = case::check(&path)?;
        let mut out = io::stdout().lock();
        writeln!(out, "SHA-256 {}", check.found)?;
        if let Some(sealed) = &check.sealed {
            writeln!(
                out,
                "Sealed  {sealed} at {} by dof {}",
                rfc3339_nano(check.sealed_at),
                check.dof_version
            )?;
        }
        for fault in &check.faults {
            writeln!(out, "{}", crate::text::printable(fault))?;
        }
        if !check.faults.is_empty() {
            return Ok(exit::PROBLEMS);
        }
        writeln!(
            out,
            "{} is as it was sealed, {} rows",
            path.display(),
            check.rows
        )?;
        Ok(exit::OK)
    }
}
