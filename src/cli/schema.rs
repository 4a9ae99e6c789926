//! `dof schema`: the manual of a case's tables and views.

use super::{Failure, Output, exit};
use crate::case::manual;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::io::Write;
use std::path::Path;

/// Arguments of `dof schema`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dof schema | less
  dof schema container_file
  sqlite3 -readonly case.db \"SELECT name, status FROM container\"")]
pub struct Schema {
    /// A table or view [default: all, by subject]
    #[arg(value_parser = PossibleValuesParser::new(manual::names()), hide_possible_values = true, ignore_case = true)]
    name: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Schema {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let text = match &self.name {
            None => manual::all(),
            Some(name) => manual::of(&name.to_ascii_lowercase()).unwrap_or_default(),
        };
        let mut out = self.output.open(Path::new(""), None)?;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(exit::OK)
    }
}
