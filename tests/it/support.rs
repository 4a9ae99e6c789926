//! Running dof and other programs, temporary cases, and what a test needs.

use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a test cannot do without. Debian's essential programs, and `mount` and `losetup` where a need below implies them, are
/// taken for granted; a test names all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// To be root of the machine, not of a user namespace.
    Root,
    /// A program in the PATH.
    Program(&'static str),
    /// A kernel of this version or a later one.
    Kernel(u32, u32),
    /// A kernel that mounts this kind of file system for this user.
    Mounts(&'static str),
    /// A loop device to attach an image to.
    Loop,
    /// A file system of the test's own by FUSE.
    Fuse,
    /// To set and read `trusted.*` attributes, which overlayfs marks deleted files with.
    Trusted,
    /// A strace that the kernel lets trace.
    Strace,
    /// A user namespace that one can make.
    UserNamespace,
    /// A Docker engine that starts.
    Engine,
    /// The same on this storage driver, whose data lie on the disk of the temporary files.
    EngineOn(&'static str),
    /// An engine that builds by BuildKit.
    BuildKit,
    /// The recorded evidence, and what unpacks it: root and zstd.
    Evidence,
}

impl Need {
    /// Whether it is met. Found out once a process.
    pub fn is_met(self) -> bool {
        self.lacking().is_none()
    }

    /// Why it is not met, if so.
    fn lacking(self) -> Option<String> {
        static FOUND: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.entry(format!("{self:?}"));
        known.or_insert_with(|| self.find_out().err()).clone()
    }

    /// Tries what cannot be looked up.
    fn find_out(self) -> Result<(), String> {
        let held = |is: bool, why: &str| if is { Ok(()) } else { Err(why.to_owned()) };
        match self {
            Need::Root => {
                // All users of the machine, each as itself.
                let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
                let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
                held(is_root() && all, "needs root")
            }
            Need::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let there = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
                held(there, &format!("{name} is not installed"))
            }
            Need::Kernel(major, minor) => {
                let release = run("uname", &["-r"]).map_or_else(String::new, |ran| ran.out);
                let mut numbers = release.split(['.', '-']).map_while(|n| n.parse().ok());
                let is = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
                held(
                    is >= (major, minor),
                    &format!("needs Linux {major}.{minor}, this is {}", release.trim()),
                )
            }
            Need::Mounts(kind) => {
                Need::Root.find_out()?;
                // One that needs a disk is not mounted without one; the kernel still tells whether it knows it.
                let dir = folder();
                let at = dir.path();
                let [low, up, work, to] = ["low", "up", "work", "to"].map(|n| at.join(n));
                for dir in [&low, &up, &work, &to] {
                    std::fs::create_dir(dir).map_err(|e| e.to_string())?;
                }
                let options = match kind {
                    "overlay" => format!(
                        "redirect_dir=on,metacopy=on,index=off,lowerdir={},upperdir={},workdir={}",
                        low.display(),
                        up.display(),
                        work.display()
                    ),
                    _ => "rw".to_owned(),
                };
                let to = to.to_str().unwrap_or_default();
                let mounted = run("mount", &["-t", kind, "-o", &options, "none", to]);
                let mounted = mounted.ok_or("mount is not installed")?;
                if mounted.code == 0 {
                    run("umount", &[to]);
                    return Ok(());
                }
                let kinds = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
                let on_disk = kinds.lines().any(|l| l == format!("\t{kind}"));
                held(
                    on_disk && Need::Mounts("tmpfs").find_out().is_ok(),
                    &format!("{kind} cannot be mounted: {}", mounted.err.trim()),
                )
            }
            Need::Loop => {
                Need::Root.find_out()?;
                let dir = folder();
                let image = dir.path().join("image");
                let file = std::fs::File::create(&image).map_err(|e| e.to_string())?;
                file.set_len(1 << 20).map_err(|e| e.to_string())?;
                let image = image.to_str().unwrap_or_default();
                let attached = run("losetup", &["-f", "--show", image]);
                let attached = attached.ok_or("losetup is not installed")?;
                held(
                    attached.code == 0,
                    &format!("no loop device: {}", attached.err.trim()),
                )?;
                run("losetup", &["-d", attached.out.trim()]);
                Need::Mounts("tmpfs").find_out()
            }
            Need::Fuse => {
                Need::Root.find_out()?;
                crate::fuse::works().map_err(|e| format!("FUSE is not to be had here: {e}"))
            }
            Need::Trusted => {
                let dir = folder();
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(dir.path(), "trusted.dof", b"x", flags)
                    .map_err(|e| format!("needs trusted.* attributes: {e}"))
            }
            Need::Strace => {
                Need::Program("strace").find_out()?;
                let traced = run("strace", &["-f", "-o", "/dev/null", "true"]);
                held(
                    traced.is_some_and(|ran| ran.code == 0),
                    "strace cannot trace here",
                )
            }
            Need::UserNamespace => {
                let made = run("unshare", &["--user", "true"]);
                held(made.is_some_and(|ran| ran.code == 0), "no user namespaces")
            }
            Need::Engine => crate::engine::works("overlay2", false),
            Need::EngineOn(driver) => crate::engine::works(driver, false),
            Need::BuildKit => crate::engine::works("overlay2", true),
            Need::Evidence => {
                held(
                    evidence().is_some(),
                    "no recorded evidence beside the checkout",
                )?;
                Need::Root.find_out()?;
                Need::Program("zstd").find_out()
            }
        }
    }
}

/// Whether a test has what it needs; one that lacks something is skipped with a word, and fails when everything must run.
/// Tests ask this first. Only here is a test ever skipped.
#[must_use]
pub fn has(needs: &[Need]) -> bool {
    let Some(why) = needs.iter().find_map(|need| need.lacking()) else {
        return true;
    };
    assert!(
        std::env::var_os("DOF_TEST_ALL").is_none(),
        "DOF_TEST_ALL is set, but this test cannot run: {why}"
    );
    eprintln!("SKIPPED: {why}");
    false
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

/// Runs a program that must succeed.
#[track_caller]
pub fn must(program: &str, args: &[&str]) -> String {
    let ran = run(program, args).unwrap_or_else(|| panic!("{program} is not installed"));
    assert_eq!(ran.code, 0, "{program} {args:?}: {}{}", ran.out, ran.err);
    ran.out
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

/// Without root, and as root of a container, dof cannot keep the kernel from noting that a symbolic link was read (see
/// src/evidence/detached.rs). Read once already, links keep their times for a day (relatime), and the tests can hold dof to them.
fn settle(mount: &Path) {
    if !Need::Mounts("tmpfs").is_met() {
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
