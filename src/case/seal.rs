//! The seal of a case: its rows counted and its pages digested when dof has written to it, and the holding of a case against
//! it later.

use super::{Case, Error, sqlite};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the database header that change with every transaction: the file change counter, and the version of SQLite
/// that wrote last with the counter it wrote at (sqlite.org/fileformat2.html).
const COUNTERS: [std::ops::Range<usize>; 2] = [24..28, 92..100];
/// Most faults of the structure that are listed.
const MOST_FAULTS: usize = 20;

/// Puts an unfinished seal into a case: rows counted, no digest yet. Part of the transaction whose rows it seals. Gives its
/// serial number.
pub(super) fn begin(db: &Connection, now: i64) -> rusqlite::Result<i64> {
    let rows = serde_json::to_string(&rows(db)?).unwrap_or_default();
    db.query_row(
        "INSERT INTO seal (id, serial, sealed_at, dof_version, rows) VALUES (1, 1, ?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET serial = serial + 1, sealed_at = ?1, dof_version = ?2, rows = ?3, digest = NULL
         RETURNING serial",
        rusqlite::params![now, env!("CARGO_PKG_VERSION"), rows],
        |r| r.get(0),
    )
}

/// Finishes a seal, unless someone wrote to the case since [`begin`].
pub(super) fn finish(db: &Connection, serial: i64, digest: &str) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE seal SET digest = ? WHERE id = 1 AND serial = ? AND digest IS NULL",
        rusqlite::params![digest, serial],
    )
    .map(drop)
}

/// The number of the page the seal stands on.
pub(super) fn page(db: &Connection) -> rusqlite::Result<u64> {
    let page: i64 = db.query_row(
        "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'seal'",
        [],
        |r| r.get(0),
    )?;
    Ok(page.unsigned_abs())
}

/// How many rows each table has.
fn rows(db: &Connection) -> rusqlite::Result<BTreeMap<String, i64>> {
    let mut tables = db.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'seal' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )?;
    let names = tables.query_map([], |r| r.get::<_, String>(0))?;
    names
        .map(|name| {
            let name = name?;
            let quoted = name.replace('"', "\"\"");
            let count = db.query_row(&format!("SELECT count(*) FROM \"{quoted}\""), [], |r| {
                r.get(0)
            })?;
            Ok((name, count))
        })
        .collect()
}

/// Bytes of the file whose digest is worked out at once: a whole number of pages, which have at most 64 KiB.
const PIECE: usize = 1 << 20;

/// The digest of a case's file: of the digests of its pieces, which are worked out in parallel. Nobody may be writing to it;
/// SQLite must not have it open in this process, whose locks would be lost.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn digest(path: &Path, seal_page: u64) -> io::Result<String> {
    let file = File::open(path)?;
    let mut header = [0; 100];
    file.read_exact_at(&mut header, 0)?;
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        n => usize::from(n),
    };
    if page < 512 || !page.is_power_of_two() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a database"));
    }
    let size = file.metadata()?.len();
    let piece = |buffer: &mut Vec<u8>, i: u64| -> io::Result<[u8; 32]> {
        let at = i * PIECE as u64;
        buffer.resize((size - at).min(PIECE as u64) as usize, 0);
        file.read_exact_at(buffer, at)?;
        if i == 0 {
            for range in COUNTERS {
                buffer[range].fill(0);
            }
        }
        let mut sum = Sha256::new();
        for (number, bytes) in (at / page as u64 + 1..).zip(buffer.chunks(page)) {
            if number != seal_page {
                sum.update(bytes);
            }
        }
        Ok(sum.finalize().into())
    };
    let pieces: Vec<[u8; 32]> = (0..size.div_ceil(PIECE as u64))
        .into_par_iter()
        .map_init(Vec::new, piece)
        .collect::<io::Result<_>>()?;
    Ok(format!("{:x}", Sha256::digest(pieces.as_flattened())))
}

/// What holding a case against its seal gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// When it was sealed; nanoseconds.
    pub sealed_at: i64,
    /// The dof that sealed it.
    pub dof_version: String,
    /// The digest of the seal.
    pub sealed: Option<String>,
    /// The digest of the file now.
    pub found: String,
    /// How many rows there are, in all tables.
    pub rows: i64,
    /// What is not as it was, a line each.
    pub faults: Vec<String>,
}

/// Holds a case against its seal. Where the digest differs, says what can be said of it: structure, references, rows.
///
/// # Errors
/// When it is no case, or cannot be read.
pub fn check(path: &Path) -> Result<Check, Error> {
    let err = sqlite(path);
    let io = |source| Error::Io {
        path: path.to_path_buf(),
        source,
    };
    let case = Case::open(path)?;
    let page = page(case.db()).map_err(&err)?;
    drop(case);
    let found = digest(path, page).map_err(io)?;
    let case = Case::open(path)?;
    let db = case.db();
    let mut check = Check {
        found,
        ..Check::default()
    };
    let row = db.query_row(
        "SELECT sealed_at, dof_version, rows, digest FROM seal",
        [],
        |r| Ok((r.get(0)?, r.get(1)?, r.get::<_, String>(2)?, r.get(3)?)),
    );
    let counted: String;
    (check.sealed_at, check.dof_version, counted, check.sealed) = match row {
        Err(rusqlite::Error::QueryReturnedNoRows) => {
            check.faults.push("it has no seal".into());
            return Ok(check);
        }
        row => row.map_err(&err)?,
    };
    let counted: BTreeMap<String, i64> = serde_json::from_str(&counted).unwrap_or_default();
    check.rows = counted.values().sum();
    match &check.sealed {
        None => check.faults.push(
            "its seal is not finished: dof was cut off after its rows were complete; ingest anything again to seal it".into(),
        ),
        Some(sealed) if *sealed == check.found => return Ok(check),
        Some(_) => check.faults.push("its content is not what was sealed".into()),
    }
    let lines = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut stmt = db.prepare(sql)?;
        let rows = stmt.query_map([], |r| r.get(0))?;
        rows.take(MOST_FAULTS).collect()
    };
    let structure =
        lines("SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'");
    // A file that is damaged may stop the check itself.
    check
        .faults
        .extend(structure.unwrap_or_else(|e| vec![e.to_string()]));
    let broken = lines(
        "SELECT format('%s row %s refers to no row of %s', \"table\", rowid, parent) FROM pragma_foreign_key_check",
    );
    check
        .faults
        .extend(broken.unwrap_or_else(|e| vec![e.to_string()]));
    match rows(db) {
        Err(e) => check.faults.push(e.to_string()),
        Ok(now) => {
            for name in counted
                .keys()
                .chain(now.keys().filter(|n| !counted.contains_key(*n)))
            {
                let count = |of: &BTreeMap<String, i64>| {
                    of.get(name)
                        .map_or_else(|| "no table".into(), |n| format!("{n} rows"))
                };
                if counted.get(name) != now.get(name) {
                    check.faults.push(format!(
                        "{name}: {} when sealed, {} now",
                        count(&counted),
                        count(&now)
                    ));
                }
            }
        }
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest as schema/seal.sql words it, and one byte of any page but the seal's changes it.
    #[test]
    fn every_page_counts_but_the_seals() {
        const PAGE: usize = 32768;
        const IN_PIECE: usize = PIECE / PAGE;
        let seal = IN_PIECE + 3; // counted from 1, as SQLite does
        let mut bytes: Vec<u8> = (0..PIECE * 2 + PAGE * 5).map(|i| (i / 7) as u8).collect();
        bytes[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("case.db");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            digest(&path, seal as u64).unwrap()
        };
        let mut known = bytes.clone();
        known[24..28].fill(0);
        known[92..100].fill(0);
        let first = Sha256::digest(&known[..PIECE]);
        let mut second = known[PIECE..2 * PIECE].to_vec();
        second.drain(2 * PAGE..3 * PAGE);
        let (second, third) = (Sha256::digest(second), Sha256::digest(&known[2 * PIECE..]));
        let whole = Sha256::digest([first, second, third].concat());
        let sealed = of(&bytes);
        assert_eq!(sealed, format!("{whole:x}"));
        for page in [
            1,
            2,
            IN_PIECE,
            IN_PIECE + 1,
            IN_PIECE + 2,
            seal,
            seal + 1,
            2 * IN_PIECE + 1,
            2 * IN_PIECE + 5,
        ] {
            let last = page * PAGE - 1;
            bytes[last] ^= 1;
            assert_eq!(of(&bytes) == sealed, page == seal, "page {page}");
            bytes[last] ^= 1;
        }
        for counter in [24, 27, 92, 99] {
            bytes[counter] ^= 1;
            assert_eq!(of(&bytes), sealed, "byte {counter}");
        }
        bytes.truncate(bytes.len() - 1);
        assert_ne!(of(&bytes), sealed);
    }
}
