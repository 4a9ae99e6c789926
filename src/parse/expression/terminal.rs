//! What a terminal shows of a line: the line without escape sequences (ECMA-48; xterm's ctlseqs), 7-bit and 8-bit.

use memchr::{memchr, memchr2};
use std::borrow::Cow;

const ESC: u8 = 0x1b;
const BEL: u8 = 7;

/// A line without escape sequences; `None` where it has none.
///
/// CSI (`ESC [`) ends with one character after its parameters; OSC (`ESC ]`) with BEL, ST (`ESC \`) or another ESC; DCS, SOS, PM
/// and APC (`ESC` and `P`, `X`, `^`, `_`) with the latter two; each other sequence is ESC and a character, blanks and
/// the like between. An ESC within one begins anew. What does not end takes the rest.
pub(super) fn shown(line: &[u8]) -> Option<Vec<u8>> {
    memchr2(ESC, 0xc2, line)?;
    let line = in_7_bits(line);
    let mut next = memchr(ESC, &line)?;
    let mut shown = Vec::with_capacity(line.len());
    let mut rest = &line[..];
    loop {
        shown.extend_from_slice(&rest[..next]);
        let after = &rest[next + 1..];
        let until = |at: Option<usize>| &after[at.unwrap_or(after.len())..];
        rest = match after.first() {
            Some(b'[') => {
                let last = past(&after[1..], |b| matches!(b, b'0'..=b'?'));
                final_character(past(last, is_intermediate))
            }
            Some(b']') => {
                let end = until(memchr2(BEL, ESC, after));
                end.strip_prefix(&[BEL]).unwrap_or(end)
            }
            Some(b'P' | b'X' | b'^' | b'_') => until(memchr(ESC, after)),
            _ => final_character(past(after, is_intermediate)),
        };
        match memchr(ESC, rest) {
            Some(at) => next = at,
            None => break,
        }
    }
    shown.extend_from_slice(rest);
    Some(shown)
}

/// The line with what begins and ends sequences in 8 bits, one character (C2 80 to C2 9F in UTF-8), written in 7: ESC and another.
fn in_7_bits(line: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    for at in memchr::memchr_iter(0xc2, line) {
        let Some(letter @ (b'P' | b'X' | b'['..=b'_')) = line.get(at + 1).map(|b| b ^ 0xc0) else {
            continue;
        };
        out.extend_from_slice(&line[copied..at]);
        out.extend([ESC, letter]);
        copied = at + 2;
    }
    match copied {
        0 => line.into(),
        _ => {
            out.extend_from_slice(&line[copied..]);
            out.into()
        }
    }
}

fn is_intermediate(byte: u8) -> bool {
    matches!(byte, b' '..=b'/')
}

/// What follows bytes of a kind.
fn past(bytes: &[u8], are: impl Fn(u8) -> bool) -> &[u8] {
    let n = bytes.iter().position(|b| !are(*b));
    &bytes[n.unwrap_or(bytes.len())..]
}

/// What follows the character that ends a sequence: all, where another begins in its place.
fn final_character(rest: &[u8]) -> &[u8] {
    match rest {
        [] | [ESC, ..] => rest,
        [0xc0..=0xff, more @ ..] => past(more, |b| matches!(b, 0x80..=0xbf)),
        [_, more @ ..] => more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_are_not_shown() {
        for within in [
            "\x1b[31m",
            "\x1b[38:2::1:2:3m",
            "\x1b[0 q",
            "\u{9b}31m",
            "\x1b\x1b[31m",
            "\x1b\x1b\x1b[1m",
            "\x1b[3\x1b[31m",
            "\x1b[\u{9b}m",
            "\x1b[1\u{e4}",
            "\x1b(B",
            "\x1b(\x1b[m",
            "\x1b7",
            "\x1bPq#0;2;0;0;0\x1b\\",
            "\u{90}q\u{9c}",
            "\x1b_Gi=1,a=q;AAAA\x1b\\",
            "\u{9f}G\u{9c}",
            "\x1b^private\x1b\\",
            "\u{9e}private\x1b\\",
            "\x1bXstring\x1b\\",
            "\u{98}string\u{9c}",
            "\x1b]0;title\x07",
            "\x1b]0;title\x1b\\",
            "\x1b]0;title\u{9c}",
            "\u{9d}0;title\x07",
            "\x1b]8;;http://x.example/\x1b\\\x1b[4m",
            "\x1bPno end \x1b[31m",
            "\u{9c}",
            "\x1b\\",
        ] {
            let line = format!("\u{a9} xm{within}rig");
            let shown = shown(line.as_bytes());
            assert_eq!(
                shown.as_deref(),
                Some("\u{a9} xmrig".as_bytes()),
                "{line:?}"
            );
        }
    }

    #[test]
    fn ends_and_what_is_none() {
        for (line, want) in [
            ("\u{a9} xm\u{bf}rig \u{85}", None),
            ("", None),
            ("a\x1b", Some("a")),
            ("a\x1b[", Some("a")),
            ("a\x1b[1;", Some("a")),
            ("a\x1b] b", Some("a")),
            ("a\x1bP b\x07c", Some("a")),
            ("a\x1b[31 m b", Some("a b")),
        ] {
            let shown = shown(line.as_bytes());
            assert_eq!(shown.as_deref(), want.map(str::as_bytes), "{line:?}");
        }
    }

    proptest! {
        /// Nothing begins a sequence in what is left, and nothing is added.
        #[test]
        fn any_line(line in "[a-c\x1b\x07\\[\\]PX_^ (0;\u{9b}\u{9c}\u{9d}\u{90}\u{a9}m\\\\]{0,40}") {
            if let Some(left) = shown(line.as_bytes()) {
                let left = std::str::from_utf8(&left).unwrap();
                let begins = ['\x1b', '\u{9b}', '\u{9c}', '\u{9d}', '\u{90}'];
                prop_assert!(!left.contains(begins));
                prop_assert!(left.len() < line.len());
            } else {
                prop_assert!(!line.contains('\x1b'));
            }
        }
    }
}
