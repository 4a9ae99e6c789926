//! From the file an analyst names to one file that holds the disk's bytes.

use super::folder::{Folder, Piece};
use super::setup::{EWF_SOURCE, Setup};
use super::{Error, step};
use crate::parse::disk_image::{self as header, Format, Refusal};
use crate::parse::vmdk::{self, Content, Extent};
use crate::tools::{self, QEMU_IMG};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// An image as it was found, its files open.
#[derive(Debug)]
pub struct Found {
    /// Its path, without links.
    pub path: PathBuf,
    format: Format,
    /// All its files, itself first.
    pieces: Vec<Piece>,
    /// Of a raw image in pieces and of a VMDK in extents: the disk, each file by its place among the pieces.
    extents: Vec<Extent<usize>>,
    /// What is missing of it, a line each: it reads as zeros, or the disk ends there.
    pub missing: Vec<String>,
}

/// What QEMU says of a VHDX that was not closed.
const REPLAY: &str = "log that needs to be replayed";
/// Most segments that are looked at.
const MOST_SEGMENTS: u32 = 14_000;
/// Most sections of them all.
const MOST_SECTIONS: usize = 1_000_000;

/// Looks at an image and refuses what would lead elsewhere. `said` is what the analyst says it is, where its first bytes must
/// not be believed: a guest may have written them.
///
/// # Errors
/// When it cannot be read, is no image dof reads, or not the first piece of one.
pub fn find(image: &Path, said: Option<Format>) -> Result<Found, Error> {
    let shown = || image.display().to_string();
    let path = image.canonicalize().map_err(step(shown()))?;
    let folder = Folder::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    let device = names_device(image);
    let first = folder
        .piece(name, device)?
        .ok_or_else(|| step(shown())(Errno::NOENT))?;
    let head = first.read(0, header::HEAD as u64);
    let refuse = |why: Refusal| Error::Image {
        image: path.clone(),
        why,
    };
    let format = match said {
        Some(Format::Raw) => Format::Raw,
        // The header is looked at all the same, for what it would lead to.
        Some(said) => match header::format(&head).map_err(refuse)? {
            found if found == said => found,
            _ => return Err(refuse(Refusal::Damaged("not of that format"))),
        },
        None => header::format(&head).map_err(refuse)?,
    };
    let mut found = Found {
        path: path.clone(),
        format,
        pieces: vec![first],
        extents: Vec::new(),
        missing: Vec::new(),
    };
    match format {
        Format::Raw => found.raw_pieces(&folder)?,
        Format::Ewf => found.ewf_segments(&folder)?,
        Format::Vmdk => found.vmdk_extents(&folder, &head)?,
        Format::Qcow2 | Format::Vdi | Format::Vhd | Format::Vhdx => {}
    }
    Ok(found)
}

/// Whether the analyst may mean a disk: not where a link in an image's folder leads to one. Links that the system makes are
/// in /dev, but not in what is mounted there.
fn names_device(image: &Path) -> bool {
    let kept_on = |path: &Path| path.metadata().ok().map(|m| m.dev());
    let [system, root] = ["/dev", "/"].map(|path| kept_on(Path::new(path)));
    let is = |m: Metadata| m.file_type().is_block_device();
    image.symlink_metadata().is_ok_and(is)
        || system.is_some() && system != root && image.parent().and_then(kept_on) == system
}

impl Found {
    fn refuse(&self, why: Refusal) -> Error {
        Error::Image {
            image: self.path.clone(),
            why,
        }
    }

    /// The pieces behind the first one of a raw image.
    fn raw_pieces(&mut self, folder: &Folder) -> Result<(), Error> {
        let name = self.pieces[0].name.to_str().unwrap_or_default().to_owned();
        if !header::is_first_piece(&name) {
            return match first_piece(folder, &name) {
                Some(first) => Err(self.not_first(&first)),
                None => Ok(()),
            };
        }
        let mut name = name;
        while let Some(next) = header::next_piece(&name) {
            let Some(piece) = folder.piece(next.as_ref(), false)? else {
                break;
            };
            self.pieces.push(piece);
            if self.pieces.len() > vmdk::MOST_EXTENTS {
                return Err(self.refuse(Refusal::TooMany("pieces", vmdk::MOST_EXTENTS)));
            }
            name = next;
        }
        self.missing.extend(gap_after(folder, &name));
        if self.pieces.len() == 1 {
            return Ok(());
        }
        let whole = self.pieces[0].size;
        let (_, others) = self.pieces.split_last().unwrap_or((&self.pieces[0], &[]));
        if others.iter().any(|piece| piece.size % 512 != 0) {
            let why = Refusal::Damaged("a piece does not end with a sector");
            return Err(self.refuse(why));
        }
        for piece in others.iter().filter(|piece| piece.size != whole) {
            self.missing.push(format!(
                "piece {} has {} bytes, the first {whole}: what comes after it is not at its place",
                piece.shown(),
                piece.size
            ));
        }
        let flat = |(i, piece): (usize, &Piece)| Extent {
            sectors: piece.size / 512,
            content: Content::Flat(i, 0),
        };
        let extents = self.pieces.iter().enumerate().map(flat);
        self.extents = extents.filter(|e| e.sectors > 0).collect();
        Ok(())
    }

    fn not_first(&self, first: &str) -> Error {
        Error::NotFirst {
            given: self.path.clone(),
            first: self.path.with_file_name(first),
        }
    }

    /// The segments of an EWF image. Each but the last ends with a section `next`, the last with `done`.
    fn ewf_segments(&mut self, folder: &Folder) -> Result<(), Error> {
        let name = self.pieces[0].shown();
        let first = header::ewf_segment(&name, 1);
        if let Some(first) = first
            .as_ref()
            .filter(|f| **f != name && folder.has(f.as_ref()))
        {
            return Err(self.not_first(first));
        }
        // A name that does not count is all there is.
        let counts = first.is_some_and(|first| first == name);
        let mut sections = MOST_SECTIONS;
        for n in 1..MOST_SEGMENTS {
            let segment = match n {
                1 => Some(name.clone()),
                n => header::ewf_segment(&name, n).filter(|_| counts),
            };
            let Some(segment) = segment else {
                return Ok(());
            };
            if n > 1 {
                let Some(piece) = folder.piece(segment.as_ref(), false)? else {
                    self.missing.push(format!(
                        "segment {segment} is missing; what was in it and after it reads as zeros"
                    ));
                    return Ok(());
                };
                self.pieces.push(piece);
            }
            match self.pieces.last().map(|p| ewf_end(p, &mut sections)) {
                Some(Some(true)) => return Ok(()),
                Some(Some(false)) => {}
                _ => {
                    self.missing.push(format!(
                        "segment {segment} is cut off; what was in it reads as zeros"
                    ));
                }
            }
        }
        Err(self.refuse(Refusal::TooMany("segments", MOST_SEGMENTS as usize)))
    }

    /// The extents of a VMDK. One that stands on its own is left to QEMU as it is.
    fn vmdk_extents(&mut self, folder: &Folder, head: &[u8]) -> Result<(), Error> {
        let refuse = |image: &Path, why| Error::Image {
            image: image.to_path_buf(),
            why,
        };
        let own = &self.pieces[0];
        let descriptor = if vmdk::is_descriptor(head) {
            if own.size > vmdk::MOST_DESCRIPTOR {
                return Err(self.refuse(Refusal::Damaged("its descriptor is too large")));
            }
            own.read(0, own.size)
        } else {
            let sparse = sparse_of(own).map_err(|why| self.refuse(why))?;
            if let Some((at, length)) = sparse.descriptor {
                let text = own.read(at, length);
                let listed = vmdk::extents(&text).map_err(|why| self.refuse(why))?;
                // It names itself, and may have another name by now.
                if !matches!(
                    listed.as_slice(),
                    [] | [Extent {
                        content: Content::Sparse(_),
                        ..
                    }]
                ) {
                    let why = Refusal::Damaged("its descriptor lists more than itself");
                    return Err(self.refuse(why));
                }
            }
            return Ok(());
        };
        let listed = vmdk::extents(&descriptor).map_err(|why| self.refuse(why))?;
        if listed.is_empty() {
            return Err(self.refuse(Refusal::Damaged("its descriptor lists no extents")));
        }
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        for Extent { sectors, content } in listed {
            let (Content::Flat(name, _) | Content::Sparse(name)) = &content else {
                let content = Content::Zero;
                self.extents.push(Extent { sectors, content });
                continue;
            };
            let at = match known.get(name) {
                Some(at) => *at,
                None => {
                    let name = OsStr::from_bytes(name);
                    let piece = folder.piece(name, false)?.ok_or_else(|| {
                        let path = self.path.with_file_name(name).display().to_string();
                        step(path)(Errno::NOENT)
                    })?;
                    known.insert(name.as_bytes().to_vec(), self.pieces.len());
                    self.pieces.push(piece);
                    self.pieces.len() - 1
                }
            };
            let piece = &self.pieces[at];
            let (content, there) = match content {
                Content::Flat(_, first) => (
                    Content::Flat(at, first),
                    (piece.size / 512).saturating_sub(first),
                ),
                _ => {
                    let path = self.path.with_file_name(&piece.name);
                    let sparse = sparse_of(piece).map_err(|why| refuse(&path, why))?;
                    (Content::Sparse(at), sparse.capacity)
                }
            };
            if there < sectors {
                self.missing.push(format!(
                    "extent {} has {there} of the {sectors} sectors that the descriptor says; the others read as zeros",
                    piece.shown()
                ));
            } else if matches!(content, Content::Sparse(_)) && there > sectors {
                let why = Refusal::Damaged("an extent has more sectors than its descriptor says");
                return Err(self.refuse(why));
            }
            // QEMU goes by a sparse extent's own header: what it lacks is put behind it.
            let lacking = match content {
                Content::Sparse(_) => sectors - there,
                _ => 0,
            };
            self.extents.push(Extent {
                sectors: sectors - lacking,
                content,
            });
            if lacking > 0 {
                let content = Content::Zero;
                self.extents.push(Extent {
                    sectors: lacking,
                    content,
                });
            }
        }
        Ok(())
    }

    /// What QEMU reads: the image, or dof's own descriptor of its extents.
    fn node(&self, driver: &str, setup: &mut Setup) -> Result<Value, Error> {
        if self.format == Format::Raw || !self.extents.is_empty() {
            return setup.joined(&self.extents, &self.pieces);
        }
        let own = &self.pieces[0];
        let kind = if own.device { "host_device" } else { "file" };
        let file = json!({"driver": kind, "filename": tools::by_number(own.as_fd()), "read-only": true, "locking": "off"});
        let mut node =
            json!({"driver": driver, "node-name": "disk", "read-only": true, "file": file});
        if matches!(self.format, Format::Qcow2 | Format::Vmdk) {
            node["backing"] = Value::Null; // whatever the header says
        }
        Ok(node)
    }
}

/// Reads both ends of a sparse extent.
fn sparse_of(piece: &Piece) -> Result<vmdk::Sparse, Refusal> {
    let at = (piece.size / 512 * 512).saturating_sub(vmdk::FOOTER);
    vmdk::sparse(&piece.read(0, 512), &piece.read(at, vmdk::FOOTER))
}

/// A piece that is missing while later ones are there.
fn gap_after(folder: &Folder, last: &str) -> Option<String> {
    let missing = header::next_piece(last)?;
    let mut name = missing.clone();
    for _ in 0..100 {
        name = header::next_piece(&name)?;
        if folder.has(name.as_ref()) {
            return Some(format!(
                "piece {missing} is missing, though there is {name}: the disk ends before it"
            ));
        }
    }
    None
}

/// Whether a segment of an EWF image is the last one; `None` when it is cut off.
fn ewf_end(segment: &Piece, sections: &mut usize) -> Option<bool> {
    // Behind the segment's own header of 13 bytes.
    let mut at = 13;
    while *sections > 0 {
        *sections -= 1;
        let bytes = segment.read(at, 76);
        let (kind, next) = header::ewf_section(&bytes)?;
        if matches!(kind, b"next" | b"done") {
            return Some(kind == b"done");
        }
        if next <= at {
            return None;
        }
        at = next;
    }
    None
}

/// What `qemu-img check` says of an image that is not whole. Formats it does not check are taken as they are.
fn damage(node: &Value, files: &[Piece], setup: &mut Setup) -> Option<String> {
    let mut node = node.clone();
    node.as_object_mut()?.remove("node-name");
    let image = format!("json:{node}");
    match setup.run(QEMU_IMG, ["check", "-q", &image], files) {
        Ok(_) => None,
        Err(tools::Error::Failed { said, .. })
            if said.contains("not support") || said.contains(REPLAY) =>
        {
            None
        }
        // Clusters that nothing uses are no loss.
        Err(tools::Error::Failed { said, .. })
            if !said.to_lowercase().contains("error") && said.contains("leak") =>
        {
            None
        }
        Err(tools::Error::Failed { said, .. }) if !said.contains("Cannot allocate memory") => {
            let said = said.replace(&image, &files[0].shown());
            let said = said.lines().next().unwrap_or_default();
            Some(format!(
                "it is damaged or cut off; what is missing reads as zeros (qemu-img check: {said})"
            ))
        }
        Err(e) => Some(format!("whether it is whole is not known: {e}")),
    }
}

/// The first piece, when `name` is a later one: another whose name counts up to it.
fn first_piece(folder: &Folder, name: &str) -> Option<String> {
    let (stem, end) = name.rsplit_once('.')?;
    let zeros = "0".repeat(end.len().saturating_sub(1));
    let firsts = if end.len() >= 2 && end.bytes().all(|b| b.is_ascii_digit()) {
        [format!("{zeros}1"), format!("{zeros}0")]
    } else if end.len() == 2 && end.bytes().all(|b| b.is_ascii_lowercase()) {
        ["aa".into(), "aa".into()]
    } else {
        return None;
    };
    let mut firsts = firsts.iter().map(|first| format!("{stem}.{first}"));
    firsts.find(|first| first != name && folder.has(first.as_ref()))
}

/// The disk's bytes: the image itself, or what a tool shows of it. Tells what a tool says is wrong with the image.
///
/// # Errors
/// When the tool is missing or fails.
pub fn open(
    mut found: Found,
    setup: &mut Setup,
    mut tell: impl FnMut(&str),
) -> Result<(PathBuf, Piece), Error> {
    let driver = match (found.format.qemu(), found.format) {
        (Some(driver), _) => driver,
        (None, Format::Ewf) => {
            let name = found.pieces[0].shown();
            let end = name.rsplit_once('.').map_or("", |(_, end)| end);
            let kind = if found.pieces[0].read(0, 4).starts_with(b"EVF2") {
                "Ex01"
            } else {
                "E01"
            };
            let first = [end, kind].map(|end| format!("{EWF_SOURCE}.{end}"));
            let first = first
                .iter()
                .find(|f| header::ewf_segment(f, 1).as_ref() == Some(f));
            let first = first.cloned().unwrap_or_default();
            let names = (1..).map_while(|n| header::ewf_segment(&first, n));
            return setup.show_ewf(names, &found.pieces);
        }
        _ if found.pieces.len() > 1 => "vmdk",
        _ => return Ok((found.path, found.pieces.swap_remove(0))),
    };
    let node = found.node(driver, setup)?;
    if found.format != Format::Raw
        && let Some(line) = damage(&node, &found.pieces, setup)
    {
        tell(&line);
    }
    match setup.show(&node, &found.pieces) {
        Err(Error::Tool(tools::Error::Failed { said, .. })) if said.contains(REPLAY) => {
            Err(found.refuse(Refusal::Log))
        }
        shown => shown,
    }
}
