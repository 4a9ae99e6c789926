//! Names and lines out of evidence made fit to read: the one home of escaping for people.
//!
//! Bytes that are not UTF-8 become `\xNN`; control characters, line breaks and bidirectional controls become
//! `\n`, `\x1b`, `\u{202e}` and so on. Text meant for programs (JSON, CSV) has its own quoting and does
//! not come through here.

use std::borrow::Cow;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether bytes can be stored as TEXT as they are: UTF-8 without NULs, at which SQLite's functions end a string.
pub fn is_plain(bytes: &[u8]) -> bool {
    memchr::memchr(0, bytes).is_none() && std::str::from_utf8(bytes).is_ok()
}

/// Bytes as text, invalid UTF-8 and NULs as `\xNN`; nothing else is touched.
pub fn lossless(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(s) if !s.contains('\0') => Cow::Borrowed(s),
        Ok(s) => Cow::Owned(s.replace('\0', "\\x00")),
        Err(_) => {
            let mut out = String::with_capacity(bytes.len() + 8);
            for chunk in bytes.utf8_chunks() {
                out.push_str(&chunk.valid().replace('\0', "\\x00"));
                for b in chunk.invalid() {
                    let _ = write!(out, "\\x{b:02x}");
                }
            }
            Cow::Owned(out)
        }
    }
}

/// A path of this machine as people read it, on one line: directories and files of the analyst's may be named after evidence.
pub fn shown(path: &Path) -> String {
    printable(&lossless(path.as_os_str().as_bytes())).into_owned()
}

/// The bytes that [`lossless`] shows this way: each `\xNN` of a byte that is not ASCII is that byte.
pub fn spelled(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let byte = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|b| !b.is_ascii());
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &rest[4..] } else { after };
    }
    out
}

/// Whether a character could move the cursor, forge a line or reorder what stands on it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}' | '\u{061c}' | '\u{feff}')
}

/// The length of the character that bytes begin with where it could do such a thing; 0 where it could not.
pub fn unsafe_len(bytes: &[u8]) -> usize {
    match bytes {
        [0..=0x1f | 0x7f, ..] => 1,
        [0xc2, 0x80..=0x9f, ..] | [0xd8, 0x9c, ..] => 2,
        [0xe2, 0x80, 0x8e | 0x8f | 0xa8..=0xae, ..]
        | [0xe2, 0x81, 0xa6..=0xa9, ..]
        | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// JSON with such characters as escapes of its own, which says the same. Those between its tokens, where no escapes are, stay,
/// but a carriage return, with which a line could be written over, is a line break.
pub fn json(s: &str) -> Cow<'_, str> {
    let speaks = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t');
    if is_printable_ascii(s) || !s.chars().any(speaks) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len() + 16);
    for c in s.chars() {
        if c == '\r' {
            out.push('\n');
        } else if speaks(c) {
            let _ = write!(out, "\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether all characters are ASCII and none is a control character.
fn is_printable_ascii(s: &str) -> bool {
    // Without a branch for each byte: nearly all text is of these.
    s.bytes()
        .fold(true, |all, b| all & (b' '..0x7f).contains(&b))
}

/// Text as a part of a file's name: letters and digits of ASCII, `.`, `_` and `-`, all else as `_`, and not too long for one.
/// Different texts may become the same name.
pub fn file_name(s: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name = s.chars().map(|c| if plain(c) { c } else { '_' });
    name.take(64).collect()
}

/// Text that stays on its line and cannot speak to a terminal.
pub fn printable(s: &str) -> Cow<'_, str> {
    if is_printable_ascii(s) || !s.chars().any(is_unsafe) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) && (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_unsafe(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_forge_is_shown() {
        assert_eq!(printable("a\nb\x1b[31m\u{202e}"), "a\\nb\\x1b[31m\\u{202e}");
        assert_eq!(lossless(b"a\xff\xfeb"), "a\\xff\\xfeb");
        assert_eq!(lossless("é".as_bytes()), "é");
        assert_eq!(lossless(b"a\0b"), "a\\x00b");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_passes(s in any::<String>()) {
            prop_assert!(!printable(&s).chars().any(is_unsafe));
        }

        #[test]
        fn what_is_shown_can_be_typed(bytes in proptest::collection::vec(1u8.., 0..20)) {
            prop_assume!(!bytes.windows(2).any(|w| w == b"\\x"));
            prop_assert_eq!(spelled(lossless(&bytes).as_bytes()), bytes);
        }

        #[test]
        fn bytes_and_characters_agree(c in any::<char>()) {
            let len = if is_unsafe(c) { c.len_utf8() } else { 0 };
            prop_assert_eq!(unsafe_len(c.to_string().as_bytes()), len);
        }

        #[test]
        fn json_says_the_same(s in any::<String>()) {
            let text = serde_json::to_string(&s).unwrap();
            let safe = json(&text);
            prop_assert!(!safe.chars().any(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), s);
        }

        #[test]
        fn valid_text_is_kept(s in "[^\0]*") {
            prop_assert_eq!(lossless(s.as_bytes()), s.as_str());
        }
    }
}
