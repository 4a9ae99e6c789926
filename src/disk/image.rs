//! From the file an analyst names to one file that holds the disk's bytes.

use super::setup::Setup;
use super::{Error, step};
use crate::parse::disk_image::{self as header, Format, Refusal};
use crate::tools::{self, EWFMOUNT, QEMU_IMG};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// An image as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its path, without links.
    pub path: PathBuf,
    format: Format,
    /// All pieces of a split image, itself first; lengths in bytes.
    pieces: Vec<(PathBuf, u64)>,
    /// What is missing of it, a line each: it reads as zeros, or the disk ends there.
    pub missing: Vec<String>,
}

/// Most segments that are looked at.
const MOST_SEGMENTS: u32 = 14_000;
/// Most sections of a segment.
const MOST_SECTIONS: usize = 100_000;

/// Looks at an image and refuses what would lead elsewhere. `said` is what the analyst says it is, where its first bytes must
/// not be believed: a guest may have written them.
///
/// # Errors
/// When it cannot be read, is no image dof reads, or not the first piece of one.
pub fn find(image: &Path, said: Option<Format>) -> Result<Found, Error> {
    let shown = || image.display().to_string();
    let path = image.canonicalize().map_err(step(shown()))?;
    let (mut file, size) = open_file(&path)?;
    let head = read(&mut file, 0, header::HEAD as u64).map_err(step(shown()))?;
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
    let mut missing = Vec::new();
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
    let whole = pieces[0].1;
    let (last, others) = pieces.split_last().unwrap_or((&pieces[0], &[]));
    if others.iter().any(|(_, size)| size % 512 != 0) {
        return Err(refuse(Refusal::Damaged(
            "a piece does not end with a sector",
        )));
    }
    for (piece, size) in others.iter().filter(|(_, size)| *size != whole) {
        missing.push(format!(
            "piece {} has {size} bytes, the first {whole}: what comes after it is not at its place",
            name_of(piece)
        ));
    }
    if pieces.len() > 1 || header::is_first_piece(&name_of(&path)) {
        missing.extend(gap_after(&last.0));
    }
    match format {
        Format::Ewf => missing.extend(ewf_gaps(&path)),
        format if format.qemu().is_some() => missing.extend(damage(format, &path)),
        _ => {}
    }
    Ok(Found {
        path,
        format,
        pieces,
        missing,
    })
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A piece that is missing while later ones are there.
fn gap_after(last: &Path) -> Option<String> {
    let missing = header::next_piece(&name_of(last))?;
    let mut name = missing.clone();
    for _ in 0..100 {
        name = header::next_piece(&name)?;
        if last.with_file_name(&name).exists() {
            return Some(format!(
                "piece {missing} is missing, though there is {name}: the disk ends before it"
            ));
        }
    }
    None
}

/// Segments of an EWF image that are missing or cut: each but the last ends with a section `next`, the last with `done`.
fn ewf_gaps(first: &Path) -> Option<String> {
    let name = name_of(first);
    for n in 1..MOST_SEGMENTS {
        let segment = header::ewf_segment(&name, n)?;
        let path = first.with_file_name(&segment);
        let Ok(mut file) = File::open(&path) else {
            return Some(format!(
                "segment {segment} is missing; what was in it and after it reads as zeros"
            ));
        };
        // Behind the segment's own header of 13 bytes.
        let mut at = 13;
        let mut end = None;
        for _ in 0..MOST_SECTIONS {
            let bytes = read(&mut file, at, 76).ok()?;
            let Some((kind, next)) = header::ewf_section(&bytes) else {
                break;
            };
            if matches!(kind, b"next" | b"done") {
                end = Some(kind == b"done");
                break;
            }
            if next <= at {
                break;
            }
            at = next;
        }
        match end {
            Some(true) => return None,
            Some(false) => {}
            None => {
                return Some(format!(
                    "segment {segment} is cut off; what was in it reads as zeros"
                ));
            }
        }
    }
    None
}

/// What `qemu-img check` says of an image that is not whole. Formats it does not check are taken as they are.
fn damage(format: Format, path: &Path) -> Option<String> {
    let driver = format.qemu()?;
    let node =
        format!("driver={driver},read-only=on,file.driver=file,file.locking=off,file.filename=");
    let path = path.to_str()?.replace(',', ",,");
    match QEMU_IMG.run(["check", "-q", "--image-opts", &(node + &path)]) {
        Ok(_) => None,
        Err(tools::Error::Failed { said, .. }) if said.contains("not support") => None,
        // Clusters that nothing uses are no loss.
        Err(tools::Error::Failed { said, .. })
            if !said.to_lowercase().contains("error") && said.contains("leak") =>
        {
            None
        }
        Err(tools::Error::Failed { said, .. }) => {
            let said = said.lines().next().unwrap_or_default().to_owned();
            Some(format!(
                "it is damaged or cut off; what is missing reads as zeros (qemu-img check: {said})"
            ))
        }
        Err(e) => Some(format!("whether it is whole is not known: {e}")),
    }
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
