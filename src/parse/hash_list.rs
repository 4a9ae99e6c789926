//! Lists of SHA-256 hashes: what `sha256sum` prints, with `--tag` too, CSV with a header that names a column sha256 (NSRL's
//! exports among them), or hashes alone, one a line.

use csv_core::ReadRecordResult;

/// Bytes of a line or row that are looked at: a path takes 4 KiB, and four times that with all of it escaped.
pub const LONGEST: usize = 64 << 10;
/// Cells of a row.
const CELLS: usize = 4096;

/// One entry: the hash, and what the list calls it.
pub type Entry = ([u8; 32], Option<String>);

/// What a list's first line says of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `HASH  NAME` or `HASH *NAME`, as `sha256sum` prints them, `SHA256 (NAME) = HASH`, or the hash alone.
    Lines,
    /// Cells with `separator` between them, the hash and the name in those of these numbers.
    Csv {
        /// A comma, a semicolon or a tab.
        separator: u8,
        /// Number of the column with the hash.
        hash: usize,
        /// And of that with the name.
        name: Option<usize>,
    },
}

impl Layout {
    /// From the first line; CSV when it is a header with a column for SHA-256.
    pub fn of(header: &[u8]) -> Layout {
        let plain = |cell: &[u8]| -> String {
            let letters = cell.iter().filter(|b| b.is_ascii_alphanumeric());
            letters
                .map(|b| char::from(b.to_ascii_lowercase()))
                .collect()
        };
        for separator in *b",;\t" {
            let columns: Vec<String> = header.split(|&b| b == separator).map(plain).collect();
            let find = |names: &[&str]| columns.iter().position(|c| names.contains(&c.as_str()));
            if let Some(hash) = find(&["sha256", "sha256hash", "hashsha256"]) {
                let name = find(&["filename", "name", "path", "file"]);
                return Layout::Csv {
                    separator,
                    hash,
                    name,
                };
            }
        }
        Layout::Lines
    }
}

/// Why a list is no CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCsv {
    /// A row that goes on and on.
    #[error(
        "the row at byte {0} is longer than {LONGEST} bytes or {CELLS} cells; a quote that nothing closes?"
    )]
    Endless(u64),
    /// A quote that is still open at the end.
    #[error("a quote in the row at byte {0} is not closed")]
    Open(u64),
}

/// The rows of a list of [`Layout::Csv`], which comes in pieces of any size.
#[derive(Debug)]
pub struct Rows {
    core: csv_core::Reader,
    cells: Vec<u8>,
    ends: Vec<usize>,
    /// How much of both the row has so far.
    filled: (usize, usize),
    /// Bytes read, and where the row begins.
    read: u64,
    begins: u64,
}

impl Rows {
    /// Of a list with cells between this.
    pub fn new(separator: u8) -> Rows {
        Rows {
            core: csv_core::ReaderBuilder::new().delimiter(separator).build(),
            cells: vec![0; LONGEST],
            ends: vec![0; CELLS],
            filled: (0, 0),
            read: 0,
            begins: 0,
        }
    }

    /// Reads on until a row ends: its cells. `None` when `data` has no end of a row; all of it is read then.
    ///
    /// # Errors
    /// [`NoCsv::Endless`].
    pub fn next<'r>(&'r mut self, data: &mut &[u8]) -> Result<Option<Cells<'r>>, NoCsv> {
        // None at all means the end to the parser.
        if data.is_empty() {
            return Ok(None);
        }
        let row = self.step(data)?;
        Ok(row.map(|ended| self.cells(ended)))
    }

    /// The row that the list ends with, if no line break does.
    ///
    /// # Errors
    /// [`NoCsv::Open`].
    pub fn end(&mut self) -> Result<Option<Cells<'_>>, NoCsv> {
        // A line break ends a row, if there is one; and another one the row that begins then, unless both are within quotes.
        let row = self.step(&mut &b"\n"[..])?;
        if row.is_none() && self.step(&mut &b"x\n"[..])?.is_none() {
            return Err(NoCsv::Open(self.begins));
        }
        Ok(row.map(|ended| self.cells(ended)))
    }

    /// The cells of the row that ended last.
    fn cells(&self, ended: usize) -> Cells<'_> {
        Cells {
            cells: &self.cells,
            ends: &self.ends[..ended],
        }
    }

    /// Reads on until a row ends: the number of its cells.
    fn step(&mut self, data: &mut &[u8]) -> Result<Option<usize>, NoCsv> {
        let (cells, ends) = self.filled;
        let (out, end_of) = (&mut self.cells[cells..], &mut self.ends[ends..]);
        let (done, read, filled, ended) = self.core.read_record(data, out, end_of);
        *data = &data[read..];
        self.read += read as u64;
        self.filled = (cells + filled, ends + ended);
        match done {
            ReadRecordResult::InputEmpty | ReadRecordResult::End => Ok(None),
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                Err(NoCsv::Endless(self.begins))
            }
            ReadRecordResult::Record => {
                let ended = self.filled.1;
                self.filled = (0, 0);
                self.begins = self.read;
                Ok(Some(ended))
            }
        }
    }
}

/// The cells of a row.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'r> {
    cells: &'r [u8],
    ends: &'r [usize],
}

impl<'r> Cells<'r> {
    /// The cell of this number.
    pub fn get(self, n: usize) -> Option<&'r [u8]> {
        let begins = n
            .checked_sub(1)
            .map_or(Some(0), |before| self.ends.get(before).copied());
        self.cells.get(begins?..*self.ends.get(n)?)
    }
}

/// Whether a line holds hashes of these kinds instead: MD5, SHA-1.
pub fn weaker(line: &[u8]) -> [bool; 2] {
    let words = line.split(|b| !b.is_ascii_alphanumeric());
    let hashes = words.filter(|w| w.iter().all(u8::is_ascii_hexdigit));
    hashes.fold([false; 2], |[md5, sha1], w| {
        [md5 || w.len() == 32, sha1 || w.len() == 40]
    })
}

/// 64 hex digits.
pub fn hash(text: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(out)
}

/// A line of [`Layout::Lines`].
pub fn line(line: &[u8]) -> Option<Entry> {
    let line = line.trim_ascii_end();
    // A backslash before the hash says that the name is escaped.
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (hash, name) = match line.strip_prefix(b"SHA256 (") {
        Some(rest) => {
            let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
            (hash(digits)?, rest.strip_suffix(b") = ")?)
        }
        None => {
            let (digits, rest) = line.split_at_checked(64)?;
            let hash = hash(digits)?;
            match rest {
                [] => return Some((hash, None)),
                [b' ', b' ' | b'*', name @ ..] => (hash, name),
                [b' ' | b'\t' | b',' | b';', name @ ..] => (hash, name),
                _ => return None,
            }
        }
    };
    let mut name = crate::text::lossless(name).into_owned();
    if escaped {
        name = unescaped(&name);
    }
    Some((hash, Some(name)))
}

fn unescaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next @ ('n' | 'r' | '\\'))) => {
                chars.next();
                out.push(match next {
                    'n' => '\n',
                    'r' => '\r',
                    c => c,
                });
            }
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn lines_of_sha256sum() {
        let read = |s: String| line(s.as_bytes()).map(|e| e.1);
        assert_eq!(read(format!("{ONE}  a b")), Some(Some("a b".into())));
        assert_eq!(read(format!("{ONE} *x\r")), Some(Some("x".into())));
        assert_eq!(
            read(format!("\\{ONE}  a\\nb\\\\")),
            Some(Some("a\nb\\".into()))
        );
        assert_eq!(read(ONE.to_uppercase()), Some(None));
        assert_eq!(
            read(format!("SHA256 (a) = b) = {ONE}")),
            Some(Some("a) = b".into()))
        );
        assert_eq!(
            read(format!("\\SHA256 (a\\nb) = {ONE}")),
            Some(Some("a\nb".into()))
        );
        for bad in [
            &ONE[..63],
            "x",
            "",
            "# comment",
            "SHA256 (x) = ",
            "SHA256 (",
        ] {
            assert_eq!(read(bad.into()), None, "{bad}");
        }
        assert_eq!(read(format!("SHA256 (x) {ONE}")), None);
    }

    #[test]
    fn weaker_hashes_are_told() {
        let md5 = &ONE[..32];
        let sha1 = &ONE[..40];
        for (list, told) in [
            (format!("{md5}  name"), [true, false]),
            (format!("SHA1 (name) = {sha1}"), [false, true]),
            (format!("\"{sha1}\",\"{md5}\",\"name\""), [true, true]),
            (format!("{ONE}  name"), [false, false]),
            (String::new(), [false, false]),
        ] {
            assert_eq!(weaker(list.as_bytes()), told, "{list}");
        }
    }

    #[test]
    fn headers() {
        for (header, separator, hash, name) in [
            ("SHA-256,SHA-1,FileName", b',', 0, Some(2)),
            ("id,sha256", b',', 1, None),
            ("\"SHA-256\";\"FileName\"", b';', 0, Some(1)),
            ("name\tsha256\r\n", b'\t', 1, Some(0)),
        ] {
            let want = Layout::Csv {
                separator,
                hash,
                name,
            };
            assert_eq!(Layout::of(header.as_bytes()), want, "{header}");
        }
        assert_eq!(Layout::of(ONE.as_bytes()), Layout::Lines);
        assert_eq!(Layout::of(b"SHA-1,MD5,FileName"), Layout::Lines);
    }

    /// The rows of a list that comes in pieces of this size.
    fn rows(list: &[u8], piece: usize) -> Result<Vec<Vec<Vec<u8>>>, NoCsv> {
        let mut rows = Rows::new(b',');
        let mut all = Vec::new();
        let cells = |row: Cells<'_>| {
            (0..)
                .map_while(|n| row.get(n).map(<[u8]>::to_vec))
                .collect()
        };
        for mut data in list.chunks(piece) {
            while let Some(row) = rows.next(&mut data)? {
                all.push(cells(row));
            }
            assert!(data.is_empty());
        }
        all.extend(rows.end()?.map(cells));
        Ok(all)
    }

    #[test]
    fn rows_without_end() {
        for (list, begins) in [(&b"\"a"[..], 0), (b"a,b\nc,\"d\n", 4), (b"a\n\"", 2)] {
            for piece in [1, 2, 100] {
                assert_eq!(
                    rows(list, piece),
                    Err(NoCsv::Open(begins)),
                    "{list:?} {piece}"
                );
            }
        }
        for list in [&b"a"[..], b"a\n", b"a\r\n", b"\"a\"", b"5\" x"] {
            assert_eq!(rows(list, 1).map(|r| r.len()), Ok(1), "{list:?}");
        }
        let endless = [
            b"x".repeat(LONGEST + 1),
            b",".repeat(CELLS + 1),
            [b"\"", &b"x\n".repeat(LONGEST)[..]].concat(),
        ];
        for row in endless {
            let list = [b"a,b\n", &row[..]].concat();
            assert_eq!(rows(&list, 1000), Err(NoCsv::Endless(4)));
        }
    }

    proptest! {
        /// What the crate that writes and reads CSV makes of it, in pieces of any size.
        #[test]
        fn rows_as_the_crate_reads_them(list in "[a\",\r\n]{0,60}", piece in 1usize..70) {
            let theirs = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(list.as_bytes());
            let theirs: Vec<Vec<Vec<u8>>> = theirs
                .into_byte_records()
                .map(|row| row.unwrap().iter().map(<[u8]>::to_vec).collect())
                .collect();
            match rows(list.as_bytes(), piece) {
                Ok(ours) => prop_assert_eq!(ours, theirs),
                // Only where the last row is within quotes, which one more closes.
                Err(e) => {
                    prop_assert!(matches!(e, NoCsv::Open(_)));
                    prop_assert!(rows((list + "\"").as_bytes(), piece).is_ok());
                }
            }
        }

        #[test]
        fn any_line(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            line(&bytes);
            weaker(&bytes);
            Layout::of(&bytes);
        }
    }
}
