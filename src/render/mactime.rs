//! What the Sleuth Kit's mactime prints of a body file, without the way through one: its columns, or its `-d` (CSV).
//!
//! Byte for byte what `mactime -z UTC` (4.11) prints of the lines [`super::Bodyfile`] writes. One line a second, inode and name, with
//! the flags of all times in it; in the order of a string comparison of the three; size, mode and owner are those of the
//! name's last line; times before 1970 are left out, and those of its first second stand as `Xxx Xxx 00 0000 00:00:00`, which
//! is also where a file system that keeps no birth puts it.
//!
//! Sorting needs all rows: some 200 bytes a file are held until the end.

use super::Render;
use super::bodyfile::{Columns, Entry, escape, has_escape, mode_string};
use crate::parse::time;
use crate::stderr;
use crate::text::unsafe_len;
use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

/// Rows as mactime prints them.
pub struct Mactime<W: Write> {
    out: W,
    csv: bool,
    /// First and past-the-last moment that is printed, in nanoseconds.
    window: (Option<i64>, Option<i64>),
    columns: Columns,
    /// Files with a time in the window that is before 1970, which mactime does not show.
    early: u64,
    names: Vec<Name>,
    by_name: HashMap<Arc<[u8]>, u32>,
    moments: Vec<Moment>,
}

/// What mactime keeps by name.
struct Name {
    name: Arc<[u8]>,
    mode: u32,
    whiteout: bool,
    uid: i64,
    gid: i64,
    size: i64,
}

/// A file in a second.
struct Moment {
    second: i64,
    inode: i64,
    name: u32,
    /// 1 = accessed, 2 = modified, 4 = changed, 8 = born.
    macb: u8,
}

impl<W: Write> Mactime<W> {
    /// Into `out`, moments from `window.0` on and before `window.1` only.
    pub fn new(out: W, csv: bool, window: (Option<i64>, Option<i64>)) -> Self {
        Mactime {
            out,
            csv,
            window,
            columns: Columns::default(),
            early: 0,
            names: Vec::new(),
            by_name: HashMap::new(),
            moments: Vec::new(),
        }
    }

    fn name(&mut self, entry: &Entry) -> u32 {
        let mut bytes = Vec::new();
        entry.name(shown, &mut bytes);
        let bytes: Arc<[u8]> = bytes.into();
        let row = Name {
            name: bytes.clone(),
            mode: entry.mode,
            whiteout: entry.whiteout,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
        };
        match self.by_name.get(&bytes) {
            Some(&at) => {
                self.names[at as usize] = row;
                at
            }
            None => {
                let at = self.names.len() as u32;
                self.names.push(row);
                self.by_name.insert(bytes, at);
                at
            }
        }
    }
}

/// A name as mactime shows it: what the body file encodes for it comes out as it was, control characters stay text.
fn shown(name: &[u8], out: &mut Vec<u8>) {
    let doubled = has_escape(name);
    let mut rest = name;
    while let Some(&b) = rest.first() {
        let (escaped, after) = rest.split_at(unsafe_len(rest));
        rest = if escaped.is_empty() {
            &rest[1..]
        } else {
            after
        };
        if !escaped.is_empty() {
            escape(escaped, out);
        } else if b == b'\\' && doubled {
            out.extend_from_slice(b"\\\\");
        } else {
            out.push(b);
        }
    }
}

impl<W: Write> Render for Mactime<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = Columns::new(columns);
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let entry = self.columns.entry(values);
        // In the order of the flags' bits.
        let times = [entry.atime, entry.mtime, entry.ctime, entry.crtime];
        let first = self.window.0.unwrap_or(0).max(0);
        let asked = |t: i64| {
            self.window.0.is_none_or(|since| t >= since)
                && self.window.1.is_none_or(|until| t < until)
        };
        self.early += u64::from(times.iter().any(|&t| t < 0 && asked(t)));
        let seconds = times.map(time::seconds);
        if seconds == [0; 4] || times.iter().all(|&t| t < first) {
            return Ok(());
        }
        let name = self.name(&entry);
        for (i, &second) in seconds.iter().enumerate() {
            let inside = |t: i64| t >= first && self.window.1.is_none_or(|past| t < past);
            let same = |j: &usize| seconds[*j] == second && inside(times[*j]);
            let flags = (0..4).filter(same).fold(0, |bits, j| bits | 1 << j);
            // Once, at the first of the equal ones.
            if flags & ((1 << i) - 1) == 0 && flags & (1 << i) != 0 {
                self.moments.push(Moment {
                    second,
                    inode: entry.inode,
                    name,
                    macb: flags,
                });
            }
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.by_name = HashMap::new();
        if self.early > 0 {
            stderr::line(format_args!(
                "dof: {} files have times before 1970, which mactime does not show (--format csv does)",
                self.early
            ));
        }
        let names = &self.names;
        let name = |m: &Moment| &names[m.name as usize];
        // mactime compares "second,inode,name" as text. A comma comes before any digit, so a shorter inode comes first.
        self.moments.sort_unstable_by(|a, b| {
            (a.second.cmp(&b.second))
                .then_with(|| compare_as_text(a.inode, b.inode))
                .then_with(|| name(a).name.cmp(&name(b).name))
        });
        self.moments.dedup_by(|next, kept| {
            let same = (next.second, next.inode, next.name) == (kept.second, kept.inode, kept.name);
            if same {
                kept.macb |= next.macb;
            }
            same
        });
        if self.csv {
            self.out
                .write_all(b"Date,Size,Type,Mode,UID,GID,Meta,File Name\n")?;
        }
        let mut date = String::new();
        let mut shown = None;
        for m in &self.moments {
            let repeated = shown == Some(m.second);
            if !repeated {
                date = date_text(m.second);
                shown = Some(m.second);
            }
            let n = name(m);
            let flag = |bit: u8, letter: char| if m.macb & bit != 0 { letter } else { '.' };
            let flags: String = [flag(2, 'm'), flag(1, 'a'), flag(4, 'c'), flag(8, 'b')]
                .iter()
                .collect();
            let mode = mode_string(n.mode, n.whiteout);
            let (size, uid, gid, inode) = (n.size, n.uid, n.gid, m.inode);
            if self.csv {
                write!(
                    self.out,
                    "{date},{size},{flags},{mode},{uid},{gid},{inode},\""
                )?;
                for &b in n.name.iter() {
                    self.out.write_all(if b == b'"' {
                        b"\"\""
                    } else {
                        std::slice::from_ref(&b)
                    })?;
                }
                self.out.write_all(b"\"\n")?;
            } else {
                let date = if repeated { "" } else { date.as_str() };
                write!(
                    self.out,
                    "{date:24} {size:>8} {flags} {mode} {uid:<8} {gid:<8} {inode:<8} "
                )?;
                self.out.write_all(&n.name)?;
                self.out.write_all(b"\n")?;
            }
        }
        self.out.flush()
    }
}

fn compare_as_text(a: i64, b: i64) -> std::cmp::Ordering {
    if a == b {
        return std::cmp::Ordering::Equal;
    }
    a.to_string().cmp(&b.to_string())
}

/// `Mon May 27 2019 14:12:11`.
fn date_text(second: i64) -> String {
    match DateTime::<Utc>::from_timestamp(second, 0) {
        Some(t) if second != 0 => t.format("%a %b %d %Y %H:%M:%S").to_string(),
        _ => "Xxx Xxx 00 0000 00:00:00".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_in_the_order_of_text() {
        let mut inodes = [9, 100, 10, 99, -1];
        inodes.sort_by(|a, b| compare_as_text(*a, *b));
        assert_eq!(inodes, [-1, 10, 100, 9, 99]);
    }
}
