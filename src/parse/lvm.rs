//! LVM2: the header of a physical volume, and the text that says how logical volumes lie on physical ones.
//!
//! Sources: LVM2's lib/format_text/layout.h (`pv_header`, `mda_header`, `raw_locn`), lib/label/label.h, and the text format
//! of lib/format_text/export.c.

use super::{u32_at, u64_at};
use crate::text::lossless;

/// Largest text of a volume group, in bytes.
pub const MOST_TEXT: u64 = 16 << 20;
/// Sections within sections.
const MOST_DEPTH: usize = 16;
/// Magic of a metadata area's header.
const MDA_MAGIC: &[u8; 16] = b"\x20LVM2\x20x[5A%r0N*>";
/// Bytes of a metadata area's header; the text goes round behind it.
const MDA_HEADER: u64 = 512;

/// The header of a physical volume. Offsets and lengths in bytes from the volume's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvHeader {
    /// Its id, as in the text without hyphens.
    pub id: String,
    /// Metadata areas: offset and length.
    pub metadata: Vec<(u64, u64)>,
}

/// Finds the header in a volume's first four sectors.
pub fn pv_header(head: &[u8]) -> Option<PvHeader> {
    let label = (0..4)
        .filter_map(|n| head.get(n * 512..(n + 1) * 512))
        .find(|s| s.starts_with(b"LABELONE"))?;
    let at = u32_at(label, 20)? as usize;
    let id = label.get(at..at + 32)?;
    let mut areas = Vec::new();
    let mut lists = 0;
    let mut at = at + 40;
    // Two lists of areas, data and metadata, each ended by zeros.
    while lists < 2 {
        let area = (u64_at(label, at)?, u64_at(label, at + 8)?);
        at += 16;
        if area.0 == 0 {
            lists += 1;
        } else if lists == 1 {
            areas.push(area);
        }
    }
    Some(PvHeader {
        id: lossless(id).into_owned(),
        metadata: areas,
    })
}

/// Where in a metadata area its text stands: parts as offset (from the area's start) and length. A text goes round at the end.
pub fn text_parts(header: &[u8], area: u64) -> Option<Vec<(u64, u64)>> {
    if header.get(4..20)? != MDA_MAGIC {
        return None;
    }
    let (offset, size) = (u64_at(header, 40)?, u64_at(header, 48)?);
    if offset < MDA_HEADER || offset >= area || size == 0 || size > MOST_TEXT.min(area - MDA_HEADER)
    {
        return None;
    }
    let first = size.min(area - offset);
    let mut parts = vec![(offset, first)];
    if first < size {
        parts.push((MDA_HEADER, size - first));
    }
    Some(parts)
}

/// A volume group, as its text describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Which version of the text this is: the highest counts.
    pub seqno: u64,
    /// Bytes of an extent.
    pub extent: u64,
    /// Its physical volumes.
    pub physical: Vec<Physical>,
    /// Its logical volumes.
    pub logical: Vec<Logical>,
}

/// A physical volume of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Physical {
    /// Its name within the text.
    pub name: String,
    /// Its id, without hyphens.
    pub id: String,
    /// The device it was on the host.
    pub device: String,
    /// Where its first extent is, in bytes.
    pub start: u64,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logical {
    /// Its name.
    pub name: String,
    /// Whether it is one that people see (others are parts of volumes).
    pub visible: bool,
    /// Its segments, in order.
    pub segments: Vec<Segment>,
}

/// A run of a logical volume's extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// How many extents.
    pub extents: u64,
    /// `striped`, `thin-pool`, `raid1`, ...
    pub kind: String,
    /// Name of the physical volume and first extent there, a stripe each.
    pub stripes: Vec<(String, u64)>,
}

/// Reads the text of a volume group. `None` when it describes none.
pub fn group(text: &[u8]) -> Option<Group> {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let mut reader = Reader { rest: &text[..end] };
    let top = reader.section(0);
    let (name, vg) = top.iter().find_map(|(name, v)| match v {
        Value::Section(s) => Some((name, s)),
        _ => None,
    })?;
    let number = |s: &[(String, Value)], key: &str| match get(s, key) {
        Some(Value::Number(n)) => *n,
        _ => 0,
    };
    let string = |s: &[(String, Value)], key: &str| match get(s, key) {
        Some(Value::Text(t)) => t.clone(),
        _ => String::new(),
    };
    let extent = number(vg, "extent_size").checked_mul(512)?;
    let physical = sections(vg, "physical_volumes").map(|(name, pv)| Physical {
        name: name.clone(),
        id: string(pv, "id").replace('-', ""),
        device: string(pv, "device"),
        start: number(pv, "pe_start").saturating_mul(512),
    });
    let logical = sections(vg, "logical_volumes").map(|(name, lv)| {
        let mut segments: Vec<(u64, Segment)> = lv
            .iter()
            .filter_map(|(key, v)| match v {
                Value::Section(s) if key.starts_with("segment") => Some(s),
                _ => None,
            })
            .map(|s| {
                let list = match get(s, "stripes") {
                    Some(Value::List(list)) => list.as_slice(),
                    _ => &[],
                };
                let stripes = list.chunks_exact(2).filter_map(|pair| match pair {
                    [Value::Text(pv), Value::Number(at)] => Some((pv.clone(), *at)),
                    _ => None,
                });
                let segment = Segment {
                    extents: number(s, "extent_count"),
                    kind: string(s, "type"),
                    stripes: stripes.collect(),
                };
                (number(s, "start_extent"), segment)
            })
            .collect();
        segments.sort_by_key(|(at, _)| *at);
        let visible = matches!(get(lv, "status"), Some(Value::List(l)) if l.contains(&Value::Text("VISIBLE".into())));
        Logical {
            name: name.clone(),
            visible,
            segments: segments.into_iter().map(|(_, s)| s).collect(),
        }
    });
    Some(Group {
        name: name.clone(),
        seqno: number(vg, "seqno"),
        extent,
        physical: physical.collect(),
        logical: logical.collect(),
    })
}

fn get<'s>(section: &'s [(String, Value)], key: &str) -> Option<&'s Value> {
    section.iter().find(|(k, _)| k == key).map(|(_, v)| v)
}

/// The sections within a section of a section.
fn sections<'s>(
    vg: &'s [(String, Value)],
    key: &str,
) -> impl Iterator<Item = (&'s String, &'s Vec<(String, Value)>)> {
    let inner = match get(vg, key) {
        Some(Value::Section(s)) => s.as_slice(),
        _ => &[],
    };
    inner.iter().filter_map(|(name, v)| match v {
        Value::Section(s) => Some((name, s)),
        _ => None,
    })
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Section(Vec<(String, Value)>),
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    /// Skips blanks and comments; the next byte.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.rest.first()? {
                b if b.is_ascii_whitespace() => self.rest = &self.rest[1..],
                b'#' => {
                    let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                b => return Some(b),
            }
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Entries up to the section's end, or as far as they can be read.
    fn section(&mut self, depth: usize) -> Vec<(String, Value)> {
        let mut entries = Vec::new();
        loop {
            match self.peek() {
                None => return entries,
                Some(b'}') => {
                    self.skip();
                    return entries;
                }
                _ => {}
            }
            let name = self.word();
            if name.is_empty() || depth > MOST_DEPTH {
                self.rest = &[];
                return entries;
            }
            match self.peek() {
                Some(b'{') => {
                    self.skip();
                    entries.push((name, Value::Section(self.section(depth + 1))));
                }
                Some(b'=') => {
                    self.skip();
                    match self.value(depth) {
                        Some(value) => entries.push((name, value)),
                        None => {
                            self.rest = &[];
                            return entries;
                        }
                    }
                }
                _ => {
                    self.rest = &[];
                    return entries;
                }
            }
        }
    }

    fn word(&mut self) -> String {
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"_+.-/@".contains(b) || !b.is_ascii();
        let n = self.rest.iter().take_while(|b| is_word(b)).count();
        let (word, rest) = self.rest.split_at(n);
        self.rest = rest;
        lossless(word).into_owned()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.peek()? {
            b'"' => {
                self.skip();
                let mut text = Vec::new();
                loop {
                    let b = *self.rest.first()?;
                    self.skip();
                    match b {
                        b'"' => return Some(Value::Text(lossless(&text).into_owned())),
                        b'\\' => {
                            text.push(*self.rest.first()?);
                            self.skip();
                        }
                        b => text.push(b),
                    }
                }
            }
            b'[' if depth <= MOST_DEPTH => {
                self.skip();
                let mut list = Vec::new();
                loop {
                    match self.peek()? {
                        b']' => {
                            self.skip();
                            return Some(Value::List(list));
                        }
                        b',' => self.skip(),
                        _ => list.push(self.value(depth + 1)?),
                    }
                }
            }
            _ => {
                let word = self.word();
                (!word.is_empty()).then(|| match word.parse() {
                    Ok(n) => Value::Number(n),
                    Err(_) => Value::Text(word),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] = br#"vg0 {
id = "y0"
seqno = 4
status = ["RESIZEABLE", "READ"]
extent_size = 8192 # 4 Megabytes
physical_volumes {
pv0 { id = "ab-cd" device = "/dev/sd\"a" pe_start = 2048 } }
logical_volumes { root { status = ["READ", "VISIBLE"] segment_count = 2
segment2 { start_extent = 3 extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv0", 9] }
segment1 { start_extent = 0 extent_count = 3 type = "striped" stripe_count = 1 stripes = [ "pv0", 0 ] } } }
}
contents = "Text Format Volume Group"
"#;

    #[test]
    fn a_group() {
        let group = group(TEXT).unwrap();
        assert_eq!(
            (group.name.as_str(), group.seqno, group.extent),
            ("vg0", 4, 8192 * 512)
        );
        assert_eq!(group.physical[0].id, "abcd");
        assert_eq!(group.physical[0].start, 2048 * 512);
        let lv = &group.logical[0];
        assert!(lv.visible);
        let extents: Vec<_> = lv
            .segments
            .iter()
            .map(|s| (s.extents, s.stripes.clone()))
            .collect();
        assert_eq!(
            extents,
            [(3, vec![("pv0".into(), 0)]), (1, vec![("pv0".into(), 9)])]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(cut in 0..TEXT.len(), at in 0..TEXT.len(), byte in any::<u8>(), junk in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut text = TEXT.to_vec();
            text[at] = byte;
            let _ = group(&text[..cut]);
            let _ = group(&junk);
            let _ = text_parts(&junk, 1 << 20);
            let mut head = b"LABELONE".to_vec();
            head.extend(&junk);
            let _ = pv_header(&head);
        }

        #[test]
        fn no_depth_is_too_much(n in 0usize..100_000) {
            let _ = group("a{".repeat(n).as_bytes());
            let _ = group(format!("a{{b={}", "[".repeat(n)).as_bytes());
        }
    }
}
