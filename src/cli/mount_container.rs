//! `dof mount-container` and `dof unmount-container`.

use super::source::SourceArgs;
use super::{Failure, exit};
use crate::evidence::EvidencePath;
use crate::mount::{self, Container};
use crate::query;
use crate::render::{Render, plain};
use crate::text::printable;
use clap::Args;
use rusqlite::types::ValueRef;
use std::io::{self, Write};
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
        if let Some(dir) = &self.at_mountpoint {
            mount::outside(&evidence, dir)?;
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
        let mut out = io::stdout().lock();
        let mut code = opened.code;
        for Mounting {
            name,
            mut made_of,
            absent,
            ..
        } in found.0
        {
            let shown = printable(&name);
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
                    writeln!(out, "Mounted container {shown} at {}", at.display())?;
                    for line in missing.iter().chain(&absent) {
                        eprintln!("dof: {shown}: {}", printable(line));
                        code = exit::PROBLEMS;
                    }
                }
                Err(e) => {
                    // A directory the analyst named stays.
                    if self.all || self.at_mountpoint.is_none() {
                        mount::tidy(&[at]);
                    }
                    if !self.all {
                        let Failure { code, message } = e.into();
                        let message = message.map(|m| format!("{shown}: {m}"));
                        return Err(Failure { code, message });
                    }
                    eprintln!("dof: {shown}: {e}");
                    code = exit::PROBLEMS;
                }
            }
        }
        if self.at_mountpoint.is_none() {
            mount::tidy(&parent);
        }
        Ok(code)
    }
}

impl UnmountContainer {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let mut out = io::stdout().lock();
        for at in mount::unmount(&self.dir)? {
            writeln!(out, "Unmounted {}", at.display())?;
        }
        Ok(exit::OK)
    }
}

/// A container to mount.
#[derive(Default)]
struct Mounting {
    /// Its full id and data root: what tells it from others.
    identity: [String; 2],
    /// Its name, made distinct.
    name: String,
    made_of: Container,
    /// What is mounted inside and not on the disk, a line each.
    absent: Vec<String>,
}

/// Rows of the query container-filesystem, gathered by container.
#[derive(Default)]
struct Found(Vec<Mounting>);

impl Render for Found {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let text = |i: usize| plain(&values[i]).into_owned();
        // The columns of the query, in its order.
        let [
            id,
            name,
            part,
            host_path,
            destination,
            kind,
            _,
            driver,
            rootless,
            data_root,
        ] = std::array::from_fn(text);
        let identity = [id, data_root];
        if self.0.last().is_none_or(|m| m.identity != identity) {
            let taken = self.0.iter().any(|m| m.name == name);
            let name = match (name.is_empty(), taken) {
                (true, _) => identity[0].clone(),
                (false, true) => format!("{name}-{}", identity[0]),
                (false, false) => name,
            };
            self.0.push(Mounting {
                identity,
                name,
                made_of: Container {
                    driver,
                    user_marks: rootless == "1",
                    ..Container::default()
                },
                absent: Vec::new(),
            });
        }
        let Some(Mounting {
            made_of, absent, ..
        }) = self.0.last_mut()
        else {
            return Ok(());
        };
        let path = Some(host_path)
            .filter(|p| !p.is_empty())
            .map(EvidencePath::new);
        match (part.as_str(), path) {
            ("layer", path) => made_of.layers.push(path),
            ("mount", Some(path)) => made_of.mounts.push((path, destination)),
            ("mount", None) if kind != "tmpfs" => {
                absent.push(format!("the {kind} at {destination} is not on the disk"));
            }
            _ => {} // a tmpfs was memory
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}
