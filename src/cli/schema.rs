//! `dof schema`: the manual of a case's tables and views.

use super::{Failure, Output, exit};
use crate::case::manual;
use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

/// Arguments of `dof schema`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dof schema | less
  dof schema container_file
  dof schema visibility
  sqlite3 -readonly case.db \"SELECT name, status FROM container\"")]
pub struct Schema {
    /// A table or view, or a subject of the contents [default: all, by subject]
    #[arg(value_parser = Name, hide_possible_values = true)]
    name: Option<String>,
    /// Also what dof's own queries are made of
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

impl Schema {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let text = match &self.name {
            None => manual::all(self.all).map(Some),
            Some(name) => manual::of(&name.to_ascii_lowercase(), self.all),
        };
        let text = text.map_err(|e| Failure::io(format!("the manual's columns: {e}")))?;
        let Some(text) = text else {
            return Err(unknown(self.name.as_deref().unwrap_or_default()));
        };
        let mut out = self.output.open(Path::new(""), None)?;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(exit::OK)
    }
}

fn unknown(name: &str) -> Failure {
    let nearest = manual::nearest(&name.to_ascii_lowercase());
    Failure::usage(format!(
        "{name}: no table, view or subject of a case; the nearest names are {}. `dof schema` lists them all",
        nearest.join(", ")
    ))
}

/// The parser of a name: shells complete those there are; of another the command says more than a list.
#[derive(Clone)]
struct Name;

impl TypedValueParser for Name {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(manual::names().map(PossibleValue::new)))
    }
}
