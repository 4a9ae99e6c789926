//! From the file an analyst names to one file that holds the disk's bytes.

use super::setup::Setup;
use super::{Error, step};
use crate::parse::disk_image::{self as header, Format, Refusal};
use crate::tools::EWFMOUNT;
use clap::ValueEnum;
use serde_json::json;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What the analyst says an image is, where its first bytes must not be believed: a guest may have written them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageFormat {
    /// The disk's own bytes, in one file or in pieces
    Raw,
    /// QEMU
    Qcow2,
    /// VMware
    Vmdk,
    /// VirtualBox
    Vdi,
    /// Virtual PC
    Vhd,
    /// Hyper-V
    Vhdx,
    /// EnCase (E01, Ex01)
    Ewf,
}

impl From<ImageFormat> for Format {
    fn from(f: ImageFormat) -> Self {
        match f {
            ImageFormat::Raw => Format::Raw,
            ImageFormat::Qcow2 => Format::Qcow2,
            ImageFormat::Vmdk => Format::Vmdk,
            ImageFormat::Vdi => Format::Vdi,
            ImageFormat::Vhd => Format::Vhd,
            ImageFormat::Vhdx => Format::Vhdx,
            ImageFormat::Ewf => Format::Ewf,
        }
    }
}

/// An image as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its path, without links.
    pub path: PathBuf,
    format: Format,
    /// All pieces of a split image, itself first; lengths in bytes.
    pieces: Vec<(PathBuf, u64)>,
}

/// Looks at an image and refuses what would lead elsewhere.
///
/// # Errors
/// When it cannot be read, is no image dof reads, or not the first piece of one.
pub fn find(image: &Path, said: Option<ImageFormat>) -> Result<Found, Error> {
    let shown = || image.display().to_string();
    let path = image.canonicalize().map_err(step(shown()))?;
    let (mut file, size) = open_file(&path)?;
    let head = read(&mut file, 0, header::HEAD as u64).map_err(step(shown()))?;
    let refuse = |why: Refusal| Error::Image {
        image: path.clone(),
        why,
    };
    let format = match said {
        Some(ImageFormat::Raw) => Format::Raw,
        // The header is looked at all the same, for what it would lead to.
        Some(said) => match header::format(&head).map_err(refuse)? {
            found if found == said.into() => found,
            _ => return Err(refuse(Refusal::Damaged("not of that format"))),
        },
        None => header::format(&head).map_err(refuse)?,
    };
    if format == Format::Vmdk
        && let Some((at, length)) = header::vmdk_descriptor(&head, size)
    {
        let descriptor = read(&mut file, at, length).map_err(step(shown()))?;
        for name in header::vmdk_extents(&descriptor).map_err(refuse)? {
            // A plain name may still be a link.
            let extent = path.with_file_name(&name);
            if extent.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
                return Err(refuse(Refusal::Leads(name)));
            }
        }
    }
    let mut pieces = vec![(path.clone(), size)];
    if format == Format::Raw {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if header::is_first_piece(name) {
            let mut name = name.to_owned();
            while let Some(next) = header::next_piece(&name) {
                let piece = path.with_file_name(&next);
                if !piece.is_file() {
                    break;
                }
                let (_, size) = open_file(&piece)?;
                pieces.push((piece, size));
                name = next;
            }
        } else if let Some(first) = first_piece(&path, name) {
            return Err(Error::NotFirst { given: path, first });
        }
    }
    let last = pieces.len() - 1;
    if pieces[..last].iter().any(|(_, size)| size % 512 != 0) {
        return Err(refuse(Refusal::Damaged(
            "a piece does not end with a sector",
        )));
    }
    Ok(Found {
        path,
        format,
        pieces,
    })
}

/// The first piece, when `name` is a later one: another whose name counts up to it.
fn first_piece(path: &Path, name: &str) -> Option<PathBuf> {
    let (stem, end) = name.rsplit_once('.')?;
    let zeros = "0".repeat(end.len().saturating_sub(1));
    let firsts = if end.len() >= 2 && end.bytes().all(|b| b.is_ascii_digit()) {
        [format!("{zeros}1"), format!("{zeros}0")]
    } else if end.len() == 2 && end.bytes().all(|b| b.is_ascii_lowercase()) {
        ["aa".into(), "aa".into()]
    } else {
        return None;
    };
    firsts
        .iter()
        .map(|first| path.with_file_name(format!("{stem}.{first}")))
        .find(|first| first != path && first.is_file())
}

/// Opens an image, a regular file or a disk itself; its size in bytes.
pub fn open_file(path: &Path) -> Result<(File, u64), Error> {
    let what = || path.display().to_string();
    let kind = path.metadata().map_err(step(what()))?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        let why = std::io::Error::other("neither a file nor a disk");
        return Err(step(what())(why));
    }
    let mut file = File::open(path).map_err(step(what()))?;
    let size = file.seek(SeekFrom::End(0)).map_err(step(what()))?;
    Ok((file, size))
}

/// As many bytes as there are, up to `length`.
fn read(file: &mut File, at: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(length).read_to_end(&mut out)?;
    Ok(out)
}

/// The file with the disk's bytes: the image itself, or what a tool shows of it.
///
/// # Errors
/// When the tool is missing or fails.
pub fn open(found: &Found, setup: &mut Setup) -> Result<PathBuf, Error> {
    match (found.format.qemu(), found.format) {
        (Some(driver), format) => {
            let file = json!({"driver": "file", "filename": found.path, "read-only": true, "locking": "off"});
            let mut node =
                json!({"driver": driver, "node-name": "disk", "read-only": true, "file": file});
            if matches!(format, Format::Qcow2 | Format::Vmdk) {
                node["backing"] = serde_json::Value::Null; // whatever the header says
            }
            setup.show(&node)
        }
        (None, Format::Ewf) => setup.show_ewf(EWFMOUNT, &found.path),
        _ if found.pieces.len() > 1 => setup.join(
            found
                .pieces
                .iter()
                .map(|(path, size)| (path.as_path(), 0, *size)),
        ),
        _ => Ok(found.path.clone()),
    }
}
