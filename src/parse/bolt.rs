//! Read-only reader of bbolt key/value files, from their bytes alone.
//!
//! After go.etcd.io/bbolt `db.go` (finding the newest meta page), `internal/common/{meta,page,inode,bucket}.go`
//! (layouts) and `bucket.go` (inline buckets). A file is a row of pages of one size; pages 0 and 1 are meta
//! pages, of which the newer valid one names the root of a B+ tree. A value in a leaf may be a bucket: the
//! root page of another tree or, when small, a whole leaf page inside the value.
//!
//! A tree is read page by page, each at most once, and given up when it has more elements than the file has
//! room for (pages of a damaged file may overlap); so time and memory stay linear in the size of the file,
//! whatever its bytes say. Keys and values are borrowed.

use crate::problem::{Defect, Parsed};
use std::collections::HashSet;

const PAGE_HEADER: usize = 16;
const ELEMENT: usize = 16;
const BUCKET_HEADER: usize = 16;
const META: usize = 64;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// Flag of a leaf element whose value is a bucket.
const IS_BUCKET: u32 = 0x01;
/// Page sizes of the systems Docker runs on, and smaller ones that bbolt allows.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 10..=16;
/// Docker and containerd nest their buckets at most nine deep; a cycle of buckets ends here.
const MAX_DEPTH: u8 = 32;

/// A bbolt file.
#[derive(Clone, Copy, Debug)]
pub struct Bolt<'a> {
    bytes: &'a [u8],
    page_size: usize,
    root: u64,
    txid: u64,
    /// Number of the meta page that was not fit for use.
    broken: Option<u8>,
}

/// What a key in a bucket leads to.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// Plain bytes.
    Value(&'a [u8]),
    /// More keys.
    Bucket(Bucket<'a>),
}

/// A named set of keys, sorted as they stand in the file.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    bolt: Bolt<'a>,
    tree: Tree,
    depth: u8,
}

/// Where the keys of a bucket are.
#[derive(Clone, Copy, Debug)]
enum Tree {
    /// In the pages under this one.
    Root(u64),
    /// In a leaf page inside a value, between these offsets of the file.
    Inline(usize, usize),
}

/// One page, its elements between two offsets of the file.
#[derive(Clone, Copy)]
struct Page {
    start: usize,
    end: usize,
    flags: u16,
    count: usize,
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..)?.first_chunk().map(|c| u16::from_le_bytes(*c))
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..)?.first_chunk().map(|c| u32::from_le_bytes(*c))
}

fn u64_at(b: &[u8], at: usize) -> Option<u64> {
    b.get(at..)?.first_chunk().map(|c| u64::from_le_bytes(*c))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl<'a> Bolt<'a> {
    /// Opens a file by the newer of its two meta pages, or by the one that is whole.
    pub fn open(bytes: &'a [u8]) -> Result<Bolt<'a>, Defect> {
        let first = Bolt::meta(bytes, 0);
        let second = match &first {
            Ok(bolt) => Bolt::meta(bytes, bolt.page_size),
            // Where the second one is depends on the page size, which only the first one tells.
            Err(e) => PAGE_SIZES
                .map(|n| 1 << n)
                .find_map(|at| Bolt::meta(bytes, at).ok())
                .ok_or(*e),
        };
        match (first, second) {
            (Ok(a), Ok(b)) => Ok(if b.txid > a.txid { b } else { a }),
            (Ok(a), Err(_)) => Ok(Bolt {
                broken: Some(1),
                ..a
            }),
            (Err(_), Ok(b)) => Ok(Bolt {
                broken: Some(0),
                ..b
            }),
            (Err(what), Err(_)) => Err(Defect::at(
                0,
                format!("not a usable bbolt file: {what}"),
                "nothing",
            )),
        }
    }

    /// Reads the meta page at `at`.
    fn meta(bytes: &'a [u8], at: usize) -> Result<Bolt<'a>, &'static str> {
        let meta = bytes
            .get(at..)
            .and_then(|b| b.get(PAGE_HEADER..PAGE_HEADER + META))
            .ok_or("too short for a meta page")?;
        let (Some(magic), Some(version), Some(size), Some(root), Some(txid), Some(sum)) = (
            u32_at(meta, 0),
            u32_at(meta, 4),
            u32_at(meta, 8),
            u64_at(meta, 16),
            u64_at(meta, 48),
            u64_at(meta, 56),
        ) else {
            return Err("too short for a meta page");
        };
        let page_size = usize::try_from(size).unwrap_or(usize::MAX);
        if magic != MAGIC {
            Err("no bbolt magic number in the meta page")
        } else if version != VERSION {
            Err("unknown version in the meta page")
        } else if sum != fnv1a(&meta[..56]) {
            Err("wrong checksum of the meta page")
        } else if !size.is_power_of_two()
            || !PAGE_SIZES.contains(&size.ilog2())
            || at != 0 && at != page_size
        {
            Err("impossible page size in the meta page")
        } else {
            Ok(Bolt {
                bytes,
                page_size,
                root,
                txid,
                broken: None,
            })
        }
    }

    /// What was wrong with a meta page, when the file had to be opened by the other one: its state may then
    /// be one transaction old.
    pub fn defect(&self) -> Option<Defect> {
        let n = self.broken?;
        let kept = format!("the state of transaction {}", self.txid);
        Some(Defect::at(
            u64::from(n) * self.page_size as u64,
            format!("bbolt meta page {n} is damaged"),
            kept,
        ))
    }

    /// The bucket that holds the top-level ones.
    pub fn root(&self) -> Bucket<'a> {
        Bucket {
            bolt: *self,
            tree: Tree::Root(self.root),
            depth: 0,
        }
    }

    /// The bucket under this path of names; the root for no name at all. Defects on the way are those of the
    /// [`entries`](Bucket::entries) of the buckets above.
    pub fn bucket(&self, path: &[&[u8]]) -> Option<Bucket<'a>> {
        path.iter()
            .try_fold(self.root(), |bucket, name| bucket.bucket(name))
    }

    /// The page with this number.
    fn page(&self, id: u64) -> Result<Page, String> {
        let start = usize::try_from(id)
            .ok()
            .and_then(|id| id.checked_mul(self.page_size))
            .filter(|_| id >= 2);
        let rest = start
            .and_then(|s| self.bytes.get(s..))
            .filter(|r| r.len() >= PAGE_HEADER);
        let (Some(start), Some(rest)) = (start, rest) else {
            return Err(format!("page {id} is outside the file"));
        };
        let header = (
            u64_at(rest, 0),
            u16_at(rest, 8),
            u16_at(rest, 10),
            u32_at(rest, 12),
        );
        let (Some(own), Some(flags), Some(count), Some(overflow)) = header else {
            return Err(format!("page {id} has no header"));
        };
        if own != id {
            return Err(format!("page {id} says it is page {own}"));
        }
        if flags != BRANCH && flags != LEAF {
            return Err(format!(
                "page {id} is neither branch nor leaf (flags {flags:#06x})"
            ));
        }
        let pages = usize::try_from(overflow)
            .ok()
            .and_then(|n| n.checked_add(1));
        let len = pages
            .and_then(|n| n.checked_mul(self.page_size))
            .unwrap_or(usize::MAX);
        let end = start + len.min(rest.len());
        let count = usize::from(count);
        Ok(Page {
            start,
            end,
            flags,
            count,
        })
    }

    /// The key and value of leaf element `n`, with the element's flags.
    fn leaf(&self, page: &Page, n: usize) -> Option<(u32, Range, Range)> {
        let (at, e) = self.element(page, n)?;
        let key = at.checked_add(u32_at(e, 4)? as usize)?;
        let value = key.checked_add(u32_at(e, 8)? as usize)?;
        let end = value.checked_add(u32_at(e, 12)? as usize)?;
        (end <= page.end).then_some((u32_at(e, 0)?, (key, value), (value, end)))
    }

    /// The page that branch element `n` leads to.
    fn branch(&self, page: &Page, n: usize) -> Option<u64> {
        u64_at(self.element(page, n)?.1, 8)
    }

    /// Element `n` and where it stands.
    fn element(&self, page: &Page, n: usize) -> Option<(usize, &'a [u8])> {
        let at = page.start + PAGE_HEADER + n * ELEMENT;
        Some((at, self.bytes[..page.end].get(at..at + ELEMENT)?))
    }
}

type Range = (usize, usize);

impl<'a> Bucket<'a> {
    /// All keys in order, each with what it leads to. A damaged page or element is a defect, at its offset in
    /// the file; all others are there.
    pub fn entries(&self) -> Parsed<Vec<(&'a [u8], Item<'a>)>> {
        let mut out = Parsed::default();
        if self.depth > MAX_DEPTH {
            out.defects.push(Defect::new(
                format!("buckets nested more than {MAX_DEPTH} deep"),
                "the buckets above",
            ));
            return out;
        }
        match self.tree {
            Tree::Inline(start, end) => self.inline(start, end, &mut out),
            Tree::Root(id) => self.walk(id, &mut out),
        }
        out
    }

    /// The bucket of this name right under this one.
    pub fn bucket(&self, name: &[u8]) -> Option<Bucket<'a>> {
        self.entries()
            .value
            .into_iter()
            .find_map(|(key, item)| match item {
                Item::Bucket(bucket) if key == name => Some(bucket),
                _ => None,
            })
    }

    /// The value of this key.
    pub fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.entries()
            .value
            .into_iter()
            .find_map(|(key, item)| match item {
                Item::Value(value) if key == name => Some(value),
                _ => None,
            })
    }

    fn inline(&self, start: usize, end: usize, out: &mut Parsed<Vec<(&'a [u8], Item<'a>)>>) {
        let bytes = &self.bolt.bytes[start..end];
        match (u16_at(bytes, 8), u16_at(bytes, 10)) {
            (Some(LEAF), Some(count)) if bytes.len() >= PAGE_HEADER => {
                self.read_leaf(
                    &Page {
                        start,
                        end,
                        flags: LEAF,
                        count: usize::from(count),
                    },
                    out,
                );
            }
            _ => out.defects.push(Defect::at(
                start as u64,
                "an inline bucket is no leaf page",
                "all other keys",
            )),
        }
    }

    /// Goes through the tree under page `root` in the order of its keys.
    fn walk(&self, root: u64, out: &mut Parsed<Vec<(&'a [u8], Item<'a>)>>) {
        let mut todo = vec![(root, 0)]; // pages to read, and where they were named
        let mut seen = HashSet::new();
        let mut room = self.bolt.bytes.len() / ELEMENT;
        while let Some((id, named_at)) = todo.pop() {
            let page = match self.bolt.page(id) {
                Ok(_) if !seen.insert(id) => Err(format!("page {id} is in the tree twice")),
                found => found,
            };
            let page = match page {
                Ok(page) => page,
                Err(what) => {
                    out.defects
                        .push(Defect::at(named_at as u64, what, "all other pages"));
                    continue;
                }
            };
            let Some(left) = room.checked_sub(page.count.min((page.end - page.start) / ELEMENT))
            else {
                let what = "a tree has more elements than the file has room for";
                out.defects
                    .push(Defect::at(page.start as u64, what, "the pages before"));
                return;
            };
            room = left;
            if page.flags == LEAF {
                self.read_leaf(&page, out);
                continue;
            }
            let first = todo.len();
            for n in 0..page.count {
                let Some(child) = self.bolt.branch(&page, n) else {
                    out.defects.push(beyond(&page, n));
                    break;
                };
                todo.push((child, page.start + PAGE_HEADER + n * ELEMENT));
            }
            todo[first..].reverse();
        }
    }

    fn read_leaf(&self, page: &Page, out: &mut Parsed<Vec<(&'a [u8], Item<'a>)>>) {
        let bytes = self.bolt.bytes;
        for n in 0..page.count {
            if self.bolt.element(page, n).is_none() {
                out.defects.push(beyond(page, n));
                break;
            }
            let Some((flags, (key, key_end), (value, value_end))) = self.bolt.leaf(page, n) else {
                out.defects.push(beyond(page, n));
                continue;
            };
            let item = if flags & IS_BUCKET == 0 {
                Item::Value(&bytes[value..value_end])
            } else {
                let tree = match u64_at(&bytes[value..value_end], 0) {
                    Some(0) if value_end - value >= BUCKET_HEADER => {
                        Tree::Inline(value + BUCKET_HEADER, value_end)
                    }
                    Some(root) if value_end - value >= BUCKET_HEADER => Tree::Root(root),
                    _ => {
                        out.defects.push(Defect::at(
                            value as u64,
                            "a bucket without a header",
                            "all other keys",
                        ));
                        continue;
                    }
                };
                Item::Bucket(Bucket {
                    bolt: self.bolt,
                    tree,
                    depth: self.depth + 1,
                })
            };
            out.value.push((&bytes[key..key_end], item));
        }
    }
}

fn beyond(page: &Page, n: usize) -> Defect {
    let at = page.start + PAGE_HEADER + n * ELEMENT;
    Defect::at(
        at as u64,
        format!("element {n} of {} reaches beyond its page", page.count),
        "all other elements",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 4096;

    /// A page of `flags` with these elements: flags or nothing, page, key, value.
    fn page(id: u64, flags: u16, elements: &[(u32, u64, &[u8], &[u8])]) -> Vec<u8> {
        let mut head = [
            &id.to_le_bytes()[..],
            &flags.to_le_bytes(),
            &(elements.len() as u16).to_le_bytes(),
            &[0; 4],
        ]
        .concat();
        let mut data = Vec::new();
        for (n, (bucket, child, key, value)) in elements.iter().enumerate() {
            let pos = ((elements.len() - n) * ELEMENT + data.len()) as u32;
            let key_len = key.len() as u32;
            if flags == LEAF {
                head.extend(
                    [*bucket, pos, key_len, value.len() as u32]
                        .map(u32::to_le_bytes)
                        .concat(),
                );
            } else {
                head.extend([pos.to_le_bytes(), key_len.to_le_bytes()].concat());
                head.extend(child.to_le_bytes());
            }
            data.extend([*key, *value].concat());
        }
        [head, data].concat()
    }

    fn padded(mut page: Vec<u8>, size: usize) -> Vec<u8> {
        page.resize(size, 0);
        page
    }

    fn meta(id: u64, size: usize, root: u64, txid: u64) -> Vec<u8> {
        let mut m = [MAGIC, VERSION, size as u32, 0]
            .map(u32::to_le_bytes)
            .concat();
        m.extend([root, 0, 2, 9, txid].map(u64::to_le_bytes).concat());
        m.extend(fnv1a(&m).to_le_bytes());
        let header = [&id.to_le_bytes()[..], &4u16.to_le_bytes(), &[0; 6]].concat();
        padded([header, m].concat(), size)
    }

    fn at_page(root: u64) -> Vec<u8> {
        [root.to_le_bytes(), [0; 8]].concat()
    }

    /// Buckets `big` (a branch over two leaves) and `small` (inline) under root page 3; page 2 is an older root.
    fn file(size: usize) -> Vec<u8> {
        let inline = [
            at_page(0),
            page(0, LEAF, &[(0, 0, b"k", b"v"), (0, 0, b"l", b"")]),
        ]
        .concat();
        let pages = [
            meta(0, size, 3, 8),
            meta(1, size, 2, 7),
            page(2, LEAF, &[]),
            page(
                3,
                LEAF,
                &[
                    (1, 0, b"big", &at_page(4)),
                    (1, 0, b"small", &inline),
                    (0, 0, b"plain", b"x"),
                ],
            ),
            page(4, BRANCH, &[(0, 6, b"a", b""), (0, 5, b"m", b"")]),
            page(5, LEAF, &[(0, 0, b"m", b"3"), (0, 0, b"n", b"4")]),
            page(6, LEAF, &[(0, 0, b"a", b"1"), (0, 0, b"b", b"2")]),
        ];
        pages.map(|p| padded(p, size)).concat()
    }

    fn values(bucket: Bucket<'_>) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let pair = |(k, item): (&[u8], Item)| match item {
            Item::Value(v) => (text(k), text(v)),
            Item::Bucket(_) => (text(k), "bucket".into()),
        };
        bucket.entries().value.into_iter().map(pair).collect()
    }

    fn keys(bucket: Bucket<'_>) -> String {
        values(bucket)
            .into_iter()
            .map(|(k, _)| k)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn trees_and_inline_buckets() {
        for size in [1024, 4096, 16384, 65536] {
            let bytes = file(size);
            let bolt = Bolt::open(&bytes).unwrap();
            assert_eq!(bolt.defect(), None);
            assert_eq!(keys(bolt.root()), "big small plain");
            assert_eq!(keys(bolt.bucket(&[b"big"]).unwrap()), "a b m n");
            assert_eq!(
                values(bolt.bucket(&[b"small"]).unwrap()),
                [("k".into(), "v".into()), ("l".into(), String::new())]
            );
            assert_eq!(bolt.bucket(&[b"big"]).unwrap().value(b"n"), Some(&b"4"[..]));
            assert!(bolt.bucket(&[b"plain"]).is_none() && bolt.bucket(&[b"big", b"a"]).is_none());
        }
    }

    #[test]
    fn the_other_meta_page_serves() {
        for size in [4096, 16384] {
            let mut bytes = file(size);
            bytes[PAGE_HEADER + 20] ^= 1;
            let bolt = Bolt::open(&bytes).unwrap();
            assert_eq!(bolt.defect().unwrap().offset, Some(0));
            assert_eq!(keys(bolt.root()), "");
            bytes[PAGE_HEADER + 20] ^= 1;
            bytes[size + PAGE_HEADER + 20] ^= 1;
            let bolt = Bolt::open(&bytes).unwrap();
            assert_eq!(bolt.defect().unwrap().offset, Some(size as u64));
            assert_eq!(keys(bolt.root()), "big small plain");
            bytes[PAGE_HEADER] ^= 1;
            assert!(Bolt::open(&bytes).unwrap_err().what.contains("magic"));
        }
        assert!(Bolt::open(b"").is_err());
    }

    #[test]
    fn damage_costs_only_what_it_hits() {
        let damaged = |at: usize, byte: u8| {
            let mut bytes = file(SIZE);
            bytes[at] = byte;
            let found = Bolt::open(&bytes).unwrap().bucket(&[b"big"]).unwrap();
            let defects = found.entries().defects;
            assert_eq!(defects.len(), 1, "{defects:?}");
            (keys(found), defects[0].offset, defects[0].what.clone())
        };
        let child = 4 * SIZE + PAGE_HEADER + ELEMENT; // the second element of the branch
        assert_eq!(
            damaged(child + 8, 4),
            (
                "a b".into(),
                Some(child as u64),
                "page 4 is in the tree twice".into()
            )
        );
        assert_eq!(damaged(child + 8, 99).2, "page 99 is outside the file");
        assert_eq!(
            damaged(5 * SIZE, 9),
            (
                "a b".into(),
                Some(child as u64),
                "page 5 says it is page 9".into()
            )
        );
        assert_eq!(damaged(5 * SIZE + 8, 16).0, "a b");
    }

    #[test]
    fn a_page_that_claims_too_many_pages_costs_none() {
        let mut bytes = file(SIZE);
        bytes[5 * SIZE + 12..][..4].fill(0xff);
        bytes[4 * SIZE + 12] = 2;
        let found = Bolt::open(&bytes).unwrap().bucket(&[b"big"]).unwrap();
        assert_eq!(
            (keys(found).as_str(), found.entries().defects),
            ("a b m n", vec![])
        );
    }

    #[test]
    fn overlapping_pages_do_not_multiply() {
        // A branch over many pages, each of which claims all that follow and a full count of elements.
        let ids = 3..60;
        let children: Vec<_> = ids.clone().map(|id| (0, id, &b""[..], &b""[..])).collect();
        let mut pages = vec![
            meta(0, 1024, 2, 1),
            meta(1, 1024, 2, 0),
            page(2, BRANCH, &children),
        ];
        for id in ids {
            let mut leaf = page(id, LEAF, &[]);
            leaf[10..16].fill(0xff);
            pages.push(leaf);
        }
        let bytes: Vec<u8> = pages.into_iter().flat_map(|p| padded(p, 1024)).collect();
        let found = Bolt::open(&bytes).unwrap().root().entries();
        assert!(found.value.len() + found.defects.len() <= bytes.len() / ELEMENT);
        assert!(found.defects.iter().any(|d| d.what.contains("room")));
    }

    #[test]
    fn an_element_beyond_its_page_is_left_out() {
        let mut bytes = file(SIZE);
        let at = 6 * SIZE + PAGE_HEADER;
        bytes[at + 10] = 1; // a key of 64 KiB
        let found = Bolt::open(&bytes).unwrap().bucket(&[b"big"]).unwrap();
        assert_eq!(keys(found), "b m n");
        assert_eq!(found.entries().defects[0].offset, Some(at as u64));
    }

    #[test]
    fn a_cut_file_keeps_its_first_pages() {
        let bytes = file(SIZE);
        let bolt = Bolt::open(&bytes[..6 * SIZE]).unwrap();
        let found = bolt.bucket(&[b"big"]).unwrap().entries();
        assert_eq!((found.value.len(), found.defects.len()), (2, 1));
    }

    #[test]
    fn a_bucket_inside_itself_ends() {
        let pages = [
            meta(0, SIZE, 2, 1),
            meta(1, SIZE, 2, 0),
            page(2, LEAF, &[(1, 0, b"b", &at_page(2))]),
        ];
        let bytes = pages.map(|p| padded(p, SIZE)).concat();
        let deep = (0..=MAX_DEPTH)
            .try_fold(Bolt::open(&bytes).unwrap().root(), |b, _| b.bucket(b"b"))
            .unwrap();
        assert!(deep.entries().value.is_empty() && deep.entries().defects.len() == 1);
    }

    fn walk_all(bytes: &[u8]) {
        fn walk(bucket: Bucket<'_>, budget: &mut usize) {
            for (_, item) in bucket.entries().value {
                if let Item::Bucket(b) = item
                    && *budget > 0
                {
                    *budget -= 1;
                    walk(b, budget);
                }
            }
        }
        if let Ok(bolt) = Bolt::open(bytes) {
            walk(bolt.root(), &mut 200);
        }
    }

    proptest! {
        #[test]
        fn total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            walk_all(&bytes);
        }

        #[test]
        fn total_on_damaged_files(
            hits in proptest::collection::vec((2048usize..7 * 1024, any::<u8>()), 0..12),
            header in proptest::collection::vec((2usize..7, 0usize..90, any::<u8>()), 0..12),
            cut in 0usize..8 * 1024,
        ) {
            let mut bytes = file(1024);
            hits.iter().for_each(|(at, b)| bytes[*at] = *b);
            header.iter().for_each(|(page, at, b)| bytes[page * 1024 + at] = *b);
            bytes.truncate(cut);
            walk_all(&bytes);
        }
    }
}
