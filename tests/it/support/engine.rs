//! A live Docker engine for the tests: start it, make containers, ask it, kill it.
//!
//! Each [`Engine`] runs in namespaces of its own (mount, network, process, host name),
//! set up by `tests/hosts/engine.sh`: the directory [`Engine::root`] is `/` for the daemon,
//! so every path it writes is right for who takes that directory as the mounted host, and
//! several engines can run side by side. [`Engine::kill`] is a power cut: daemon, containerd,
//! shims and containers get SIGKILL at once, and their mounts go with them.
//!
//! The engine lives as long as this process holds its stdin, so one kept in a `static` dies
//! with the test binary too (its directory and control groups then stay behind).
//!
//! Where live tests cannot run, [`Engine::start`] says why. `DOF_SCRATCH` names the directory
//! for the data (default: the system's for temporary files); overlayfs must accept it.

// A harness offers more than the tests of one day use.
#![allow(dead_code)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The client that belongs to the engine; another `docker` may come first in PATH.
const CLIENT: &str = "/usr/bin/docker";
/// What `engine.sh` needs.
const NEEDED: [&str; 9] = [
    CLIENT,
    "/usr/sbin/dockerd",
    "/usr/bin/containerd",
    "/usr/sbin/runc",
    "/usr/sbin/iptables",
    "/usr/bin/unshare",
    "/usr/bin/perl",
    "/usr/bin/ip",
    "/bin/busybox",
];

/// A running (or killed) engine and the directory that is its host's root.
pub struct Engine {
    name: String,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

/// What a client command printed and whether it succeeded.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Bytes of stdout.
    pub stdout: Vec<u8>,
    /// Bytes of stderr.
    pub stderr: Vec<u8>,
    /// Exit code 0.
    pub ok: bool,
}

impl Answer {
    /// Stdout as text without its last newline; panics with stderr when the command failed.
    pub fn text(&self) -> String {
        assert!(
            self.ok,
            "docker failed: {}",
            String::from_utf8_lossy(&self.stderr)
        );
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }

    /// Stdout as lines, as [`Answer::text`].
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

/// Starts an engine on a storage driver, and builds with BuildKit if asked.
///
/// # Errors
/// Why live tests cannot run here.
pub fn works(driver: &str, buildkit: bool) -> Result<(), String> {
    let engine = Engine::start_on("probe", driver, |_| {})?;
    if buildkit {
        let built = engine.buildkit(&["build", "-"], b"FROM scratch\nLABEL a=b\n");
        if !built.ok {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
    }
    Ok(())
}

impl Engine {
    /// Starts an engine with an empty data root. `name` only tells its control groups apart.
    ///
    /// # Errors
    /// Says why live tests cannot run here.
    pub fn start(name: &str) -> Result<Engine, String> {
        Engine::start_with(name, &[], |_| {})
    }

    /// As [`Engine::start`], with further variables for `engine.sh`.
    ///
    /// # Errors
    /// Says why live tests cannot run here.
    pub fn start_as(name: &str, variables: &[(&str, &str)]) -> Result<Engine, String> {
        Engine::start_with(name, variables, |_| {})
    }

    /// As [`Engine::start`], with another storage driver.
    ///
    /// # Errors
    /// Says why live tests cannot run here.
    pub fn start_on(
        name: &str,
        driver: &str,
        prepare: impl FnOnce(&Path),
    ) -> Result<Engine, String> {
        Engine::start_with(name, &[("STORAGE_DRIVER", driver)], prepare)
    }

    /// The same with both, and with a root that `prepare` has its way with first: mounts a disk there.
    fn start_with(
        name: &str,
        variables: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Result<Engine, String> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        for path in NEEDED {
            if !Path::new(path).exists() {
                return Err(format!("{path} is missing"));
            }
        }
        let scratch =
            std::env::var_os("DOF_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::Builder::new()
            .prefix("dof-live-")
            .tempdir_in(&scratch)
            .map_err(|e| format!("{}: {e}", scratch.display()))?;
        let owner = fs::metadata(dir.path()).map_err(|e| e.to_string())?;
        if std::os::unix::fs::MetadataExt::uid(&owner) != 0 {
            return Err("not root".to_owned());
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{serial}", std::process::id());
        for sub in ["root", "work", "client"] {
            fs::create_dir(dir.path().join(sub)).map_err(|e| e.to_string())?;
        }
        prepare(&dir.path().join("root"));
        let mut engine = Engine {
            name,
            dir,
            child: None,
        };
        engine.launch(variables)?;
        Ok(engine)
    }

    /// Starts a killed engine again on what its disk holds now.
    ///
    /// # Errors
    /// Has the engine's last words when it does not start.
    pub fn restart(&mut self) -> Result<(), String> {
        self.launch(&[("KEEP_CONFIG", "1")])
    }

    fn launch(&mut self, variables: &[(&str, &str)]) -> Result<(), String> {
        let log =
            fs::File::create(self.dir.path().join("engine.log")).map_err(|e| e.to_string())?;
        let child = Command::new("bash")
            .arg(script("engine.sh"))
            .arg(self.root())
            .arg(&self.name)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("engine.sh: {e}"))?;
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.get("/_ping").is_ok() {
                return Ok(());
            }
            let gone = self
                .child
                .as_mut()
                .is_none_or(|c| !matches!(c.try_wait(), Ok(None)));
            if gone || Instant::now() > deadline {
                return Err(format!("the engine did not start: {}", self.last_words()));
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// The host's root: hand it to dof as the mounted host (after [`Engine::kill`]).
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// `var/lib/docker` beneath the root.
    pub fn data_root(&self) -> PathBuf {
        self.root().join("var/lib/docker")
    }

    /// A scratch directory that lives as long as the engine, outside the host's root.
    pub fn scratch(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Puts the engine's client and daemon binaries at their place beneath the root, where
    /// an analyst finds them. The running engine does not see them.
    pub fn install_binaries(&self) -> std::io::Result<()> {
        for path in [CLIENT, "/usr/sbin/dockerd"] {
            let to = self.root().join(&path[1..]);
            fs::create_dir_all(to.parent().expect("a file has a parent"))?;
            if fs::hard_link(path, &to).is_err() {
                fs::copy(path, &to)?;
            }
        }
        Ok(())
    }

    /// Runs the client.
    pub fn docker(&self, args: &[&str]) -> Answer {
        let output = self.client().args(args).output().expect("docker runs");
        Answer {
            ok: output.status.success(),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }

    /// Runs the client with bytes on its stdin (`docker import -`, `docker cp - X:/`, `docker build -`).
    pub fn docker_in(&self, args: &[&str], input: &[u8]) -> Answer {
        Self::fed(self.client().args(args), input)
    }

    /// As [`Engine::docker_in`], builds being BuildKit's.
    pub fn buildkit(&self, args: &[&str], input: &[u8]) -> Answer {
        let mut client = self.client();
        Self::fed(client.env("DOCKER_BUILDKIT", "1").args(args), input)
    }

    fn fed(client: &mut Command, input: &[u8]) -> Answer {
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker runs");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            // A client that stops reading says so by its exit code.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("docker ends");
        feeder.join().expect("the feeder does not panic");
        Answer {
            ok: output.status.success(),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }

    /// Runs the client and parses its answer: one JSON document, or JSON lines as an array
    /// (`--format '{{json .}}'`). Panics when the command fails.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.docker(args).text();
        if let Ok(value) = serde_json::from_str(&text) {
            return if args.contains(&"{{json .}}") {
                Value::Array(vec![value])
            } else {
                value
            };
        }
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"));
        Value::Array(lines.collect())
    }

    /// GETs a path of the engine's API, e.g. `/v1.41/containers/json?all=1`. Panics when the
    /// answer is not 200 or not JSON.
    pub fn api(&self, path: &str) -> Value {
        let body = self.get(path).unwrap_or_else(|e| panic!("GET {path}: {e}"));
        serde_json::from_slice(&body).unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// Makes the busybox image `base:1` (sh, sleep, ... in /bin), for tests that do not need the story.
    pub fn base_image(&self) {
        let dir = self.scratch().join("base");
        let bin = dir.join("bin");
        fs::create_dir_all(&bin).expect("scratch is writable");
        fs::create_dir_all(dir.join("tmp")).expect("scratch is writable");
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox is there");
        for applet in
            "sh cat chmod chown cp echo env ln ls mkdir mv rm sed seq sleep touch true false"
                .split(' ')
        {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("scratch is writable");
        }
        let tar = Command::new("tar")
            .arg("-C")
            .arg(&dir)
            .args(["-c", "."])
            .output()
            .expect("tar runs");
        let answer = self.docker_in(
            &["import", "-c", "CMD [\"sh\"]", "-", "base:1"],
            &tar.stdout,
        );
        answer.text();
    }

    /// Tells `tests/hosts/story.sh` (10 to 20 s). What the engine says then holds for some ten
    /// seconds: the crash loop sleeps before its next start. So ask at once, and kill.
    pub fn story(&self) {
        let work = self.scratch().join("story");
        fs::create_dir(&work).expect("the story is told once");
        let output = Command::new("bash")
            .arg(script("story.sh"))
            .env("DOCKER", format!("{CLIENT} -H {}", self.host()))
            .env("WORK", &work)
            .env("HOSTROOT", self.root())
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "story.sh: {said}\n{}",
            self.last_words()
        );
    }

    /// SIGKILL to daemon, containerd, shims and containers at once; returns when they and
    /// their mounts are gone. The host's root stays until the engine is dropped.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // unshare takes the whole process namespace with it.
                let _ = child.kill();
                self.sweep();
                let _ = child.wait();
            }
            sleep(Duration::from_millis(10));
        }
        self.sweep();
        // A dead host's /run is empty: it was in memory. So were the mounts over these.
        for gone in ["run", "tmp"] {
            let _ = fs::remove_dir_all(self.root().join(gone));
            let _ = fs::create_dir(self.root().join(gone));
        }
    }

    fn sweep(&self) {
        let _ = Command::new("bash")
            .arg(script("engine.sh"))
            .args(["--sweep", &self.name])
            .status();
    }

    /// The end of the logs, for messages.
    fn last_words(&self) -> String {
        let mut words = String::new();
        for log in ["engine.log", "root/run/dockerd.log"] {
            let text = fs::read(self.dir.path().join(log)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<_> = text.lines().collect();
            words.push_str(&lines[lines.len().saturating_sub(8)..].join("\n"));
        }
        words
    }

    fn socket(&self) -> PathBuf {
        self.root().join("run/docker.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn client(&self) -> Command {
        let mut command = Command::new(CLIENT);
        command
            .args(["-H", &self.host()])
            .env("DOCKER_CONFIG", self.dir.path().join("client"))
            .env("DOCKER_BUILDKIT", "0")
            .env("TZ", "UTC")
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null());
        command
    }

    /// One HTTP/1.0 request: the answer is not chunked and ends with the connection.
    fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let mut stream = UnixStream::connect(self.socket()).map_err(|e| e.to_string())?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: docker\r\nConnection: close\r\n\r\n");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .map_err(|e| e.to_string())?;
        stream
            .write_all(request.as_bytes())
            .map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
        let head = answer
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .ok_or("no HTTP answer")?;
        let status = answer.split(|&b| b == b' ').nth(1).unwrap_or_default();
        let body = answer[head + 4..].to_vec();
        if status == b"200" {
            Ok(body)
        } else {
            let status = String::from_utf8_lossy(status);
            Err(format!("{status}: {}", String::from_utf8_lossy(&body)))
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A script of `tests/hosts`.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/hosts")
        .join(name)
}
