//! Partition tables: MBR with its chain of extended tables, and GPT; sectors in, entries out.
//!
//! Sources: the UEFI specification (chapter 5, MBR and GPT) and, for the numbers investigators know partitions by, the slots
//! that Sleuth Kit's `mmls` prints. Offsets and lengths are in sectors here, as in the tables.

use super::{u32_at, u64_at};

/// An entry of a table of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MbrEntry {
    /// System ID.
    pub kind: u8,
    /// First sector; relative in extended tables.
    pub start: u32,
    /// Sectors.
    pub length: u32,
}

impl MbrEntry {
    /// Whether it leads to a table of logical partitions.
    pub fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The four entries of an MBR or an extended boot record; `None` for those that are empty. `None` when it is no such sector:
/// without signature, or with a flag that is neither set nor clear, as in the boot sectors of file systems.
pub fn mbr(sector: &[u8]) -> Option<[Option<MbrEntry>; 4]> {
    let table = sector.get(446..510)?;
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let mut entries = [None; 4];
    for (entry, raw) in entries.iter_mut().zip(table.chunks_exact(16)) {
        if raw[0] & 0x7f != 0 {
            return None;
        }
        let number =
            |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let (kind, start, length) = (raw[4], number(8), number(12));
        *entry = (kind != 0 && length != 0).then_some(MbrEntry {
            kind,
            start,
            length,
        });
    }
    Some(entries)
}

/// What a GPT's header says of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GptHeader {
    /// First sector of the entries.
    pub entries_at: u64,
    /// How many.
    pub count: u32,
    /// Bytes of each.
    pub size: u32,
    /// CRC-32 of all of them.
    pub crc: u32,
    /// Whether the header's own CRC-32 is right.
    pub sound: bool,
}

/// Most bytes of entries that are read: far more than any disk has.
pub const MOST_GPT_BYTES: u64 = 1 << 20;

/// A GPT's header.
pub fn gpt_header(sector: &[u8]) -> Option<GptHeader> {
    if !sector.starts_with(b"EFI PART") {
        return None;
    }
    let header = GptHeader {
        entries_at: u64_at(sector, 72)?,
        count: u32_at(sector, 80)?,
        size: u32_at(sector, 84)?,
        crc: u32_at(sector, 88)?,
        sound: header_crc(sector) == u32_at(sector, 16),
    };
    let bytes = u64::from(header.count) * u64::from(header.size);
    (header.size >= 128 && bytes <= MOST_GPT_BYTES).then_some(header)
}

/// The CRC-32 of a header, whose own field counts as zeros.
fn header_crc(sector: &[u8]) -> Option<u32> {
    let size = u32_at(sector, 12)? as usize;
    let mut header = sector.get(..size.max(92))?.to_vec();
    header.get_mut(16..20)?.fill(0);
    Some(crc32(&header))
}

/// CRC-32 as in ISO 3309, which the UEFI specification names.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// An entry of a GPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptEntry {
    /// Partition type, as GUIDs are written.
    pub kind: String,
    /// First sector.
    pub start: u64,
    /// Sectors.
    pub length: u64,
    /// Its name.
    pub name: String,
}

/// The entries of a GPT that are in use.
pub fn gpt_entries(bytes: &[u8], header: &GptHeader) -> Vec<GptEntry> {
    let entry = |raw: &[u8]| {
        let kind = guid(raw.get(..16)?)?;
        let (start, last) = (u64_at(raw, 32)?, u64_at(raw, 40)?);
        let units: Vec<u16> = raw
            .get(56..128)?
            .chunks_exact(2)
            .map(|c| u16::from_le_bytes([c[0], c[1]]))
            .take_while(|&u| u != 0)
            .collect();
        Some(GptEntry {
            kind,
            start,
            length: last.checked_sub(start)?.checked_add(1)?,
            name: String::from_utf16_lossy(&units),
        })
    };
    bytes
        .chunks_exact(header.size.max(128) as usize)
        .take(header.count as usize)
        .filter_map(entry)
        .collect()
}

/// A GUID as it is written, unless it is all zeros; its first three parts are little endian.
fn guid(b: &[u8]) -> Option<String> {
    let b: [u8; 16] = b.try_into().ok()?;
    if b == [0; 16] {
        return None;
    }
    Some(format!(
        "{:02X}{:02X}{:02X}{:02X}-{:02X}{:02X}-{:02X}{:02X}-{:02X}{:02X}-{:02X}{:02X}{:02X}{:02X}{:02X}{:02X}",
        b[3],
        b[2],
        b[1],
        b[0],
        b[5],
        b[4],
        b[7],
        b[6],
        b[8],
        b[9],
        b[10],
        b[11],
        b[12],
        b[13],
        b[14],
        b[15]
    ))
}

/// Something that has a line in `mmls`: where it begins and how long it is, in sectors, and whether it is metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First sector.
    pub start: u64,
    /// Sectors.
    pub length: u64,
    /// Whether it is a table or header.
    pub meta: bool,
}

/// The number of each span's line in `mmls`: lines are in order of start, and each gap between partitions has one, which comes
/// after what begins with it.
pub fn slots(spans: &[Span]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|&i| spans[i].start);
    let mut gaps = Vec::new();
    let mut end = 0;
    for &i in order.iter().filter(|&&i| !spans[i].meta) {
        if spans[i].start > end {
            gaps.push(end);
        }
        end = spans[i].start.saturating_add(spans[i].length);
    }
    let mut slots = vec![0; spans.len()];
    for (nth, &i) in order.iter().enumerate() {
        slots[i] = nth + gaps.iter().filter(|&&g| g < spans[i].start).count();
    }
    slots
}

/// What `mmls` calls a system ID.
pub fn mbr_kind(kind: u8) -> String {
    let name = match kind {
        0x01 => "DOS FAT12",
        0x04 => "DOS FAT16",
        0x05 => "DOS Extended",
        0x06 => "DOS FAT16",
        0x07 => "NTFS / exFAT",
        0x0b => "Win95 FAT32",
        0x0c => "Win95 FAT32",
        0x0e => "Win95 FAT16",
        0x0f => "Win95 Extended",
        0x27 => "Recovery",
        0x42 => "Win LVM",
        0x82 => "Linux Swap / Solaris x86",
        0x83 => "Linux",
        0x84 => "Hibernation",
        0x85 => "Linux Extended",
        0x8e => "Linux Logical Volume Manager",
        0xa5 => "BSD/386, 386BSD, NetBSD, FreeBSD",
        0xee => "GPT Safety Partition",
        0xef => "EFI File System",
        0xfb => "VMware VMFS",
        0xfc => "VMware VMKCORE",
        0xfd => "Linux RAID",
        _ => "Unknown Type",
    };
    format!("{name} (0x{kind:02x})")
}

/// The names of partition types one meets on a Linux host (UEFI specification, Discoverable Partitions Specification).
pub fn gpt_kind(guid: &str) -> &str {
    match guid {
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => "EFI System",
        "21686148-6449-6E6F-744E-656564454649" => "BIOS boot",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4" => "Linux filesystem",
        "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F" => "Linux swap",
        "E6D6D379-F507-44C2-A23C-238F2A3DF928" => "Linux LVM",
        "A19D880F-05FC-4D3B-A006-743F0F84911E" => "Linux RAID",
        "BC13C2FF-59E6-4262-A352-B275FD6F7172" => "Linux extended boot",
        "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" => "Linux root (x86-64)",
        "B921B045-1DF0-41C3-AF44-4C6F280D3FAE" => "Linux root (ARM-64)",
        "933AC7E1-2EB4-4F13-B844-0E14E2AEF915" => "Linux home",
        "4D21B016-B534-45C2-A9FB-5C16E091FD2D" => "Linux variable data",
        "3B8F8425-20E0-4F3B-907F-1A25A76F98E8" => "Linux server data",
        "E3C9E316-0B5C-4DB8-817D-F92DF00215AE" => "Microsoft reserved",
        "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" => "Microsoft basic data",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What mmls printed for a disk with gaps and three logical partitions: its slot of each partition, table and record.
    #[test]
    fn slots_are_those_of_mmls() {
        let span = |start, length, meta| Span {
            start,
            length,
            meta,
        };
        let spans = [
            span(0, 1, true),
            span(2048, 20480, false),
            span(22528, 20480, false),
            span(51200, 500_000, true),
            span(51200, 1, true),
            span(53248, 20480, false),
            span(77952, 43008, true),
            span(77952, 1, true),
            span(80000, 40960, false),
            span(127_952, 43008, true),
            span(127_952, 1, true),
            span(130_000, 40960, false),
        ];
        assert_eq!(slots(&spans), [0, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15]);
        let gpt = [
            span(0, 1, true),
            span(1, 1, true),
            span(2, 32, true),
            span(2048, 2048, false),
            span(8192, 20480, false),
            span(40960, 20480, false),
        ];
        assert_eq!(slots(&gpt), [0, 2, 3, 4, 6, 8]);
    }

    proptest! {
        #[test]
        fn no_sector_panics(bytes in prop::collection::vec(any::<u8>(), 0..1200), sign in any::<bool>()) {
            let mut bytes = bytes;
            if sign && bytes.len() >= 512 {
                bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
                bytes[..8].copy_from_slice(b"EFI PART");
            }
            let _ = mbr(&bytes);
            if let Some(header) = gpt_header(&bytes) {
                let _ = gpt_entries(&bytes, &header);
            }
            let _ = gpt_entries(&bytes, &GptHeader { entries_at: 2, count: u32::MAX, size: 128, crc: 0, sound: false });
        }
    }
}
