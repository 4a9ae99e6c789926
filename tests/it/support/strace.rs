//! Programs under strace: the calls they make, and calls that are made to fail.

use super::{Ran, dof_command, folder};
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// A call that strace saw.
pub struct Call {
    pub name: String,
    pub line: String,
}

/// Runs a command and all that it starts under strace, with these options.
pub fn strace<S: AsRef<OsStr>>(options: &[&str], command: &[S]) -> (Ran, Vec<Call>) {
    let dir = folder();
    let log = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o"]);
    strace.arg(&log).args(options).args(command);
    // Without dof's own variables.
    for (variable, _) in dof_command().get_envs() {
        strace.env_remove(variable);
    }
    let ran = Ran::new(strace.output().expect("strace"));
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    let call = |line: &str| {
        let (_, call) = line.split_once(' ')?;
        let call = call.trim_start();
        // A call that another thread's came between: `<... readlinkat resumed>`.
        let resumed = call.strip_prefix("<... ").and_then(|c| c.split(' ').next());
        let name = resumed.or(call.split('(').next())?.to_owned();
        Some(Call {
            name,
            line: call.to_owned(),
        })
    };
    (ran, text.lines().filter_map(call).collect())
}

/// Runs dof so: the calls that name files or descriptors, with the paths that these stand for.
pub fn traced(args: &[String]) -> (Ran, Vec<Call>) {
    let options = ["-y", "-s", "4096", "-e", "trace=%file,%desc"];
    let dof = env!("CARGO_BIN_EXE_dof").to_owned();
    strace(&options, &[&[dof], args].concat())
}
