//! Parses the command line, runs the command, and turns what comes back into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    dof::cli::main()
}
