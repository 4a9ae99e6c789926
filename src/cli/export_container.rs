//! `dof export-container`: a container's file system as a tar archive, without root or a kernel's help.

use super::filesystem::FilesystemArgs;
use super::{Failure, Output, exit};
use crate::evidence::{self, Evidence};
use crate::ingest::Progress;
use crate::problem::Severity;
use crate::rootfs::merge::View;
use crate::rootfs::{archive, outside};
use crate::text::printable;
use clap::Args;
use std::io::{self, IsTerminal};

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
        match &self.output.output {
            Some(file) => {
                outside(&mount, super::parent(file))?;
            }
            None if io::stdout().is_terminal() => {
                return Err(Failure::usage(
                    "an archive is nothing for a terminal: name a file with -o, or pipe it",
                ));
            }
            None => {}
        }
        let (found, mut code) = self.filesystem.find(Some(&self.container))?;
        let Some(found) = found.into_iter().next() else {
            return Err(Failure::usage(format!(
                "no container {:?} on this host",
                self.container
            )));
        };
        let shown = printable(&found.name).into_owned();
        evidence::raise_descriptor_limit();
        let evidence =
            Evidence::open(&mount).map_err(|e| Failure::io(format!("{}: {e}", mount.display())))?;
        let mut problems = Vec::new();
        let view = View::open(&evidence, &found.made_of, &mut problems)?;
        let progress = Progress::on_stderr();
        progress.phase("writing the archive");
        let written = archive::write(&view, self.output.open()?, |p| problems.push(p))?;
        progress.finish();
        for p in &problems {
            eprintln!("dof: {shown}: {p}");
            if p.severity > Severity::Note {
                code = exit::PROBLEMS;
            }
        }
        for line in &found.absent {
            eprintln!("dof: {shown}: {}", printable(line));
            code = exit::PROBLEMS;
        }
        if written.sockets > 0 {
            eprintln!("dof: {shown}: {} sockets left out", written.sockets);
        }
        Ok(code)
    }
}
