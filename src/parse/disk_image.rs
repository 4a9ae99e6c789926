//! Formats of disk images by their headers, and what in them would lead to other files.
//!
//! A guest writes its disk's first bytes, and whoever made an image writes its header. dof refuses an image whose header
//! leads to another file (a backing file, a data file, a parent); the extents of a VMDK are `vmdk.rs`'s. Sources: QEMU's
//! docs/interop/qcow2.txt, Microsoft's VHD and VHDX specifications, QEMU's block/vdi.c, libewf's documents on EWF.

use super::{u32_at, vmdk};
use crate::text::lossless;

/// Bytes of an image's beginning that [`format()`] wants.
pub const HEAD: usize = 64 * 1024;

/// How a disk is kept in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The disk's own bytes, in one file or in pieces
    Raw,
    /// QEMU's, versions 2 and 3
    Qcow2,
    /// VMware's: a descriptor, or a sparse extent that holds one
    Vmdk,
    /// VirtualBox's
    Vdi,
    /// Virtual PC's
    Vhd,
    /// Hyper-V's
    Vhdx,
    /// EnCase's (E01, Ex01)
    Ewf,
}

impl Format {
    /// QEMU's name of the driver that reads it, where QEMU does.
    pub fn qemu(self) -> Option<&'static str> {
        match self {
            Format::Raw | Format::Ewf => None,
            Format::Qcow2 => Some("qcow2"),
            Format::Vmdk => Some("vmdk"),
            Format::Vdi => Some("vdi"),
            Format::Vhd => Some("vpc"),
            Format::Vhdx => Some("vhdx"),
        }
    }
}

/// Why an image is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its content lies elsewhere too.
    #[error(
        "it is a difference to another image, {0:?}; make one image of both first (qemu-img convert)"
    )]
    Difference(String),
    /// Its content lies in a file that its header names.
    #[error("its header leads to another file, {0:?}, which dof does not follow")]
    Leads(String),
    /// Encrypted as a whole.
    #[error("it is encrypted")]
    Encrypted,
    /// Something else, packed.
    #[error("it is packed ({0}); unpack it first")]
    Packed(&'static str),
    /// A format no tool here reads.
    #[error("{0} images are not read; make a raw or E01 image of it first")]
    Unknown(&'static str),
    /// Its header makes no sense.
    #[error("its header is damaged: {0}")]
    Damaged(&'static str),
    /// It was in use when it was copied.
    #[error(
        "its log holds changes that are not in their place yet; replay them in a copy of it (qemu-img check -r all COPY)"
    )]
    Log,
    /// dof reads a line of its descriptor only if it understands the whole line.
    #[error("its descriptor has a line that dof does not understand: {0:?}")]
    Line(String),
    /// More pieces than dof opens.
    #[error("it has more than {1} {0}; make one raw image of it first")]
    TooMany(&'static str, usize),
}

/// The format of an image that begins with `head`.
///
/// # Errors
/// A [`Refusal`] when dof does not read such images.
pub fn format(head: &[u8]) -> Result<Format, Refusal> {
    const PACKED: &[(&[u8], &str)] = &[
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    ];
    const UNKNOWN: &[(&[u8], &str)] = &[
        (b"AFF10\r\n", "AFF"),
        (b"ADSEGMENTEDFILE", "AD1"),
        (b"LVF\x09\x0d\x0a\xff\x00", "L01"),
        (b"LEF2\r\n\x81\0", "Lx01"),
        (b"QED\0", "QED"),
        (b"COWD", "COWD"),
        (b"\xbe\xba\xfe\xca\0\0\0\0", "seSparse"),
    ];
    let starts = |magic: &[u8]| head.starts_with(magic);
    if let Some((_, name)) = PACKED.iter().find(|(magic, _)| starts(magic)) {
        return Err(Refusal::Packed(name));
    }
    if let Some((_, name)) = UNKNOWN.iter().find(|(magic, _)| starts(magic)) {
        return Err(Refusal::Unknown(name));
    }
    if starts(b"QFI\xfb") {
        return qcow2(head).map(|()| Format::Qcow2);
    }
    if starts(b"KDMV") || vmdk::is_descriptor(head) {
        return Ok(Format::Vmdk);
    }
    if head.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe]) {
        return match u32_at(head, 0x4c) {
            Some(1 | 2) => Ok(Format::Vdi),
            Some(3 | 4) => Err(Refusal::Difference("its parent".into())),
            _ => Err(Refusal::Damaged("unknown type of disk")),
        };
    }
    if starts(b"conectix") {
        let kind = u32_be(head, 60).ok_or(Refusal::Damaged("cut short"))?;
        return match kind {
            2 | 3 => Ok(Format::Vhd),
            4 => Err(Refusal::Difference("its parent".into())),
            _ => Err(Refusal::Damaged("unknown type of disk")),
        };
    }
    if starts(b"vhdxfile") {
        return Ok(Format::Vhdx);
    }
    if starts(b"EVF\x09\x0d\x0a\xff\x00") || starts(b"EVF2\r\n\x81\0") {
        return Ok(Format::Ewf);
    }
    Ok(Format::Raw)
}

/// The extension of a qcow2 header that names an external data file.
const DATA_FILE: u32 = 0x4441_5441;

/// Whether a qcow2 image stands on its own.
fn qcow2(head: &[u8]) -> Result<(), Refusal> {
    let short = Refusal::Damaged("cut short");
    let number = |at: usize| u32_be(head, at).ok_or_else(|| short.clone());
    if number(32)? != 0 {
        return Err(Refusal::Encrypted);
    }
    let backing = (
        u64::from(number(8)?) << 32 | u64::from(number(12)?),
        number(16)?,
    );
    if backing.0 != 0 {
        let at = usize::try_from(backing.0).unwrap_or(usize::MAX);
        let end = at.saturating_add(backing.1.min(1023) as usize);
        let name = head.get(at..end).unwrap_or_default();
        return Err(Refusal::Difference(lossless(name).into_owned()));
    }
    // Incompatible features of version 3: bit 2, the data lies in another file.
    if number(4)? >= 3 && number(76)? & 4 != 0 {
        return Err(Refusal::Leads("an external data file".into()));
    }
    // Extensions of the header, each padded to 8 bytes. One that names a data file is refused whatever that bit says.
    let mut at = match number(4)? {
        3.. => number(100)? as usize,
        _ => 72,
    };
    while let (Ok(kind @ 1..), Ok(length)) = (number(at), number(at.saturating_add(4))) {
        let content = at.saturating_add(8);
        let end = content.saturating_add(length as usize);
        if kind == DATA_FILE {
            let name = head.get(content..end).unwrap_or_default();
            return Err(Refusal::Leads(lossless(name).into_owned()));
        }
        at = end.saturating_add(7) & !7;
    }
    Ok(())
}

/// A section's header in a segment of an EWF image: what it is, and where the next one is. 76 bytes at `at`.
pub fn ewf_section(header: &[u8]) -> Option<(&[u8], u64)> {
    let kind = header.get(..16)?;
    let end = memchr::memchr(0, kind).unwrap_or(kind.len());
    let next = u64::from_le_bytes(header.get(16..24)?.try_into().ok()?);
    Some((&kind[..end], next))
}

/// The name of segment `n` (from 1) of an EWF image whose first is `first`: `.E01` to `.E99`, then `.EAA` to `.EZZ`, `.FAA`;
/// of the second version `.Ex01`, `.ExAA`, `.EyAA`.
pub fn ewf_segment(first: &str, n: u32) -> Option<String> {
    let (stem, end) = first.rsplit_once('.')?;
    let (kind, letter) = match *end.as_bytes() {
        [letter, _, _] => ("", letter),
        [_, x @ (b'x' | b'X'), _, _] => (&end[..1], x),
        _ => return None,
    };
    if !end.is_ascii() || !end.as_bytes()[0].is_ascii_alphabetic() || n == 0 {
        return None;
    }
    if n < 100 {
        return Some(format!("{stem}.{kind}{}{n:02}", char::from(letter)));
    }
    let first_of = |like: u8| {
        if like.is_ascii_lowercase() {
            b'a'
        } else {
            b'A'
        }
    };
    let (n, like) = (n - 100, first_of(end.as_bytes()[0]));
    let char_of = |n: u32| Some(char::from(like + u8::try_from(n % 26).ok()?));
    let top = u32::from(letter - first_of(letter)) + n / 676;
    (top < 26).then_some(())?;
    let top = char::from(first_of(letter) + u8::try_from(top).ok()?);
    Some(format!(
        "{stem}.{kind}{top}{}{}",
        char_of(n / 26)?,
        char_of(n)?
    ))
}

/// A big-endian number at a place, if there are bytes enough.
fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    u32_at(bytes, at).map(u32::swap_bytes)
}

/// The name of the piece after this one of a split image: `disk.001` to `disk.002`, `xaa` to `xab`. `None` when the name does
/// not count.
pub fn next_piece(name: &str) -> Option<String> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let letters = name.len()
        - name
            .trim_end_matches(|c: char| c.is_ascii_lowercase())
            .len();
    let (n, first, last) = match (digits, letters) {
        (2.., _) => (digits.min(4), b'0', b'9'),
        (_, 2..) => (2, b'a', b'z'),
        _ => return None,
    };
    let mut bytes = name.as_bytes().to_vec();
    let start = bytes.len() - n;
    for b in bytes[start..].iter_mut().rev() {
        if *b < last {
            *b += 1;
            return String::from_utf8(bytes).ok();
        }
        *b = first;
    }
    None
}

/// Whether a name is that of the first piece of a split image: `.000`, `.001`, `.aa`.
pub fn is_first_piece(name: &str) -> bool {
    let end = name.rsplit('.').next().unwrap_or_default();
    end.len() >= 2
        && (end.bytes().all(|b| b == b'0')
            || end.len() >= 3
                && end
                    .strip_suffix('1')
                    .is_some_and(|z| z.bytes().all(|b| b == b'0'))
            || end == "aa"
            || name.ends_with(".aa")
            || name == "xaa")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_count() {
        for (name, next) in [
            ("disk.001", Some("disk.002")),
            ("disk.009", Some("disk.010")),
            ("disk.raw.000", Some("disk.raw.001")),
            ("xaa", Some("xab")),
            ("disk.az", Some("disk.ba")),
            ("disk.zz", None),
            ("disk.raw", None),
        ] {
            if name == "disk.raw" {
                assert!(!is_first_piece(name));
            } else {
                assert_eq!(next_piece(name).as_deref(), next, "{name}");
            }
        }
        for (name, first) in [
            ("d.001", true),
            ("d.000", true),
            ("d.aa", true),
            ("xaa", true),
            ("d.002", false),
            ("d.img", false),
            ("d.1", false),
        ] {
            assert_eq!(is_first_piece(name), first, "{name}");
        }
    }

    #[test]
    fn segments_count() {
        let name = |n| ewf_segment("d.E01", n);
        for (n, want) in [
            (1, "d.E01"),
            (99, "d.E99"),
            (100, "d.EAA"),
            (101, "d.EAB"),
            (126, "d.EBA"),
            (775, "d.EZZ"),
            (776, "d.FAA"),
        ] {
            assert_eq!(name(n).as_deref(), Some(want));
        }
        assert_eq!(ewf_segment("d.e01", 100).as_deref(), Some("d.eaa"));
        for (n, want) in [(2, "d.Ex02"), (100, "d.ExAA"), (776, "d.EyAA")] {
            assert_eq!(ewf_segment("d.Ex01", n).as_deref(), Some(want));
        }
        for other in ["d.dd", "d", "d.001", "d.E\u{e9}", "d.Exx01"] {
            assert_eq!(ewf_segment(other, 2), None, "{other}");
        }
    }

    #[test]
    fn qcow2_names_no_other_file() {
        let mut head = vec![0u8; 512];
        head[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        head[103] = 104;
        assert_eq!(format(&head), Ok(Format::Qcow2));
        let with = |at: usize, bytes: &[u8]| {
            let mut head = head.clone();
            head[at..at + bytes.len()].copy_from_slice(bytes);
            format(&head)
        };
        // A backing file without a name, a data file by its bit, by its name, and behind another extension.
        assert!(matches!(with(15, &[9]), Err(Refusal::Difference(_))));
        assert!(matches!(with(79, &[4]), Err(Refusal::Leads(_))));
        let named = b"DATA\0\0\0\x04/etc\0\0\0\0";
        assert_eq!(with(104, named), Err(Refusal::Leads("/etc".into())));
        let second = [
            b"\x11\x22\x33\x44\0\0\0\x01a\0\0\0\0\0\0\0",
            named.as_slice(),
        ]
        .concat();
        assert_eq!(with(104, &second), Err(Refusal::Leads("/etc".into())));
        assert_eq!(with(35, &[1]), Err(Refusal::Encrypted));
    }

    proptest! {
        #[test]
        fn nothing_panics(junk in prop::collection::vec(any::<u8>(), 0..2000), which in 0usize..6, name in any::<String>()) {
            let magic: &[u8] = [&b"QFI\xfb\0\0\0\x03"[..], b"KDMV", b"conectix", b"# Disk DescriptorFile\nRW 1 FLAT ", b"vhdxfile", b""][which];
            let bytes = [magic, &junk].concat();
            let _ = format(&bytes);
            let _ = next_piece(&name);
            let _ = ewf_section(&bytes);
            let _ = ewf_segment(&name, bytes.len() as u32);
            let _ = is_first_piece(&name);
        }
    }
}
