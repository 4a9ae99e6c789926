//! Running dof and other programs, temporary cases, skipping with a word.

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Why a test does nothing, on stderr; a failure when everything must run.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("DOF_TEST_ALL").is_none(),
        "DOF_TEST_ALL is set, but this test cannot run: {why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a test cannot do without.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// To be root.
    Root,
    /// A program in the PATH.
    Program(&'static str),
}

impl Need {
    /// Why it is not met, if so.
    fn lacking(self) -> Option<String> {
        match self {
            Need::Root => (!is_root()).then(|| "needs root".into()),
            Need::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let there = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
                (!there).then(|| format!("{name} is not installed"))
            }
        }
    }
}

/// Whether a test has what it needs; one that lacks something is skipped with a word.
#[must_use]
pub fn has(needs: &[Need]) -> bool {
    match needs.iter().find_map(|need| need.lacking()) {
        Some(why) => {
            skip(&why);
            false
        }
        None => true,
    }
}

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
    fn new(o: Output) -> Ran {
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

/// A folder for one test.
pub fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("dof-test-")
        .tempdir()
        .expect("a temporary folder")
}

/// Without root dof cannot keep the kernel from noting that a symbolic link was read (see src/evidence/detached.rs). Read
/// once already, links keep their times for a day (relatime), and the tests can hold dof to them.
fn settle(mount: &Path) {
    if !is_root() {
        // The kernel's clock for times is coarse; the reading must come after the making.
        std::thread::sleep(std::time::Duration::from_millis(50));
        for entry in walkdir::WalkDir::new(mount).into_iter().flatten() {
            let _ = std::fs::read_link(entry.path());
        }
    }
}

/// Ingests a mounted host into a fresh case, expecting this exit code.
#[track_caller]
pub fn ingest(mount: &Path, code: i32) -> (TempDir, PathBuf) {
    let dir = folder();
    let case = dir.path().join("case.db");
    settle(mount);
    dof([Path::new("ingest"), mount, &case]).with(code);
    (dir, case)
}

/// Ends what a killed ingest into this case left beside it, as dof tells the analyst to; whether there was anything.
#[track_caller]
pub fn recover(case: &Path) -> bool {
    let looked = dof([Path::new("status"), case]);
    if looked.code == 0 {
        return false;
    }
    looked
        .with(3)
        .err
        .contains("dof check --recover")
        .then_some(())
        .expect("dof says what to do");
    dof([Path::new("check"), Path::new("--recover"), case]).with(0);
    true
}

/// Opens a case with plain SQLite.
pub fn open(case: &Path) -> Connection {
    Connection::open_with_flags(case, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("a database")
}

/// One value.
#[track_caller]
pub fn one<T: rusqlite::types::FromSql>(db: &Connection, sql: &str) -> T {
    db.query_row(sql, [], |r| r.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// The rows of a query, as JSON.
#[track_caller]
pub fn rows(case: &Path, words: &[&str]) -> Vec<serde_json::Value> {
    let mut all = vec!["query"];
    all.extend(words);
    all.extend([
        "--format",
        "json",
        "--case",
        case.to_str().expect("a plain path"),
    ]);
    serde_json::from_str(&dof(all).with(0).out).expect("JSON")
}

/// Holds the runs of ids that say what is in a directory or a log file against what each file and entry says itself.
#[track_caller]
pub fn runs_hold(db: &Connection) {
    for (what, sql) in [
        (
            "files",
            "SELECT count(*) FROM file f LEFT JOIN directory d ON d.id = f.dir_id WHERE coalesce(f.id NOT BETWEEN d.first_file AND d.last_file, 1)",
        ),
        (
            "more",
            "SELECT (SELECT coalesce(sum(last_file - first_file + 1), 0) FROM directory) - (SELECT count(*) FROM file)",
        ),
        (
            "entries",
            "SELECT count(*) FROM log_entry g LEFT JOIN log_file l ON l.id = g.log_file_id WHERE coalesce(g.id NOT BETWEEN l.first_entry AND l.last_entry, 1)",
        ),
        (
            "more entries",
            "SELECT (SELECT coalesce(sum(last_entry - first_entry + 1), 0) FROM log_file) - (SELECT count(*) FROM log_entry)",
        ),
    ] {
        assert_eq!(one::<i64>(db, sql), 0, "{what} than in the runs of ids");
    }
}

/// The sample host that comes with dof, unpacked anew.
pub fn sample() -> (TempDir, PathBuf) {
    let dir = folder();
    let host = dof::demo::unpack(&dir.path().join("demo")).expect("the sample unpacks");
    settle(&host);
    (dir, host)
}

/// Another host than the sample, of which a case can hold both.
pub fn other_host(sample: &Path, dir: &Path) -> PathBuf {
    let to = dir.join("other");
    run(
        "cp",
        &["-a", sample.to_str().unwrap(), to.to_str().unwrap()],
    )
    .unwrap()
    .with(0);
    std::fs::write(
        to.join("etc/machine-id"),
        "11111111111111111111111111111111\n",
    )
    .unwrap();
    std::fs::write(to.join("etc/hostname"), "other\n").unwrap();
    to
}

/// The engine's answers recorded with the sample host.
pub fn sample_oracle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/sample/oracle")
}

/// The recorded evidence that stands beside the checkout where this project is developed.
pub fn evidence() -> Option<PathBuf> {
    let dir = std::env::var_os("DOF_TEST_EVIDENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/evidence"),
        PathBuf::from,
    );
    dir.is_dir().then_some(dir)
}
