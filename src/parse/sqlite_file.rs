//! The outside of an SQLite database: its header, and what SQLite leaves beside it (sqlite.org/fileformat2.html, sections
//! 1.3, 3 and 4.1).
//!
//! SQLite acts on these bytes before anything of the database can be looked at: a journal may name a further file that
//! SQLite then deletes. So dof reads them first.

/// Bytes of the header.
pub const HEADER: usize = 100;
/// Bytes that a journal's first header has.
pub const JOURNAL_HEADER: usize = 28;
/// What a journal begins with. SQLite ends a journal with it too, where the name of a super-journal stands before.
const JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// Bytes of a `-wal` file without frames.
pub const WAL_HEADER: u64 = 32;

/// The header of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of a page.
    pub page_size: u32,
    /// Whether it is in WAL mode; dof's cases never are.
    pub wal: bool,
    /// `PRAGMA user_version`.
    pub user_version: i32,
    /// `PRAGMA application_id`.
    pub application_id: i32,
    /// Whether text is UTF-8, pages are used whole, none is a map of others (auto-vacuum), and the schema is of format 4, as in
    /// each database that dof makes.
    pub usual: bool,
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads the header of a database; `None` when these are the first bytes of something else.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let bytes: &[u8; HEADER] = bytes.first_chunk()?;
    if !bytes.starts_with(b"SQLite format 3\0") {
        return None;
    }
    let page_size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
        1 => 65536,
        n if n >= 512 && n.is_power_of_two() => u32::from(n),
        _ => return None,
    };
    let number = |at| u32_be(bytes, at);
    Some(Header {
        page_size,
        wal: bytes[18] == 2 || bytes[19] == 2,
        user_version: number(60)?.cast_signed(),
        application_id: number(68)?.cast_signed(),
        usual: matches!(bytes[18..21], [1 | 2, 1 | 2, 0])
            && number(44)? == 4
            && number(52)? == 0
            && number(56)? == 1
            && number(64)? == 0,
    })
}

/// Whether SQLite would play a journal back that begins with `head`: one whose transaction is over begins with zeros.
pub fn is_hot(head: &[u8]) -> bool {
    head.first().is_some_and(|&b| b != 0)
}

/// Holds a journal to what dof's own SQLite writes beside a case with so many pages of this size: `head` are its first
/// [`JOURNAL_HEADER`] bytes, `tail` its last 8.
///
/// # Errors
/// What is not so.
pub fn journal(head: &[u8], tail: &[u8], page_size: u32, pages: u64) -> Result<(), &'static str> {
    if tail.ends_with(&JOURNAL) {
        return Err("it names a super-journal, a file that SQLite would delete");
    }
    if !head.starts_with(&JOURNAL) {
        return Err("it does not begin as a journal does");
    }
    let numbers = (u32_be(head, 16), u32_be(head, 20), u32_be(head, 24));
    let (Some(before), Some(sector), Some(page)) = numbers else {
        return Err("it is cut short");
    };
    if u64::from(before) > pages {
        return Err("the case had more pages before than it has now, and dof's cases never shrink");
    }
    if page != page_size {
        return Err("its pages are not as large as the case's");
    }
    if !sector.is_power_of_two() || !(512..=65536).contains(&sector) {
        return Err("its sectors have a size that no disk has");
    }
    Ok(())
}

/// Holds the header of a `-wal` file to a case with pages of this size.
///
/// # Errors
/// What is not so.
pub fn wal(head: &[u8], page_size: u32) -> Result<(), &'static str> {
    match (u32_be(head, 0), u32_be(head, 4), u32_be(head, 8)) {
        (Some(0x377f_0682 | 0x377f_0683), Some(3_007_000), Some(page)) if page == page_size => {
            Ok(())
        }
        _ => Err("it is not of this case"),
    }
}

/// A variable-length integer (section 1.6), and how many bytes it has.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &b) in bytes.iter().take(9).enumerate() {
        if i == 8 {
            return Some((value << 8 | u64::from(b), 9));
        }
        value = value << 7 | u64::from(b & 0x7f);
        if b < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Where a page of a b-tree leads (section 1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leads {
    /// Pages of the tree below it.
    pub children: Vec<u32>,
    /// First pages of what did not fit into its cells.
    pub overflow: Vec<u32>,
}

/// Reads where a page leads, all of whose bytes are used; `None` when it is no page of a b-tree. On the first page of a
/// database, the file's header comes `before`.
pub fn leads(page: &[u8], before: usize) -> Option<Leads> {
    let (interior, index) = match page.get(before)? {
        0x02 => (true, true),
        0x05 => (true, false),
        0x0a => (false, true),
        0x0d => (false, false),
        _ => return None,
    };
    // Pages have 512 bytes at least.
    let usable = page.len();
    let room = usable.checked_sub(12).filter(|_| usable >= 512)?;
    let least = room * 32 / 255 - 23;
    let most = if index {
        room * 64 / 255 - 23
    } else {
        usable - 35
    };
    let cells = usize::from(u16::from_be_bytes([
        *page.get(before + 3)?,
        *page.get(before + 4)?,
    ]));
    let mut found = Leads::default();
    let pointers = if interior {
        found.children.push(u32_be(page, before + 8)?);
        before + 12
    } else {
        before + 8
    };
    for pointer in page.get(pointers..pointers + 2 * cells)?.chunks_exact(2) {
        let mut cell = page.get(usize::from(u16::from_be_bytes([pointer[0], pointer[1]]))..)?;
        if interior {
            found.children.push(u32_be(cell, 0)?);
            cell = &cell[4..];
            if !index {
                continue;
            }
        }
        let (payload, n) = varint(cell)?;
        let payload = usize::try_from(payload).ok()?;
        if payload <= most {
            continue;
        }
        let row = if index { 0 } else { varint(&cell[n..])?.1 };
        let kept = least + (payload - least) % (usable - 4);
        let kept = if kept <= most { kept } else { least };
        found.overflow.push(u32_be(cell, n + row + kept)?);
    }
    Some(found)
}

/// Goes through the tree of pages with this root, and what did not fit into its cells. `page` is asked once for each page,
/// with whether it is one of the tree itself, and says where it leads.
///
/// # Errors
/// Those of `page`, which must give one where a page comes again: a tree may lead in circles.
pub fn walk<E>(root: u32, mut page: impl FnMut(u32, bool) -> Result<Leads, E>) -> Result<(), E> {
    let (mut of_tree, mut overflow) = (vec![root], Vec::new());
    loop {
        let (number, in_tree) = match of_tree.pop() {
            Some(number) => (number, true),
            None => match overflow.pop() {
                Some(number) => (number, false),
                None => return Ok(()),
            },
        };
        let leads = page(number, in_tree)?;
        of_tree.extend(leads.children);
        overflow.extend(leads.overflow);
    }
}

/// The first page of the list of free pages (0 when there are none), and how many these are: of the header.
pub fn free(header: &[u8]) -> Option<(u32, u32)> {
    Some((u32_be(header, 32)?, u32_be(header, 36)?))
}

/// The page of the list of free pages that this one leads to (0 behind the last), and the free pages on it (section 1.5).
pub fn trunk(page: &[u8]) -> Option<(u32, Vec<u32>)> {
    let count = u32_be(page, 4)? as usize;
    let leaves = page.get(8..8usize.checked_add(count.checked_mul(4)?)?)?;
    let number = |b: &[u8]| u32_be(b, 0);
    Some((
        u32_be(page, 0)?,
        leaves.chunks_exact(4).filter_map(number).collect(),
    ))
}

/// Where a page of overflow leads.
pub fn next_overflow(page: &[u8]) -> Leads {
    Leads {
        children: Vec::new(),
        overflow: u32_be(page, 0)
            .filter(|next| *next != 0)
            .into_iter()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn total(bytes in proptest::collection::vec(any::<u8>(), 0..200), magic in 0usize..4) {
            let magics: [&[u8]; 4] = [b"", b"SQLite format 3\0", &JOURNAL, b"\x37\x7f\x06\x82"];
            let bytes = [magics[magic], &bytes].concat();
            let _ = header(&bytes);
            let _ = is_hot(&bytes);
            let _ = journal(&bytes, &bytes, 4096, 9);
            let _ = wal(&bytes, 4096);
        }

        #[test]
        fn pages_are_total(kind in prop::sample::select(vec![0u8, 2, 5, 10, 13]), bytes in proptest::collection::vec(any::<u8>(), 0..1100), long in 0usize..600) {
            let page = [&[kind], &bytes[..], &vec![0; long]].concat();
            let _ = (leads(&page, 0), leads(&page, 100), next_overflow(&page), varint(&page), trunk(&page), free(&page));
        }
    }
}
