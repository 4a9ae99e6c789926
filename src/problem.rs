//! What went wrong with a piece of evidence: [`Defect`] as a parser sees it, [`Problem`] as the case keeps it.
//!
//! A problem never stops an ingest. It becomes a row of the `problem` table and a line on stderr; whatever
//! could be read stays in the case, and the problem says what that was.

use std::fmt;

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing, nothing lost: a mount point that was not entered, a driver that keeps no log.
    Note,
    /// Something could not be read or parsed, and some of it was lost.
    Warning,
    /// A whole artifact could not be read.
    Error,
}

impl Severity {
    /// The word that stands in the case and on stderr.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// A fault found while parsing bytes, before anyone has said which file they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Where in the input, in bytes, when that is known.
    pub offset: Option<u64>,
    /// What was wrong.
    pub what: String,
    /// What was kept of the faulty part.
    pub kept: String,
}

impl Defect {
    /// A defect at no particular place.
    pub fn new(what: impl Into<String>, kept: impl Into<String>) -> Self {
        Defect {
            offset: None,
            what: what.into(),
            kept: kept.into(),
        }
    }

    /// A defect at `offset` bytes into the input.
    pub fn at(offset: u64, what: impl Into<String>, kept: impl Into<String>) -> Self {
        Defect {
            offset: Some(offset),
            what: what.into(),
            kept: kept.into(),
        }
    }

    /// The problem this defect is, in the evidence file `path`.
    pub fn in_file(self, severity: Severity, path: impl Into<String>) -> Problem {
        Problem {
            severity,
            path: path.into(),
            offset: self.offset,
            what: self.what,
            kept: self.kept,
        }
    }
}

/// A parsed value with the defects met on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed<T> {
    /// All that could be read.
    pub value: T,
    /// All that could not.
    pub defects: Vec<Defect>,
}

/// A fault in the evidence: which file, where, what, and what was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How much it weighs.
    pub severity: Severity,
    /// The evidence path, printable, absolute within the evidence.
    pub path: String,
    /// Where in the file, in bytes.
    pub offset: Option<u64>,
    /// What was wrong.
    pub what: String,
    /// What was kept.
    pub kept: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.severity.word(),
            crate::text::printable(&self.path)
        )?;
        if let Some(at) = self.offset {
            write!(f, " at byte {at}")?;
        }
        write!(f, ": {}", crate::text::printable(&self.what))?;
        if !self.kept.is_empty() {
            write!(f, " (kept: {})", crate::text::printable(&self.kept))?;
        }
        Ok(())
    }
}
