//! A file's content read once, from its first byte to its last: its SHA-256, and its data for whoever wants it too.
//!
//! Holes of a sparse file are not read; they count as the zeros they stand for, as every reader of the file sees them. Zeros cost
//! time all the same, so a file with more than [`MOST_HOLES`] of them has no hash.

use super::{EvidenceFile, stat_fd};
use sha2::{Digest, Sha256};
use std::io;
use std::ops::Range;

/// Most bytes of holes in a file that is hashed: some ten seconds of work.
pub const MOST_HOLES: u64 = 16 << 30;
/// Most parts of data a file is read in; with more its holes are read too.
const MOST_PARTS: usize = 100_000;
/// Bytes read at once.
const BLOCK: usize = 256 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Why a file has no hash.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// More holes than are hashed.
    #[error("{0} bytes of holes, more than the {MOST_HOLES} that are hashed")]
    Holes(u64),
    /// It ended before its size, at this byte.
    #[error("ends at byte {0}, too early")]
    Short(u64),
    /// It was written to meanwhile.
    #[error("changed while it was read")]
    Changed,
    /// It cannot be read at this byte.
    #[error("cannot be read at byte {0}: {1}")]
    Read(u64, io::Error),
    /// What its data was given to failed.
    #[error("{0}")]
    Sink(io::Error),
}

impl EvidenceFile {
    /// Reads all data there is, giving it to `sink` part by part with its place, and hashes it with zeros for the holes.
    /// `None` in place of a hash when there are too many.
    ///
    /// # Errors
    /// The first [`Fault`], but [`Fault::Holes`].
    pub fn digest(
        &self,
        buffer: &mut Vec<u8>,
        mut sink: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<Option<[u8; 32]>, Fault> {
        let size = self.meta.size;
        let parts = match self.meta.blocks.saturating_mul(512) >= size {
            true => Vec::from([Range {
                start: 0,
                end: size,
            }]),
            false => self.data(MOST_PARTS),
        };
        let hashed = holes(size, &parts) <= MOST_HOLES;
        let mut hash = Sha256::new();
        let mut at = 0;
        buffer.resize(BLOCK, 0);
        // The last one is empty: what comes before it may be a hole.
        for part in parts.into_iter().chain(std::iter::once(size..size)) {
            if hashed {
                zeros(&mut hash, part.start - at);
            }
            at = part.start;
            while at < part.end {
                let most = usize::try_from(part.end - at).unwrap_or(BLOCK).min(BLOCK);
                let n = match self.read_at(&mut buffer[..most], at) {
                    Ok(0) => return Err(Fault::Short(at)),
                    Ok(n) => n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(Fault::Read(at, e)),
                };
                if hashed {
                    hash.update(&buffer[..n]);
                }
                sink(at, &buffer[..n]).map_err(Fault::Sink)?;
                at += n as u64;
            }
        }
        let now = stat_fd(&self.file).map_err(|e| Fault::Read(size, e.into()))?;
        if (now.size, now.mtime, now.ctime) != (size, self.meta.mtime, self.meta.ctime) {
            return Err(Fault::Changed);
        }
        Ok(hashed.then(|| hash.finalize().into()))
    }

    /// The SHA-256 of its content.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn sha256(&self, buffer: &mut Vec<u8>) -> Result<[u8; 32], Fault> {
        let size = self.meta.size;
        if size > MOST_HOLES && self.meta.blocks.saturating_mul(512) < size {
            // Known before anything is read in vain.
            let holes = holes(size, &self.data(MOST_PARTS));
            if holes > MOST_HOLES {
                return Err(Fault::Holes(holes));
            }
        }
        self.digest(buffer, |_, _| Ok(()))?
            .ok_or(Fault::Holes(size))
    }
}

fn holes(size: u64, parts: &[Range<u64>]) -> u64 {
    size - parts.iter().map(|p| p.end - p.start).sum::<u64>().min(size)
}

fn zeros(hash: &mut Sha256, mut n: u64) {
    while n > 0 {
        let some = n.min(ZEROS.len() as u64);
        hash.update(&ZEROS[..some as usize]);
        n -= some;
    }
}
