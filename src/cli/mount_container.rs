//! `dof mount-container` and `dof unmount-container`.

use super::source::SourceArgs;
use super::{Failure, exit};
use crate::evidence::EvidencePath;
use crate::mount::{self, Container};
use crate::query;
use crate::render::{Render, plain};
use clap::Args;
use rusqlite::types::ValueRef;
use std::io;
use std::path::PathBuf;

/// Arguments of `dof mount-container`.
#[derive(Debug, Args)]
#[command(after_help = "\
Read-only, nosuid, nodev, noexec; nothing in the evidence is written. Needs root and Linux 5.12.

Example:
  dof mount-container --container apache --at-mountpoint /mnt/apache /mnt/host
  dof unmount-container /mnt/apache")]
pub struct MountContainer {
    #[command(flatten)]
    source: SourceArgs,
    /// Name, id or unique prefix of the id
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    container: Option<String>,
    /// Every container, each in a directory of its own below one
    #[arg(long)]
    all: bool,
    /// Mount here instead of at a new directory
    #[arg(long, value_name = "DIR")]
    at_mountpoint: Option<PathBuf>,
    /// Leave out volumes and bind mounts
    #[arg(long)]
    no_volumes: bool,
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
            mount::Error::NotOurs(_) | mount::Error::InEvidence(_) => Failure::usage(e.to_string()),
            _ => Failure::io(e.to_string()),
        }
    }
}

impl MountContainer {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let evidence = self.source.path();
        if !evidence.is_dir() {
            return Err(Failure::usage(format!(
                "{} is no directory: mounting needs the mounted host itself",
                evidence.display()
            )));
        }
        let opened = self.source.open(false)?;
        let mut found = Found::default();
        let asked: Vec<(String, String)> = self
            .container
            .map(|c| ("container".into(), c))
            .into_iter()
            .collect();
        query::find("container-filesystem")?.run(opened.case.db(), &asked, &mut found)?;
        let parent = match (self.all, &self.at_mountpoint) {
            (true, Some(dir)) => Some(dir.clone()),
            (true, None) => Some(mount::place("all")?),
            (false, _) => None,
        };
        let mut code = opened.code;
        for (name, mut made_of, absent) in found.containers {
            let shown = crate::text::printable(&name).into_owned();
            if self.no_volumes {
                made_of.mounts.clear();
            }
            let at = match (&parent, &self.at_mountpoint) {
                (Some(parent), _) => mount::place_in(parent, &name)?,
                (None, Some(dir)) => dir.clone(),
                (None, None) => mount::place(&name)?,
            };
            match mount::container(&evidence, &made_of, &at) {
                Ok(missing) => {
                    println!("Mounted container {shown} at {}", at.display());
                    for line in missing.iter().chain(&absent) {
                        eprintln!("dof: {shown}: {}", crate::text::printable(line));
                        code = exit::PROBLEMS;
                    }
                }
                Err(e) if parent.is_some() => {
                    eprintln!("dof: {shown}: {e}");
                    code = exit::PROBLEMS;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(code)
    }
}

impl UnmountContainer {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        for at in mount::unmount(&self.dir)? {
            println!("Unmounted {}", at.display());
        }
        Ok(exit::OK)
    }
}

/// Rows of the query container-filesystem, gathered by container: its name, what it is made of, what is not on the disk.
#[derive(Default)]
struct Found {
    containers: Vec<(String, Container, Vec<String>)>,
    /// Full id of the last one.
    of: String,
}

impl Render for Found {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let text = |i: usize| plain(&values[i]).into_owned();
        let [
            id,
            name,
            part,
            host_path,
            destination,
            kind,
            driver,
            rootless,
        ] = std::array::from_fn(text);
        if self.of != id {
            // Two containers of one name stay apart by the id.
            let taken = self.containers.iter().any(|(n, _, _)| *n == name);
            let name = match (name.is_empty(), taken) {
                (true, _) => id.clone(),
                (false, true) => format!("{name}-{id}"),
                (false, false) => name,
            };
            self.containers
                .push((name, Container::default(), Vec::new()));
            self.of = id;
        }
        let Some((_, made_of, absent)) = self.containers.last_mut() else {
            return Ok(());
        };
        let path = EvidencePath::new(&host_path);
        match (part.as_str(), host_path.is_empty()) {
            ("layer", false) => {
                made_of.driver = driver;
                made_of.user_marks = rootless == "1";
                made_of.layers.push(path);
            }
            ("layer", true) => absent.push(format!("a layer of {driver} is not on the disk")),
            (_, false) => made_of.mounts.push((path, destination)),
            (_, true) if kind == "tmpfs" => {} // was memory
            (_, true) => absent.push(format!("the {kind} at {destination} is not on the disk")),
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}
