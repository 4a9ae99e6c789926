//! `dof show-container-config`: config.v2.json with hostconfig.json inside it as `HostConfig`.

use super::source::SourceArgs;
use super::{Failure, Output};
use crate::parse::json;
use crate::query;
use crate::render::{Render, plain};
use clap::Args;
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::io::{self, Write};

/// Arguments of `dof show-container-config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dof show-container-config --container apache /mnt/host | jq .HostConfig.Binds"
)]
pub struct ShowContainerConfig {
    #[command(flatten)]
    source: SourceArgs,
    /// Name, id or unique prefix of the id
    #[arg(long)]
    container: String,
    #[command(flatten)]
    output: Output,
}

impl ShowContainerConfig {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let opened = self.source.open(false)?;
        let mut render = Combined(self.output.open(&self.source.path(), Some(&opened.case))?);
        let arguments = [("container".into(), self.container)];
        query::find("show-container-config")?.run(opened.case.db(), &arguments, &mut render)?;
        Ok(opened.code)
    }
}

/// Two documents into one, their text untouched: nothing is lost and every key keeps its place.
struct Combined<W: Write>(W);

/// The document's text; of a damaged one what could be read of it.
fn document(value: &ValueRef<'_>) -> Option<Cow<'static, str>> {
    let text = plain(value);
    if text.trim().is_empty() {
        return None;
    }
    Some(
        match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
            Ok(whole) => Cow::Owned(whole.get().to_owned()),
            Err(_) => Cow::Owned(json::read(text.as_bytes()).value.to_string()),
        },
    )
}

impl<W: Write> Render for Combined<W> {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let config = document(&values[1]).unwrap_or(Cow::Borrowed("{}"));
        let combined = match (document(&values[2]), config.trim_end().strip_suffix('}')) {
            (Some(host), Some(open)) => {
                let comma = if open.trim_end().ends_with('{') {
                    ""
                } else {
                    ","
                };
                format!("{open}{comma}\"HostConfig\":{host}}}")
            }
            _ => config.into_owned(),
        };
        writeln!(self.0, "{}", crate::text::json(&combined))
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
