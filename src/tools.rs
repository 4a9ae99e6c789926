//! Running the analyst's own tools, whose work is not done again here. The one place where dof starts a program; nothing of
//! the evidence is ever run.

use rustix::fd::BorrowedFd;
use rustix::io::FdFlags;
use rustix::process::{Pid, Resource, Rlimit};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error("{program} is needed and not installed; on Debian and Ubuntu: apt install {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// It failed.
    #[error("{program}: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it printed.
        said: String,
    },
    /// It could not be started.
    #[error("{program}: {source}")]
    Start {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long.
    #[error("{program} was not done after {seconds} s, and dof ended it")]
    Slow {
        /// The program.
        program: &'static str,
        /// How long dof lets it run.
        seconds: u64,
    },
    /// It needs more memory than dof lets it have, or crashed.
    #[error("{program} ended by itself ({status}); dof lets it have {mib} MiB of memory")]
    Broke {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its memory.
        mib: u64,
    },
}

/// A tool, the Debian package that has it, and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    name: &'static str,
    package: &'static str,
    /// Most memory of its own, in MiB. It also bounds what goes on in the background.
    mib: u64,
    /// How long it may take until it is done, or until it goes on in the background.
    seconds: u64,
}

const fn tool(name: &'static str, package: &'static str, mib: u64, seconds: u64) -> Tool {
    Tool {
        name,
        package,
        mib,
        seconds,
    }
}

/// Loop devices.
pub const LOSETUP: Tool = tool("losetup", "util-linux or mount", 256, 30);
/// Images as QEMU reads them, shown by FUSE.
pub const QEMU: Tool = tool(
    "qemu-storage-daemon",
    "qemu-utils or qemu-system-common",
    1024,
    120,
);
/// Whether an image QEMU reads is whole.
pub const QEMU_IMG: Tool = tool("qemu-img", "qemu-utils", 512, 120);
/// EWF images, shown by FUSE. libewf keeps some 150 bytes for each 32 KiB that were read.
pub const EWFMOUNT: Tool = tool("ewfmount", "ewf-tools", 4096, 600);
/// Layers whose deletions are marked by names, which the kernel's overlayfs does not know.
pub const FUSE_OVERLAYFS: Tool = tool("fuse-overlayfs", "fuse-overlayfs", 4096, 120);

/// Most that a tool may print, in bytes. What is printed is memory.
const MOST_PRINTED: u64 = 16 << 20;
/// Most of it that is read.
const MOST_READ: u64 = 64 << 10;
/// The variable by which a tool is found again that goes on in the background, or that outlives dof.
const MARK: &str = "DOF_SETUP";

/// What a tool is given besides its arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// Files it inherits; it opens them as [`by_number`] names them.
    pub files: &'a [BorrowedFd<'a>],
    /// The setup it runs for: [`running`] finds it by that.
    pub setup: Option<&'a Path>,
}

/// The path by which a tool opens a file that it inherited, whatever names lead to it by then.
pub fn by_number(file: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Those of [`running`] that are this tool.
pub fn running_as(tool: Tool, setup: &Path) -> Vec<Pid> {
    let is = |pid: &Pid| {
        let name = fs::read(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        name.is_ok_and(|name| name.trim_ascii_end() == tool.name.as_bytes())
    };
    running(setup).into_iter().filter(is).collect()
}

/// The processes that tools became which were run for a setup.
pub fn running(setup: &Path) -> Vec<Pid> {
    let mark = [MARK.as_bytes(), b"=", setup.as_os_str().as_bytes()].concat();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let is = environment.split(|&b| b == 0).any(|e| e == mark);
            is.then_some(pid)
        })
        .collect()
}

impl Tool {
    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Runs it to its end; what it printed.
    ///
    /// # Errors
    /// When it is not installed, says it failed, or exceeds its bounds.
    pub fn run<S: AsRef<OsStr>>(
        self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, Error> {
        self.run_with(arguments, Given::default())
    }

    /// The same with files to inherit, or for a setup.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub fn run_with<S: AsRef<OsStr>>(
        self,
        arguments: impl IntoIterator<Item = S>,
        given: Given<'_>,
    ) -> Result<String, Error> {
        let program = self.name;
        let start = |source| Error::Start { program, source };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        let path = std::env::join_paths(folders.filter(|p| p.is_absolute())).unwrap_or(path);
        // No pipes: a tool that goes on in the background would keep them open, and be waited for.
        let memory = rustix::fs::memfd_create("printed", rustix::fs::MemfdFlags::CLOEXEC);
        let mut printed = File::from(memory.map_err(|e| start(e.into()))?);
        let (out, err) = (printed.try_clone(), printed.try_clone());
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        let Some(found) = found else {
            let package = self.package;
            return Err(Error::Missing { program, package });
        };
        // The shell takes the bounds and becomes the tool: it has them from the first, and so has what it starts. An image must
        // not lie down beside the evidence as a core.
        let kib = self.mib << 10;
        let bounds = format!("ulimit -c 0; ulimit -d {kib}; exec \"$0\" \"$@\"");
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &bounds])
            .arg(found)
            .args(arguments)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(out.map_err(start)?)
            .stderr(err.map_err(start)?);
        match given.setup {
            Some(setup) => command.env(MARK, setup),
            None => command.env_remove(MARK),
        };
        let mut child = self.spawn(&mut command, given.files)?;
        let status = self.wait(&mut child)?;
        let mut said = Vec::new();
        printed.rewind().map_err(start)?;
        let mut printed = printed.take(MOST_READ);
        printed.read_to_end(&mut said).map_err(start)?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match (status.code(), said.is_empty()) {
            (Some(0), _) => Ok(said),
            (_, false) => Err(Error::Failed { program, said }),
            (Some(_), true) => Err(Error::Failed {
                program,
                said: status.to_string(),
            }),
            (None, true) => Err(Error::Broke {
                program,
                status,
                mib: self.mib,
            }),
        }
    }

    /// Starts it with these files, and with a bound of what it may print.
    fn spawn(self, command: &mut Command, files: &[BorrowedFd<'_>]) -> Result<Child, Error> {
        let program = self.name;
        let start = |source| Error::Start { program, source };
        let inherit = |flags: FdFlags| {
            let set = |file| rustix::io::fcntl_setfd(file, flags);
            files.iter().try_for_each(set)
        };
        let spawned = match inherit(FdFlags::empty()) {
            Ok(()) => command.spawn(),
            Err(e) => Err(e.into()),
        };
        let _ = inherit(FdFlags::CLOEXEC);
        let child = spawned.map_err(start)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let limit = Rlimit {
            current: Some(MOST_PRINTED),
            maximum: Some(MOST_PRINTED),
        };
        let _ = rustix::process::prlimit(pid, Resource::Fsize, limit);
        Ok(child)
    }

    /// Waits until it is done, as long as it may take.
    fn wait(self, child: &mut Child) -> Result<ExitStatus, Error> {
        let program = self.name;
        let start = |source| Error::Start { program, source };
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = child.try_wait().map_err(start)? {
                return Ok(status);
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Slow {
                    program,
                    seconds: self.seconds,
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_has_its_time() {
        let start = Instant::now();
        let ran = tool("sleep", "coreutils", 64, 1).run(["60"]);
        assert!(
            matches!(ran, Err(Error::Slow { seconds: 1, .. })),
            "{ran:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_tool_has_its_memory() {
        let dd = |mib| {
            tool("dd", "coreutils", mib, 60).run([
                "if=/dev/zero",
                "of=/dev/null",
                "bs=200M",
                "count=1",
            ])
        };
        assert!(dd(256).is_ok(), "{:?}", dd(256));
        assert!(matches!(dd(64), Err(Error::Failed { .. })), "{:?}", dd(64));
        let own = rustix::process::getrlimit(Resource::Data);
        assert!(
            own.current.is_none_or(|c| c > 256 << 20),
            "dof's own bounds stay"
        );
    }

    #[test]
    fn a_tool_prints_within_bounds() {
        let ran = tool("dd", "coreutils", 64, 60).run(["if=/dev/zero", "bs=1M", "count=100"]);
        assert!(!matches!(ran, Ok(_) | Err(Error::Slow { .. })), "{ran:?}");
    }

    #[test]
    fn a_tool_opens_what_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "this one").unwrap();
        let file = File::open(&path).unwrap();
        fs::rename(&path, dir.path().join("b")).unwrap();
        fs::write(&path, "another").unwrap();
        let files = [std::os::fd::AsFd::as_fd(&file)];
        let given = Given {
            files: &files,
            setup: None,
        };
        let said = tool("cat", "coreutils", 64, 60).run_with([by_number(files[0])], given);
        assert_eq!(said.unwrap(), "this one");
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(
            flags.contains(FdFlags::CLOEXEC),
            "other tools do not have it"
        );
    }

    #[test]
    fn what_runs_for_a_setup_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(running(dir.path()).is_empty());
        std::thread::scope(|s| {
            s.spawn(|| {
                let given = Given {
                    files: &[],
                    setup: Some(dir.path()),
                };
                tool("sleep", "coreutils", 64, 60).run_with(["60"], given)
            });
            let start = Instant::now();
            let pid = loop {
                if let [pid] = running(dir.path())[..] {
                    break pid;
                }
                assert!(start.elapsed() < Duration::from_secs(30));
            };
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        });
        assert!(running(dir.path()).is_empty());
    }
}
