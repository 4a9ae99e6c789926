//! tar-split: the record of the tar archive a layer was shipped as, less the content of its files (vbatts/tar-split
//! tar/storage/entry.go, moby layer/layer_store.go), and the tar headers in it.
//!
//! One JSON object a line: a *segment* holds raw bytes of the archive, base64 (headers, padding, its end); a *file* stands
//! for an entry's content and holds its size and its CRC-64. [`Reader`] takes lines and gives them back as [`Piece`]s, with
//! each file's header read: ustar, GNU's long names, pax records with `SCHILY.xattr.*`, numbers in base 256. It holds no more
//! than one header, so memory does not grow with the archive. Headers are read as Go's archive/tar does, for that is what
//! Docker unpacked the layer with.

use crate::parse::time;
use crate::problem::Defect;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crc::{CRC_64_GO_ISO, Crc, Table};
use serde::Deserialize;
use std::borrow::Cow;

/// The checksum of contents: CRC-64 with the ISO polynomial, as Go's hash/crc64 computes it.
pub const CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_GO_ISO);

/// Bytes of a block.
const BLOCK: usize = 512;
/// Largest extended header, as Go's archive/tar has it.
const EXTENSION_MOST: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A further name of a file in the archive.
    HardLink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// Records for all that follows; nothing on disk.
    Global,
    /// A type that Docker does not unpack.
    Other(u8),
}

/// An entry of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name as the archive has it.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Permissions, setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content, nanoseconds since the epoch.
    pub mtime: i64,
    /// Bytes of content, holes included.
    pub size: u64,
    /// `(major << 32) | minor` of a device.
    pub rdev: u64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Checksum of the content, where there is some.
    pub checksum: Option<u64>,
    /// Whether the archive leaves holes out: its bytes then do not follow from the content.
    pub sparse: bool,
}

impl Entry {
    /// An entry with nothing but a name, and the target of a link.
    pub fn new(kind: Kind, name: Vec<u8>, link: Vec<u8>) -> Entry {
        Entry {
            kind,
            name,
            link,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            rdev: 0,
            xattrs: Vec::new(),
            checksum: None,
            sparse: false,
        }
    }
}

/// A line's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the archive.
    Segment(Vec<u8>),
    /// An entry, whose content comes here.
    Entry(Box<Entry>),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    size: i64,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
}

/// Reads a tar-split line by line.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes of the archive so far.
    at: u64,
    /// Bytes of padding still to come.
    padding: u64,
    /// A block not yet whole.
    block: Vec<u8>,
    /// An extended header: its type, its bytes so far, and how many it has.
    extension: Option<(u8, Vec<u8>, u64)>,
    /// Blocks of zeros in a row; two end the archive.
    zeros: u8,
    pending: Pending,
    ready: Option<Ready>,
}

/// What extended headers say of the next entry.
#[derive(Debug, Default)]
struct Pending {
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// An entry whose file line is awaited.
#[derive(Debug)]
struct Ready {
    entry: Entry,
    /// Bytes of its content in the archive.
    stored: u64,
    /// Whether more of its header may follow: the map of a sparse file.
    more: bool,
}

impl Reader {
    /// Takes a line, without which nothing after it can be trusted: a defect ends the reading.
    ///
    /// # Errors
    /// Says what is wrong with the line, or with the archive it is a part of.
    pub fn line(&mut self, line: &[u8]) -> Result<Piece, Defect> {
        let line: Line<'_> =
            serde_json::from_slice(line).map_err(|e| self.wrong(format!("no tar-split: {e}")))?;
        let payload = match &line.payload {
            Some(text) => BASE64_STANDARD
                .decode(text.as_bytes())
                .map_err(|e| self.wrong(format!("payload is no base64: {e}")))?,
            None => Vec::new(),
        };
        match line.kind {
            2 => {
                self.segment(&payload)?;
                self.at = self.at.saturating_add(payload.len() as u64);
                Ok(Piece::Segment(payload))
            }
            1 => self
                .file(line.size, &payload)
                .map(|e| Piece::Entry(Box::new(e))),
            n => Err(self.wrong(format!("line of type {n}"))),
        }
    }

    /// After the last line.
    ///
    /// # Errors
    /// When the archive ends within an entry.
    pub fn end(&self) -> Result<(), Defect> {
        if self.ready.is_some() || self.extension.is_some() || !self.block.is_empty() {
            return Err(self.wrong("ends within an entry"));
        }
        Ok(())
    }

    fn wrong(&self, what: impl Into<String>) -> Defect {
        Defect::new(
            format!("{} (byte {} of the archive)", what.into(), self.at),
            "nothing",
        )
    }

    fn segment(&mut self, mut bytes: &[u8]) -> Result<(), Defect> {
        while !bytes.is_empty() && self.zeros < 2 {
            if self.padding > 0 {
                let n = usize::try_from(self.padding).map_or(bytes.len(), |p| p.min(bytes.len()));
                self.padding -= n as u64;
                bytes = &bytes[n..];
            } else if let Some((_, data, size)) = &mut self.extension {
                let left = *size - data.len() as u64;
                let n = usize::try_from(left).map_or(bytes.len(), |l| l.min(bytes.len()));
                data.extend_from_slice(&bytes[..n]);
                bytes = &bytes[n..];
                self.extension_read();
            } else if let Some(ready) = &self.ready {
                if !ready.more {
                    return Err(self.wrong("content where a header was expected"));
                }
                return Ok(());
            } else {
                let n = (BLOCK - self.block.len()).min(bytes.len());
                self.block.extend_from_slice(&bytes[..n]);
                bytes = &bytes[n..];
                if self.block.len() == BLOCK {
                    let block = std::mem::take(&mut self.block);
                    self.header(&block)?;
                }
            }
        }
        Ok(())
    }

    /// Takes an extended header in, when it is whole.
    fn extension_read(&mut self) {
        if !matches!(&self.extension, Some((_, data, size)) if data.len() as u64 == *size) {
            return;
        }
        let Some((kind, data, size)) = self.extension.take() else {
            return;
        };
        self.padding = to_block(size);
        match kind {
            b'L' => self.pending.name = Some(until_nul(&data).to_vec()),
            b'K' => self.pending.link = Some(until_nul(&data).to_vec()),
            b'x' => {
                let owned = |(k, v): (&[u8], &[u8])| (k.to_vec(), v.to_vec());
                self.pending.pax = pax_records(&data).map(owned).collect();
            }
            _ => {}
        }
    }

    fn header(&mut self, block: &[u8]) -> Result<(), Defect> {
        if block.iter().all(|&b| b == 0) {
            self.zeros += 1;
            return Ok(());
        }
        if self.zeros > 0 || !checksum_fits(block) {
            return Err(self.wrong("no tar header where one was expected"));
        }
        let number = |at: usize, len: usize| number(&block[at..at + len]);
        let (Some(mode), Some(uid), Some(gid), Some(size), Some(mtime)) = (
            number(100, 8),
            number(108, 8),
            number(116, 8),
            number(124, 12).and_then(|n| u64::try_from(n).ok()),
            number(136, 12),
        ) else {
            return Err(self.wrong("a number of a tar header is none"));
        };
        let flag = block[156];
        if matches!(flag, b'x' | b'L' | b'K' | b'g') {
            if size > EXTENSION_MOST {
                return Err(self.wrong(format!("extended header of {size} bytes")));
            }
            if flag == b'g' {
                self.ready = Some(Ready {
                    entry: self.entry(Kind::Global, block),
                    stored: size,
                    more: true,
                });
            }
            self.extension = Some((flag, Vec::new(), size));
            self.extension_read();
            return Ok(());
        }
        let mut entry = self.entry(Kind::Other(flag), block);
        entry.mode = mode as u32 & 0o7777;
        (entry.uid, entry.gid) = (uid as u32, gid as u32);
        entry.mtime = time::from_parts(mtime, 0);
        entry.size = size;
        let posix = &block[257..265] == b"ustar\x0000";
        let gnu = &block[257..265] == b"ustar  \0";
        if (posix || gnu) && matches!(flag, b'3' | b'4') {
            let part = |at: usize| number(at, 8).and_then(|n| u32::try_from(n).ok());
            let (Some(major), Some(minor)) = (part(329), part(337)) else {
                return Err(self.wrong("a number of a tar header is none"));
            };
            entry.rdev = u64::from(major) << 32 | u64::from(minor);
        }
        let mut stored = size;
        let pending = std::mem::take(&mut self.pending);
        let mut sparse_map = flag == b'S';
        for (key, value) in pending.pax {
            if value.is_empty() {
                continue;
            }
            let id = || decimal(&value).map(|n| n as u32);
            let known = match key.as_slice() {
                b"path" | b"GNU.sparse.name" => {
                    entry.name = value;
                    continue;
                }
                b"linkpath" => {
                    entry.link = value;
                    continue;
                }
                b"uid" => id().map(|n| entry.uid = n),
                b"gid" => id().map(|n| entry.gid = n),
                b"mtime" => time::pax(&value).map(|t| entry.mtime = t),
                b"size" => decimal(&value)
                    .and_then(|n| u64::try_from(n).ok())
                    .map(|n| (entry.size, stored) = (n, n)),
                b"GNU.sparse.major" | b"GNU.sparse.map" => {
                    entry.sparse = true;
                    sparse_map = true;
                    Some(())
                }
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        entry.xattrs.push((name.to_vec(), value));
                    }
                    continue;
                }
            };
            if known.is_none() {
                let key = crate::text::lossless(&key).into_owned();
                return Err(self.wrong(format!("pax record {key} is no number")));
            }
        }
        if let Some(name) = pending.name {
            entry.name = name;
        }
        if let Some(link) = pending.link {
            entry.link = link;
        }
        entry.sparse |= flag == b'S';
        entry.kind = match flag {
            b'0' | 0 if entry.name.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            n => Kind::Other(n),
        };
        if !matches!(entry.kind, Kind::File | Kind::Other(_)) {
            (entry.size, stored) = (0, 0);
        }
        entry.xattrs.sort();
        self.ready = Some(Ready {
            entry,
            stored,
            more: sparse_map,
        });
        Ok(())
    }

    /// An entry with nothing but the name and link of its header.
    fn entry(&self, kind: Kind, block: &[u8]) -> Entry {
        let mut name = until_nul(&block[..100]).to_vec();
        let prefix = match &block[257..265] {
            b"ustar\x0000" if &block[508..512] == b"tar\0" => until_nul(&block[345..476]),
            b"ustar\x0000" => until_nul(&block[345..500]),
            _ => b"",
        };
        if !prefix.is_empty() {
            name = [prefix, b"/", name.as_slice()].concat();
        }
        Entry::new(kind, name, until_nul(&block[157..257]).to_vec())
    }

    fn file(&mut self, size: i64, payload: &[u8]) -> Result<Entry, Defect> {
        let Some(Ready {
            mut entry, stored, ..
        }) = self.ready.take()
        else {
            return Err(self.wrong("content without a header"));
        };
        let size = u64::try_from(size).map_err(|_| self.wrong("content of a negative size"))?;
        if entry.kind == Kind::Global {
            // Read by Go's newer readers, an entry like any other to its older ones.
            self.extension = None;
            (entry.size, entry.sparse) = (size, size > 0);
        } else if entry.sparse {
            entry.size = size;
        } else if matches!(entry.kind, Kind::File) && entry.size != size {
            let what = format!(
                "header and content differ in size: {} and {size}",
                entry.size
            );
            return Err(self.wrong(what));
        }
        if entry.size > 0 {
            let sum: [u8; 8] = payload
                .try_into()
                .map_err(|_| self.wrong("a checksum that is not of 8 bytes"))?;
            entry.checksum = Some(u64::from_be_bytes(sum));
        }
        if entry.kind != Kind::Global || size > 0 {
            self.padding = to_block(stored);
        }
        self.at = self.at.saturating_add(stored);
        Ok(entry)
    }
}

/// Bytes from `size` on to the end of its block.
fn to_block(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    &bytes[..end]
}

/// Whether the checksum of a header is that of its bytes, taken as unsigned or as signed.
fn checksum_fits(block: &[u8]) -> bool {
    let bytes = || {
        block
            .iter()
            .enumerate()
            .map(|(i, &b)| if (148..156).contains(&i) { b' ' } else { b })
    };
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|b| i64::from(b as i8)).sum();
    octal(&block[148..156]).is_some_and(|n| n == unsigned || n == signed)
}

/// A number of a header: octal digits, or two's complement of base 256 after a set bit.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let negative = first & 0x40 != 0;
    let mut n: i128 = if negative { -1 } else { 0 };
    for (i, &b) in field.iter().enumerate() {
        let b = match (i, negative) {
            (0, false) => b & 0x7f,
            _ => b,
        };
        n = n << 8 | i128::from(b);
    }
    i64::try_from(n).ok()
}

fn octal(field: &[u8]) -> Option<i64> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let end = field
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |i| i + 1);
    let digits = until_nul(&field[start..end]);
    if digits.is_empty() {
        return Some(0);
    }
    let text = std::str::from_utf8(digits).ok()?;
    i64::from_str_radix(text, 8).ok()
}

fn decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The records of a pax header (POSIX.1-2001: `LENGTH KEY=VALUE\n`, where the value may hold any bytes), up to the first
/// that is none.
pub fn pax_records(mut data: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let space = memchr::memchr(b' ', data)?;
        let length = usize::try_from(decimal(&data[..space])?).ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = memchr::memchr(b'=', record)?;
        data = &data[length..];
        Some((&record[..equals], &record[equals + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tar::{Builder, EntryType, Header};

    /// Splits an archive as tar-split does: what is content of regular files becomes a file line, the rest segments.
    fn split(archive: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut from = 0;
        let mut ar = tar::Archive::new(archive);
        for entry in ar.entries().unwrap() {
            let entry = entry.unwrap();
            let (at, size) = (entry.raw_file_position() as usize, entry.size() as usize);
            lines.push(segment(&archive[from..at]));
            let sum = CHECKSUM.checksum(&archive[at..at + size]);
            let sum = BASE64_STANDARD.encode(sum.to_be_bytes());
            lines.push(format!(
                "{{\"type\":1,\"name\":\"\",\"size\":{size},\"payload\":\"{sum}\"}}"
            ));
            from = at + size;
        }
        lines.push(segment(&archive[from..]));
        lines
    }

    fn segment(bytes: &[u8]) -> String {
        let payload = BASE64_STANDARD.encode(bytes);
        format!("{{\"type\":2,\"payload\":\"{payload}\",\"position\":0}}")
    }

    fn read(lines: &[String]) -> Result<(Vec<Entry>, Vec<u8>), Defect> {
        let mut reader = Reader::default();
        let (mut entries, mut bytes) = (Vec::new(), Vec::new());
        for line in lines {
            match reader.line(line.as_bytes())? {
                Piece::Segment(b) => bytes.extend(b),
                Piece::Entry(e) => entries.push(*e),
            }
        }
        reader.end().map(|()| (entries, bytes))
    }

    fn put(to: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, content: &[u8]) {
        let mut h = Header::new_gnu();
        h.set_entry_type(kind);
        h.set_mode(0o4755);
        h.set_uid(70_000_000);
        h.set_gid(7);
        h.set_mtime(1_500_000_000);
        h.set_size(content.len() as u64);
        to.append_data(&mut h, name, content).unwrap();
    }

    /// The check value of the catalogue of CRCs; tests/it/verify/ holds it against what Docker wrote.
    #[test]
    fn the_checksum_is_go_s() {
        assert_eq!(CHECKSUM.checksum(b"123456789"), 0xb909_56c7_75a4_1001);
    }

    #[test]
    fn headers_of_all_kinds() {
        let mut tar = Builder::new(Vec::new());
        let long = format!("{}/{}", "d".repeat(150), "n".repeat(200));
        put(&mut tar, "a", EntryType::Regular, b"hello");
        put(&mut tar, &long, EntryType::Regular, b"long");
        tar.append_pax_extensions([
            ("mtime", &b"-1.25"[..]),
            ("SCHILY.xattr.user.x", b"a\nb=c"),
            ("uid", b"4000000000"),
        ])
        .unwrap();
        put(&mut tar, "p", EntryType::Regular, b"");
        let bytes = tar.into_inner().unwrap();
        let (entries, _) = read(&split(&bytes)).unwrap();
        assert_eq!(entries.len(), 3);
        let [a, l, p] = &entries[..] else { panic!() };
        assert_eq!(
            (a.name.as_slice(), a.mode, a.uid, a.gid, a.mtime, a.size),
            (
                &b"a"[..],
                0o4755,
                70_000_000,
                7,
                1_500_000_000_000_000_000,
                5
            )
        );
        assert_eq!(a.checksum, Some(CHECKSUM.checksum(b"hello")));
        assert_eq!(l.name, long.as_bytes());
        assert_eq!((p.uid, p.mtime), (4_000_000_000, -1_250_000_000));
        assert_eq!(p.xattrs, [(b"user.x".to_vec(), b"a\nb=c".to_vec())]);
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"        "), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(
            number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"),
            Some(-2)
        );
        assert_eq!(
            number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
        assert_eq!(number(b"09"), None);
    }

    #[test]
    fn what_is_no_tar_split_is_said() {
        let whole = split(&{
            let mut tar = Builder::new(Vec::new());
            put(&mut tar, "a", EntryType::Regular, b"hello");
            tar.into_inner().unwrap()
        });
        assert!(read(&whole).is_ok());
        for broken in [
            vec!["{".to_owned()],
            vec!["{\"type\":3}".to_owned()],
            vec!["{\"type\":2,\"payload\":\"!\"}".to_owned()],
            vec!["{\"type\":1,\"size\":5,\"payload\":\"AAAAAAAAAAA=\"}".to_owned()],
            vec![segment(&[7; 512])],
            vec![whole[0].clone()],
            vec![
                whole[0].clone(),
                whole[1].replace(":5", ":9000000000000000000"),
            ],
        ] {
            assert!(read(&broken).is_err(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn total(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..5)) {
            let mut reader = Reader::default();
            for line in &lines {
                let _ = reader.line(line);
            }
            let _ = reader.end();
        }

        /// Lines in form, headers with a right checksum and any bytes in their fields, contents of any size.
        #[test]
        fn total_on_headers(blocks in proptest::collection::vec((any::<[u8; 32]>(), 0u8..128, any::<i64>(), any::<bool>()), 1..12)) {
            let mut reader = Reader::default();
            for (noise, flag, size, file) in blocks {
                let mut block = [0u8; 512];
                for (i, b) in noise.iter().enumerate() {
                    block[100 + i] = *b;
                    block[i] = *b;
                    block[330 + i] = *b;
                }
                block[156] = if flag < 100 { b"xgLK0123456S"[flag as usize % 12] } else { flag };
                block[257..265].copy_from_slice(b"ustar\x0000");
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
                block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
                let _ = reader.line(segment(&block).as_bytes());
                if file {
                    let _ = reader.line(format!("{{\"type\":1,\"size\":{size},\"payload\":\"AAAAAAAAAAA=\"}}").as_bytes());
                }
            }
        }

        #[test]
        fn archives_come_back(files in proptest::collection::vec(("[a-z/]{1,300}", any::<Vec<u8>>()), 0..6)) {
            let mut tar = Builder::new(Vec::new());
            let mut want = Vec::new();
            for (name, content) in &files {
                let name = format!("x{}", name.replace("//", "/z"));
                let name = name.trim_end_matches('/');
                put(&mut tar, name, EntryType::Regular, content);
                want.push((name.as_bytes().to_vec(), content.len() as u64));
            }
            let bytes = tar.into_inner().unwrap();
            let (entries, _) = read(&split(&bytes)).unwrap();
            let got: Vec<_> = entries.into_iter().map(|e| (e.name, e.size)).collect();
            prop_assert_eq!(got, want);
        }
    }
}
