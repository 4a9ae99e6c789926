//! `dof export-container`: a container's file system as a tar archive, without root or a kernel's help.

use super::filesystem::{FilesystemArgs, Found};
use super::{Failure, Output};
use crate::ingest::Progress;
use crate::rootfs::archive;
use crate::rootfs::merge::View;
use crate::stderr;
use clap::Args;

/// Arguments of `dof export-container`.
#[derive(Debug, Args)]
#[command(after_help = "\
Its layers merged, volumes and bind mounts at their places; owners, modes, times, extended attributes, links and devices \
kept. Sockets are left out: tar has none.

Example:
  dof export-container --container apache -o apache.tar /mnt/host
  dof export-container --container apache /mnt/host | tar -tvf -")]
pub struct ExportContainer {
    #[command(flatten)]
    filesystem: FilesystemArgs,
    /// Name, id or unique prefix of the id
    #[arg(long)]
    container: String,
    #[command(flatten)]
    output: Output,
}

impl ExportContainer {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let mount = self.filesystem.evidence()?;
        if self.output.is_terminal() {
            return Err(Failure::usage(
                "an archive is nothing for a terminal: name a file with -o, or pipe it",
            ));
        }
        let out = self.output.open(&mount, None)?;
        let (found, code) = self.filesystem.one(&self.container)?;
        let shown = found.shown();
        let evidence = Found::open(&mount)?;
        let mut problems = Vec::new();
        let view = View::open(&evidence, &found.made_of, &mut problems)?;
        let progress = Progress::on_stderr();
        progress.phase("writing the archive");
        let written = archive::write(&view, out, |p| problems.push(p))?;
        progress.finish();
        let code = found.report(&problems, code);
        if written.sockets > 0 {
            stderr::line(format_args!(
                "dof: {shown}: {} sockets left out",
                written.sockets
            ));
        }
        Ok(code)
    }
}
