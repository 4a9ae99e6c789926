//! The volumes of a disk: partitions of an MBR or GPT, logical volumes of LVM in them, or one bare file system.

use super::folder::Piece;
use super::{Error, step};
use crate::parse::lvm::{self, Group, Physical};
use crate::parse::partitions::{self as table, MbrEntry, Span};
use crate::parse::superblock::{self, Kind, Superblock};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Bytes of a sector as MBRs count; GPTs of disks with larger ones too.
const SECTOR: u64 = 512;
const SECTORS: [u64; 2] = [512, 4096];
/// Most logical partitions that are followed.
const MOST_LOGICAL: usize = 256;

/// A volume.
#[derive(Clone, Debug, Default)]
pub struct Volume {
    /// What investigators know it by: its line in `mmls`, 0 for a bare file system; for a logical volume with its number
    /// in the group.
    pub slot: String,
    /// Where it lies on the disk: offset and length in bytes, in order. Several only for logical volumes.
    pub extents: Vec<(u64, u64)>,
    /// Bytes.
    pub length: u64,
    /// What the partition table says it is, with its name where it has one.
    pub described: String,
    /// What it begins with.
    pub content: Option<Superblock>,
    /// Of a physical volume of LVM: the group and what is in it.
    pub lvm: Option<String>,
    /// What is wrong with it, though it may be mounted all the same.
    pub warning: Option<String>,
    /// Why its content cannot be had, though it is known where it lies or what it is.
    pub obstacle: Option<String>,
}

impl Volume {
    /// The file system dof mounts, if it is one.
    pub fn file_system(&self) -> Option<Kind> {
        let kind = self.content.as_ref()?.kind;
        let mounts = !matches!(kind, Kind::Lvm | Kind::Other(_)) && self.obstacle.is_none();
        mounts.then_some(kind)
    }

    /// Its length as people read it: `4.3 GiB`.
    pub fn size(&self) -> String {
        let (mut size, mut unit) = (self.length as f64, "B");
        for next in ["KiB", "MiB", "GiB", "TiB"] {
            if size < 1024.0 {
                break;
            }
            (size, unit) = (size / 1024.0, next);
        }
        if unit == "B" {
            return format!("{size} B");
        }
        let text = format!("{size:.2}");
        format!("{} {unit}", text.strip_suffix('0').unwrap_or(&text))
    }

    /// The name of the directory it is mounted at: of the image, slot and label, without what shells or paths trip over.
    pub fn place_name(&self, image: &str) -> String {
        let content = self.content.as_ref();
        let label = content.map_or("", |c| c.label.as_str());
        let word = content.map_or("volume", |c| c.kind.word());
        let plain = |text: &str| {
            let text = crate::text::file_name(text);
            text.trim_matches(['_', '.', '-']).to_owned()
        };
        let label = if label == "/" {
            "root".into()
        } else {
            plain(label)
        };
        let (image, end) = (plain(image), if label.is_empty() { word } else { &label });
        let image = if image.is_empty() { "image" } else { &image };
        format!("{image}-{}-{end}", self.slot)
    }
}

/// A disk's bytes.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    file: Piece,
    size: u64,
}

impl Disk {
    /// The disk that is in an open file, which had this path.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(path: PathBuf, file: Piece) -> Result<Disk, Error> {
        if file.size == 0 {
            let why = std::io::Error::other("it is empty");
            return Err(step(path.display().to_string())(why));
        }
        let size = file.size;
        Ok(Disk { path, file, size })
    }

    /// The file.
    pub fn file(&self) -> (&Path, &Piece) {
        (&self.path, &self.file)
    }

    /// As many bytes as can be read there.
    fn read(&self, at: u64, length: u64) -> Vec<u8> {
        self.file.read(at, length)
    }

    /// The beginning of what lies in these extents.
    fn head(&self, extents: &[(u64, u64)]) -> Vec<u8> {
        let mut head = Vec::new();
        for &(at, length) in extents {
            let want = (superblock::HEAD - head.len()) as u64;
            head.extend(self.read(at, length.min(want)));
            if head.len() == superblock::HEAD {
                break;
            }
        }
        head
    }

    /// Its volumes, by where they begin; logical volumes behind the physical one they begin on.
    /// With what is wrong with the tables, a line each.
    pub fn volumes(&self) -> (Vec<Volume>, Vec<String>) {
        let whole = self.head(&[(0, self.size)]);
        let bare = superblock::probe(&whole);
        let mut wrong = Vec::new();
        // A bare file system leaves room for an old table in front of it.
        let is_stale =
            |found: &Vec<Volume>| bare.is_some() && found.iter().all(|v| v.content.is_none());
        let partitions = self
            .gpt(&whole, &mut wrong)
            .or_else(|| {
                self.mbr(&whole, &mut wrong)
                    .filter(|found| !is_stale(found))
            })
            .unwrap_or_else(|| {
                wrong.clear();
                vec![Volume {
                    slot: "0".into(),
                    extents: vec![(0, self.size)],
                    length: self.size,
                    described: "whole disk".into(),
                    content: bare.clone(),
                    ..Volume::default()
                }]
            });
        (self.with_logical(partitions), wrong)
    }

    fn volume(&self, slot: usize, start: u64, length: u64, described: String) -> Volume {
        let there = length.min(self.size.saturating_sub(start));
        let content = superblock::probe(&self.head(&[(start, there)]));
        let spread = content.as_ref().map_or(1, |c| c.devices);
        let obstacle = if there == 0 {
            Some("it lies beyond the end of the image".to_owned())
        } else {
            (spread > 1).then(|| format!("it is one of {spread} devices of its file system"))
        };
        let cut = (there > 0 && there < length)
            .then(|| format!("the image ends within it: {there} of {length} bytes are there"));
        Volume {
            slot: slot.to_string(),
            extents: vec![(start, there)],
            length: there,
            described,
            content,
            lvm: None,
            warning: cut,
            obstacle,
        }
    }

    /// The first of the two tables, or the second where that is broken.
    fn gpt(&self, whole: &[u8], wrong: &mut Vec<String>) -> Option<Vec<Volume>> {
        let protective = table::mbr(whole)?
            .iter()
            .flatten()
            .any(|entry| entry.kind == 0xee);
        let mut damaged = None;
        let mut sound = None;
        for sector in SECTORS {
            let last = (self.size / sector).saturating_sub(1) * sector;
            for at in [sector, last] {
                let Some(header) = table::gpt_header(&self.read(at, sector)) else {
                    continue;
                };
                let bytes = u64::from(header.count) * u64::from(header.size);
                let entries = self.read(header.entries_at.saturating_mul(sector), bytes);
                if header.sound && table::crc32(&entries) == header.crc {
                    sound = sound.or(Some((sector, at, header, entries)));
                } else {
                    damaged = damaged.or(Some((sector, at, header, entries)));
                }
            }
        }
        let second = sound.as_ref().is_some_and(|(sector, at, ..)| at != sector);
        if protective && second {
            wrong.push("the first partition table (GPT) is damaged or gone; this is its copy at the disk's end".into());
        } else if protective && sound.is_none() && damaged.is_some() {
            wrong.push(
                "both partition tables (GPT) are damaged; this is what the first one says".into(),
            );
        }
        let (sector, at, header, entries) = sound.or(damaged)?;
        if !protective {
            return None; // a table that was left when the disk got an MBR again
        }
        let bytes = u64::from(header.count) * u64::from(header.size);
        let entries = table::gpt_entries(&entries, &header);
        let meta = |start, length| Span {
            start,
            length,
            meta: true,
        };
        let mut spans = vec![
            meta(0, 1),
            meta(at / sector, 1),
            meta(header.entries_at, bytes.div_ceil(sector)),
        ];
        spans.extend(entries.iter().map(|e| Span {
            start: e.start,
            length: e.length,
            meta: false,
        }));
        let slots = table::slots(&spans);
        let mut volumes: Vec<Volume> = entries
            .iter()
            .zip(&slots[3..])
            .map(|(e, &slot)| {
                let kind = table::gpt_kind(&e.kind);
                let described = if e.name.is_empty() {
                    kind.to_owned()
                } else {
                    format!("{} ({kind})", e.name)
                };
                let start = e.start.saturating_mul(sector);
                self.volume(slot, start, e.length.saturating_mul(sector), described)
            })
            .collect();
        volumes.sort_by_key(|v| v.extents[0].0);
        Some(volumes)
    }

    fn mbr(&self, whole: &[u8], wrong: &mut Vec<String>) -> Option<Vec<Volume>> {
        let entries = table::mbr(whole)?;
        let sectors = self.size / SECTOR;
        let sane = |e: &MbrEntry| e.start > 0 && u64::from(e.start) < sectors;
        // A boot sector with code instead of a table, in front of a bare file system.
        if !entries.iter().flatten().any(sane) {
            return None;
        }
        let mut spans = vec![Span {
            start: 0,
            length: 1,
            meta: true,
        }];
        let mut found: Vec<(usize, u64, MbrEntry)> = Vec::new();
        let span = |spans: &mut Vec<Span>, start, length: u32, meta| {
            spans.push(Span {
                start,
                length: length.into(),
                meta,
            });
            spans.len() - 1
        };
        let mut extended = Vec::new();
        for e in entries.into_iter().flatten() {
            let nth = span(&mut spans, e.start.into(), e.length, e.is_extended());
            if e.is_extended() {
                extended.push(u64::from(e.start));
            } else {
                found.push((nth, e.start.into(), e));
            }
        }
        for base in extended {
            self.logical(base, &mut spans, &mut found, wrong);
        }
        let slots = table::slots(&spans);
        let mut volumes: Vec<Volume> = found
            .into_iter()
            .map(|(nth, start, e)| {
                let kind = table::mbr_kind(e.kind);
                self.volume(
                    slots[nth],
                    start * SECTOR,
                    u64::from(e.length) * SECTOR,
                    kind,
                )
            })
            .collect();
        volumes.sort_by_key(|v| v.extents[0].0);
        Some(volumes)
    }

    /// Follows a chain of extended tables: in each, partitions relative to itself, and the next table relative to `base`.
    fn logical(
        &self,
        base: u64,
        spans: &mut Vec<Span>,
        found: &mut Vec<(usize, u64, MbrEntry)>,
        wrong: &mut Vec<String>,
    ) {
        let mut seen = HashSet::new();
        let mut next = Some(base);
        while let Some(at) = next.take() {
            let lost = "logical partitions behind it are not known";
            if !seen.insert(at) || seen.len() > MOST_LOGICAL {
                wrong.push(format!(
                    "the extended partition table at sector {at} leads in a circle; {lost}"
                ));
                return;
            }
            if at.saturating_mul(SECTOR) >= self.size {
                wrong.push(format!("an extended partition table at sector {at} lies beyond the end of the image; {lost}"));
                return;
            }
            let Some(entries) = table::mbr(&self.read(at * SECTOR, SECTOR)) else {
                wrong.push(format!(
                    "there is no extended partition table at sector {at}; {lost}"
                ));
                return;
            };
            spans.push(Span {
                start: at,
                length: 1,
                meta: true,
            });
            for e in entries.into_iter().flatten() {
                let start = u64::from(e.start) + if e.is_extended() { base } else { at };
                spans.push(Span {
                    start,
                    length: e.length.into(),
                    meta: e.is_extended(),
                });
                if e.is_extended() {
                    next = Some(start);
                } else {
                    found.push((spans.len() - 1, start, e));
                }
            }
        }
    }

    /// Looks into physical volumes of LVM.
    fn with_logical(&self, partitions: Vec<Volume>) -> Vec<Volume> {
        let mut groups: Vec<Group> = Vec::new();
        let mut physical: Vec<(String, u64, Option<String>)> = Vec::new();
        for volume in &partitions {
            let is = volume.content.as_ref().is_some_and(|c| c.kind == Kind::Lvm);
            let at = volume.extents[0].0;
            let header = is
                .then(|| lvm::pv_header(&self.read(at, 4 * SECTOR)))
                .flatten();
            let Some(header) = header else {
                continue;
            };
            let mut of = None;
            for (offset, length) in header.metadata {
                let Some(group) = self.group(at.saturating_add(offset), length) else {
                    continue;
                };
                of = Some(group.name.clone());
                match groups.iter_mut().find(|g| g.name == group.name) {
                    Some(known) if known.seqno < group.seqno => *known = group,
                    Some(_) => {}
                    None => groups.push(group),
                }
            }
            physical.push((header.id, at, of));
        }
        let mut volumes = Vec::new();
        let mut told = HashSet::new();
        for mut volume in partitions {
            let at = volume.extents[0].0;
            let Some((id, _, of)) = physical.iter().find(|(_, a, _)| *a == at) else {
                volumes.push(volume);
                continue;
            };
            // Without a text of its own, a physical volume is known by the text of another.
            let group = groups.iter().find(|g| match of {
                Some(name) => g.name == *name,
                None => g.physical.iter().any(|p| p.id == *id),
            });
            let slot = volume.slot.clone();
            volume.lvm =
                Some(group.map_or_else(|| "of a group no text describes".into(), describe));
            volumes.push(volume);
            if let Some(group) = group.filter(|g| told.insert(g.name.clone())) {
                let visible = group.logical.iter().filter(|l| l.visible);
                let places = places(group, &physical);
                volumes.extend(visible.enumerate().map(|(i, logical)| {
                    self.logical_volume(format!("{slot}.{}", i + 1), group, logical, &places)
                }));
            }
        }
        volumes
    }

    /// The newest text of a metadata area.
    fn group(&self, area: u64, length: u64) -> Option<Group> {
        let parts = lvm::text_parts(&self.read(area, SECTOR), length)?;
        let mut text = Vec::new();
        for (offset, n) in parts {
            text.extend(self.read(area.checked_add(offset)?, n));
        }
        lvm::group(&text)
    }

    fn logical_volume(
        &self,
        slot: String,
        group: &Group,
        logical: &lvm::Logical,
        places: &Places<'_>,
    ) -> Volume {
        let mut extents: Vec<(u64, u64)> = Vec::new();
        let mut obstacle = None;
        for segment in &logical.segments {
            let linear =
                matches!(segment.kind.as_str(), "striped" | "linear") && segment.stripes.len() == 1;
            let run = if linear {
                let (pv, first) = &segment.stripes[0];
                let known = places.get(pv.as_str());
                let here = known.and_then(|(k, at)| Some((k, (*at)?)));
                if here.is_none() {
                    let device = known.map_or("?", |(k, _)| k.device.as_str());
                    obstacle = Some(format!(
                        "a part of it lies on {device}, which is not on this image"
                    ));
                }
                here.and_then(|(k, at)| {
                    let start = first
                        .checked_mul(group.extent)?
                        .checked_add(k.start)?
                        .checked_add(at)?;
                    let end = start.checked_add(segment.extents.checked_mul(group.extent)?)?;
                    (end <= self.size).then_some((start, end - start))
                })
            } else {
                let kind = match segment.kind.as_str() {
                    "striped" => format!("striped over {}", segment.stripes.len()),
                    kind => kind.to_owned(),
                };
                obstacle = Some(format!("{kind}: only linear volumes are mounted"));
                None
            };
            match (run, extents.last_mut()) {
                (Some((start, length)), Some(last)) if last.0 + last.1 == start => last.1 += length,
                (Some(run), _) => extents.push(run),
                (None, _) => {
                    let beyond = || "it lies beyond the end of the image".into();
                    obstacle = Some(obstacle.unwrap_or_else(beyond));
                    break;
                }
            }
        }
        if extents.is_empty() {
            obstacle = Some(obstacle.unwrap_or_else(|| "it has no extents".into()));
            extents.push((0, 0));
        }
        let mut content = obstacle
            .is_none()
            .then(|| superblock::probe(&self.head(&extents)))
            .flatten();
        let name = format!("{}-{}", group.name, logical.name);
        if let Some(content) = content.as_mut().filter(|c| c.label.is_empty()) {
            content.label.clone_from(&name);
        }
        let all = logical.segments.iter().map(|s| s.extents);
        Volume {
            slot,
            length: all.sum::<u64>().saturating_mul(group.extent),
            extents,
            described: format!("LVM {name}"),
            content,
            lvm: None,
            warning: None,
            obstacle,
        }
    }
}

/// The physical volumes of a group by their names, and where each begins if it is on this disk.
type Places<'g> = HashMap<&'g str, (&'g Physical, Option<u64>)>;

fn places<'g>(group: &'g Group, physical: &[(String, u64, Option<String>)]) -> Places<'g> {
    let mut places = Places::new();
    for known in &group.physical {
        let here = physical.iter().find(|(id, ..)| *id == known.id);
        let place = (known, here.map(|p| p.1));
        places.entry(known.name.as_str()).or_insert(place);
    }
    places
}

/// A group in a line.
fn describe(group: &Group) -> String {
    let count = group.physical.len();
    let names: Vec<&str> = group
        .logical
        .iter()
        .filter(|l| l.visible)
        .map(|l| l.name.as_str())
        .collect();
    format!(
        "of group {} ({count} physical volume{}), logical volumes: {}",
        group.name,
        if count == 1 { "" } else { "s" },
        if names.is_empty() {
            "none".into()
        } else {
            names.join(", ")
        }
    )
}
