//! A container's file system as the kernel's overlayfs shows it, read layer by layer without a kernel's help.
//!
//! The rules are those of [`crate::overlay`]; here is what a layer on the disk answers. Volumes and bind sources stand at
//! their places, which are resolved inside the container. No link of the evidence is followed by the analyst's kernel.

use super::{Container, Error};
use crate::evidence::walk::{self, Buffer, OpenDir, OverlayXattrs, Top};
use crate::evidence::{self, Evidence, EvidenceFile, EvidencePath, Meta, Xattrs};
use crate::overlay::lookup::{self, Content, Found, Layers};
use crate::overlay::marks::{Marks, Named, OPAQUE_NAMES, PREFIX};
use crate::overlay::place::{Stop, follow, names};
use crate::problem::{Defect, Problem, Severity};
use crate::text::lossless;
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::rc::Rc;

/// A merged directory: the directories it is made of, topmost first.
#[derive(Clone, Debug)]
pub struct Dir {
    parts: Vec<Part>,
    /// 0 for the layers, else the number of the mount.
    tree: usize,
}

/// A layer's share of a merged directory.
#[derive(Clone, Debug)]
pub struct Part {
    layer: usize,
    dir: Rc<OpenDir>,
    dev: u64,
    /// 0 for the layers, else the number of the mount.
    tree: usize,
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
                        tree: 0,
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
                    tree,
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
        let names: Vec<&[u8]> = names(path).collect();
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
        for name in names(&place) {
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
    /// taken as it is written, and so is a place behind links that lead in a circle.
    fn place(&self, destination: &[u8]) -> Vec<u8> {
        let start = match self.mounts.get(&b""[..]) {
            Some(Node::Dir(d)) => d,
            _ => &self.root,
        };
        let place = follow(start, destination, |dir: &Dir, name, path| {
            let node = CString::new(name).ok();
            let node = node.and_then(|name| self.node(dir, path, &name).ok().flatten());
            Ok::<_, Infallible>(match node {
                Some(Node::Dir(dir)) => Stop::Dir(dir),
                Some(Node::Leaf(leaf)) => leaf.target().map_or(Stop::End, Stop::Link),
                None => Stop::End,
            })
        });
        let Ok(place) = place;
        place.unwrap_or_else(|| names(destination).collect::<Vec<_>>().join(&b'/'))
    }

    /// Places of mounts that the layers do not have, without links, and whether a directory goes there: those of a container
    /// that never ran.
    pub fn lost_places(&self) -> Vec<(Vec<u8>, bool)> {
        let is_lost = |path: &[u8]| {
            let mut here = Some(Node::Dir(self.root.clone()));
            let mut at = Vec::new();
            for name in names(path) {
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
        let found = lookup::find(self, &dir.parts, name.to_bytes())?;
        Ok(found.map(|node| match node {
            lookup::Node::Dir(merged) => Node::Dir(Dir {
                parts: merged.parts,
                tree: dir.tree,
            }),
            lookup::Node::Leaf(leaf, content) => Node::Leaf(Leaf {
                data: match content {
                    Content::Own => None,
                    Content::Below(below) => Some(Some(below.at)),
                    Content::Nowhere => Some(None),
                },
                ..leaf
            }),
        }))
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
        let marks = match dir.tree {
            0 => self.marks,
            _ => Marks::None,
        };
        let mut all = BTreeSet::new();
        let mut buffer = Buffer::default();
        for part in &dir.parts {
            // Read through a descriptor of its own: another part of the view may be reading the same directory.
            let read = part.dir.child(c".").and_then(|again| {
                again.read(&mut buffer, usize::MAX, |name| {
                    if marks.of_name(name.to_bytes()) == Named::Entry {
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

/// Whether a mark in the directory makes it opaque.
fn opaque_by_name(marks: Marks, dir: &OpenDir) -> bool {
    marks.by_name()
        && OPAQUE_NAMES
            .iter()
            .any(|name| CString::new(*name).is_ok_and(|name| dir.stat(&name).is_ok()))
}

impl Layers for View<'_> {
    type Dir = Part;
    type Leaf = Leaf;
    type Error = evidence::Error;

    fn entry(&self, part: &Part, name: &[u8]) -> Result<Found<Part, Leaf>, evidence::Error> {
        let marks = match part.tree {
            0 => self.marks,
            _ => Marks::None,
        };
        let Ok(name) = CString::new(name) else {
            return Ok(Found::Nothing);
        };
        let meta = match part.dir.stat(&name) {
            Ok(meta) => meta,
            Err(evidence::Error::Missing) => {
                let mark = CString::new([PREFIX, name.to_bytes()].concat());
                let is_deleted =
                    marks.by_name() && mark.is_ok_and(|mark| part.dir.stat(&mark).is_ok());
                return Ok(match is_deleted {
                    true => Found::Whiteout,
                    false => Found::Nothing,
                });
            }
            Err(e) => return Err(e),
        };
        let kind = meta.kind();
        if marks.by_device() && kind == FileType::CharacterDevice && meta.rdev == 0 {
            return Ok(Found::Whiteout);
        }
        if kind == FileType::Directory {
            let dir = part.dir.child(&name)?;
            let x = dir.overlay_xattrs(marks.attributes())?;
            return Ok(Found::Dir {
                opaque: x.opaque || opaque_by_name(marks, &dir),
                redirect: x.redirect,
                dir: Part {
                    layer: part.layer,
                    dir: Rc::new(dir),
                    dev: meta.dev,
                    tree: part.tree,
                },
            });
        }
        let is_file = kind == FileType::RegularFile;
        let mut x = OverlayXattrs::default();
        if is_file && marks.by_device() {
            x = part.dir.entry_overlay_xattrs(&name, marks.attributes())?;
            if x.whiteout && meta.size == 0 {
                return Ok(Found::Whiteout);
            }
        }
        Ok(Found::Leaf {
            leaf: Leaf {
                meta,
                at: At::Entry(part.dir.clone(), name),
                data: None,
                tree: part.tree,
                layer: part.layer,
            },
            is_file,
            metacopy: x.metacopy,
            redirect: x.redirect,
        })
    }

    fn below(&self, part: &Part) -> &[Part] {
        let from = self.root.parts.partition_point(|p| p.layer <= part.layer);
        &self.root.parts[from..]
    }
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
