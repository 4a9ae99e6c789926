//! `dof status`: `queries/status.sql` in the classic sentences.

use super::source::SourceArgs;
use super::{Failure, ListFormat};
use crate::query;
use crate::render::{Render, plain};
use crate::text::printable;
use clap::Args;
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// Arguments of `dof status`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dof status /mnt/host\n  dof status case.db --format json")]
pub struct Status {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: ListFormat,
}

impl Status {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let opened = self.source.open(true)?;
        let out = self
            .format
            .output
            .open(&self.source.path(), Some(&opened.case))?;
        let mut render: Box<dyn Render> = match self.format.format {
            Some(format) => format.renderer(out),
            None => Box::new(Sentences {
                out,
                columns: Vec::new(),
                hosts: Vec::new(),
            }),
        };
        query::find("status")?.run(opened.case.db(), &[], render.as_mut())?;
        Ok(opened.code)
    }
}

/// The classic sentences, one set a row; sets are told apart by a heading when there are several.
struct Sentences<W: Write> {
    out: W,
    columns: Vec<String>,
    /// Heading and sentences of each row.
    hosts: Vec<(String, Vec<String>)>,
}

impl<W: Write> Render for Sentences<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let get = |column: &str| {
            let at = self.columns.iter().position(|c| c == column)?;
            Some(printable(&plain(&values[at])).into_owned()).filter(|v| !v.is_empty())
        };
        let number = |column: &str| get(column).unwrap_or_else(|| "0".into());
        let heading = format!(
            "Host {} at {}, data root {}:",
            get("HOST").unwrap_or_else(|| "<no name>".into()),
            get("MOUNT").unwrap_or_else(|| "/".into()),
            get("DATA ROOT").unwrap_or_default()
        );
        let client = match (get("CLIENT VERSION"), get("CLIENT PATH")) {
            (Some(version), Some(path)) => {
                format!("Found Docker client with version: {version} at {path}")
            }
            (None, Some(path)) => format!("Found Docker client with unknown version at {path}"),
            _ => "No Docker client found".into(),
        };
        let swarm = match (get("SWARM ROLE"), get("SWARM NODE")) {
            (Some(role), Some(node)) => {
                format!("This host is part of a Docker Swarm: {role} {node}")
            }
            (Some(role), None) => format!("This host is part of a Docker Swarm: {role}"),
            _ => "This host is not part of a Docker Swarm".into(),
        };
        let sentences = vec![
            client,
            swarm,
            format!(
                "{} containers running on this machine",
                number("RUNNING CONTAINERS")
            ),
            format!(
                "{} total containers found on this machine",
                number("CONTAINERS")
            ),
            format!("{} images found on this machine", number("IMAGES")),
            format!(
                "{} images belong to no repository",
                number("IMAGES WITHOUT REPOSITORY")
            ),
        ];
        self.hosts.push((heading, sentences));
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let several = self.hosts.len() > 1;
        for (i, (heading, sentences)) in self.hosts.iter().enumerate() {
            if several {
                writeln!(self.out, "{}{heading}", if i > 0 { "\n" } else { "" })?;
            }
            for sentence in sentences {
                writeln!(self.out, "{sentence}")?;
            }
        }
        self.out.flush()
    }
}
