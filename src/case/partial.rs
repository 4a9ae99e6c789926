//! A new case on its way: a file beside its place, locked as long as someone writes it. What a killed ingest left is swept up.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use tempfile::NamedTempFile;

/// What can come of it.
#[derive(Debug)]
pub enum Made {
    /// The file, locked.
    File(NamedTempFile),
    /// Another ingest is making this very case.
    Busy,
}

/// What the names of files of a case `name` begin with, on their way.
fn prefix(name: &str) -> String {
    format!(".{name}.dof-partial-")
}

/// Makes the file for a case of this name in `dir`, and removes those of ingests that are no more.
///
/// # Errors
/// When the directory cannot be written.
pub fn make(dir: &Path, name: &str) -> io::Result<Made> {
    let prefix = prefix(name);
    // For a moment the directory is locked: of two that begin at once, one is the first. Not all file systems can.
    let gate = File::open(dir)?;
    let _ = rustix::fs::flock(&gate, FlockOperation::LockExclusive);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(&prefix);
        if !is_ours || !entry.file_type()?.is_file() {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue; // gone, or another user's
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => fs::remove_file(entry.path())?,
            Err(Errno::WOULDBLOCK) => return Ok(Made::Busy),
            Err(_) => {}
        }
    }
    let file = tempfile::Builder::new().prefix(&prefix).tempfile_in(dir)?;
    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(Made::File(file))
}
