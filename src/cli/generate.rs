//! `dof completions` and `dof man`: what the shell and man know of dof, from the arguments as they are declared.

use super::{Cli, Failure, Output, exit};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `dof completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dof completions bash > /usr/share/bash-completion/completions/dof"
)]
pub struct Completions {
    /// The shell to complete in
    shell: Shell,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `dof man`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dof man show-container-log | man -l -\n  dof man --to /usr/share/man/man1"
)]
pub struct ManPage {
    /// The command whose page to print; dof itself when none is named
    command: Option<String>,
    /// Write the page of every command into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    to: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Completions {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let mut out = self.output.open(Path::new(""), None)?;
        // In memory first: the generator panics on a closed pipe.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "dof", &mut script);
        out.write_all(&script)?;
        out.flush()?;
        Ok(exit::OK)
    }
}

impl ManPage {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let mut all = Cli::command();
        all.build();
        if let Some(dir) = &self.to {
            clap_mangen::generate_to(Cli::command(), dir)
                .map_err(|e| Failure::io(format!("{}: {e}", dir.display())))?;
            return Ok(exit::OK);
        }
        let page = match &self.command {
            None => all,
            Some(name) => match all.find_subcommand(name) {
                Some(found) => found.clone().name(format!("dof-{name}")),
                None => {
                    return Err(Failure::usage(format!(
                        "no command {name}; see `dof --help`"
                    )));
                }
            },
        };
        let mut out = self.output.open(Path::new(""), None)?;
        clap_mangen::Man::new(page).render(&mut out)?;
        out.flush()?;
        Ok(exit::OK)
    }
}
