//! The seal of a case: each of dof's tables and indexes digested page by page when dof has written to it, and the holding of a
//! case against it later. `schema/seal.sql` says how the digest is made.

use super::objects::{self, Found};
use super::{Error, beside, connection, sqlite};
use crate::parse::sqlite_file::{self, Leads};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Most faults of the structure that are listed.
const MOST_FAULTS: usize = 20;
/// Bytes that are read at once, in whole pages.
const PIECE: usize = 1 << 20;

/// A table or index as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Object {
    /// How many rows a table has.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<i64>,
    /// The digest of its pages, in hex.
    sha256: String,
}

/// What is sealed, by name.
type Objects = BTreeMap<String, Object>;

/// The words of a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seal {
    serial: i64,
    sealed_at: i64,
    dof_version: String,
    arguments: String,
    objects: String,
    own: String,
    digest: Option<String>,
}

impl Seal {
    /// The seal of a case, if it has one.
    fn read(db: &Connection) -> rusqlite::Result<Option<Seal>> {
        let sql = "SELECT serial, sealed_at, dof_version, arguments, objects, own, digest FROM main.seal WHERE id = 1";
        db.query_row(sql, [], |r| {
            Ok(Seal {
                serial: r.get(0)?,
                sealed_at: r.get(1)?,
                dof_version: r.get(2)?,
                arguments: r.get(3)?,
                objects: r.get(4)?,
                own: r.get(5)?,
                digest: r.get(6)?,
            })
        })
        .optional()
    }

    /// The digest that these words make.
    fn digest(&self) -> String {
        let Seal {
            serial,
            sealed_at,
            dof_version,
            arguments,
            objects,
            own,
            digest: _,
        } = self;
        let words =
            format!("{serial}\n{sealed_at}\n{dof_version}\n{arguments}\n{objects}\n{own}\n");
        format!("{:x}", Sha256::digest(words))
    }
}

/// How dof was called, as a JSON array.
pub(super) fn arguments() -> String {
    let all = std::env::args_os().skip(1);
    let all: Vec<String> = all.map(|a| a.to_string_lossy().into_owned()).collect();
    json(&all)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Seals what was written in the open transaction of `db`, whose file is `file`; its pages go there first. Part of that
/// transaction.
///
/// # Errors
/// When SQLite fails, or the file cannot be read.
pub(super) fn write(db: &Connection, file: &File, path: &Path, now: i64) -> Result<(), Error> {
    let err = sqlite(path);
    let serial: i64 = db
        .query_row("SELECT coalesce(max(serial), 0) + 1 FROM seal", [], |r| {
            r.get(0)
        })
        .map_err(&err)?;
    db.cache_flush().map_err(&err)?;
    // The disk has time to write while the digests are worked out.
    let (objects, synced) = std::thread::scope(|scope| {
        let synced = scope.spawn(|| file.sync_all());
        (measure(db, file, path, true), synced.join())
    });
    if let Ok(Err(source)) = synced {
        return Err(Error::Io {
            path: path.to_path_buf(),
            source,
        });
    }
    let mut seal = Seal {
        serial,
        sealed_at: now,
        dof_version: env!("CARGO_PKG_VERSION").into(),
        arguments: arguments(),
        objects: json(&objects?),
        own: json(&objects::find(db).map_err(&err)?.own),
        digest: None,
    };
    seal.digest = Some(seal.digest());
    db.execute(
        "INSERT OR REPLACE INTO seal (id, serial, sealed_at, dof_version, arguments, objects, own, digest) VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        rusqlite::params![seal.serial, seal.sealed_at, seal.dof_version, seal.arguments, seal.objects, seal.own, seal.digest],
    )
    .map(drop)
    .map_err(err)
}

/// Counts the rows and digests the pages of each table and index of dof's that is there, but for the seal's own. Before SQLite
/// reads a row, all trees of pages are held to be sound, whoever made them, and no page that is in use to be on the list of
/// free ones: SQLite writes to those without a way back.
///
/// While dof writes, SQLite keeps the first page, where the schema and that list begin, to itself until it commits; both were held
/// before.
fn measure(db: &Connection, file: &File, path: &Path, writing: bool) -> Result<Objects, Error> {
    let err = sqlite(path);
    let io = |source| Error::Io {
        path: path.to_path_buf(),
        source,
    };
    let page_size: usize = db
        .query_row("PRAGMA page_size", [], |r| r.get::<_, u32>(0))
        .map_err(&err)? as usize;
    let mut pages = Pages::read(file, page_size).map_err(io)?;
    if !writing {
        pages.tree(1).map_err(io)?;
    }
    let mut trees = BTreeMap::new();
    for (name, root) in objects::roots(db).map_err(&err)? {
        trees.insert(name, pages.tree(root).map_err(io)?);
    }
    if !writing {
        pages.free(file).map_err(io)?;
    }
    let mut found = Objects::new();
    for (name, is_table) in objects::stored().filter(|o| o.0 != "seal") {
        let Some(sha256) = trees.remove(name) else {
            continue;
        };
        let count = format!("SELECT count(*) FROM main.\"{name}\"");
        let rows = is_table.then(|| db.query_row(&count, [], |r| r.get(0)));
        let rows = rows.transpose().map_err(&err)?;
        found.insert(name.to_owned(), Object { rows, sha256 });
    }
    Ok(found)
}

/// A page of a case's file.
struct Page {
    sha256: [u8; 32],
    /// Where it leads as a page of a tree.
    leads: Option<Leads>,
    /// Where it leads as one of overflow.
    next: Leads,
    /// Whether a tree had it already: no page is in two places of a sound file.
    met: bool,
}

fn damaged() -> io::Error {
    io::Error::other("damaged: its pages are used more than once, or lead nowhere")
}

/// All pages of a case's file.
struct Pages {
    all: Vec<Page>,
    size: usize,
}

impl Pages {
    /// Reads and digests them, in parallel.
    fn read(file: &File, size: usize) -> io::Result<Pages> {
        let count = file.metadata()?.len() / size as u64;
        let at_once = (PIECE / size).max(1) as u64;
        let piece = |buffer: &mut Vec<u8>, n: u64| -> io::Result<Vec<Page>> {
            let first = n * at_once;
            buffer.resize((count - first).min(at_once) as usize * size, 0);
            file.read_exact_at(buffer, first * size as u64)?;
            let page = |(at, bytes): (u64, &[u8])| Page {
                sha256: Sha256::digest(bytes).into(),
                leads: sqlite_file::leads(bytes, if at == 0 { sqlite_file::HEADER } else { 0 }),
                next: sqlite_file::next_overflow(bytes),
                met: false,
            };
            Ok((first..).zip(buffer.chunks(size)).map(page).collect())
        };
        let pieces = (0..count.div_ceil(at_once)).into_par_iter();
        let pages: io::Result<Vec<Vec<Page>>> = pieces.map_init(Vec::new, piece).collect();
        let all = pages?.into_iter().flatten().collect();
        Ok(Pages { all, size })
    }

    /// A page that nothing had before.
    fn meet(&mut self, number: u32) -> io::Result<&mut Page> {
        let at = (number as usize).checked_sub(1);
        let page = at
            .and_then(|at| self.all.get_mut(at))
            .filter(|page| !page.met);
        let page = page.ok_or_else(damaged)?;
        page.met = true;
        Ok(page)
    }

    /// Goes through the list of free pages, none of which may be in use.
    fn free(&mut self, file: &File) -> io::Result<()> {
        let mut header = [0; sqlite_file::HEADER];
        file.read_exact_at(&mut header, 0)?;
        let (mut trunk, count) = sqlite_file::free(&header).ok_or_else(damaged)?;
        let mut left = u64::from(count);
        let mut bytes = vec![0; self.size];
        while trunk != 0 {
            self.meet(trunk)?;
            file.read_exact_at(&mut bytes, u64::from(trunk - 1) * self.size as u64)?;
            let (next, leaves) = sqlite_file::trunk(&bytes).ok_or_else(damaged)?;
            left = left
                .checked_sub(1 + leaves.len() as u64)
                .ok_or_else(damaged)?;
            for leaf in leaves {
                self.meet(leaf)?;
            }
            trunk = next;
        }
        if left == 0 { Ok(()) } else { Err(damaged()) }
    }

    /// The digest of the tree with this root.
    fn tree(&mut self, root: u32) -> io::Result<String> {
        let mut all = Vec::new();
        sqlite_file::walk(root, |number, in_tree| {
            let page = self.meet(number)?;
            all.push(number);
            match in_tree {
                true => page.leads.take().ok_or_else(damaged),
                false => Ok(std::mem::take(&mut page.next)),
            }
        })?;
        all.sort_unstable();
        let mut sum = Sha256::new();
        for number in all {
            sum.update(number.to_be_bytes());
            sum.update(self.all[number as usize - 1].sha256);
        }
        Ok(format!("{:x}", sum.finalize()))
    }
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
    /// The digest of the case now.
    pub found: String,
    /// How many rows there are, in all of dof's tables.
    pub rows: i64,
    /// What is not as it was, a line each.
    pub faults: Vec<String>,
    /// Tables, views and indexes that are not dof's.
    pub own: Vec<String>,
    /// Those of them that were not there when the case was sealed, or had another text.
    pub new: Vec<String>,
    /// Changes that were accepted when dof wrote to the case, a line each.
    pub accepted: Vec<String>,
}

/// Holds a case, whose file is `file`, against its seal. Says what differs, table by table.
///
/// # Errors
/// When it cannot be read.
pub(super) fn hold(db: &Connection, file: &File, path: &Path) -> Result<Check, Error> {
    let err = sqlite(path);
    let Found { faults, own } = objects::find(db).map_err(&err)?;
    let mut check = Check {
        faults,
        own: own.keys().cloned().collect(),
        ..Check::default()
    };
    let is_made_by_dof = check.faults.is_empty();
    let words = |fault: &String| {
        let what = fault.split(": ").next().unwrap_or_default();
        what.ends_with(" seal") || what.ends_with(" accepted_change")
    };
    if check.faults.iter().any(words) {
        return Ok(check);
    }
    let now = match measure(db, file, path, false) {
        // Nothing more is read where pages are not sound: SQLite might go through them for ever.
        Err(e) => {
            check.faults.push(e.to_string());
            return Ok(check);
        }
        Ok(now) => now,
    };
    check.rows = now.values().filter_map(|o| o.rows).sum();
    check.accepted = accepted(db).map_err(&err)?;
    let Some(mut seal) = Seal::read(db).map_err(&err)? else {
        check.faults.push("it has no seal".into());
        return Ok(check);
    };
    let seals: i64 = db
        .query_row("SELECT count(*) FROM main.seal", [], |r| r.get(0))
        .map_err(&err)?;
    if seals != 1 {
        let what = format!("it has {seals} seals, where dof makes one");
        check.faults.push(what);
    }
    check.sealed_at = seal.sealed_at;
    check.dof_version.clone_from(&seal.dof_version);
    check.sealed.clone_from(&seal.digest);
    if seal.digest.as_ref() != Some(&seal.digest()) {
        let what = "the words of its seal are not those that were sealed";
        check.faults.push(what.into());
    }
    let sealed: Objects = serde_json::from_str(&seal.objects).unwrap_or_default();
    let known: BTreeMap<String, String> = serde_json::from_str(&seal.own).unwrap_or_default();
    let new = own
        .iter()
        .filter(|(name, sql)| known.get(*name) != Some(sql));
    check.new = new.map(|(name, _)| name.clone()).collect();
    check.faults.extend(differences(&sealed, &now));
    seal.objects = json(&now);
    check.found = seal.digest();
    // Not where there are objects that act on dof's: SQLite would evaluate them.
    if is_made_by_dof && !check.faults.is_empty() {
        connection::limit(db, connection::UNTRUSTED).map_err(&err)?;
        check.faults.extend(structure(db));
        connection::unlimited(db).map_err(&err)?;
    }
    Ok(check)
}

/// What became of each table and index since it was sealed.
fn differences(sealed: &Objects, now: &Objects) -> Vec<String> {
    let names = sealed
        .keys()
        .chain(now.keys().filter(|n| !sealed.contains_key(*n)));
    let rows = |o: Option<&Object>| match o {
        None => "not there".to_owned(),
        Some(Object { rows: Some(n), .. }) => format!("{n} rows"),
        Some(_) => "there".into(),
    };
    names
        .filter(|name| sealed.get(*name) != now.get(*name))
        .map(|name| {
            let (before, after) = (sealed.get(name), now.get(name));
            match (before.and_then(|o| o.rows), after.and_then(|o| o.rows)) {
                (Some(a), Some(b)) if a == b => {
                    format!("{name}: not as it was sealed, though it has {a} rows as then")
                }
                (None, None) if before.is_some() && after.is_some() => {
                    format!("index {name}: not as it was sealed")
                }
                _ => format!("{name}: {} when sealed, {} now", rows(before), rows(after)),
            }
        })
        .collect()
}

/// What SQLite itself finds wrong with dof's tables.
fn structure(db: &Connection) -> Vec<String> {
    let lines = |sql: &str, table: &str| -> rusqlite::Result<Vec<String>> {
        let mut stmt = db.prepare(sql)?;
        let rows = stmt.query_map([table], |r| r.get(0))?;
        rows.take(MOST_FAULTS).collect()
    };
    let mut all = Vec::new();
    for (table, _) in objects::stored().filter(|o| o.1) {
        for sql in [
            "SELECT integrity_check FROM pragma_integrity_check(?) WHERE integrity_check <> 'ok'",
            "SELECT format('%s row %s refers to no row of %s', \"table\", rowid, parent) FROM pragma_foreign_key_check(?)",
        ] {
            // A file that is damaged may stop the check itself.
            all.extend(lines(sql, table).unwrap_or_else(|e| vec![e.to_string()]));
        }
    }
    all.truncate(2 * MOST_FAULTS);
    all
}

/// The digests of the trees of these root pages.
///
/// # Errors
/// When the file cannot be read, or one of them is not sound.
pub(super) fn trees(file: &File, page_size: u32, roots: &[u32]) -> io::Result<Vec<String>> {
    let mut pages = Pages::read(file, page_size as usize)?;
    roots.iter().map(|root| pages.tree(*root)).collect()
}

fn accepted(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut stmt =
        db.prepare("SELECT accepted_at, accepted_by, what FROM main.accepted_change ORDER BY id")?;
    let rows = stmt.query_map([], |r| {
        let at = crate::parse::time::rfc3339_nano(r.get(0)?);
        let what: Vec<String> = serde_json::from_str(&r.get::<_, String>(2)?).unwrap_or_default();
        Ok(format!(
            "{at} by {}: {}",
            r.get::<_, String>(1)?,
            what.join("; ")
        ))
    })?;
    rows.collect()
}

/// Records that changes by others were accepted. Part of the open transaction.
pub(super) fn accept(db: &Connection, what: &[String], now: i64) -> rusqlite::Result<()> {
    let names = ["SUDO_USER", "USER", "LOGNAME"].iter().filter_map(|name| {
        Some(format!(
            "{name}={}",
            std::env::var_os(name)?.to_string_lossy()
        ))
    });
    let machine = rustix::system::uname();
    let mut by = format!("uid {}", rustix::process::getuid().as_raw());
    names.for_each(|name| by.push_str(&format!(" {name}")));
    by.push_str(&format!(" on {}", machine.nodename().to_string_lossy()));
    db.execute(
        "INSERT INTO accepted_change (accepted_at, accepted_by, dof_version, arguments, what) VALUES (?, ?, ?, ?, ?)",
        rusqlite::params![now, by, env!("CARGO_PKG_VERSION"), arguments(), json(&what)],
    )
    .map(drop)
}

/// Holds a case against its seal, read-only, whatever else is wrong with it.
///
/// # Errors
/// When it is no case, cannot be read, or something was cut off beside it.
pub fn check(path: &Path) -> Result<Check, Error> {
    let seen = beside::look(path)?;
    seen.settled()?;
    let copy = seen.makes_files().then(|| seen.copy()).transpose()?;
    let file = copy.as_ref().map_or(seen.path.as_path(), |c| c.path());
    let db = connection::reading(file, path)?;
    let check = hold(&db, &seen.file, path);
    drop(db); // before the file is closed, which would drop SQLite's locks
    check
}
