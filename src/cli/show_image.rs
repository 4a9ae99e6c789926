//! `dof show-image-history` and `dof show-image-config`: an image's own JSON, from their query files.

use super::source::SourceArgs;
use super::{Failure, Output};
use crate::query;
use crate::render::Documents;
use clap::Args;

/// Arguments of both commands.
#[derive(Debug, Args)]
pub struct ShowImage {
    #[command(flatten)]
    source: SourceArgs,
    /// repository:tag, digest, id or a unique prefix of the id
    #[arg(long)]
    image: String,
    #[command(flatten)]
    output: Output,
}

impl ShowImage {
    /// The build history, oldest step first, as one JSON array.
    pub fn history(self) -> Result<u8, Failure> {
        self.show("show-image-history", |out| Documents::array(out, "step"))
    }

    /// The whole config, byte for byte.
    pub fn config(self) -> Result<u8, Failure> {
        self.show("show-image-config", |out| Documents::one(out, "config"))
    }

    fn show<W>(self, name: &str, documents: W) -> Result<u8, Failure>
    where
        W: FnOnce(Box<dyn std::io::Write>) -> Documents<Box<dyn std::io::Write>>,
    {
        let opened = self.source.open(false)?;
        let mut render = documents(self.output.open(&self.source.path(), Some(&opened.case))?);
        query::find(name)?.run(
            opened.case.db(),
            &[("image".into(), self.image)],
            &mut render,
        )?;
        // The bytes of a config are its image's id; only people want a newline behind them.
        if self.output.is_terminal() {
            std::io::Write::write_all(&mut std::io::stdout(), b"\n")?;
        }
        Ok(opened.code)
    }
}
