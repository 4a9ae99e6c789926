//! Body files: the Sleuth Kit's (3.x, what mactime reads), and as plaso's bodyfile parser reads them.
//!
//! `MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime`. No escaping of `|` satisfies both readers, hence two
//! dialects. mactime decodes `%XX` in every field, so `%` and `|` are written that way; it drops a row whose decoded name
//! holds a newline, so control characters, and those that turn the direction of text, are written as `\xNN` text, and the backslashes of names that hold such a one, or
//! that look as if they did, are doubled: no two names become one. Other bytes pass as they are. plaso reads `\xNN`,
//! `\|` and `\\`, and stops at bytes that are not UTF-8. Times are whole seconds, rounded down.

use super::{Render, plain};
use crate::parse::time::seconds;
use crate::text::unsafe_len;
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// Whose reader the names are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// The Sleuth Kit's mactime
    Mactime,
    /// plaso's bodyfile parser
    Plaso,
}

/// Rows as a body file. Columns are found by name: path, path_hex, inode, mode, uid, gid, size, the four times, link,
/// link_hex, overlay.
pub struct Bodyfile<W: Write> {
    out: W,
    dialect: Dialect,
    columns: Columns,
}

impl<W: Write> Bodyfile<W> {
    /// Into `out`.
    pub fn new(out: W, dialect: Dialect) -> Self {
        Bodyfile {
            out,
            dialect,
            columns: Columns::default(),
        }
    }

    /// The first column a body line cannot do without that these rows lack. `path_hex` tells rows made for body lines, with
    /// numbers for mode and times, from those made to be read.
    pub fn lacking(columns: &[String]) -> Option<&'static str> {
        const NEEDED: [&str; 10] = [
            "path_hex", "path", "inode", "mode", "uid", "gid", "size", "atime", "mtime", "ctime",
        ];
        NEEDED.into_iter().find(|n| !columns.iter().any(|c| c == n))
    }

    fn encode(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut valid = std::str::from_utf8(bytes).is_ok();
        valid |= self.dialect == Dialect::Mactime; // bytes pass
        let doubled = self.dialect == Dialect::Plaso || has_escape(bytes);
        let mut rest = bytes;
        while let Some(&b) = rest.first() {
            let (escaped, after) = rest.split_at(unsafe_len(rest));
            if !escaped.is_empty() {
                escape(escaped, out);
                rest = after;
                continue;
            }
            rest = &rest[1..];
            match (self.dialect, b) {
                (Dialect::Mactime, b'|' | b'%') => {
                    out.extend_from_slice(format!("%{b:02X}").as_bytes())
                }
                (_, b'\\') if doubled => out.extend_from_slice(b"\\\\"),
                (Dialect::Plaso, b'|') => out.extend_from_slice(b"\\|"),
                (Dialect::Plaso, 0x80..) if !valid => escape(&[b], out),
                _ => out.push(b),
            }
        }
    }
}

/// Bytes as `\xNN`.
pub(super) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for b in bytes {
        out.extend_from_slice(format!("\\x{b:02x}").as_bytes());
    }
}

/// Whether a name holds characters that are written as `\xNN`, or text that looks as one does when it is written.
pub(super) fn has_escape(bytes: &[u8]) -> bool {
    let looks = |w: &[u8]| w.starts_with(b"\\x") && w[2..].iter().all(u8::is_ascii_hexdigit);
    (0..bytes.len()).any(|at| unsafe_len(&bytes[at..]) > 0) || bytes.windows(4).any(looks)
}

/// Bytes of a run of hex digits.
pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| (digit(pair[0]) << 4) | digit(pair[1]))
        .collect()
}

/// `r/rrwxr-xr-x`, as fls prints it: type of the name, type and permissions of the inode.
pub(super) fn mode_string(mode: u32, whiteout: bool) -> String {
    let kind = match mode & 0o170_000 {
        _ if whiteout => 'w',
        0o100_000 => 'r',
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let mut s = format!("{kind}/{kind}");
    for (shift, special, set, unset) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = mode >> shift;
        s.push(if bits & 4 != 0 { 'r' } else { '-' });
        s.push(if bits & 2 != 0 { 'w' } else { '-' });
        s.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => set,
            (false, true) => unset,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    s
}

/// A body line before it is written.
#[derive(Debug)]
pub(super) struct Entry {
    path: Vec<u8>,
    link: Vec<u8>,
    pub whiteout: bool,
    pub inode: i64,
    pub mode: u32,
    pub uid: i64,
    pub gid: i64,
    pub size: i64,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    /// 0 where there is none.
    pub crtime: i64,
}

impl Entry {
    /// The name with what a body file has behind it, written by `encode`.
    pub fn name(&self, encode: impl Fn(&[u8], &mut Vec<u8>), out: &mut Vec<u8>) {
        encode(&self.path, out);
        if !self.link.is_empty() {
            out.extend_from_slice(b" -> ");
            encode(&self.link, out);
        }
        if self.whiteout {
            out.extend_from_slice(b" (deleted)");
        }
    }
}

/// Where the columns of a body line stand among those of the rows.
#[derive(Debug, Default)]
pub(super) struct Columns([Option<usize>; 14]);

impl Columns {
    const NAMES: [&str; 14] = [
        "path", "path_hex", "link", "link_hex", "overlay", "inode", "mode", "uid", "gid", "size",
        "atime", "mtime", "ctime", "crtime",
    ];

    pub fn new(columns: &[String]) -> Columns {
        Columns(Self::NAMES.map(|name| columns.iter().position(|c| c == name)))
    }

    pub fn entry(&self, values: &[ValueRef<'_>]) -> Entry {
        let get = |i: usize| self.0[i].map_or(ValueRef::Null, |at| values[at]);
        let number = |i: usize| match get(i) {
            ValueRef::Integer(n) => n,
            _ => 0,
        };
        let bytes = |text: usize, hex: usize| match get(hex) {
            ValueRef::Null => plain(&get(text)).as_bytes().to_vec(),
            hex => unhex(&plain(&hex)),
        };
        Entry {
            path: bytes(0, 1),
            link: bytes(2, 3),
            whiteout: plain(&get(4)).split(',').any(|mark| mark == "whiteout"),
            inode: number(5),
            mode: number(6) as u32,
            uid: number(7),
            gid: number(8),
            size: number(9),
            atime: number(10),
            mtime: number(11),
            ctime: number(12),
            crtime: number(13),
        }
    }
}

impl<W: Write> Render for Bodyfile<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = Columns::new(columns);
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let e = self.columns.entry(values);
        let mut line = b"0|".to_vec();
        e.name(|bytes, out| self.encode(bytes, out), &mut line);
        let rest = format!(
            "|{}|{}|{}|{}|{}|{}|{}|{}|{}\n",
            e.inode,
            mode_string(e.mode, e.whiteout),
            e.uid,
            e.gid,
            e.size,
            seconds(e.atime),
            seconds(e.mtime),
            seconds(e.ctime),
            seconds(e.crtime),
        );
        line.extend_from_slice(rest.as_bytes());
        self.out.write_all(&line)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_fls_prints_them() {
        assert_eq!(mode_string(0o104_755, false), "r/rrwsr-xr-x");
        assert_eq!(mode_string(0o041_777, false), "d/drwxrwxrwt");
        assert_eq!(mode_string(0o102_644, false), "r/rrw-r-Sr--");
        assert_eq!(mode_string(0o020_000, true), "w/w---------");
    }

    #[test]
    fn names_in_both_dialects() {
        let encoded = |dialect, name: &[u8]| {
            let mut out = Vec::new();
            Bodyfile::new(io::sink(), dialect).encode(name, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(
            encoded(Dialect::Mactime, b"a|b%41\n\\x"),
            "a%7Cb%2541\\x0a\\\\x"
        );
        // Two names stay two; a backslash that means nothing stays one.
        assert_eq!(encoded(Dialect::Mactime, b"a\\x0ab"), "a\\\\x0ab");
        assert_eq!(encoded(Dialect::Mactime, b"a\nb"), "a\\x0ab");
        assert_eq!(encoded(Dialect::Mactime, b"a\\b"), "a\\b");
        assert_eq!(
            encoded(Dialect::Plaso, b"a|b%41\n\\x\xff"),
            "a\\|b%41\\x0a\\\\x\\xff"
        );
    }
}
