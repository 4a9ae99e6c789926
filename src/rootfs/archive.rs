//! A merged view as a tar archive: POSIX pax (IEEE Std 1003.1), streamed, nothing unpacked.
//!
//! Owners, modes, access, modification and change times to the nanosecond, extended attributes (`SCHILY.xattr.*`), hard
//! links, devices, names of any bytes; sparse files as GNU tar writes them (format 1.0), so that a sparse terabyte stays
//! small. Sockets are left out: tar has none.

use super::merge::{Node, View};
use crate::evidence::{self, EvidenceFile, Meta, Xattrs};
use crate::parse::time;
use crate::problem::{Defect, Problem, Severity};
use crate::text::lossless;
use rustix::fs::FileType;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::ops::Range;
use tar::{Builder, EntryType, Header};

/// Most parts a sparse file is written in; with more its holes are written out.
const MOST_PARTS: usize = 100_000;
/// Bytes of a block of the archive.
const BLOCK: usize = 512;
/// Largest numbers of a header's fields: of 7 octal digits, and of 11.
const MOST_ID: u32 = 0o777_7777;
const MOST_SIZE: u64 = 0o777_7777_7777;

/// What an archive holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Entries.
    pub entries: u64,
    /// Bytes of content, holes included.
    pub bytes: u64,
    /// Sockets left out.
    pub sockets: u64,
}

/// Writes all the view shows to `out`. What cannot be read goes to `problems`: its metadata stays, zeros stand for its content.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(
    view: &View<'_>,
    out: impl Write,
    mut problems: impl FnMut(Problem),
) -> io::Result<Written> {
    let mut inner = Vec::new();
    let mut archive = Archive {
        view,
        out: Builder::new(out),
        links: HashMap::new(),
        written: Written::default(),
    };
    let mut late = Vec::new();
    view.walk(
        |path, node| archive.entry(path, node, &mut inner),
        |p| late.push(p),
    )?;
    let Archive { out, written, .. } = archive;
    out.into_inner()?.flush()?;
    inner.append(&mut late);
    inner.into_iter().for_each(&mut problems);
    Ok(written)
}

/// The records of an extended header.
#[derive(Default)]
struct Pax(Vec<(String, Vec<u8>)>);

impl Pax {
    fn put(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), value.into()));
    }
}

struct Archive<'v, W: Write> {
    view: &'v View<'v>,
    out: Builder<W>,
    /// The first name of files with several.
    links: HashMap<(usize, usize, (u64, u64)), Vec<u8>>,
    written: Written,
}

impl<W: Write> Archive<'_, W> {
    fn entry(&mut self, path: &[u8], node: &Node, problems: &mut Vec<Problem>) -> io::Result<()> {
        let shown = || format!("/{}", lossless(path));
        let mut fault = |severity, what: String, kept: &str| {
            problems.push(Defect::new(what, kept).in_file(severity, shown()));
        };
        let meta = match node {
            Node::Leaf(leaf) => leaf.meta,
            Node::Dir(dir) => match dir.meta() {
                Ok(meta) => meta,
                Err(e) => {
                    fault(
                        Severity::Error,
                        format!("cannot be read: {e}"),
                        "what is in it",
                    );
                    return Ok(());
                }
            },
        };
        let (kind, mut link) = match meta.kind() {
            FileType::Directory => (EntryType::Directory, Vec::new()),
            FileType::RegularFile => (EntryType::Regular, Vec::new()),
            FileType::Symlink => (EntryType::Symlink, Vec::new()),
            FileType::Fifo => (EntryType::Fifo, Vec::new()),
            FileType::CharacterDevice => (EntryType::Char, Vec::new()),
            FileType::BlockDevice => (EntryType::Block, Vec::new()),
            FileType::Socket | FileType::Unknown => {
                self.written.sockets += 1;
                return Ok(());
            }
        };
        let mut name = path.to_vec();
        if kind == EntryType::Directory {
            name.extend_from_slice(if path.is_empty() { b"./" } else { b"/" });
        }
        let mut pax = Pax::default();
        let mut header = header(&meta, kind, &mut pax);
        if let Node::Leaf(leaf) = node {
            if meta.nlink > 1 {
                if let Some(first) = self.links.get(&leaf.identity()) {
                    header.set_entry_type(EntryType::Link);
                    link.clone_from(first);
                    return self.put(header, &name, &link, pax, io::empty(), 0);
                }
                self.links.insert(leaf.identity(), name.clone());
            }
            if kind == EntryType::Symlink {
                link = match self.view.read_link(leaf) {
                    Ok(target) => target,
                    Err(e) => {
                        fault(
                            Severity::Error,
                            format!("link cannot be read: {e}"),
                            "nothing",
                        );
                        return Ok(());
                    }
                };
            }
        }
        match self.view.xattrs(node) {
            Ok(all) => xattrs(&all, &mut pax),
            Err(e) => fault(
                Severity::Warning,
                format!("extended attributes cannot be read: {e}"),
                "all else",
            ),
        }
        let Node::Leaf(leaf) = node else {
            return self.put(header, &name, &link, pax, io::empty(), 0);
        };
        if kind != EntryType::Regular {
            return self.put(header, &name, &link, pax, io::empty(), 0);
        }
        let file = self.view.content(leaf);
        if let Err(e) = &file {
            let why = match e {
                evidence::Error::Missing => "no layer has its content".to_owned(),
                e => format!("content cannot be read: {e}"),
            };
            fault(Severity::Error, why, "its metadata, zeros for content");
        }
        self.written.bytes += meta.size;
        let lost = self.file(header, name, pax, &meta, file.ok())?;
        if let Some((at, why)) = lost {
            let what = Defect::at(at, why, "what comes before, then zeros");
            problems.push(what.in_file(Severity::Error, shown()));
        }
        Ok(())
    }

    /// Writes a regular file, sparse where it is. Gives where its content could not be read, and why.
    fn file(
        &mut self,
        mut header: Header,
        mut name: Vec<u8>,
        mut pax: Pax,
        meta: &Meta,
        file: Option<EvidenceFile>,
    ) -> io::Result<Option<(u64, String)>> {
        let parts = file.as_ref().map_or_else(Vec::new, |f| f.data(MOST_PARTS));
        // Content of a metacopy may be longer or shorter than the file is now.
        let mut parts: Vec<Range<u64>> = parts
            .into_iter()
            .map(|p| p.start.min(meta.size)..p.end.min(meta.size))
            .filter(|p| p.start < p.end)
            .collect();
        let whole = parts.first() == Some(&(0..meta.size)) || meta.size == 0;
        let mut map = Vec::new();
        if !whole {
            if parts.last().is_none_or(|p| p.end < meta.size) {
                parts.push(meta.size..meta.size);
            }
            let mut text = format!("{}\n", parts.len());
            for p in &parts {
                text.push_str(&format!("{}\n{}\n", p.start, p.end - p.start));
            }
            map = text.into_bytes();
            map.resize(map.len().next_multiple_of(BLOCK), 0);
            pax.put("GNU.sparse.major", "1");
            pax.put("GNU.sparse.minor", "0");
            pax.put("GNU.sparse.name", name.clone());
            pax.put("GNU.sparse.realsize", meta.size.to_string());
            let at = name.iter().rposition(|&b| b == b'/').map_or(0, |i| i + 1);
            name.splice(at..at, *b"GNUSparseFile.0/");
        }
        let stored: u64 = parts.iter().map(|p| p.end - p.start).sum();
        let size = map.len() as u64 + stored;
        if size > MOST_SIZE {
            pax.put("size", size.to_string());
        }
        header.set_size(size);
        let mut content = Content {
            file,
            parts: parts.into_iter(),
            now: 0..0,
            lost: None,
        };
        self.put(header, &name, &[], pax, map.chain(&mut content), size)?;
        Ok(content.lost)
    }

    fn put(
        &mut self,
        mut header: Header,
        name: &[u8],
        link: &[u8],
        mut pax: Pax,
        content: impl Read,
        size: u64,
    ) -> io::Result<()> {
        fn field(key: &str, value: &[u8], space: &mut [u8], pax: &mut Pax) {
            let n = value.len().min(space.len());
            space[..n].copy_from_slice(&value[..n]);
            if value.len() > space.len() || !value.is_ascii() {
                pax.put(key, value);
            }
        }
        let old = header.as_old_mut();
        field("path", name, &mut old.name, &mut pax);
        field("linkpath", link, &mut old.linkname, &mut pax);
        header.set_size(size);
        header.set_cksum();
        let records = pax.0.iter().map(|(k, v)| (k.as_str(), v.as_slice()));
        self.out.append_pax_extensions(records)?;
        self.written.entries += 1;
        self.out.append(&header, content)
    }
}

/// A header with all of the metadata, what does not fit it in `pax`.
fn header(meta: &Meta, kind: EntryType, pax: &mut Pax) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(meta.mode & 0o7777);
    header.set_uid(meta.uid.into());
    header.set_gid(meta.gid.into());
    for (key, id) in [("uid", meta.uid), ("gid", meta.gid)] {
        if id > MOST_ID {
            pax.put(key, id.to_string());
        }
    }
    let whole = u64::try_from(time::seconds(meta.mtime)).unwrap_or(0);
    header.set_mtime(whole.min(MOST_SIZE));
    for (key, ns) in [
        ("mtime", meta.mtime),
        ("atime", meta.atime),
        ("ctime", meta.ctime),
    ] {
        pax.put(key, time::pax_text(ns));
    }
    if matches!(kind, EntryType::Char | EntryType::Block) {
        let (major, minor) = ((meta.rdev >> 32) as u32, meta.rdev as u32);
        // A ustar header always has these fields; numbers past 2^21 go in its binary form.
        let _ = header.set_device_major(major);
        let _ = header.set_device_minor(minor);
    }
    header
}

/// Attributes as records; `=` and `%` in their names as GNU tar writes them.
fn xattrs(all: &Xattrs, pax: &mut Pax) {
    for (name, value) in all {
        let name = lossless(name).replace('%', "%25").replace('=', "%3D");
        pax.put(format!("SCHILY.xattr.{name}"), value.clone());
    }
}

/// The parts of a file one after the other, exactly as long as announced: zeros stand for what cannot be read.
struct Content {
    file: Option<EvidenceFile>,
    parts: std::vec::IntoIter<Range<u64>>,
    now: Range<u64>,
    lost: Option<(u64, String)>,
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.parts.next() {
                Some(next) => self.now = next,
                None => return Ok(0),
            }
        }
        let most = usize::try_from(self.now.end - self.now.start).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        let buf = &mut buf[..most];
        let read = match &self.file {
            Some(file) => file.read_at(buf, self.now.start),
            None => Ok(0),
        };
        let n = match read {
            Ok(n) if n > 0 => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return self.read(buf),
            none => {
                let why = none.map_or_else(|e| e.to_string(), |_| "ends too early".into());
                self.lost.get_or_insert((self.now.start, why));
                // A page at a time: what comes after a bad block may be fine.
                let zeros = buf.len().min(4096 - (self.now.start % 4096) as usize);
                buf[..zeros].fill(0);
                zeros
            }
        };
        self.now.start += n as u64;
        Ok(n)
    }
}
