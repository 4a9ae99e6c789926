//! `dof mount-container` and `dof unmount-container`.

use super::filesystem::{FilesystemArgs, Found};
use super::{Failure, Lines, exit};
use crate::rootfs::{self, mount};
use crate::stderr;
use crate::text::{self, printable};
use clap::Args;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Arguments of `dof mount-container`.
#[derive(Debug, Args)]
#[command(after_help = "\
Read-only, nosuid, nodev, noexec; nothing in the evidence is written. Needs root and Linux 5.12.

Example:
  dof mount-container --container apache --at-mountpoint /mnt/apache /mnt/host
  dof unmount-container /mnt/apache")]
pub struct MountContainer {
    #[command(flatten)]
    filesystem: FilesystemArgs,
    /// Name, id or unique prefix of the id
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    container: Option<String>,
    /// Every container, each in a directory of its own below one
    #[arg(long)]
    all: bool,
    /// Mount here instead of at a new temporary directory; made when it is not there
    #[arg(long, value_name = "DIR")]
    at_mountpoint: Option<PathBuf>,
}

/// Arguments of `dof unmount-container`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dof unmount-container /mnt/apache")]
pub struct UnmountContainer {
    /// Where it is mounted, or the directory of `--all`
    dir: PathBuf,
}

impl From<mount::Error> for Failure {
    fn from(e: mount::Error) -> Self {
        match e {
            mount::Error::NotOurs(_) | mount::Error::Within(_) | mount::Error::Taken(_) => {
                Failure::usage(e.to_string())
            }
            mount::Error::Container(e) => e.into(),
            _ => Failure::io(e.to_string()),
        }
    }
}

impl MountContainer {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let evidence = self.filesystem.evidence()?;
        let mut made = None;
        if let Some(dir) = &self.at_mountpoint {
            made = super::make_dir(&evidence, dir)?.then_some(dir);
            rootfs::outside(&evidence, dir)?;
        }
        let done = self.mount(&evidence);
        if let (Some(dir), Err(_)) = (made, &done) {
            let _ = std::fs::remove_dir(dir);
        }
        done
    }

    fn mount(&self, evidence: &Path) -> Result<u8, Failure> {
        let (found, mut code) = self.filesystem.find(self.container.as_deref())?;
        let parent = match (self.all, &self.at_mountpoint) {
            (true, Some(dir)) => Some(dir.clone()),
            (true, None) => Some(mount::place("all")?),
            (false, _) => None,
        };
        let mut lines = Lines::default();
        let mut taken = HashSet::new();
        for Found {
            name,
            made_of,
            absent,
            ..
        } in found
        {
            let shown = printable(&name);
            let at = match (&parent, &self.at_mountpoint) {
                (Some(parent), _) => mount::place_in(parent, &name, &mut taken)?,
                (None, Some(dir)) => dir.clone(),
                (None, None) => mount::place(&name)?,
            };
            match mount::container(evidence, &made_of, &at) {
                Ok(missing) => {
                    let place = text::shown(&at);
                    lines.put(&format!("Mounted container {shown} at {place}"));
                    for line in missing.iter().chain(&absent) {
                        stderr::line(format_args!("dof: {shown}: {line}"));
                        code = exit::PROBLEMS;
                    }
                }
                Err(e) => {
                    // A directory the analyst named stays.
                    if self.all || self.at_mountpoint.is_none() {
                        mount::tidy(&[at]);
                    }
                    if !self.all {
                        let mut failure = Failure::from(e);
                        failure.message = failure.message.map(|m| format!("{shown}: {m}"));
                        return Err(failure);
                    }
                    stderr::line(format_args!("dof: {shown}: {e}"));
                    code = exit::PROBLEMS;
                }
            }
        }
        if self.at_mountpoint.is_none() {
            mount::tidy(&parent);
        }
        lines.end()?;
        Ok(code)
    }
}

impl UnmountContainer {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let mut lines = Lines::default();
        for at in mount::unmount(&self.dir)? {
            lines.put(&format!("Unmounted {}", text::shown(&at)));
        }
        lines.end()?;
        Ok(exit::OK)
    }
}
