//! Lists of SHA-256 hashes: what `sha256sum` prints, CSV with a header that names a column sha256 (NSRL's exports among
//! them), or hashes alone, one a line.

/// One entry: the hash, and what the list calls it.
pub type Entry = ([u8; 32], Option<String>);

/// What a list's first line says of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `HASH  NAME` or `HASH *NAME`, as `sha256sum` prints them, or the hash alone.
    Lines,
    /// Comma-separated: number of the column with the hash, and of that with the name.
    Csv(usize, Option<usize>),
}

impl Layout {
    /// From the first line; CSV when it is a header with a column for SHA-256.
    pub fn of(header: &[&[u8]]) -> Layout {
        let plain = |cell: &&[u8]| -> String {
            let letters = cell.iter().filter(|b| b.is_ascii_alphanumeric());
            letters
                .map(|b| char::from(b.to_ascii_lowercase()))
                .collect()
        };
        let columns: Vec<String> = header.iter().map(plain).collect();
        let find = |names: &[&str]| columns.iter().position(|c| names.contains(&c.as_str()));
        match find(&["sha256", "sha256hash", "hashsha256"]) {
            Some(hash) => Layout::Csv(hash, find(&["filename", "name", "path", "file"])),
            None => Layout::Lines,
        }
    }
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
    let (digits, rest) = line.split_at_checked(64)?;
    let hash = hash(digits)?;
    let name = match rest {
        [] => return Some((hash, None)),
        [b' ', b' ' | b'*', name @ ..] => name,
        [b' ' | b'\t' | b',', name @ ..] => name,
        _ => return None,
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
        for bad in [&ONE[..63], "x", "", "# comment"] {
            assert_eq!(read(bad.into()), None, "{bad}");
        }
    }

    #[test]
    fn headers() {
        let header = |s: &str| Layout::of(&s.split(',').map(str::as_bytes).collect::<Vec<_>>());
        assert_eq!(header("SHA-256,SHA-1,FileName"), Layout::Csv(0, Some(2)));
        assert_eq!(header("id,sha256"), Layout::Csv(1, None));
        assert_eq!(header(ONE), Layout::Lines);
    }

    proptest! {
        #[test]
        fn any_line(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            line(&bytes);
        }
    }
}
