//! VMware's images: the header of a sparse extent, and the descriptor that says which extents make up the disk.
//!
//! QEMU reads a descriptor loosely and follows what it says. dof reads it whole and strictly, opens the extents itself and
//! gives QEMU a descriptor of its own ([`write()`]). Sources: VMware's Virtual Disk Format 5.0; QEMU's block/vmdk.c for how it
//! decides.

use super::disk_image::Refusal;
use super::u64_at;
use crate::text::lossless;

/// Largest descriptor, in bytes.
pub const MOST_DESCRIPTOR: u64 = 1 << 20;
/// Most extents of an image. QEMU's time grows with their square: 11 s for so many.
pub const MOST_EXTENTS: usize = 4096;
/// Bytes at a sparse extent's end that hold the copy of its header: marker, header and the end's marker, a sector each.
pub const FOOTER: u64 = 1536;
/// Most sectors of a disk: all offsets in bytes stay below 2^63.
const MOST_SECTORS: u64 = 1 << 54;

/// A piece of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent<N> {
    /// How many sectors of the disk it is.
    pub sectors: u64,
    /// Where their bytes are.
    pub content: Content<N>,
}

/// Where the bytes of an extent are; `N` names a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<N> {
    /// Nowhere: all are zero.
    Zero,
    /// In a file as they are, from this sector on.
    Flat(N, u64),
    /// In a sparse extent of VMware's.
    Sparse(N),
}

/// What the header of a sparse extent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sparse {
    /// Sectors of the disk.
    pub capacity: u64,
    /// Offset and length in bytes of the descriptor in it, if it has one.
    pub descriptor: Option<(u64, u64)>,
}

/// Whether a file begins as a descriptor does.
pub fn is_descriptor(head: &[u8]) -> bool {
    let line = head.get(..64).unwrap_or(head).to_ascii_lowercase();
    line.starts_with(b"# disk descriptorfile")
}

/// Reads the header of a sparse extent. `end` has the extent's last [`FOOTER`] bytes: a stream's header is read there again.
///
/// # Errors
/// When it is none, or one that QEMU would not read as dof does.
pub fn sparse(head: &[u8], end: &[u8]) -> Result<Sparse, Refusal> {
    let damaged = |why| Err(Refusal::Damaged(why));
    let (Some(b"KDMV"), Some(capacity), Some(at), Some(length), Some(tables)) = (
        head.get(..4),
        u64_at(head, 12),
        u64_at(head, 28),
        u64_at(head, 36),
        u64_at(head, 56),
    ) else {
        return damaged("a sparse extent does not begin as one");
    };
    if capacity == 0 {
        // QEMU takes such a file for a descriptor, and reads more of it than the header says.
        return damaged("a sparse extent of no sectors");
    }
    if capacity > MOST_SECTORS {
        return damaged("a sparse extent of more sectors than a disk can have");
    }
    if tables == u64::MAX {
        // The copy counts for all but the descriptor.
        let copy = end.get(512..1024).filter(|_| end.len() as u64 == FOOTER);
        let same = copy.is_some_and(|c| c.starts_with(b"KDMV") && u64_at(c, 12) == Some(capacity));
        if !same {
            return damaged("the header at a sparse extent's end is not there or another one");
        }
    }
    let descriptor = match (at.checked_mul(512), length.checked_mul(512)) {
        (Some(0), _) => None,
        (Some(at), Some(length)) if length <= MOST_DESCRIPTOR => Some((at, length)),
        _ => return damaged("its descriptor is too large"),
    };
    Ok(Sparse {
        capacity,
        descriptor,
    })
}

/// The extents that a descriptor lists; their files are plain names beside the image.
///
/// # Errors
/// When one is no plain name, when the image has a parent, or when dof does not understand a line whole.
pub fn extents(descriptor: &[u8]) -> Result<Vec<Extent<Vec<u8>>>, Refusal> {
    let end = descriptor.iter().rposition(|&b| b != 0);
    let text = descriptor
        .get(..end.map_or(0, |e| e + 1))
        .unwrap_or_default();
    if text
        .iter()
        .any(|b| b.is_ascii_control() && !b"\t\n\r".contains(b))
    {
        return Err(Refusal::Damaged("its descriptor has control characters"));
    }
    let mut extents = Vec::new();
    let mut total = 0u64;
    for line in text.split(|b| b"\n\r".contains(b)) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let first = line.split(u8::is_ascii_whitespace).next();
        let first = first.unwrap_or_default().to_ascii_lowercase();
        if !matches!(first.as_slice(), b"rw" | b"rdonly" | b"noaccess") {
            setting(line)?;
            continue;
        }
        let extent = extent(line)?;
        total = total.saturating_add(extent.sectors);
        if total > MOST_SECTORS {
            return Err(Refusal::Damaged("more sectors than a disk can have"));
        }
        extents.push(extent);
        if extents.len() > MOST_EXTENTS {
            return Err(Refusal::TooMany("extents", MOST_EXTENTS));
        }
    }
    Ok(extents)
}

/// A line `key=value`; only those that name a parent matter.
fn setting(line: &[u8]) -> Result<(), Refusal> {
    let Some(at) = memchr::memchr(b'=', line) else {
        return Err(Refusal::Line(lossless(line).into_owned()));
    };
    let (key, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
    match key.to_ascii_lowercase().as_slice() {
        b"parentcid" if !value.eq_ignore_ascii_case(b"ffffffff") => Err(Refusal::Difference(
            format!("its parent with CID {}", lossless(value)),
        )),
        b"parentfilenamehint" => Err(Refusal::Difference(lossless(value).into_owned())),
        _ => Ok(()),
    }
}

/// A line `RW 4192256 SPARSE "disk-s001.vmdk"`, or `FLAT` with the first sector behind the name.
fn extent(line: &[u8]) -> Result<Extent<Vec<u8>>, Refusal> {
    let refuse = || Refusal::Line(lossless(line).into_owned());
    let (before, name, after) = match memchr::memchr(b'"', line) {
        None => (line, None, &[][..]),
        Some(open) => {
            let rest = &line[open + 1..];
            let close = memchr::memchr(b'"', rest).ok_or_else(refuse)?;
            (&line[..open], Some(&rest[..close]), &rest[close + 1..])
        }
    };
    let words = |text: &'_ [u8]| -> Vec<Vec<u8>> {
        let words = text.split(|b| b" \t".contains(b));
        words
            .filter(|w| !w.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    let number = |word: &[u8]| {
        let digits = word.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(word).ok()?.parse::<u64>().ok()?;
        (digits && number <= MOST_SECTORS).then_some(number)
    };
    let before = words(before);
    let after = words(after);
    let [access, sectors, kind] = before.as_slice() else {
        return Err(refuse());
    };
    if !matches!(access.as_slice(), b"RW" | b"RDONLY") {
        return Err(refuse());
    }
    let sectors = number(sectors).filter(|&n| n > 0).ok_or_else(refuse)?;
    let name = match name {
        None => None,
        Some(name) if is_plain(name) => Some(name.to_vec()),
        Some(name) => return Err(Refusal::Leads(lossless(name).into_owned())),
    };
    let content = match (kind.as_slice(), name, after.as_slice()) {
        (b"ZERO", None, []) => Content::Zero,
        (b"SPARSE", Some(name), []) => Content::Sparse(name),
        // VMFS is ESXi's word for it.
        (b"FLAT" | b"VMFS", Some(name), []) => Content::Flat(name, 0),
        (b"FLAT", Some(name), [first]) => Content::Flat(name, number(first).ok_or_else(refuse)?),
        (b"VMFSSPARSE" | b"SESPARSE", ..) => return Err(Refusal::Unknown("ESXi snapshot")),
        _ => return Err(refuse()),
    };
    Ok(Extent { sectors, content })
}

fn is_plain(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.iter().any(|b| b"/\\:".contains(b))
}

/// A descriptor of these extents. The names are dof's own, which have nothing that QEMU reads otherwise.
pub fn write(extents: impl IntoIterator<Item = Extent<String>>) -> String {
    let mut text = String::from(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n",
    );
    for Extent { sectors, content } in extents {
        text += &match content {
            Content::Zero => format!("RW {sectors} ZERO\n"),
            Content::Flat(name, first) => format!("RW {sectors} FLAT \"{name}\" {first}\n"),
            Content::Sparse(name) => format!("RW {sectors} SPARSE \"{name}\"\n"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(line: &str) -> Result<Vec<Extent<Vec<u8>>>, Refusal> {
        let text = format!("# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\n{line}\n");
        extents(text.as_bytes())
    }

    #[test]
    fn extents_are_plain_names() {
        let one = |sectors, content| Ok(vec![Extent { sectors, content }]);
        let flat = |name: &str, first| Content::Flat(name.as_bytes().to_vec(), first);
        for (line, want) in [
            (
                "RW 100 FLAT \"a b-flat.vmdk\" 8",
                one(100, flat("a b-flat.vmdk", 8)),
            ),
            ("RW\t100  VMFS \"f=\u{e9}\"", one(100, flat("f=\u{e9}", 0))),
            (
                "RDONLY 7 SPARSE \"s\"",
                one(7, Content::Sparse(b"s".to_vec())),
            ),
            ("RW 100 ZERO", one(100, Content::Zero)),
        ] {
            assert_eq!(of(line), want, "{line}");
        }
        for bad in [
            "/etc/passwd",
            "../x",
            "nbd:host",
            "json:{}",
            "",
            "..",
            "a\\b",
        ] {
            let line = format!("RW 100 FLAT \"{bad}\" 0");
            assert_eq!(of(&line), Err(Refusal::Leads(bad.into())));
        }
    }

    #[test]
    fn nothing_follows_the_padding() {
        let zero = b"RW 1 ZERO\n\0\0\0";
        assert_eq!(extents(zero).map(|e| e.len()), Ok(1));
        assert!(extents(&[zero, b"RW 1 ZERO".as_slice()].concat()).is_err());
    }

    #[test]
    fn lines_are_understood_whole_or_refused() {
        for bad in [
            "RW 100 FLAT \"/etc/passwd",
            "RW 100 FLAT x 0",
            "RW 100 FLAT \"x\" 0 0",
            "RW 100 FLAT \"x\" -1",
            "RW 100 FLAT \"x\" +1",
            "RW 0 FLAT \"x\" 0",
            "RW 99999999999999999999 ZERO",
            "RW 100 SPARSE \"x\" 0",
            "RW 100 flat \"x\" 0",
            "rw 100 FLAT \"x\" 0",
            "NOACCESS 100 ZERO",
            "RW",
            "RW\u{a0}100 FLAT \"x\" 0",
            "what is this",
        ] {
            assert!(
                matches!(of(bad), Err(Refusal::Line(_))),
                "{bad}: {:?}",
                of(bad)
            );
        }
        for bad in [
            "RW\u{b}1 FLAT \"x\" 0",
            "RW 1\u{c}FLAT \"x\" 0",
            "a=\0\nb=1",
        ] {
            assert!(matches!(of(bad), Err(Refusal::Damaged(_))), "{bad:?}");
        }
        for bad in [
            "parentFileNameHint=\"x\"",
            "PARENTCID = 12345678",
            "parentCID=\"1\"",
        ] {
            assert!(matches!(of(bad), Err(Refusal::Difference(_))), "{bad}");
        }
    }

    #[test]
    fn headers_at_both_ends() {
        let header = |capacity: u64, tables: u64| {
            let mut h = vec![0u8; 512];
            h[..4].copy_from_slice(b"KDMV");
            h[12..20].copy_from_slice(&capacity.to_le_bytes());
            h[56..64].copy_from_slice(&tables.to_le_bytes());
            h
        };
        let end = |h: Vec<u8>| [vec![0; 512], h, vec![0; 512]].concat();
        assert!(sparse(&header(9, 21), &[]).is_ok());
        assert!(sparse(&header(0, 21), &[]).is_err());
        assert!(sparse(&header(9, u64::MAX), &[]).is_err());
        assert!(sparse(&header(9, u64::MAX), &end(header(9, 21))).is_ok());
        assert!(sparse(&header(9, u64::MAX), &end(header(0, 21))).is_err());
        assert!(sparse(b"COWD", &[]).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(junk in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = sparse(&[b"KDMV", junk.as_slice()].concat(), &junk);
            let _ = extents(&[b"RW 1 FLAT ", junk.as_slice()].concat());
        }
    }
}
