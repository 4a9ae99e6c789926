//! Lists of SHA-256 hashes: what `sha256sum` prints, with `--tag` too, CSV with a header that names a column sha256 (NSRL's
//! exports among them), or hashes alone, one a line.

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

    proptest! {
        #[test]
        fn any_line(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            line(&bytes);
            weaker(&bytes);
            Layout::of(&bytes);
        }
    }
}
