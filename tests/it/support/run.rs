//! Running dof and other programs, and folders to do so in.

use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 128 when it was killed.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    pub fn new(o: Output) -> Ran {
        let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
        Ran {
            code: o.status.code().unwrap_or(128),
            out: text(o.stdout),
            err: text(o.stderr),
        }
    }

    /// The output of a run that must end with `code`.
    #[track_caller]
    pub fn with(self, code: i32) -> Ran {
        assert_eq!(
            self.code, code,
            "exit code; stderr: {}\nstdout: {}",
            self.err, self.out
        );
        self
    }
}

/// The dof just built, with a clean environment of its own variables.
pub fn dof_command() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_dof"));
    for v in ["DOF_CASE", "DOF_IMAGE_MOUNTPOINT", "DOF_DOCKER_HOME"] {
        c.env_remove(v);
    }
    c
}

/// Runs dof.
pub fn dof<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    Ran::new(dof_command().args(args).output().expect("dof starts"))
}

/// Runs a program; `None` when it is not installed.
pub fn run(program: &str, args: &[&str]) -> Option<Ran> {
    Some(Ran::new(Command::new(program).args(args).output().ok()?))
}

/// Runs a program that must succeed.
#[track_caller]
pub fn must(program: &str, args: &[&str]) -> String {
    let ran = run(program, args).unwrap_or_else(|| panic!("{program} is not installed"));
    assert_eq!(ran.code, 0, "{program} {args:?}: {}{}", ran.out, ran.err);
    ran.out
}

/// Makes an EWF image of a raw one, in segments `TO.E01` and so on, with these options besides.
#[track_caller]
pub fn acquire(raw: &Path, to: &Path, options: &[&str]) {
    let to = ["-t", text(to), text(raw)];
    must(
        "ewfacquire",
        &[&["-u", "-q", "-f", "encase6"], options, &to].concat(),
    );
}

/// A path without anything odd.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder for one test.
pub fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("dof-test-")
        .tempdir()
        .expect("a temporary folder")
}

/// A shell with what a container's root may do to its files.
pub fn shell(dir: &Path, script: &str) {
    let dir = dir.to_str().unwrap();
    let done = run("bash", &["-ec", &format!("cd '{dir}'; {script}")]).unwrap();
    assert_eq!(done.code, 0, "{script}: {}", done.err);
}

/// What GNU tar makes of an archive.
pub fn untar(archive: &Path, to: &Path) {
    let done = run(
        "tar",
        &[
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--warning=no-timestamp",
            "-xpf",
            archive.to_str().unwrap(),
            "-C",
            to.to_str().unwrap(),
        ],
    )
    .unwrap();
    assert_eq!((done.code, done.err.as_str()), (0, ""), "tar");
}
