//! A container's file system as the kernel's overlayfs shows it, read layer by layer without a kernel's help.
//!
//! Follows fs/overlayfs/namei.c of Linux: whiteouts, opaque directories, redirects (relative and absolute) and metacopies;
//! and the `.wh.` names of aufs and fuse-overlayfs. Volumes and bind sources stand at their places, which are resolved inside
//! the container. No link of the evidence is followed by the analyst's kernel.

use super::{Container, Error};
use crate::engine::Marks;
use crate::evidence::walk::{self, Buffer, OpenDir, OverlayXattrs, Top};
use crate::evidence::{self, Evidence, EvidenceFile, EvidencePath, Meta, Xattrs};
use crate::problem::{Defect, Problem, Severity};
use crate::text::lossless;
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::rc::Rc;

/// Most links followed on the way to a place, as in the kernel (MAXSYMLINKS).
const MOST_LINKS: usize = 40;
/// Names of marks begin so where deletions are marked by names.
const MARK: &[u8] = b".wh.";
/// Marks of an opaque directory: aufs, fuse-overlayfs.
const OPAQUE: [&CStr; 2] = [c".wh..wh..opq", c".wh..opq"];

/// A merged directory: the directories it is made of, topmost first.
#[derive(Clone, Debug)]
pub struct Dir {
    parts: Vec<Part>,
    /// 0 for the layers, else the number of the mount.
    tree: usize,
}

/// A layer's share of a merged directory.
#[derive(Clone, Debug)]
struct Part {
    layer: usize,
    dir: Rc<OpenDir>,
    dev: u64,
}

/// Where something that is no directory lies.
#[derive(Clone, Debug)]
enum At {
    Entry(Rc<OpenDir>, CString),
    /// A bind source that is no directory.
    Bound(EvidencePath),
}

/// Something that is no directory.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its metadata, from the topmost layer that has it.
    pub meta: Meta,
    at: At,
    /// Where its content lies, if elsewhere; `None` within when it is nowhere.
    data: Option<Option<At>>,
    tree: usize,
    layer: usize,
}

/// An entry of the merged view.
#[derive(Clone, Debug)]
pub enum Node {
    /// A directory.
    Dir(Dir),
    /// Anything else.
    Leaf(Leaf),
}

/// How the layers below are asked for a name: the name itself, or where a redirect leads.
#[derive(Clone)]
enum Way {
    Name(CString),
    /// From the layers' roots; without the leading slash.
    Path(Vec<CString>),
}

/// What one layer has under a name.
enum Found {
    Nothing,
    Whiteout,
    Dir(Part, OverlayXattrs),
    Leaf(Leaf, OverlayXattrs),
}

/// A container's file system.
#[derive(Debug)]
pub struct View<'e> {
    evidence: &'e Evidence,
    marks: Marks,
    root: Dir,
    /// What is mounted, by its resolved place.
    mounts: BTreeMap<Vec<u8>, Node>,
    /// Where on the host the trees of [`Dir::tree`] are, the layers apart: source and resolved place.
    sources: BTreeMap<usize, (EvidencePath, Vec<u8>)>,
    /// Where on the host the layers are, by [`Part::layer`].
    layers: Vec<EvidencePath>,
}

/// A problem of the view at a path in the container.
fn problem(severity: Severity, path: &[u8], what: impl Into<String>, kept: &str) -> Problem {
    Defect::new(what, kept).in_file(severity, format!("/{}", lossless(path)))
}

impl<'e> View<'e> {
    /// Opens a container's layers and finds the places of its mounts. What is not there goes to `problems`.
    ///
    /// # Errors
    /// When no layer can be opened.
    pub fn open(
        evidence: &'e Evidence,
        made_of: &Container,
        problems: &mut Vec<Problem>,
    ) -> Result<View<'e>, Error> {
        let stack = made_of.stack()?;
        let marks = stack.marks;
        if stack.missing > 0 {
            let what = format!("{} of its layers are not on the disk", stack.missing);
            problems.push(problem(Severity::Error, b"", what, "the others"));
        }
        let trusted = |p: &&str| p.starts_with("trusted.");
        if marks.attributes().iter().any(trusted)
            && !made_of.rootless
            && !rustix::process::geteuid().is_root()
        {
            let what = "only root may read trusted.overlay.* attributes: directories that were replaced may show what they hid";
            problems.push(problem(Severity::Warning, b"", what, "everything else"));
        }
        let mut parts = Vec::new();
        for (layer, path) in stack.layers.iter().enumerate() {
            match evidence.open_tree(path) {
                Ok(Top::Dir(dir, meta)) => {
                    let opaque = opaque_by_name(marks, &dir);
                    parts.push(Part {
                        layer,
                        dir: Rc::new(dir),
                        dev: meta.dev,
                    });
                    if opaque {
                        break;
                    }
                }
                Ok(Top::Other(_)) => problems.push(problem(
                    Severity::Error,
                    b"",
                    format!("layer {path} is no directory"),
                    "the others",
                )),
                Err(e) => problems.push(problem(
                    Severity::Error,
                    b"",
                    format!("layer {path} cannot be opened: {e}"),
                    "the others",
                )),
            }
        }
        if parts.is_empty() {
            return Err(Error::NoLayer);
        }
        let mut view = View {
            evidence,
            marks,
            root: Dir { parts, tree: 0 },
            mounts: BTreeMap::new(),
            sources: BTreeMap::new(),
            layers: stack.layers,
        };
        for (nth, (source, destination)) in made_of.mounts.iter().enumerate() {
            match view.mounted(source, nth + 1) {
                Ok(node) => {
                    let place = view.place(destination.as_bytes());
                    let at = (source.clone(), place.clone());
                    view.sources.insert(nth + 1, at);
                    view.mounts.insert(place, node);
                }
                Err(e) => problems.push(problem(
                    Severity::Warning,
                    EvidencePath::new(destination).as_bytes(),
                    format!("{source}, which was mounted here, cannot be opened: {e}"),
                    "what the layers have here",
                )),
            }
        }
        Ok(view)
    }

    fn mounted(&self, source: &EvidencePath, tree: usize) -> Result<Node, evidence::Error> {
        Ok(match self.evidence.open_tree(source)? {
            Top::Dir(dir, meta) => Node::Dir(Dir {
                tree,
                parts: vec![Part {
                    layer: 0,
                    dir: Rc::new(dir),
                    dev: meta.dev,
                }],
            }),
            Top::Other(meta) => Node::Leaf(Leaf {
                meta,
                at: At::Bound(source.clone()),
                data: None,
                tree,
                layer: 0,
            }),
        })
    }

    /// What stands at a place without links: a mount, or what the directory has.
    fn node(&self, dir: &Dir, path: &[u8], name: &CStr) -> Result<Option<Node>, evidence::Error> {
        match self.mounts.get(path) {
            Some(node) => Ok(Some(node.clone())),
            None => self.find(dir, name),
        }
    }

    /// What a path of the container leads to, links followed inside it: its place without links, and what is there.
    ///
    /// # Errors
    /// When a layer cannot be asked.
    pub fn lookup(&self, path: &[u8]) -> Result<Option<(Vec<u8>, Node)>, evidence::Error> {
        self.at(self.place(path))
    }

    /// The same, but for the last name of the path: what it leads to if it is a link is not asked.
    ///
    /// # Errors
    /// When a layer cannot be asked.
    pub fn lookup_link(&self, path: &[u8]) -> Result<Option<(Vec<u8>, Node)>, evidence::Error> {
        let names: Vec<&[u8]> = components(path).collect();
        let Some((&name, above)) = names.split_last().filter(|(name, _)| **name != b"..") else {
            return self.lookup(path);
        };
        let mut place = self.place(&above.join(&b'/'));
        if !place.is_empty() {
            place.push(b'/');
        }
        place.extend_from_slice(name);
        self.at(place)
    }

    /// What stands at a place, which is taken as it is, without following links.
    ///
    /// # Errors
    /// When a layer cannot be asked.
    pub fn at(&self, place: Vec<u8>) -> Result<Option<(Vec<u8>, Node)>, evidence::Error> {
        let top = self.mounts.get(&b""[..]).cloned();
        let mut node = top.unwrap_or_else(|| Node::Dir(self.root.clone()));
        let mut way = Vec::new();
        for name in components(&place) {
            if !way.is_empty() {
                way.push(b'/');
            }
            way.extend_from_slice(name);
            let Ok(name) = CString::new(name) else {
                return Ok(None);
            };
            let Node::Dir(dir) = &node else {
                return Ok(None);
            };
            match self.node(dir, &way, &name)? {
                Some(next) => node = next,
                None => return Ok(None),
            }
        }
        Ok(Some((place, node)))
    }

    /// Shows a place and all below it, as [`View::walk`] does.
    ///
    /// # Errors
    /// What `visit` returned; it ends the walk.
    pub fn walk_below<E>(
        &self,
        place: Vec<u8>,
        node: Node,
        mut visit: impl FnMut(&[u8], &Node) -> Result<(), E>,
        mut problems: impl FnMut(Problem),
    ) -> Result<(), E> {
        let seen = &mut BTreeSet::new();
        self.walk_from(place, node, seen, &mut visit, &mut problems)
    }

    /// Where on the host a file at a place stands, and the layer or mount it is of. `None` for the former where it was
    /// renamed by a redirect.
    pub fn origin(&self, place: &[u8], leaf: &Leaf) -> (Option<EvidencePath>, EvidencePath) {
        let (base, rest) = match self.sources.get(&leaf.tree) {
            Some((source, at)) => (source, place.strip_prefix(at.as_slice()).unwrap_or(place)),
            None => (&self.layers[leaf.layer], place),
        };
        let path = base.join(rest);
        let same = |m: Meta| m.identity() == leaf.meta.identity();
        let there = self.evidence.stat_link(&path).is_ok_and(same);
        (there.then_some(path), base.clone())
    }

    /// Where a place leads inside the container, links followed; relative to its root, without links. What is not there is
    /// taken as it is written.
    fn place(&self, destination: &[u8]) -> Vec<u8> {
        let mut way: Vec<(Vec<u8>, Option<Node>)> = Vec::new();
        let mut todo: Vec<Vec<u8>> = components(destination).rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        let start = match self.mounts.get(&b""[..]) {
            Some(Node::Dir(d)) => d,
            _ => &self.root,
        };
        while let Some(name) = todo.pop() {
            if name == b".." {
                way.pop();
                continue;
            }
            let here = match way.last() {
                None => Some(start),
                Some((_, Some(Node::Dir(d)))) => Some(d),
                Some(_) => None,
            };
            let mut path = way.last().map_or_else(Vec::new, |(p, _)| p.clone());
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            let node = here.and_then(|dir| {
                let name = CString::new(name).ok()?;
                self.node(dir, &path, &name).ok().flatten()
            });
            if let Some(Node::Leaf(leaf)) = &node
                && links < MOST_LINKS
                && let Some(target) = leaf.target()
            {
                links += 1;
                if target.starts_with(b"/") {
                    way.clear();
                }
                todo.extend(components(&target).rev().map(<[u8]>::to_vec));
                continue;
            }
            way.push((path, node));
        }
        way.pop().map_or_else(Vec::new, |(p, _)| p)
    }

    /// Places of mounts that the layers do not have, without links, and whether a directory goes there: those of a container
    /// that never ran.
    pub fn lost_places(&self) -> Vec<(Vec<u8>, bool)> {
        let is_lost = |path: &[u8]| {
            let mut here = Some(Node::Dir(self.root.clone()));
            let mut at = Vec::new();
            for name in components(path) {
                let Some(Node::Dir(dir)) = here else {
                    // Nothing can be made below what is no directory.
                    return here.is_none();
                };
                if !at.is_empty() {
                    if self.mounts.contains_key(&at) {
                        return false; // it lies in another mount
                    }
                    at.push(b'/');
                }
                at.extend_from_slice(name);
                let found = CString::new(name).map(|name| self.find(&dir, &name));
                let Ok(Ok(found)) = found else {
                    return false;
                };
                here = found;
            }
            here.is_none()
        };
        let lost = self.mounts.iter().filter(|(path, _)| is_lost(path));
        lost.map(|(path, node)| (path.clone(), matches!(node, Node::Dir(_))))
            .collect()
    }

    /// Looks a name up in a merged directory.
    ///
    /// # Errors
    /// When a layer cannot be asked.
    fn find(&self, dir: &Dir, name: &CStr) -> Result<Option<Node>, evidence::Error> {
        let marks = if dir.tree == 0 {
            self.marks
        } else {
            Marks::None
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut leaf: Option<Leaf> = None;
        let mut way = Way::Name(name.to_owned());
        let mut below = dir.parts.as_slice();
        while let [part, rest @ ..] = below {
            below = rest;
            let (found, stop, redirect) = step(part, &way, marks, dir.tree)?;
            match found {
                Found::Nothing => {}
                Found::Whiteout => break,
                Found::Leaf(it, x) => match &mut leaf {
                    Some(top) if it.meta.kind() == FileType::RegularFile => {
                        if !x.metacopy {
                            top.data = Some(Some(it.at));
                            break;
                        }
                    }
                    Some(_) => break,
                    None if parts.is_empty() => {
                        leaf = Some(Leaf {
                            data: x.metacopy.then_some(None),
                            ..it
                        });
                        if !x.metacopy {
                            break;
                        }
                    }
                    None => break,
                },
                Found::Dir(..) if leaf.is_some() => break,
                Found::Dir(it, x) => {
                    parts.push(it);
                    if x.opaque {
                        break;
                    }
                }
            }
            if stop {
                break;
            }
            if let Some(to) = redirect {
                if matches!(to, Way::Path(_)) {
                    let from = self.root.parts.partition_point(|p| p.layer <= part.layer);
                    below = &self.root.parts[from..];
                }
                way = to;
            }
        }
        Ok(match (parts.is_empty(), leaf) {
            (_, Some(leaf)) => Some(Node::Leaf(leaf)),
            (false, None) => Some(Node::Dir(Dir {
                parts,
                tree: dir.tree,
            })),
            (true, None) => None,
        })
    }

    /// Shows everything, directories before what is in them, names in order: path relative to the container's root (empty
    /// for itself) and what is there. What cannot be read goes to `problems` as a path and a reason.
    ///
    /// # Errors
    /// What `visit` returned; it ends the walk.
    pub fn walk<E>(
        &self,
        mut visit: impl FnMut(&[u8], &Node) -> Result<(), E>,
        mut problems: impl FnMut(Problem),
    ) -> Result<(), E> {
        let mut seen = BTreeSet::new();
        let top = self
            .mounts
            .get(&b""[..])
            .cloned()
            .unwrap_or_else(|| Node::Dir(self.root.clone()));
        let mut starts = vec![(Vec::new(), top)];
        loop {
            while let Some((path, node)) = starts.pop() {
                self.walk_from(path, node, &mut seen, &mut visit, &mut problems)?;
            }
            // Places no directory of the container leads to.
            let lost = self
                .mounts
                .iter()
                .find(|(p, _)| !seen.contains(*p) && !p.is_empty());
            let Some((path, node)) = lost else {
                return Ok(());
            };
            problems(problem(
                Severity::Note,
                path,
                "nothing leads to this place of a mount",
                "what was mounted, at this place",
            ));
            seen.insert(path.clone());
            starts.push((path.clone(), node.clone()));
        }
    }

    fn walk_from<E>(
        &self,
        path: Vec<u8>,
        node: Node,
        seen: &mut BTreeSet<Vec<u8>>,
        visit: &mut impl FnMut(&[u8], &Node) -> Result<(), E>,
        problems: &mut impl FnMut(Problem),
    ) -> Result<(), E> {
        visit(&path, &node)?;
        let mut open: Vec<(Vec<u8>, Dir, std::vec::IntoIter<CString>)> = Vec::new();
        if let Node::Dir(dir) = node {
            let names = self.names(&dir, &path, problems);
            open.push((path, dir, names));
        }
        while let Some((at, dir, names)) = open.last_mut() {
            let Some(name) = names.next() else {
                open.pop();
                continue;
            };
            let path = walk::entry_path(at, &name);
            let node = match self.node(dir, &path, &name) {
                Ok(Some(node)) => node,
                Ok(None) => continue,
                Err(e) => {
                    let what = format!("cannot be read: {e}");
                    problems(problem(Severity::Error, &path, what, "nothing"));
                    continue;
                }
            };
            if self.mounts.contains_key(&path) {
                seen.insert(path.clone());
            }
            visit(&path, &node)?;
            if let Node::Dir(below) = node {
                let crosses = below.tree == dir.tree
                    && below.parts[0].dev != dir.parts[0].dev
                    && below.tree > 0;
                if crosses && below.parts[0].dir.is_pseudo() {
                    let what = "not a file system of a disk";
                    problems(problem(Severity::Note, &path, what, "its own metadata"));
                    continue;
                }
                let names = self.names(&below, &path, problems);
                open.push((path, below, names));
            }
        }
        Ok(())
    }

    /// The names in a merged directory, in order, marks left out; some may prove to be deleted.
    fn names(
        &self,
        dir: &Dir,
        path: &[u8],
        problems: &mut impl FnMut(Problem),
    ) -> std::vec::IntoIter<CString> {
        let by_name = dir.tree == 0 && self.marks.by_name();
        let mut all = BTreeSet::new();
        let mut buffer = Buffer::default();
        for part in &dir.parts {
            // Read through a descriptor of its own: another part of the view may be reading the same directory.
            let read = part.dir.child(c".").and_then(|again| {
                again.read(&mut buffer, usize::MAX, |name| {
                    if !(by_name && name.to_bytes().starts_with(MARK)) {
                        all.insert(name.to_owned());
                    }
                })
            });
            if let Err(e) = read {
                let what = format!("directory cannot be read: {e}");
                let kept = format!("{} entries", all.len());
                problems(problem(Severity::Error, path, what, &kept));
            }
        }
        all.into_iter().collect::<Vec<_>>().into_iter()
    }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/')
        .filter(|c| !matches!(*c, b"" | b"."))
}

/// Whether a mark in the directory makes it opaque.
fn opaque_by_name(marks: Marks, dir: &OpenDir) -> bool {
    marks.by_name() && OPAQUE.iter().any(|name| dir.stat(name).is_ok())
}

/// Asks one layer. Gives what it has, whether the search ends with it, and how the layers below are to be asked.
fn step(
    part: &Part,
    way: &Way,
    marks: Marks,
    tree: usize,
) -> Result<(Found, bool, Option<Way>), evidence::Error> {
    let names = match way {
        Way::Name(name) => {
            let found = single(part, name, marks, tree)?;
            let to = found.redirect().and_then(|to| redirected(to, None, &[]));
            return Ok((found, false, to));
        }
        Way::Path(names) => names,
    };
    let (mut here, mut stop, mut to) = (part.clone(), false, None);
    for (i, name) in names.iter().enumerate() {
        let found = single(&here, name, marks, tree)?;
        let last = i + 1 == names.len();
        if let Some(redirect) = found.redirect() {
            let absolute = redirect.starts_with(b"/");
            to = redirected(redirect, Some(&names[..i]), &names[i + 1..]);
            stop &= !absolute;
        }
        match found {
            found if last => return Ok((found, stop, to)),
            Found::Dir(dir, x) => {
                stop |= x.opaque;
                here = dir;
            }
            Found::Nothing => return Ok((Found::Nothing, stop, to)),
            Found::Whiteout | Found::Leaf(..) => return Ok((Found::Nothing, true, to)),
        }
    }
    Ok((Found::Nothing, stop, to)) // a redirect to the root, which overlayfs writes for nothing
}

/// The way a redirect found between `before` and `after` gives.
fn redirected(to: &[u8], before: Option<&[CString]>, after: &[CString]) -> Option<Way> {
    let names = |path: &[u8]| -> Option<Vec<CString>> {
        components(path)
            .map(|c| CString::new(c).ok().filter(|_| c != b".."))
            .collect()
    };
    let to_names = names(to)?;
    if to.starts_with(b"/") || before.is_some() {
        let before = before.filter(|_| !to.starts_with(b"/")).unwrap_or(&[]);
        return Some(Way::Path([before, &to_names, after].concat()));
    }
    match to_names.as_slice() {
        [name] => Some(Way::Name(name.clone())),
        _ => None,
    }
}

impl Found {
    fn redirect(&self) -> Option<&[u8]> {
        match self {
            Found::Dir(_, x) => x.redirect.as_deref(),
            Found::Leaf(_, x) if x.metacopy => x.redirect.as_deref(),
            _ => None,
        }
    }
}

/// What a layer's directory has under a name.
fn single(part: &Part, name: &CStr, marks: Marks, tree: usize) -> Result<Found, evidence::Error> {
    let meta = match part.dir.stat(name) {
        Ok(meta) => meta,
        Err(evidence::Error::Missing) => {
            let mark = [MARK, name.to_bytes()].concat();
            let deleted = marks.by_name()
                && CString::new(mark).is_ok_and(|mark| part.dir.stat(&mark).is_ok());
            return Ok(if deleted {
                Found::Whiteout
            } else {
                Found::Nothing
            });
        }
        Err(e) => return Err(e),
    };
    let kind = meta.kind();
    if marks.by_device() && kind == FileType::CharacterDevice && meta.rdev == 0 {
        return Ok(Found::Whiteout);
    }
    if kind == FileType::Directory {
        let dir = part.dir.child(name)?;
        let mut x = dir.overlay_xattrs(marks.attributes())?;
        x.opaque |= opaque_by_name(marks, &dir);
        let part = Part {
            layer: part.layer,
            dir: Rc::new(dir),
            dev: meta.dev,
        };
        return Ok(Found::Dir(part, x));
    }
    let mut x = OverlayXattrs::default();
    if kind == FileType::RegularFile && marks.by_device() {
        x = part.dir.entry_overlay_xattrs(name, marks.attributes())?;
        if x.whiteout && meta.size == 0 {
            return Ok(Found::Whiteout);
        }
    }
    let leaf = Leaf {
        meta,
        at: At::Entry(part.dir.clone(), name.to_owned()),
        data: None,
        tree,
        layer: part.layer,
    };
    Ok(Found::Leaf(leaf, x))
}

impl Dir {
    /// Its metadata: that of the topmost layer that has it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn meta(&self) -> Result<Meta, evidence::Error> {
        self.parts[0].dir.meta()
    }
}

impl Leaf {
    /// What makes two names the same file.
    pub fn identity(&self) -> (usize, usize, (u64, u64)) {
        (self.tree, self.layer, self.meta.identity())
    }

    /// Where a symbolic link points to.
    fn target(&self) -> Option<Vec<u8>> {
        match &self.at {
            At::Entry(dir, name) if self.meta.kind() == FileType::Symlink => {
                let mut out = Vec::new();
                dir.read_link(name, &mut out).ok()?;
                Some(out)
            }
            _ => None,
        }
    }
}

impl View<'_> {
    /// The target of a symbolic link.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read_link(&self, leaf: &Leaf) -> Result<Vec<u8>, evidence::Error> {
        let mut out = Vec::new();
        match &leaf.at {
            At::Entry(dir, name) => dir.read_link(name, &mut out)?,
            At::Bound(path) => return self.evidence.read_link(path),
        };
        Ok(out)
    }

    /// Opens a file's content, which for a metacopy lies in a layer below.
    ///
    /// # Errors
    /// [`evidence::Error::Missing`] when no layer has it, or what the kernel said.
    pub fn content(&self, leaf: &Leaf) -> Result<EvidenceFile, evidence::Error> {
        match leaf.data.as_ref().unwrap_or(&Some(leaf.at.clone())) {
            Some(At::Entry(dir, name)) => dir.open_file(name),
            Some(At::Bound(path)) => self.evidence.open_file(path),
            None => Err(evidence::Error::Missing),
        }
    }

    /// The extended attributes as the container sees them: overlayfs hides its own.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn xattrs(&self, node: &Node) -> Result<Xattrs, evidence::Error> {
        let (all, tree) = match node {
            Node::Dir(dir) => (dir.parts[0].dir.xattrs()?, dir.tree),
            Node::Leaf(leaf) => {
                let all = match &leaf.at {
                    At::Entry(dir, name) => dir.entry_xattrs(name)?,
                    At::Bound(path) if leaf.meta.kind() == FileType::RegularFile => {
                        self.evidence.open_file(path)?.xattrs()?
                    }
                    At::Bound(_) => Xattrs::new(),
                };
                (all, leaf.tree)
            }
        };
        let own = if tree == 0 {
            self.marks.attributes()
        } else {
            &[]
        };
        Ok(all
            .into_iter()
            .filter(|(name, _)| !own.iter().any(|p| name.starts_with(p.as_bytes())))
            .collect())
    }
}
