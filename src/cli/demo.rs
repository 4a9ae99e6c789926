//! `dof demo`: the whole tour on the sample host that comes with dof.

use super::source::Writing;
use super::{Failure, exit};
use crate::demo;
use crate::ingest::{self, Options, Progress};
use crate::query;
use crate::render::Table;
use crate::text::{printable, shown};
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `dof demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dof demo\n  dof query timeline --since 2019-05-27 --until 2019-05-28 --case dof-demo/case.db"
)]
pub struct Demo {
    /// Where to put the sample host and its case; an earlier demo there is replaced
    #[arg(default_value = "dof-demo")]
    dir: PathBuf,
}

impl Demo {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let host = demo::unpack(&self.dir)
            .map_err(|e| Failure::io(format!("{}: {e}", self.dir.display())))?;
        let case = self.dir.join("case.db");
        say(&format!("dof ingest {} {}", host.display(), case.display()))?;
        let options = Options {
            files: true,
            logs: true,
            versions: true,
            arguments: vec!["demo".into()],
            ..Options::default()
        };
        let (opened, summary) = ingest::ingest(
            &host,
            Writing::default().target(&case)?,
            &options,
            &Progress::on_stderr(),
        )?;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{} files and {} log lines in {:.2} s\n",
            summary.counted.files,
            summary.counted.log_entries,
            summary.took.as_secs_f64()
        )?;
        drop(out);
        for (name, arguments) in TOUR {
            say(&format!(
                "dof query {name}{} --case {}",
                arguments
                    .iter()
                    .map(|(k, v)| format!(" --{k} '{v}'"))
                    .collect::<String>(),
                case.display()
            ))?;
            let arguments: Vec<(String, String)> = arguments
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect();
            query::find(name)?.run(
                opened.db(),
                &arguments,
                &mut Table::new(io::stdout().lock()),
            )?;
            writeln!(io::stdout())?;
        }
        writeln!(
            io::stdout(),
            "The case is {0}. Try:\n  dof list-containers {1}\n  dof query timeline --case {0}\n  sqlite3 {0} < queries/timeline.sql",
            shown(&case),
            shown(&host)
        )?;
        Ok(exit::OK)
    }
}

/// What an investigator would look at first.
const TOUR: &[(&str, &[(&str, &str)])] = &[
    (
        "timeline",
        &[("since", "2019-05-27"), ("until", "2019-05-28")],
    ),
    ("logs", &[("like", "%.php%")]),
    (
        "timeline",
        &[("container", "apache"), ("kind", "container")],
    ),
];

fn say(command: &str) -> io::Result<()> {
    writeln!(io::stdout(), "$ {}", printable(command))
}
