//! `dof macrobber-container-layer` and `dof macrobber-volumes`: body lines of a container's files, for mactime or plaso.

use super::source::{SourceArgs, open};
use super::{Failure, Output};
use crate::ingest::Options;
use crate::query;
use crate::render::{Bodyfile, Dialect};
use clap::Args;

/// Arguments of both commands.
#[derive(Debug, Args)]
pub struct Macrobber {
    #[command(flatten)]
    source: SourceArgs,
    /// Name, id or unique prefix of the id
    #[arg(long)]
    container: String,
    /// Whose reader the names are written for
    #[arg(long, value_enum, default_value = "mactime")]
    dialect: Dialect,
    #[command(flatten)]
    output: Output,
}

impl Macrobber {
    /// Runs the query of this name.
    pub fn run(self, name: &str) -> Result<u8, Failure> {
        let options = Options {
            files: true,
            only: Some(self.container.clone()),
            docker_homes: self.source.homes(),
            ..Options::default()
        };
        let opened = open(&self.source.path(), options, self.source.trust())?;
        let mut render = Bodyfile::new(
            self.output.open(&self.source.path(), Some(&opened.case))?,
            self.dialect,
        );
        query::find(name)?.run(
            opened.case.db(),
            &[("container".into(), self.container)],
            &mut render,
        )?;
        Ok(opened.code)
    }
}
