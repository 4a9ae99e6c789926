//! Running the analyst's own tools, whose work is not done again here. The one place where dof starts a program; nothing of
//! the evidence is ever run.

use std::ffi::OsStr;
use std::io::{self, Read, Seek};
use std::process::{Command, Stdio};

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
}

/// A tool and the Debian package that has it.
#[derive(Clone, Copy, Debug)]
pub struct Tool(&'static str, &'static str);

/// Loop devices.
pub const LOSETUP: Tool = Tool("losetup", "util-linux or mount");
/// Images as QEMU reads them, shown by FUSE.
pub const QEMU: Tool = Tool("qemu-storage-daemon", "qemu-utils or qemu-system-common");
/// EWF images, shown by FUSE.
pub const EWFMOUNT: Tool = Tool("ewfmount", "ewf-tools");
/// Layers whose deletions are marked by names, which the kernel's overlayfs does not know.
pub const FUSE_OVERLAYFS: Tool = Tool("fuse-overlayfs", "fuse-overlayfs");

impl Tool {
    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Runs it to its end; what it printed.
    ///
    /// # Errors
    /// When it is not installed, or says it failed.
    pub fn run<S: AsRef<OsStr>>(
        self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, Error> {
        let Tool(program, package) = self;
        let start = |source| Error::Start { program, source };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        let path = std::env::join_paths(folders.filter(|p| p.is_absolute())).unwrap_or(path);
        // No pipes: a tool that goes on in the background would keep them open, and be waited for.
        let mut printed = tempfile::tempfile().map_err(start)?;
        let (out, err) = (printed.try_clone(), printed.try_clone());
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let status = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(out.map_err(start)?)
            .stderr(err.map_err(start)?)
            .status()
            .map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => Error::Missing { program, package },
                _ => start(e),
            })?;
        let mut said = Vec::new();
        printed.rewind().map_err(start)?;
        printed.read_to_end(&mut said).map_err(start)?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match (status.success(), said.is_empty()) {
            (true, _) => Ok(said),
            (false, false) => Err(Error::Failed { program, said }),
            (false, true) => Err(Error::Failed {
                program,
                said: status.to_string(),
            }),
        }
    }
}
