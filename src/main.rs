//! Parses the command line, runs the command, and turns what comes back into an exit code.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    dof::cli::run(dof::cli::Cli::parse())
}
