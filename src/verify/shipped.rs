//! What a layer was shipped as: the tree that unpacking its archive gives, by what tar-split keeps of the archive.
//!
//! Entries are applied in their order, as Docker does (moby pkg/archive/archive.go `Unpack`, pkg/archive/diff.go
//! `UnpackLayer`): a later entry of a name replaces an earlier one, marks of deletion become what the storage driver makes of
//! them, directories on the way to a name are made. Drivers that keep full copies have the archives of the layers below
//! applied first.

use crate::engine::Marks;
use crate::evidence::{Evidence, EvidencePath, Xattrs};
use crate::parse::tar_split::{Entry, Kind, Piece, Reader};
use crate::text::lossless;
use flate2::read::MultiGzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};

/// Longest line: a segment, the largest of which is the padding an archive ends with.
const LINE_MOST: u64 = 64 << 20;
/// Most bytes a record unpacks to: an entry takes some 2 KiB, so this is more than two million.
const RECORD_MOST: u64 = 4 << 30;
/// Most bytes of names and attributes held for one layer.
const HELD_MOST: u64 = 1 << 30;
/// Links followed on the way to one place, as the kernel has it.
const LINKS_MOST: usize = 40;
/// What a node takes beside its names.
const NODE: u64 = 200;

/// What a place in the tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Is {
    /// An entry of its own. Hard links have the path of the file they are a name of.
    Entry(Kind),
    /// A directory no archive lists, made on the way to something in it.
    Implied,
    /// A mark of the driver's that hides the same name below.
    Whiteout,
}

/// A place in the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub is: Is,
    /// Target of a symbolic link; for a hard link the path of the file.
    pub link: Box<[u8]>,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `None` when later archives changed what is in the directory, which sets its time.
    pub mtime: Option<i64>,
    /// Bytes of content.
    pub size: u64,
    /// Device it stands for.
    pub rdev: u64,
    /// CRC-64 of the content.
    pub checksum: Option<u64>,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Whether the directory hides those below it.
    pub opaque: bool,
    /// Whether it comes from this layer's own archive, not from one below.
    pub own: bool,
    /// Whether something stands at this place on disk.
    pub seen: bool,
    /// Whether a regular file of the right size does, whose content can be compared.
    pub comparable: bool,
}

/// How a driver unpacks.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How it marks deletions.
    pub marks: Marks,
    /// Whether it keeps full copies, in which deletions are done and not marked.
    pub copies: bool,
    /// Whether the engine could make no devices: one of a user's own.
    pub no_devices: bool,
}

/// The tree.
#[derive(Debug, Default)]
pub struct Shipped {
    /// Places by path, relative and without a leading slash; the root is empty.
    pub nodes: BTreeMap<Vec<u8>, Node>,
    /// Entries of the layer's own archive.
    pub entries: u64,
    /// Entries that no engine unpacks: the first of them, and why.
    pub odd: Option<String>,
    /// Devices that could not be made.
    pub devices: u64,
    /// Whether a part of the archive cannot be told from the files: sparse files.
    pub sparse: bool,
    held: u64,
}

fn implied() -> Node {
    Node {
        is: Is::Implied,
        link: Box::default(),
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: None,
        size: 0,
        rdev: 0,
        checksum: None,
        xattrs: Vec::new(),
        opaque: false,
        own: true,
        seen: false,
        comparable: false,
    }
}

/// Gives the lines of a layer's record to `each`, which may end it with a reason.
///
/// # Errors
/// Why the record cannot be read, or what `each` said.
pub fn record(
    evidence: &Evidence,
    path: &EvidencePath,
    mut each: impl FnMut(Piece) -> Result<(), String>,
) -> Result<(), String> {
    let file = evidence.open_file(path).map_err(|e| e.to_string())?;
    let packed = BufReader::with_capacity(1 << 16, file);
    let mut lines =
        BufReader::with_capacity(1 << 17, MultiGzDecoder::new(packed).take(RECORD_MOST));
    let mut reader = Reader::default();
    let mut line = Vec::new();
    let mut total = 0;
    loop {
        line.clear();
        let n = lines
            .by_ref()
            .take(LINE_MOST)
            .read_until(b'\n', &mut line)
            .map_err(|e| format!("cannot be unpacked: {e}"))?;
        total += n as u64;
        if n as u64 == LINE_MOST || total >= RECORD_MOST {
            return Err("larger than any engine makes it".into());
        }
        if n == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        each(reader.line(&line).map_err(|d| d.what)?)?;
    }
    if total == 0 {
        return Err("empty".into());
    }
    reader.end().map_err(|d| d.what)
}

/// A name of an archive as a path below the layer's root; `None` when it leads out of it or can be no path.
fn path_of(name: &[u8]) -> Option<Vec<u8>> {
    if name.contains(&0) {
        return None;
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.pop().is_none() && !name.starts_with(b"/") => return None,
            b".." => {}
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// The directory a path is in, and its name there.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

impl Shipped {
    /// Applies the archive of a layer, by its record at `path`; the last one applied is the layer's own.
    ///
    /// # Errors
    /// Why the record cannot be read.
    pub fn apply(
        &mut self,
        evidence: &Evidence,
        path: &EvidencePath,
        rules: Rules,
    ) -> Result<(), String> {
        self.nodes.entry(Vec::new()).or_insert_with(implied);
        self.nodes.values_mut().for_each(|n| n.own = false);
        (self.entries, self.sparse, self.devices) = (0, false, 0);
        let mut touched = BTreeSet::new();
        record(evidence, path, |piece| {
            let Piece::Entry(entry) = piece else {
                return Ok(());
            };
            self.entries += 1;
            self.sparse |= entry.sparse;
            self.entry(*entry, rules, &mut touched);
            if self.held > HELD_MOST {
                return Err("more files than any engine's layer has".into());
            }
            Ok(())
        })?;
        for dir in touched {
            if let Some(node) = self.nodes.get_mut(&dir)
                && !node.own
            {
                node.mtime = None;
            }
        }
        Ok(())
    }

    /// Where a name of the archive comes to stand: links of the tree on the way are followed, as by the kernel when the
    /// archive was unpacked. `None` when it can be no path, or goes in circles.
    pub fn place(&self, name: &[u8]) -> Option<Vec<u8>> {
        let path = path_of(name)?;
        let mut todo: Vec<Vec<u8>> = path.rsplit(|&b| b == b'/').map(<[u8]>::to_vec).collect();
        let (mut at, mut links): (Vec<u8>, _) = (Vec::new(), 0);
        while let Some(part) = todo.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at.truncate(split(&at).0.len());
                    continue;
                }
                _ => {}
            }
            let up = at.len();
            if up > 0 {
                at.push(b'/');
            }
            at.extend_from_slice(&part);
            let link = match self.nodes.get(&at) {
                Some(n) if n.is == Is::Entry(Kind::Symlink) && !todo.is_empty() => &n.link,
                _ => continue,
            };
            links += 1;
            if links > LINKS_MOST {
                return None;
            }
            at.truncate(if link.starts_with(b"/") { 0 } else { up });
            todo.extend(link.rsplit(|&b| b == b'/').map(<[u8]>::to_vec));
        }
        Some(at)
    }

    fn odd(&mut self, name: &[u8], what: &str) {
        let name = lossless(name).into_owned();
        self.odd.get_or_insert(format!("{name:?}: {what}"));
    }

    fn entry(&mut self, entry: Entry, rules: Rules, touched: &mut BTreeSet<Vec<u8>>) {
        if entry.kind == Kind::Global {
            return;
        }
        let Some(mut path) = self.place(&entry.name) else {
            return self.odd(&entry.name, "a name that leads out of the layer");
        };
        if rules.copies && path.starts_with(b".wh..wh.") && path != b".wh..wh..opq" {
            return; // bookkeeping of aufs
        }
        if path.is_empty() && !rules.copies {
            return; // such drivers make the root themselves and leave it so
        }
        let (dir, name) = split(&path);
        let (dir, mark) = (dir.to_vec(), name.strip_prefix(b".wh."));
        self.imply(&dir, touched);
        let mut is = Is::Entry(entry.kind);
        if let Some(hidden) =
            mark.filter(|_| rules.copies || rules.marks.by_device() && !rules.marks.by_name())
        {
            let opaque = hidden == b".wh..opq";
            let hidden = [&dir[..], if dir.is_empty() { b"" } else { b"/" }, hidden].concat();
            match (rules.copies, opaque) {
                (true, true) => return self.clear(&dir, touched),
                (true, false) => {
                    if self.remove(&hidden) {
                        touched.insert(dir);
                    }
                    return;
                }
                (false, true) => {
                    if let Some(node) = self.nodes.get_mut(&dir) {
                        node.opaque = true;
                    }
                    return;
                }
                (false, false) => {
                    path = hidden;
                    is = Is::Whiteout;
                }
            }
        }
        match entry.kind {
            Kind::Character | Kind::Block if rules.no_devices && is != Is::Whiteout => {
                self.devices += 1;
                return;
            }
            Kind::Other(kind) => {
                let what = format!("an entry of type {:?}", char::from(kind));
                return self.odd(&entry.name, &what);
            }
            _ => {}
        }
        let mut node = Node {
            is,
            link: entry.link.into(),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: Some(entry.mtime),
            size: entry.size,
            rdev: entry.rdev,
            checksum: entry.checksum,
            xattrs: entry.xattrs,
            opaque: false,
            own: true,
            seen: false,
            comparable: false,
        };
        if node.is == Is::Entry(Kind::HardLink) {
            // Its header is the file's as well; whatever it says last holds.
            let target = self.place(&node.link).unwrap_or_default();
            let target = match self.nodes.get(&target) {
                Some(n) if n.is == Is::Entry(Kind::HardLink) => n.link.to_vec(),
                Some(n)
                    if matches!(
                        n.is,
                        Is::Entry(Kind::Directory) | Is::Implied | Is::Whiteout
                    ) =>
                {
                    return self.odd(&entry.name, "a further name of what can have none");
                }
                Some(_) => target,
                None => return self.odd(&entry.name, "a further name of what is not there"),
            };
            if let Some(file) = self.nodes.get_mut(&target) {
                (file.mode, file.uid, file.gid) = (node.mode, node.uid, node.gid);
                if file.is != Is::Entry(Kind::Symlink) {
                    file.mtime = node.mtime;
                }
                // The kernel takes a file's capability away when its owner is set, even to the same.
                file.xattrs
                    .retain(|(name, _)| name[..] != b"security.capability"[..]);
                file.xattrs = over(std::mem::take(&mut node.xattrs), &file.xattrs);
            }
            node.link = target.into();
        }
        let is_dir = node.is == Is::Entry(Kind::Directory);
        match self.nodes.get(&path) {
            Some(old) if is_dir && matches!(old.is, Is::Entry(Kind::Directory) | Is::Implied) => {
                node.opaque = old.opaque;
                node.xattrs = over(std::mem::take(&mut node.xattrs), &old.xattrs);
            }
            Some(_) => {
                self.remove(&path);
                touched.insert(dir);
            }
            None => {
                touched.insert(dir);
            }
        }
        self.insert(path, node);
    }

    fn insert(&mut self, path: Vec<u8>, node: Node) {
        let attributes: usize = node.xattrs.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.held += (path.len() + node.link.len() + attributes) as u64 + NODE;
        self.nodes.insert(path, node);
    }

    /// Makes the directories on the way to what is in `dir`.
    fn imply(&mut self, dir: &[u8], touched: &mut BTreeSet<Vec<u8>>) {
        let mut at = dir;
        while !at.is_empty() && !self.nodes.contains_key(at) {
            self.insert(at.to_vec(), implied());
            at = split(at).0;
            touched.insert(at.to_vec());
        }
    }

    /// Takes out a place and all below it; whether there was one.
    fn remove(&mut self, path: &[u8]) -> bool {
        let below: Vec<Vec<u8>> = self.below(path).cloned().collect();
        for path in &below {
            self.nodes.remove(path);
        }
        self.nodes.remove(path).is_some()
    }

    /// Takes out what archives below put into a directory.
    fn clear(&mut self, dir: &[u8], touched: &mut BTreeSet<Vec<u8>>) {
        let gone: Vec<Vec<u8>> = self
            .below(dir)
            .filter(|p| !self.nodes[*p].own && !self.below(p).any(|q| self.nodes[q].own))
            .cloned()
            .collect();
        for path in &gone {
            self.nodes.remove(path);
            touched.insert(split(path).0.to_vec());
        }
    }

    /// The paths below a directory.
    fn below(&self, dir: &[u8]) -> impl Iterator<Item = &Vec<u8>> {
        let (from, to) = if dir.is_empty() {
            (vec![1], vec![0xff])
        } else {
            ([dir, b"/"].concat(), [dir, b"0"].concat())
        };
        let everything = dir.is_empty();
        self.nodes
            .range(from..)
            .map(|(p, _)| p)
            .take_while(move |p| everything || **p < to)
    }
}

/// Attributes set on what has some: those stay, and of one set twice the later holds.
fn over(mut later: Xattrs, first: &Xattrs) -> Xattrs {
    later.extend_from_slice(first);
    later.sort_by(|a, b| a.0.cmp(&b.0));
    later.dedup_by(|first, later| first.0 == later.0);
    later
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str, kind: Kind) -> Entry {
        Entry::new(kind, name.into(), b"a".to_vec())
    }

    fn tree(rules: Rules, layers: &[&[(&str, Kind)]]) -> (Vec<String>, Option<String>) {
        let mut shipped = Shipped::default();
        for layer in layers {
            shipped.nodes.values_mut().for_each(|n| n.own = false);
            for (name, kind) in *layer {
                shipped.entry(entry(name, *kind), rules, &mut BTreeSet::new());
            }
        }
        let show = |(p, n): (&Vec<u8>, &Node)| {
            let mark = match n.is {
                Is::Implied => "?",
                Is::Whiteout => "!",
                _ if n.opaque => "=",
                _ => "",
            };
            format!("{}{mark}", lossless(p))
        };
        (shipped.nodes.iter().map(show).collect(), shipped.odd)
    }

    const OVERLAY: Rules = Rules {
        marks: Marks::Overlay,
        copies: false,
        no_devices: false,
    };
    const COPIES: Rules = Rules {
        marks: Marks::None,
        copies: true,
        no_devices: false,
    };
    const AUFS: Rules = Rules {
        marks: Marks::Aufs,
        ..OVERLAY
    };

    #[test]
    fn archives_become_trees() {
        use Kind::{Directory as D, File as F};
        let base: &[_] = &[("./", D), ("d/", D), ("d/x", F), ("d/y", F), ("/e/../f", F)];
        let top: &[_] = &[("d/.wh.x", F), ("g/h/i", F), ("f/", D), ("f/j", F)];
        assert_eq!(tree(OVERLAY, &[base]).0, ["d", "d/x", "d/y", "f"]);
        assert_eq!(
            tree(OVERLAY, &[top]).0,
            ["d?", "d/x!", "f", "f/j", "g?", "g/h?", "g/h/i"]
        );
        assert_eq!(
            tree(COPIES, &[base, top]).0,
            ["", "d", "d/y", "f", "f/j", "g?", "g/h?", "g/h/i"]
        );
        let hiding: &[_] = &[("d/", D), ("d/.wh..wh..opq", F), ("d/z", F)];
        assert_eq!(tree(OVERLAY, &[hiding]).0, ["d=", "d/z"]);
        assert_eq!(tree(COPIES, &[base, hiding]).0, ["", "d", "d/z", "f"]);
        assert_eq!(tree(AUFS, &[hiding]).0, ["d", "d/.wh..wh..opq", "d/z"]);
        let linked: &[_] = &[("d/", D), ("a", Kind::Symlink), ("b/", D), ("a/x", F)];
        assert_eq!(
            tree(OVERLAY, &[linked]).1.as_deref(),
            Some("\"a/x\": a name that leads out of the layer")
        );
        let (there, odd) = tree(OVERLAY, &[&[("../x", F), ("a/../../x", F), ("ok", F)]]);
        assert_eq!((there.len(), odd.is_some()), (1, true));
    }

    proptest! {
        /// Whatever an archive lists: every place has its directory, and that is one.
        #[test]
        fn places_lie_in_directories(names in proptest::collection::vec(("[ab./wh]{0,8}", 0u8..4), 0..20), copies: bool) {
            let kinds = [Kind::File, Kind::Directory, Kind::HardLink, Kind::Symlink];
            let rules = if copies { COPIES } else { OVERLAY };
            let mut shipped = Shipped::default();
            for (name, kind) in &names {
                shipped.entry(entry(name, kinds[*kind as usize]), rules, &mut BTreeSet::new());
            }
            for path in shipped.nodes.keys().filter(|p| !p.is_empty()) {
                let dir = split(path).0;
                prop_assert!(dir.is_empty() || shipped.nodes.contains_key(dir));
            }
        }
    }
}
