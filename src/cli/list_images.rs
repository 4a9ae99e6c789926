//! `dof list-images`: `queries/list-images.sql` in the classic layout.

use super::list_containers::list;
use super::source::SourceArgs;
use super::{Failure, ListFormat};
use crate::render::text::{Layout, Line};
use clap::Args;

/// Arguments of `dof list-images`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dof list-images /mnt/host\n  dof list-images case.db --format jsonl"
)]
pub struct ListImages {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: ListFormat,
}

const LAYOUT: Layout = Layout {
    title: None,
    group: Some(("Images in Repository:", "REPOSITORY")),
    lines: &[
        Line::One("Id", "ID"),
        Line::One("Tags", "TAGS"),
        Line::One("Containers", "CONTAINERS"),
    ],
};

impl ListImages {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        list("list-images", &self.source, &self.format, LAYOUT)
    }
}
