//! Running the analyst's own tools: losetup, qemu-storage-daemon, ewfmount. The one place where dof starts a program.

use super::Error;
use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

/// A tool and the Debian package that has it.
#[derive(Clone, Copy, Debug)]
pub struct Tool(&'static str, &'static str);

/// Loop devices.
pub const LOSETUP: Tool = Tool("losetup", "util-linux or mount");
/// Images as QEMU reads them, shown by FUSE.
pub const QEMU: Tool = Tool("qemu-storage-daemon", "qemu-utils or qemu-system-common");
/// EWF images, shown by FUSE.
pub const EWFMOUNT: Tool = Tool("ewfmount", "ewf-tools");

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
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        let path = std::env::join_paths(folders.filter(|p| p.is_absolute())).unwrap_or(path);
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place; nothing of the evidence is run"
        )]
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        // Nothing but pipes may be kept open by a daemon that goes on running, or one would wait for it.
        let out = tempfile::tempfile().and_then(|f| Ok((f.try_clone()?, f)));
        let (writer, mut reader) = out.map_err(super::step("a temporary file"))?;
        let both = writer
            .try_clone()
            .map_err(super::step("a temporary file"))?;
        let status = command
            .stdout(writer)
            .stderr(both)
            .status()
            .map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => Error::Tool { program, package },
                _ => super::step(program)(e),
            })?;
        let mut said = Vec::new();
        io::Seek::rewind(&mut reader)
            .and_then(|()| io::Read::read_to_end(&mut reader, &mut said))
            .map_err(super::step(program))?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if status.success() {
            return Ok(said);
        }
        let said = if said.is_empty() {
            status.to_string()
        } else {
            said
        };
        Err(Error::Failed { program, said })
    }
}
