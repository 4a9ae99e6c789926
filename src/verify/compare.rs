//! A layer's directory on disk against what it was shipped as: every place, every attribute, every content.
//!
//! The directory is walked by descriptors and no link in it is followed. Contents are read once: in the order of the
//! archive when it is put together again, by path otherwise.

use super::owners::Owners;
use super::shipped::{Is, Node, Shipped, record, split};
use super::{Change, Finding};
use crate::engine::Marks;
use crate::evidence::walk::{self, Buffer, OpenDir};
use crate::evidence::{self, Evidence, EvidenceFile, EvidencePath, Meta, Xattrs};
use crate::overlay::compare::OF_HOST;
use crate::parse::tar_split::{CHECKSUM, Kind, Piece};
use crate::parse::time::{rfc3339_nano, seconds};
use crate::text::lossless;
use rustix::fs::FileType;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::io::Read;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// Largest file that is read, in bytes.
const FILE_MOST: u64 = 1 << 40;

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Compared {
    /// What differs.
    pub findings: Vec<Finding>,
    /// Bytes of content read.
    pub bytes: u64,
    /// What is to be said of the comparison itself.
    pub notes: Vec<String>,
    /// SHA-256 of the archive put together again, where that was asked for and could be.
    pub sha256: Option<String>,
}

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// How the driver marks deletions.
    pub marks: Marks,
    /// Whether the driver keeps full copies.
    pub copies: bool,
    /// Whether the directory is the one a build step wrote to, and the archive was made from it, not it from the archive.
    pub in_place: bool,
    /// How owners were shifted.
    pub owners: &'a Owners,
}

struct Comparison<'a> {
    how: How<'a>,
    shipped: &'a mut Shipped,
    done: Compared,
    /// Device and inode of places that are one file with another.
    inodes: HashMap<Vec<u8>, (u64, u64)>,
    /// Owners to be compared once it is known how they are shifted: path, in the archive, on disk.
    owners: Vec<(Vec<u8>, [u32; 2], [u32; 2])>,
}

/// Compares the tree below `root` with what was shipped. `full` names the record of the archive to put together again.
pub fn compare(
    evidence: &Evidence,
    root: &OpenDir,
    shipped: &mut Shipped,
    how: How<'_>,
    full: Option<&EvidencePath>,
) -> Compared {
    let mut c = Comparison {
        how,
        shipped,
        done: Compared::default(),
        inodes: HashMap::new(),
        owners: Vec::new(),
    };
    c.root(root);
    c.walk(root);
    c.links();
    c.missing();
    c.owners_shifted();
    let mut read = BTreeSet::new();
    if let Some(path) = full {
        c.put_together(evidence, root, path, &mut read);
    }
    c.contents(root, &read);
    // By path; of one path in the order they were found.
    c.done.findings.sort_by(|a, b| a.path.cmp(&b.path));
    c.done
}

/// What stands at a place, in few words.
pub(super) fn describe(meta: &Meta, marks: Marks) -> String {
    let kind = kind_of(meta, marks);
    match meta.kind() {
        FileType::RegularFile => format!(
            "{kind} {} {} bytes",
            rights(meta.mode, meta.uid, meta.gid),
            meta.size
        ),
        FileType::Symlink => format!("{kind} {}:{}", meta.uid, meta.gid),
        _ => format!("{kind} {}", rights(meta.mode, meta.uid, meta.gid)),
    }
}

fn rights(mode: u32, uid: u32, gid: u32) -> String {
    format!("{:04o} {uid}:{gid}", mode & 0o7777)
}

fn kind_of(meta: &Meta, marks: Marks) -> &'static str {
    match meta.kind() {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice if meta.rdev == 0 && marks.by_device() => "whiteout",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "unknown object",
    }
}

/// What an entry becomes on disk.
fn word(node: &Node, marks: Marks) -> &'static str {
    match node.is {
        Is::Entry(Kind::Character) if node.rdev == 0 && marks.by_device() => "whiteout",
        Is::Implied | Is::Entry(Kind::Directory) => "directory",
        Is::Whiteout => "whiteout",
        Is::Entry(Kind::Symlink) => "symbolic link",
        Is::Entry(Kind::Fifo) => "FIFO",
        Is::Entry(Kind::Character) => "character device",
        Is::Entry(Kind::Block) => "block device",
        _ => "file",
    }
}

fn describe_node(node: &Node, marks: Marks) -> String {
    let kind = word(node, marks);
    match node.is {
        Is::Implied => kind.into(),
        Is::Entry(Kind::HardLink) => format!("{kind}, a further name of {}", shown(&node.link)),
        Is::Entry(Kind::Symlink) => format!(
            "{kind} {}:{} -> {}",
            node.uid,
            node.gid,
            lossless(&node.link)
        ),
        Is::Entry(Kind::File) => format!(
            "{kind} {} {} bytes",
            rights(node.mode, node.uid, node.gid),
            node.size
        ),
        _ => format!("{kind} {}", rights(node.mode, node.uid, node.gid)),
    }
}

fn shown(path: &[u8]) -> String {
    format!("/{}", lossless(path))
}

/// An attribute's value: text where it is some, else hex.
fn value(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(s) if !s.is_empty() && !s.chars().any(char::is_control) => s.into(),
        _ => format!(
            "0x{}",
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
        ),
    }
}

/// A capability of a file, less what says in which user namespace it counts (`vfs_ns_cap_data` of linux/capability.h).
fn capability(bytes: &[u8]) -> &[u8] {
    bytes.get(4..20).unwrap_or(bytes)
}

impl Comparison<'_> {
    fn differs(&mut self, path: &[u8], attribute: &str, shipped: String, found: String) {
        self.done.findings.push(Finding {
            change: Change::Changed,
            path: Some(path.to_vec()),
            attribute: Some(attribute.into()),
            shipped: Some(shipped),
            found: Some(found),
        });
    }

    fn unreadable(&mut self, path: &[u8], why: &evidence::Error) {
        self.done.findings.push(Finding {
            change: Change::Unreadable,
            path: Some(path.to_vec()),
            attribute: None,
            shipped: None,
            found: Some(why.to_string()),
        });
    }

    fn root(&mut self, root: &OpenDir) {
        let meta = match root.meta() {
            Ok(meta) => meta,
            Err(e) => return self.unreadable(b"", &e),
        };
        self.directory(b"", &meta, root);
    }

    fn walk(&mut self, root: &OpenDir) {
        let mut buffer = Buffer::default();
        let mut open: Vec<(Vec<u8>, OpenDir, std::vec::IntoIter<CString>)> = Vec::new();
        match root.child(c".") {
            Ok(dir) => {
                let names = self.names(b"", &dir, &mut buffer);
                open.push((Vec::new(), dir, names));
            }
            Err(e) => self.unreadable(b"", &e),
        }
        while let Some((at, dir, names)) = open.last_mut() {
            let Some(name) = names.next() else {
                open.pop();
                continue;
            };
            let path = walk::entry_path(at, &name);
            let meta = match dir.stat(&name) {
                Ok(meta) => meta,
                Err(e) => {
                    self.unreadable(&path, &e);
                    continue;
                }
            };
            if !meta.is_dir() {
                self.leaf(&path, &meta, dir, &name);
                continue;
            }
            match dir.child(&name) {
                Ok(child) => {
                    self.directory(&path, &meta, &child);
                    let names = self.names(&path, &child, &mut buffer);
                    open.push((path, child, names));
                }
                Err(e) => self.unreadable(&path, &e),
            }
        }
    }

    fn names(
        &mut self,
        path: &[u8],
        dir: &OpenDir,
        buffer: &mut Buffer,
    ) -> std::vec::IntoIter<CString> {
        let (names, failed) = dir.names(buffer, usize::MAX);
        if let Some(e) = failed {
            self.unreadable(path, &e);
        }
        names.into_iter()
    }

    /// What was shipped at a place on disk, marked as seen; what was not is noted.
    fn shipped_at(&mut self, path: &[u8], meta: &Meta) -> Option<Node> {
        if let Some(node) = self.shipped.nodes.get_mut(path) {
            node.seen = true;
            return Some(node.clone());
        }
        let bookkeeping = self.how.marks == Marks::Aufs && path.starts_with(b".wh..wh.")
            || self.how.in_place && meta.kind() == FileType::Socket;
        if !path.is_empty() && !bookkeeping {
            self.done.findings.push(Finding {
                change: Change::Added,
                path: Some(path.to_vec()),
                attribute: None,
                shipped: None,
                found: Some(describe(meta, self.how.marks)),
            });
        }
        None
    }

    fn directory(&mut self, path: &[u8], meta: &Meta, dir: &OpenDir) {
        let Some(node) = self.shipped_at(path, meta) else {
            return;
        };
        if !matches!(node.is, Is::Implied | Is::Entry(Kind::Directory)) {
            return self.differs(
                path,
                "type",
                word(&node, self.how.marks).into(),
                "directory".into(),
            );
        }
        let xattrs = dir.xattrs();
        self.overlay_marks(path, &node, &xattrs);
        if node.is == Is::Implied {
            return;
        }
        self.rights(path, &node, meta);
        self.mtime(path, &node, meta);
        self.xattrs(path, &node, xattrs);
    }

    fn leaf(&mut self, path: &[u8], meta: &Meta, dir: &OpenDir, name: &CString) {
        let Some(node) = self.shipped_at(path, meta) else {
            return;
        };
        let found = kind_of(meta, self.how.marks);
        if found != word(&node, self.how.marks) {
            return self.differs(
                path,
                "type",
                word(&node, self.how.marks).into(),
                found.into(),
            );
        }
        match node.is {
            // The kernel made that of a build step, as its own user whatever the step's is.
            Is::Whiteout if self.how.in_place => return,
            Is::Whiteout => return self.owner(path, &node, meta),
            Is::Entry(Kind::HardLink) => {
                self.inodes.insert(path.to_vec(), meta.identity());
                return;
            }
            _ => {}
        }
        if meta.nlink > 1 {
            self.inodes.insert(path.to_vec(), meta.identity());
        }
        let symlink = node.is == Is::Entry(Kind::Symlink);
        if symlink {
            self.owner(path, &node, meta);
            let mut target = Vec::new();
            match dir.read_link(name, &mut target) {
                Ok(_) if *target != *node.link => {
                    let texts = [&node.link[..], &target].map(|t| lossless(t).into_owned());
                    let [shipped, found] = texts;
                    self.differs(path, "link target", shipped, found);
                }
                Ok(_) => {}
                Err(e) => self.unreadable(path, &e),
            }
        } else {
            self.rights(path, &node, meta);
        }
        if node.is == Is::Entry(Kind::File) {
            if meta.size == node.size {
                if let Some(n) = self.shipped.nodes.get_mut(path) {
                    n.comparable = true;
                }
            } else {
                self.differs(path, "size", node.size.to_string(), meta.size.to_string());
            }
        }
        if matches!(node.is, Is::Entry(Kind::Character | Kind::Block)) && meta.rdev != node.rdev {
            let device = |d: u64| format!("{}, {}", d >> 32, d as u32);
            self.differs(path, "device", device(node.rdev), device(meta.rdev));
        }
        self.mtime(path, &node, meta);
        let xattrs = dir.entry_xattrs(name);
        self.overlay_marks(path, &node, &xattrs);
        self.xattrs(path, &node, xattrs);
    }

    fn rights(&mut self, path: &[u8], node: &Node, meta: &Meta) {
        if node.mode != meta.mode & 0o7777 {
            let (shipped, found) = (node.mode, meta.mode & 0o7777);
            self.differs(
                path,
                "mode",
                format!("{shipped:04o}"),
                format!("{found:04o}"),
            );
        }
        self.owner(path, node, meta);
    }

    fn owner(&mut self, path: &[u8], node: &Node, meta: &Meta) {
        let (shipped, found) = ([node.uid, node.gid], [meta.uid, meta.gid]);
        if *self.how.owners == Owners::Unknown {
            self.owners.push((path.to_vec(), shipped, found));
            return;
        }
        for (which, word) in ["owner", "group"].into_iter().enumerate() {
            let want = self.how.owners.on_disk(which, shipped[which]);
            if want != Some(found[which]) {
                let want = want.map_or_else(
                    || format!("{} in the archive", shipped[which]),
                    |w| w.to_string(),
                );
                self.differs(path, word, want, found[which].to_string());
            }
        }
    }

    /// Compares owners where nothing says how they are shifted: by the shift that most have.
    fn owners_shifted(&mut self) {
        let all = std::mem::take(&mut self.owners);
        for (which, word) in ["owner", "group"].into_iter().enumerate() {
            // Root goes to the user, the others to a range of ids: two shifts.
            let mut common: [HashMap<i64, usize>; 2] = Default::default();
            let shift = |s: &[u32; 2], f: &[u32; 2]| i64::from(f[which]) - i64::from(s[which]);
            for (_, s, f) in &all {
                *common[usize::from(s[which] != 0)]
                    .entry(shift(s, f))
                    .or_default() += 1;
            }
            let most = common.map(|c| c.into_iter().max_by_key(|(s, n)| (*n, -s)).map(|(s, _)| s));
            if most != [None, None] && most != [Some(0), Some(0)] {
                let say = |m: Option<i64>| m.map_or_else(|| "none".into(), |m| format!("{m:+}"));
                self.done.notes.push(format!(
                    "{word}s are shifted by an unknown rule; most files have {} for 0, {} for others, and the rest was held to that",
                    say(most[0]),
                    say(most[1])
                ));
            }
            for (path, s, f) in &all {
                let usual = most[usize::from(s[which] != 0)].unwrap_or(0);
                if shift(s, f) != usual {
                    let want = (i64::from(s[which]) + usual).to_string();
                    self.differs(path, word, want, f[which].to_string());
                }
            }
        }
    }

    fn mtime(&mut self, path: &[u8], node: &Node, meta: &Meta) {
        let Some(shipped) = node.mtime else { return };
        let same = shipped == meta.mtime
            // Times before 1970 and after 2262 become 1970 (moby pkg/system/chtimes.go).
            || !(0..i64::MAX - 2).contains(&shipped) && meta.mtime == 0
            // An archive Docker itself made has whole seconds, and the directory it was made from all of them.
            || self.how.in_place && seconds(shipped) == seconds(meta.mtime);
        if !same {
            self.differs(
                path,
                "mtime",
                rfc3339_nano(shipped),
                rfc3339_nano(meta.mtime),
            );
        }
    }

    /// Marks of overlayfs that the archive does not say: they change what a container sees.
    fn overlay_marks(
        &mut self,
        path: &[u8],
        node: &Node,
        xattrs: &Result<Xattrs, evidence::Error>,
    ) {
        let Ok(xattrs) = xattrs else { return };
        let mut opaque = false;
        for (name, found) in xattrs {
            let prefix = self
                .how
                .marks
                .attributes()
                .iter()
                .find(|p| name.starts_with(p.as_bytes()));
            let Some(prefix) = prefix else { continue };
            match &name[prefix.len()..] {
                b"opaque" if found == b"y" => opaque = true,
                b"opaque" | b"redirect" | b"metacopy" | b"whiteout" if !self.how.in_place => {
                    let name = format!("xattr {}", lossless(name));
                    self.differs(path, &name, "none".into(), value(found));
                }
                _ => {} // bookkeeping: origin, impure, uuid
            }
        }
        if opaque != node.opaque {
            let word = |o: bool| if o { "yes" } else { "no" }.to_owned();
            self.differs(path, "opaque", word(node.opaque), word(opaque));
        }
    }

    fn xattrs(&mut self, path: &[u8], node: &Node, found: Result<Xattrs, evidence::Error>) {
        let found = match found {
            Ok(found) => found,
            Err(e) => return self.unreadable(path, &e),
        };
        // What Docker writes into archives of its own, and carries from copy to copy, is this one alone.
        let only_capability = self.how.in_place || self.how.copies && !node.own;
        let shipped: BTreeMap<&[u8], &[u8]> =
            node.xattrs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let found: BTreeMap<&[u8], &[u8]> = found.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let marks = self.how.marks.attributes();
        let all = shipped
            .keys()
            .chain(found.keys().filter(|n| !shipped.contains_key(*n)));
        let mut names: Vec<&[u8]> = all.copied().collect();
        names.sort_unstable();
        for name in names {
            let (s, f) = (shipped.get(name), found.get(name));
            let is_capability = name == b"security.capability";
            let mark = marks.iter().any(|p| name.starts_with(p.as_bytes()));
            // The host's own: labels and measurements of what stands on it.
            let of_host = s.is_none() && OF_HOST.iter().any(|n| n.as_bytes() == name);
            if mark || of_host || only_capability && !is_capability {
                continue;
            }
            let same = match (s, f) {
                (Some(s), Some(f)) if is_capability && *self.how.owners != Owners::Same => {
                    capability(s) == capability(f)
                }
                (s, f) => s == f,
            };
            if !same {
                let say = |v: Option<&&[u8]>| v.map_or_else(|| "none".into(), |v| value(v));
                self.differs(path, &format!("xattr {}", lossless(name)), say(s), say(f));
            }
        }
    }

    /// Names that were of one file must still be.
    fn links(&mut self) {
        let links: Vec<(Vec<u8>, Box<[u8]>, bool)> = self
            .shipped
            .nodes
            .iter()
            .filter(|(p, n)| {
                n.is == Is::Entry(Kind::HardLink) && n.seen && self.inodes.contains_key(*p)
            })
            .map(|(p, n)| (p.clone(), n.link.clone(), n.own))
            .collect();
        for (path, target, own) in links {
            if self.how.copies && !own {
                continue; // a copy need not keep names together
            }
            let of = self.inodes.get(&target[..]);
            if of != self.inodes.get(&path) {
                let found = match self.shipped.nodes.get(&target[..]) {
                    Some(n) if n.seen => "a file of its own",
                    _ => "that file is gone",
                };
                let shipped = format!("a further name of {}", shown(&target));
                self.differs(&path, "hard link", shipped, found.into());
            }
        }
    }

    fn missing(&mut self) {
        for (path, node) in &self.shipped.nodes {
            if node.seen || path.is_empty() {
                continue;
            }
            self.done.findings.push(Finding {
                change: Change::Missing,
                path: Some(path.clone()),
                attribute: None,
                shipped: Some(describe_node(node, self.how.marks)),
                found: None,
            });
        }
    }

    /// Puts the archive together again from its record and the files, comparing contents on the way.
    fn put_together(
        &mut self,
        evidence: &Evidence,
        root: &OpenDir,
        path: &EvidencePath,
        read: &mut BTreeSet<Vec<u8>>,
    ) {
        let mut sum = Sha256::new();
        let mut lacking = None;
        let mut cursor = Cursor::new(root);
        let done = record(evidence, path, |piece| {
            match piece {
                Piece::Segment(bytes) => sum.update(&bytes),
                Piece::Entry(entry) if entry.size == 0 => {}
                Piece::Entry(entry) => {
                    let place = self.shipped.place(&entry.name);
                    let node = place.as_ref().and_then(|p| self.shipped.nodes.get(p));
                    match (place, node.cloned()) {
                        (Some(place), Some(node))
                            if node.comparable
                                && node.own
                                && node.size == entry.size
                                && !entry.sparse =>
                        {
                            self.content(&mut cursor, &place, &node, Some(&mut sum));
                            read.insert(place);
                        }
                        _ => {
                            lacking.get_or_insert(entry.name);
                        }
                    }
                }
            }
            Ok(())
        });
        match (done, lacking) {
            (Ok(()), None) => self.done.sha256 = Some(format!("{:x}", sum.finalize())),
            (Ok(()), Some(_)) if self.shipped.sparse => {
                let what = "not put together again: holes of sparse files are not in its archive";
                self.done.notes.push(what.into());
            }
            (Ok(()), Some(name)) => {
                let what = format!(
                    "not put together again: lacks the content of {}",
                    shown(&name)
                );
                self.done.notes.push(what);
            }
            (Err(why), _) => self
                .done
                .notes
                .push(format!("not put together again: {why}")),
        }
    }

    /// Compares the contents not yet read.
    fn contents(&mut self, root: &OpenDir, read: &BTreeSet<Vec<u8>>) {
        let todo: Vec<(Vec<u8>, Node)> = self
            .shipped
            .nodes
            .iter()
            .filter(|(p, n)| n.comparable && n.checksum.is_some() && !read.contains(*p))
            .map(|(p, n)| (p.clone(), n.clone()))
            .collect();
        let mut cursor = Cursor::new(root);
        for (path, node) in todo {
            self.content(&mut cursor, &path, &node, None);
        }
    }

    /// Reads a file through its checksum, and through the archive's where that is put together.
    fn content(
        &mut self,
        cursor: &mut Cursor<'_>,
        path: &[u8],
        node: &Node,
        mut sum: Option<&mut Sha256>,
    ) {
        let read = cursor.file(path).and_then(|mut file| {
            if node.size > FILE_MOST {
                return Err(evidence::Error::TooLarge(FILE_MOST));
            }
            checksum(&mut file, node.size, |bytes| {
                if let Some(sum) = &mut sum {
                    sum.update(bytes);
                }
            })
        });
        match read {
            Ok((found, n)) => {
                self.done.bytes += n;
                if node.checksum != Some(found) {
                    let shipped = node
                        .checksum
                        .map_or_else(|| "none".into(), |s| format!("CRC-64 {s:016x}"));
                    self.differs(path, "content", shipped, format!("CRC-64 {found:016x}"));
                }
            }
            Err(e) => self.unreadable(path, &e),
        }
    }
}

/// CRC-64 of at most `size` bytes of a file, shown to `each` on the way, and how many there were.
fn checksum(
    file: &mut EvidenceFile,
    size: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<(u64, u64), evidence::Error> {
    let mut digest = CHECKSUM.digest();
    let mut buf = vec![0; usize::try_from(size).map_or(CHUNK, |s| s.clamp(1, CHUNK))];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).map_or(buf.len(), |l| l.min(buf.len()));
        let n = match file.read(&mut buf[..most]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e.into()),
        };
        digest.update(&buf[..n]);
        each(&buf[..n]);
        left -= n as u64;
    }
    Ok((digest.finalize(), size - left))
}

/// Opens files below a root one after the other, keeping the directories of the last one open. No link is followed.
struct Cursor<'a> {
    root: &'a OpenDir,
    open: Vec<(Vec<u8>, OpenDir)>,
}

impl<'a> Cursor<'a> {
    fn new(root: &'a OpenDir) -> Self {
        Cursor {
            root,
            open: Vec::new(),
        }
    }

    fn file(&mut self, path: &[u8]) -> Result<EvidenceFile, evidence::Error> {
        let name = |b: &[u8]| CString::new(b).map_err(|_| evidence::Error::Missing);
        let (dir, file) = split(path);
        let parts: Vec<&[u8]> = dir
            .split(|&b| b == b'/')
            .filter(|p| !p.is_empty())
            .collect();
        let same = self
            .open
            .iter()
            .zip(&parts)
            .take_while(|((n, _), p)| n == *p)
            .count();
        self.open.truncate(same);
        for part in &parts[same..] {
            let here = self.open.last().map_or(self.root, |(_, d)| d);
            let below = here.child(&name(part)?)?;
            self.open.push((part.to_vec(), below));
        }
        self.open
            .last()
            .map_or(self.root, |(_, d)| d)
            .open_file(&name(file)?)
    }
}
