//! What a person sees while an ingest runs: a line that moves, on a terminal only, and problems as they come.

use crate::case::Counts;
use crate::stderr;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Progress on stderr.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Progress {
    /// A moving line when stderr is a terminal; problems as lines in any case.
    pub fn on_stderr() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {prefix}: {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_prefix("reading metadata");
            bar
        });
        Progress { bar, quiet: false }
    }

    /// Nothing at all: for a command that reads a mount on the way to its answer, whose problems are told otherwise.
    pub fn silent() -> Self {
        Progress {
            bar: None,
            quiet: true,
        }
    }

    /// Names what is being done.
    pub fn phase(&self, what: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(what);
        }
    }

    /// Shows how far it is.
    pub fn counts(&self, c: Counts) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!(
                "{} files, {} log lines",
                HumanCount(c.files),
                HumanCount(c.log_entries)
            ));
        }
    }

    /// Says in words how far it is.
    pub fn message(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    /// Writes a line to stderr.
    pub fn line(&self, text: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| stderr::line(format_args!("dof: {text}"))),
            None => stderr::line(format_args!("dof: {text}")),
        }
    }

    /// Takes the moving line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
