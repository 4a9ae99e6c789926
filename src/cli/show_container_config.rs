//! `dof show-container-config`: config.v2.json with hostconfig.json inside it as `HostConfig`.

use super::source::SourceArgs;
use super::{Failure, Output};
use crate::parse::json;
use crate::query;
use crate::render::Render;
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

/// The text of the document's first value, which is all that Docker reads; of a damaged one what could be read of it.
fn document(value: &ValueRef<'_>) -> Option<String> {
    let bytes = match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => *bytes,
        _ => return None,
    };
    if bytes.trim_ascii().is_empty() {
        return None;
    }
    let first = json::first(bytes).unwrap_or(Cow::Borrowed(b"null"));
    let mut text = String::new();
    json::push_lossy(&mut text, &first);
    Some(text)
}

impl<W: Write> Render for Combined<W> {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let config = document(&values[1]).unwrap_or_else(|| "{}".into());
        // A HostConfig in config.v2.json is none to Docker: the last one counts.
        let own = config.contains("\"HostConfig\"").then(|| "null".into());
        let combined = match (
            document(&values[2]).or(own),
            config.trim_end().strip_suffix('}'),
        ) {
            (Some(host), Some(open)) => {
                let comma = if open.trim_end().ends_with('{') {
                    ""
                } else {
                    ","
                };
                format!("{open}{comma}\"HostConfig\":{host}}}")
            }
            _ => config,
        };
        writeln!(self.0, "{}", crate::text::json(&combined))
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
