//! `dof extract`: files of a container copied out, with a manifest.

use super::Failure;
use super::filesystem::{FilesystemArgs, Found};
use super::source::{Homes, SourceArgs};
use crate::query::Glob;
use crate::rootfs::extract::{Extraction, named};
use crate::rootfs::merge::View;
use crate::rootfs::outside;
use crate::stderr;
use crate::text::{lossless, printable};
use clap::Args;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Arguments of `dof extract`.
#[derive(Debug, Args)]
#[command(after_help = "\
Paths are the container's, links followed inside it; a directory comes with all below it. A path with *, ? or [ is the file \
of that very name and all that it means as a GLOB, as in dof query; bytes that are not UTF-8 may be given as they are or as dof \
prints them (\\xNN). Copies stand in DIR/files; \
DIR/SHA256SUMS is for `sha256sum -c`, DIR/manifest.csv has what a copy cannot keep: owners, all times, where on the host it \
was, what is no file (links, devices, FIFOs, sockets), which is not made, and why a copy is not whole or not there (fault).

Example:
  dof extract --container apache /tmp/trojan /var/log -o loot --host /mnt/host")]
pub struct Extract {
    /// What to copy, as the container names it, or a GLOB on its paths, quoted: '/tmp/*'
    #[arg(required = true, value_name = "PATH")]
    path: Vec<OsString>,
    /// Name, id or unique prefix of the id
    #[arg(long)]
    container: String,
    /// The directory the host's disk is mounted at [default: $DOF_IMAGE_MOUNTPOINT]
    #[arg(long, value_name = "MOUNT")]
    host: Option<PathBuf>,
    #[command(flatten)]
    homes: Homes,
    /// A new folder for the copies
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Give the copies the owners they had, which takes root
    #[arg(long)]
    keep_owners: bool,
}

impl Extract {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        if self.path.iter().any(|path| path.is_empty()) {
            return Err(Failure::usage(
                "a path is empty; the whole container is / (or dof export-container)",
            ));
        }
        let filesystem = FilesystemArgs::of(SourceArgs::host(self.host, self.homes));
        let mount = filesystem.evidence()?;
        let parent = self.output.parent().filter(|p| !p.as_os_str().is_empty());
        outside(&mount, parent.unwrap_or(Path::new(".")))?;
        if self.output.symlink_metadata().is_ok() {
            let shown = self.output.display();
            return Err(Failure::usage(format!(
                "{shown} is there already; nothing is overwritten, name a new folder"
            )));
        }
        let (found, code) = filesystem.one(&self.container)?;
        let shown = found.shown();
        let evidence = Found::open(&mount)?;
        let mut problems = Vec::new();
        let view = View::open(&evidence, &found.made_of, &mut problems)?;
        let mut places = Vec::new();
        for path in &self.path {
            let path = path.as_bytes();
            let glob = Glob::new(format!("/{}", lossless(path).trim_matches('/')))?;
            match named(&view, path, |p| glob.matches(p), &mut problems)? {
                Some(found) => places.extend(found),
                None => {
                    return Err(Failure::usage(format!(
                        "{shown}: no {} in this container",
                        printable(&lossless(path))
                    )));
                }
            }
        }
        let mut out = Extraction::new(&view, &self.output, self.keep_owners)?;
        for place in places {
            out.place(place, &mut problems)?;
        }
        let (files, bytes, refused) = out.finish()?;
        let code = found.report(&problems, code);
        stderr::line(format_args!(
            "Copied {files} files ({bytes} bytes, holes included) of {shown} to {}",
            self.output.display()
        ));
        if refused > 0 {
            stderr::line(format_args!(
                "dof: {shown}: the target does not take {refused} files and directories; manifest.csv names them (fault)"
            ));
        }
        Ok(code)
    }
}
