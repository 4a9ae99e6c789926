//! What stands at the beginning of a volume: the file system, or whatever else it is.
//!
//! Sources: the superblocks in Linux's fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h, fs/btrfs (uapi/linux/btrfs_tree.h),
//! include/linux/swap.h, LVM2's lib/format_text/layout.h, LUKS's on-disk format, md's uapi/linux/raid/md_p.h.

use crate::text::lossless;

/// Bytes of a volume's beginning that [`probe`] wants.
pub const HEAD: usize = 256 * 1024;

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext2.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// A physical volume of LVM2.
    Lvm,
    /// Something that is said, not mounted: its word as `blkid` has it.
    Other(&'static str),
}

impl Kind {
    /// Its name as `fsstat` and the classic toolkit print it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext2 => "Ext2",
            Kind::Ext3 => "Ext3",
            Kind::Ext4 => "Ext4",
            Kind::Xfs => "XFS",
            Kind::Btrfs => "BTRFS",
            Kind::Lvm => "LVM",
            Kind::Other(word) => word,
        }
    }

    /// Its word as `blkid` has it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Ext2 => "ext2",
            Kind::Ext3 => "ext3",
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
            Kind::Lvm => "LVM2_member",
            Kind::Other(word) => word,
        }
    }
}

/// What a superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Which kind.
    pub kind: Kind,
    /// The volume's name, else where it was last mounted; empty when it says neither.
    pub label: String,
    /// Which system made it, where it says so.
    pub system: Option<&'static str>,
    /// UUID, lower case, as /etc/fstab has it.
    pub uuid: Option<String>,
    /// Whether it was left with a journal to replay.
    pub dirty: bool,
    /// How many devices the file system is spread over.
    pub devices: u64,
}

impl Superblock {
    fn of(kind: Kind) -> Self {
        Superblock {
            kind,
            label: String::new(),
            system: None,
            uuid: None,
            dirty: false,
            devices: 1,
        }
    }
}

/// Magic numbers of what is only named: offset, bytes, word. The order matters where one holds another.
const OTHERS: &[(usize, &[u8], &str)] = &[
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (3, b"-FVE-FS-", "BitLocker"),
    (3, b"NTFS    ", "ntfs"),
    (3, b"EXFAT   ", "exfat"),
    (82, b"FAT32   ", "vfat"),
    (54, b"FAT16   ", "vfat"),
    (54, b"FAT12   ", "vfat"),
    (0, b"hsqs", "squashfs"),
    (1024, b"\x10\x20\xf5\xf2", "f2fs"),
    (1024, b"\xe2\xe1\xf5\xe0", "erofs"),
    (32769, b"CD001", "iso9660"),
    (32768, b"JFS1", "jfs"),
    (65588, b"ReIsEr2Fs", "reiserfs"),
    (65588, b"ReIsErFs", "reiserfs"),
    (4096, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (4096, b"\xc6\x85\x73\xf6", "bcache"),
    (4120, b"\xc6\x85\x73\xf6", "bcache"),
    (0, b"\x0d\xd0\x1e\xac", "VMFS"),
];

/// Says what begins like this; `None` for what no one knows. `head` is at least the first [`HEAD`] bytes, or all there is.
pub fn probe(head: &[u8]) -> Option<Superblock> {
    lvm(head)
        .or_else(|| ext(head))
        .or_else(|| xfs(head))
        .or_else(|| btrfs(head))
        .or_else(|| swap(head))
        .or_else(|| zfs(head))
        .or_else(|| {
            let found = OTHERS
                .iter()
                .find(|(at, magic, _)| is_at(head, *at, magic))?;
            Some(Superblock::of(Kind::Other(found.2)))
        })
}

fn is_at(b: &[u8], at: usize, magic: &[u8]) -> bool {
    b.get(at..at + magic.len()) == Some(magic)
}

/// A LABELONE in one of the first four sectors.
fn lvm(head: &[u8]) -> Option<Superblock> {
    (0..4)
        .any(|sector| {
            is_at(head, sector * 512, b"LABELONE") && is_at(head, sector * 512 + 24, b"LVM2 001")
        })
        .then(|| Superblock::of(Kind::Lvm))
}

fn ext(head: &[u8]) -> Option<Superblock> {
    let sb = head.get(1024..2048)?;
    let u32_at = |at: usize| u32::from_le_bytes([sb[at], sb[at + 1], sb[at + 2], sb[at + 3]]);
    if sb[0x38..0x3a] != [0x53, 0xef] || u32_at(0) == 0 || u32_at(0x18) > 6 {
        return None;
    }
    let (compat, incompat, ro_compat) = (u32_at(0x5c), u32_at(0x60), u32_at(0x64));
    // has_journal; a device that is a journal only; extents, 64bit, mmp, flex_bg, ...; huge_file, gdt_csum, dir_nlink, ...
    const JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    const NEW_INCOMPAT: u32 = !0x1f;
    const NEW_RO_COMPAT: u32 = !0x7;
    let kind = if incompat & JOURNAL_DEVICE != 0 {
        Kind::Other("jbd")
    } else if incompat & NEW_INCOMPAT != 0 || ro_compat & NEW_RO_COMPAT != 0 {
        Kind::Ext4
    } else if compat & JOURNAL != 0 {
        Kind::Ext3
    } else {
        Kind::Ext2
    };
    let name = text(&sb[0x78..0x88]);
    Some(Superblock {
        label: if name.is_empty() {
            text(&sb[0x88..0xc8])
        } else {
            name
        },
        system: match u32_at(0x48) {
            0 => Some("Linux"),
            1 => Some("HURD"),
            3 => Some("FreeBSD"),
            _ => None,
        },
        uuid: uuid(&sb[0x68..0x78]),
        dirty: incompat & 0x4 != 0, // needs_recovery
        ..Superblock::of(kind)
    })
}

fn xfs(head: &[u8]) -> Option<Superblock> {
    if !head.starts_with(b"XFSB") {
        return None;
    }
    Some(Superblock {
        label: text(head.get(108..120)?),
        uuid: uuid(head.get(32..48)?),
        ..Superblock::of(Kind::Xfs)
    })
}

fn btrfs(head: &[u8]) -> Option<Superblock> {
    let sb = head.get(0x1_0000..0x1_1000)?;
    if !is_at(sb, 0x40, b"_BHRfS_M") {
        return None;
    }
    let u64_at = |at: usize| {
        sb[at..at + 8]
            .iter()
            .rev()
            .fold(0, |n, &b| n << 8 | u64::from(b))
    };
    Some(Superblock {
        label: text(&sb[0x12b..0x22b]),
        uuid: uuid(&sb[0x20..0x30]),
        dirty: u64_at(0x60) != 0, // log_root
        devices: u64_at(0x88),
        ..Superblock::of(Kind::Btrfs)
    })
}

/// The signature stands at the end of the first page, whose size is the machine's.
fn swap(head: &[u8]) -> Option<Superblock> {
    let found = [4096, 8192, 16384, 32768, 65536]
        .into_iter()
        .find_map(|page: usize| {
            [
                &b"SWAPSPACE2"[..],
                b"SWAP-SPACE",
                b"S1SUSPEND\0",
                b"S2SUSPEND\0",
                b"LINHIB0001",
            ]
            .into_iter()
            .find(|magic| is_at(head, page - 10, magic))
        })?;
    let hibernated = !found.starts_with(b"SWAP");
    let mut sb = Superblock::of(Kind::Other(if hibernated { "swsuspend" } else { "swap" }));
    sb.label = text(head.get(1052..1068)?);
    sb.uuid = uuid(head.get(1036..1052)?);
    Some(sb)
}

/// Uberblocks stand from 128 KiB into each label, their magic in either byte order.
fn zfs(head: &[u8]) -> Option<Superblock> {
    const MAGIC: [u8; 8] = [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0];
    let mut swapped = MAGIC;
    swapped.reverse();
    let blocks = head.get(128 * 1024..)?.chunks(1024);
    let is = |b: &[u8]| b.starts_with(&MAGIC) || b.starts_with(&swapped);
    blocks
        .take(128)
        .any(is)
        .then(|| Superblock::of(Kind::Other("zfs_member")))
}

/// Text of a field that ends with a NUL or its space.
fn text(field: &[u8]) -> String {
    let field = field.split(|&b| b == 0).next().unwrap_or_default();
    lossless(field).trim_end().to_owned()
}

fn uuid(b: &[u8]) -> Option<String> {
    if b.len() != 16 || b.iter().all(|&b| b == 0) {
        return None;
    }
    let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
    Some(
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), grow in 0usize..300_000, which in 0usize..6) {
            bytes.resize(bytes.len() + grow, 0);
            let (at, magic): (usize, &[u8]) = [(1024 + 0x38, &b"\x53\xef"[..]), (0, b"XFSB"), (0x1_0040, b"_BHRfS_M"), (4086, b"SWAPSPACE2"), (512, b"LABELONE"), (0, b"")][which];
            if let Some(place) = bytes.get_mut(at..at + magic.len()) {
                place.copy_from_slice(magic);
            }
            let _ = probe(&bytes);
        }
    }
}
