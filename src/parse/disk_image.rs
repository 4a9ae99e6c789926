//! Formats of disk images by their headers, and what in them would lead to other files.
//!
//! A guest writes its disk's first bytes, and whoever made an image writes its header: names of other files in it (backing
//! files, extents, parents) are never opened unless they are plain names beside the image. Sources: QEMU's
//! docs/interop/qcow2.txt, VMware's Virtual Disk Format 5.0, Microsoft's VHD and VHDX specifications, QEMU's block/vdi.c,
//! libewf's documents on EWF.

use crate::text::lossless;

/// Bytes of an image's beginning that [`format()`] wants.
pub const HEAD: usize = 64 * 1024;
/// Largest text of a VMDK's descriptor, in bytes.
pub const MOST_DESCRIPTOR: u64 = 1 << 20;

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
    if starts(b"KDMV") || is_descriptor(head) {
        return Ok(Format::Vmdk);
    }
    if head.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe]) {
        return Ok(Format::Vdi);
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
    Ok(())
}

fn is_descriptor(head: &[u8]) -> bool {
    let line = head.get(..64).unwrap_or(head).to_ascii_lowercase();
    line.starts_with(b"# disk descriptorfile")
}

/// Where the descriptor of a VMDK stands in it: offset and length in bytes. `None` for a sparse extent without one, which
/// stands on its own.
pub fn vmdk_descriptor(head: &[u8], size: u64) -> Option<(u64, u64)> {
    if is_descriptor(head) {
        return Some((0, size.min(MOST_DESCRIPTOR)));
    }
    let u64_at = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let (at, length) = (u64_at(28)?.checked_mul(512)?, u64_at(36)?.checked_mul(512)?);
    (at != 0).then_some((at, length.min(MOST_DESCRIPTOR)))
}

/// The files a VMDK's descriptor leads to, plain names beside it.
///
/// # Errors
/// When one is no plain name, or it has a parent.
pub fn vmdk_extents(descriptor: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut files = Vec::new();
    for line in descriptor.split(|&b| b == b'\n' || b == b'\r' || b == 0) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        let lower = line.to_ascii_lowercase();
        if let Some(parent) = lower.strip_prefix("parentcid") {
            let parent = parent.trim_start_matches([' ', '\t', '=']).trim();
            if parent != "ffffffff" {
                return Err(Refusal::Difference(format!("its parent with CID {parent}")));
            }
        }
        if lower.starts_with("parentfilenamehint") {
            return Err(Refusal::Difference(line.to_owned()));
        }
        // RW 4192256 SPARSE "disk-s001.vmdk"
        let access = lower.split_ascii_whitespace().next();
        if !matches!(access, Some("rw" | "rdonly" | "noaccess")) {
            continue;
        }
        let kind = lower.split_ascii_whitespace().nth(2);
        if kind == Some("zero") {
            continue;
        }
        let name = line.split('"').nth(1).unwrap_or_default();
        let plain = !name.is_empty()
            && !name.contains(['/', '\\', ':', '\0'])
            && name != "."
            && name != "..";
        if !plain {
            return Err(Refusal::Leads(name.to_owned()));
        }
        files.push(name.to_owned());
    }
    Ok(files)
}

/// A section's header in a segment of an EWF image: what it is, and where the next one is. 76 bytes at `at`.
pub fn ewf_section(header: &[u8]) -> Option<(&[u8], u64)> {
    let kind = header.get(..16)?;
    let end = memchr::memchr(0, kind).unwrap_or(kind.len());
    let next = u64::from_le_bytes(header.get(16..24)?.try_into().ok()?);
    Some((&kind[..end], next))
}

/// The name of segment `n` (from 1) of an EWF image whose first is `first`: `.E01` to `.E99`, then `.EAA` to `.EZZ`, `.FAA`.
pub fn ewf_segment(first: &str, n: u32) -> Option<String> {
    let (stem, end) = first.rsplit_once('.')?;
    let letter = *end.as_bytes().first().filter(|b| b.is_ascii_alphabetic())?;
    if end.len() != 3 || n == 0 {
        return None;
    }
    if n < 100 {
        return Some(format!("{stem}.{}{n:02}", char::from(letter)));
    }
    let a = if letter.is_ascii_lowercase() {
        b'a'
    } else {
        b'A'
    };
    let n = n - 100;
    let char_of = |n: u32| Some(char::from(a + u8::try_from(n % 26).ok()?));
    let top = u32::from(letter - a) + n / 676;
    (top < 26).then_some(())?;
    Some(format!(
        "{stem}.{}{}{}",
        char_of(top)?,
        char_of(n / 26)?,
        char_of(n)?
    ))
}

fn u32_be(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
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
        assert_eq!(ewf_segment("d.Ex01", 2), None);
    }

    #[test]
    fn descriptors_lead_nowhere() {
        let text =
            |line: &str| format!("# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\n{line}\n");
        let extents = |line: &str| vmdk_extents(text(line).as_bytes());
        assert_eq!(
            extents("RW 100 FLAT \"a b-flat.vmdk\" 0"),
            Ok(vec!["a b-flat.vmdk".into()])
        );
        assert_eq!(extents("RW 100 ZERO"), Ok(vec![]));
        for bad in ["/etc/passwd", "../x", "nbd:host", "json:{}", "", ".."] {
            let line = format!("rw 100 FLAT \"{bad}\" 0");
            assert_eq!(extents(&line), Err(Refusal::Leads(bad.into())));
        }
        assert!(extents("parentFileNameHint=\"/etc/passwd\"").is_err());
        assert!(vmdk_extents(b"parentCID = 12345678\n").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(junk in prop::collection::vec(any::<u8>(), 0..2000), which in 0usize..6, name in any::<String>()) {
            let magic: &[u8] = [&b"QFI\xfb\0\0\0\x03"[..], b"KDMV", b"conectix", b"# Disk DescriptorFile\nRW 1 FLAT ", b"vhdxfile", b""][which];
            let bytes = [magic, &junk].concat();
            let _ = format(&bytes);
            let _ = vmdk_descriptor(&bytes, 1 << 40);
            let _ = vmdk_extents(&bytes);
            let _ = next_piece(&name);
            let _ = ewf_section(&bytes);
            let _ = ewf_segment(&name, bytes.len() as u32);
            let _ = is_first_piece(&name);
        }
    }
}
