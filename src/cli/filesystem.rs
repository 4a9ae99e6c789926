//! What containers' file systems are made of: the rows of the query `container-filesystem`, gathered by container.

use super::source::SourceArgs;
use super::{Failure, exit};
use crate::evidence::{self, Evidence, EvidencePath};
use crate::problem::{Problem, Severity};
use crate::query;
use crate::render::{Render, plain};
use crate::rootfs::{self, Container};
use crate::stderr;
use crate::text::printable;
use clap::Args;
use rusqlite::types::ValueRef;
use std::io;
use std::path::{Path, PathBuf};

/// Which file system is asked for, and of which mounted host.
#[derive(Debug, Args)]
pub struct FilesystemArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Leave out volumes and bind mounts
    #[arg(long)]
    no_volumes: bool,
}

impl FilesystemArgs {
    /// Of this host, with volumes and bind mounts.
    pub fn of(source: SourceArgs) -> Self {
        FilesystemArgs {
            source,
            no_volumes: false,
        }
    }

    /// The mounted host. A case will not do: it has no contents.
    pub fn evidence(&self) -> Result<PathBuf, Failure> {
        let Some(evidence) = self.source.named() else {
            return Err(Failure::usage(
                "no mounted host is named: give the directory it is mounted at (to extract with --host), or set DOF_IMAGE_MOUNTPOINT",
            ));
        };
        if !evidence.is_dir() {
            return Err(Failure::usage(format!(
                "{} is no directory: this needs the mounted host itself",
                evidence.display()
            )));
        }
        Ok(evidence)
    }

    /// The one container of this name, id or prefix; and the exit code of a command that succeeds.
    pub fn one(&self, container: &str) -> Result<(Found, u8), Failure> {
        let (found, code) = self.find(Some(container))?;
        match found.into_iter().next() {
            Some(found) => Ok((found, code)),
            None => Err(Failure::usage(format!(
                "no container {container:?} on this host"
            ))),
        }
    }

    /// The container of this name, id or prefix, or all of them; and the exit code of a command that succeeds.
    pub fn find(&self, container: Option<&str>) -> Result<(Vec<Found>, u8), Failure> {
        let opened = self.source.open(false)?;
        let mut all = Gathering::default();
        let asked: Vec<(String, String)> = container
            .map(|c| ("container".into(), c.to_owned()))
            .into_iter()
            .collect();
        query::find("container-filesystem")?.run(opened.case.db(), &asked, &mut all)?;
        if self.no_volumes {
            for found in &mut all.0 {
                found.made_of.mounts.clear();
                found.absent.clear();
            }
        }
        Ok((all.0, opened.code))
    }
}

impl From<rootfs::Error> for Failure {
    fn from(e: rootfs::Error) -> Self {
        match e {
            rootfs::Error::InEvidence(_) => Failure::usage(e.to_string()),
            _ => Failure::io(e.to_string()),
        }
    }
}

/// A container and what its file system is made of.
#[derive(Default)]
pub struct Found {
    /// Its full id and data root: what tells it from others.
    identity: [String; 2],
    /// Its name, made distinct.
    pub name: String,
    /// Its layers and mounts.
    pub made_of: Container,
    /// What is mounted inside and not on the disk, a line each.
    pub absent: Vec<String>,
}

impl Found {
    /// Its name, fit to be read.
    pub fn shown(&self) -> String {
        printable(&self.name).into_owned()
    }

    /// Opens the evidence it is on.
    pub fn open(mount: &Path) -> Result<Evidence, Failure> {
        evidence::raise_descriptor_limit();
        Evidence::open(mount).map_err(|e| Failure::io(format!("{}: {e}", mount.display())))
    }

    /// Says what was lost on the way, on stderr; the exit code, where `code` is that of a command that lost nothing.
    pub fn report(&self, problems: &[Problem], code: u8) -> u8 {
        let shown = self.shown();
        let mut code = code;
        for p in problems {
            stderr::line(format_args!("dof: {shown}: {p}"));
            if p.severity > Severity::Note {
                code = exit::PROBLEMS;
            }
        }
        for line in &self.absent {
            stderr::line(format_args!("dof: {shown}: {line}"));
            code = exit::PROBLEMS;
        }
        code
    }
}

#[derive(Default)]
struct Gathering(Vec<Found>);

impl Render for Gathering {
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
            _,
            engine,
        ] = std::array::from_fn(text);
        let identity = [id, data_root];
        if self.0.last().is_none_or(|m| m.identity != identity) {
            let taken = self.0.iter().any(|m| m.name == name);
            let name = match (name.is_empty(), taken) {
                (true, _) => identity[0].clone(),
                (false, true) => format!("{name}-{}", identity[0]),
                (false, false) => name,
            };
            self.0.push(Found {
                identity,
                name,
                made_of: Container {
                    engine,
                    driver,
                    rootless: rootless == "1",
                    ..Container::default()
                },
                absent: Vec::new(),
            });
        }
        let Some(Found {
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
