//! `dof list-containers`: `queries/list-containers.sql` in the classic layout.

use super::source::SourceArgs;
use super::{Failure, ListFormat};
use crate::query;
use crate::render::Render;
use crate::render::text::{Blocks, Layout, Line};
use clap::Args;

/// Arguments of `dof list-containers`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dof list-containers /mnt/host\n  dof list-containers case.db --format csv"
)]
pub struct ListContainers {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: ListFormat,
}

const LAYOUT: Layout = Layout {
    title: Some("NAME"),
    group: None,
    lines: &[
        Line::One("ID", "ID"),
        Line::One("State", "STATE"),
        Line::One("Restart Policy", "RESTART POLICY"),
        Line::One("Created", "CREATED"),
        Line::One("Image", "IMAGE"),
        Line::One("Image ID", "IMAGE ID"),
        Line::One("Entrypoint", "ENTRYPOINT"),
        Line::One("Command", "COMMAND"),
        Line::One("Storage Driver", "STORAGE DRIVER"),
        Line::One("Container Layer", "CONTAINER LAYER"),
        Line::One("Ports", "PORTS"),
        Line::Each("Volume", "VOLUMES"),
    ],
};

impl ListContainers {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        list("list-containers", &self.source, &self.format, LAYOUT)
    }
}

/// Runs a listing: its query, in its layout or in the format asked for.
pub fn list(
    name: &str,
    source: &SourceArgs,
    format: &ListFormat,
    layout: Layout,
) -> Result<u8, Failure> {
    let opened = source.open(false)?;
    let out = format.output.open(&source.path(), Some(&opened.case))?;
    let mut render: Box<dyn Render> = match format.format {
        Some(format) => format.renderer(out),
        None => Box::new(Blocks::new(out, layout)),
    };
    query::find(name)?.run(opened.case.db(), &[], render.as_mut())?;
    Ok(opened.code)
}
