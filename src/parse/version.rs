//! The Docker version inside a `docker` or `dockerd` binary, read from its bytes and never executed.
//!
//! The version is the Go variable `dockerversion.Version` (moby dockerversion/version_lib.go) or
//! `version.Version` (docker/cli cli/version/version.go), set by `-ldflags -X` when the binary is built (moby
//! hack/make/.go-autogen, docker/cli scripts/build/.variables). It can therefore stand in four places, from
//! the surest to the weakest: the build settings Go records since 1.18, a NUL-terminated string the linker
//! made of `-X`, the folder the sources were compiled in, and, before Docker 17.12, a constant packed among
//! others without a border, where only a `-ce` or `-ee` end tells it from its neighbours.
//!
//! Every one of them has a `.` with digits before it, so one search for dots sees them all.

use memchr::memchr_iter;

/// The longest version taken for one.
const MAX: usize = 64;
/// What may have to be seen before the first dot of a version: the longest of [`LINKED`] and two digits.
const BEFORE: usize = 32;
/// What may have to be seen from its first dot on: the rest of a version and the byte that ends it.
const AFTER: usize = MAX + 1;
/// How much is scanned at a time.
const PIECE: usize = 64 * 1024;

/// What stands before a version in a folder name of the sources (Debian, Docker's RPMs, Fedora).
const FOLDERS: [&[u8]; 4] = [b"/docker.io-", b"/docker-ce-", b"/moby-", b"/moby-engine-"];

/// Which of Docker's two binaries is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `docker`, the command line.
    Client,
    /// `dockerd`, the engine.
    Daemon,
}

impl Binary {
    /// What stands before the version in the recorded linker flags. Clients before 17.06 were built from the
    /// engine's sources.
    fn linked(self) -> &'static [&'static [u8]] {
        match self {
            Binary::Client => &[b"/cli/version.Version=", b"/dockerversion.Version="],
            Binary::Daemon => &[b"/dockerversion.Version="],
        }
    }
}

/// How sure a find is, the surest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    /// Nothing but a `-ce` or `-ee` end, among strings without borders.
    Packed,
    /// In the path of a source file.
    Folder,
    /// A string of its own, in the numbering before 2017, which libraries use as well.
    AloneOld,
    /// A string of its own.
    Alone,
    /// In the linker flags.
    Linked,
}

/// Looks for the version in a binary given piece by piece; memory is bounded whatever is fed.
#[derive(Debug)]
pub struct Finder {
    kind: Binary,
    best: Option<(Trust, String)>,
    /// The bytes that are not done with, after at most [`BEFORE`] that are.
    window: Vec<u8>,
    /// Where in `window` the search goes on.
    next: usize,
}

impl Finder {
    /// A finder for one binary.
    pub fn new(kind: Binary) -> Self {
        let window = Vec::with_capacity(PIECE + BEFORE + AFTER);
        Finder {
            kind,
            best: None,
            window,
            next: 0,
        }
    }

    /// Takes the next bytes of the file, any number of them.
    pub fn feed(&mut self, chunk: &[u8]) {
        for piece in chunk.chunks(PIECE) {
            self.window.extend_from_slice(piece);
            self.scan(self.window.len().saturating_sub(AFTER));
            let done = self.next.saturating_sub(BEFORE);
            self.window.drain(..done);
            self.next -= done;
        }
    }

    /// The version, when there was one.
    pub fn finish(mut self) -> Option<String> {
        self.scan(self.window.len());
        self.best.map(|(_, version)| version)
    }

    /// Looks at the dots before `end`. Of two finds of the same trust the first stays.
    fn scan(&mut self, end: usize) {
        let Some(part) = self.window.get(self.next..end) else {
            return;
        };
        for dot in memchr_iter(b'.', part) {
            if let Some((trust, version)) = find(&self.window, self.next + dot, self.kind)
                && self.best.as_ref().is_none_or(|(best, _)| *best < trust)
            {
                self.best = Some((trust, version.to_owned()));
            }
        }
        self.next = end;
    }
}

/// The version whose first dot is at `dot`.
fn find(window: &[u8], dot: usize, kind: Binary) -> Option<(Trust, &str)> {
    let (head, tail) = window.split_at_checked(dot)?;
    let [_, digit, ..] = tail else { return None };
    if !digit.is_ascii_digit() {
        return None;
    }
    let digits = head
        .iter()
        .rev()
        .take(2)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let (before, text) = window.split_at(dot - digits);
    let whole = version(text).and_then(|v| {
        let end = text.get(v.len()).copied();
        let trust = if kind.linked().iter().any(|l| before.ends_with(l)) {
            matches!(
                end,
                None | Some(b'"' | b'\\' | b'\'' | b' ' | b'\t' | b'\n' | 0)
            )
            .then_some(Trust::Linked)
        } else if FOLDERS.iter().any(|f| before.ends_with(f)) {
            (end == Some(b'/')).then_some(Trust::Folder)
        } else if before.last().is_none_or(|b| !matches!(b, b' '..=b'~'))
            && matches!(end, None | Some(0))
        {
            Some(if digits == 1 {
                Trust::AloneOld
            } else {
                Trust::Alone
            })
        } else {
            None
        };
        Some((trust?, v))
    });
    whole.or_else(|| Some((Trust::Packed, packed(text)?)))
}

/// The version that `text` begins with, up to the first byte that cannot be part of one.
fn version(text: &[u8]) -> Option<&str> {
    let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'~');
    let len = text.iter().take(AFTER).take_while(|b| part(b)).count();
    let version = std::str::from_utf8(&text[..len]).ok()?;
    is_version(version).then_some(version)
}

/// `17.03.1-ce`, `18.09.0-ee-1` or `17.06.0-ce-rc2` at the start of `text`, whatever comes after it.
fn packed(text: &[u8]) -> Option<&str> {
    let number = |at: usize| text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    if !text
        .first_chunk::<6>()
        .is_some_and(|t| t[2] == b'.' && t[5] == b'.')
    {
        return None;
    }
    let patch = 6 + number(6);
    let mut len = patch + 3;
    match text.get(patch..len)? {
        b"-ce" if text[len..].starts_with(b"-rc") && number(len + 3) > 0 => len += 4,
        b"-ce" => {}
        b"-ee" if text[len..].starts_with(b"-") && number(len + 1) > 0 => {
            len += 1 + number(len + 1)
        }
        _ => return None,
    }
    let version = std::str::from_utf8(&text[..len]).ok()?;
    is_version(version).then_some(version)
}

/// Whether `s` is a Docker version: `1.0.N` to `1.13.N` (one digit, as opposed to zlib's and many others), `17.03.N` to `22.06.N` with a month, `23.0.N` and on;
/// and then nothing, or a suffix that says what kind of build it is.
fn is_version(s: &str) -> bool {
    let numbers = s.find(['-', '+', '~']).unwrap_or(s.len());
    let (numbers, suffix) = s.split_at(numbers);
    let mut parts = numbers.split('.');
    let (Some(major), Some(minor), Some(patch), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let number = |s: &str, most: usize| {
        let canonical = s.len() == 1 || !s.starts_with('0');
        (s.len() <= most && canonical)
            .then(|| s.parse::<u16>().ok())
            .flatten()
    };
    let month = |s: &str| s.len() == 2 && matches!(s.parse(), Ok(1..=12));
    s.len() <= MAX
        && number(patch, if major == "1" { 1 } else { 3 }).is_some()
        && (suffix.is_empty() || suffix.len() > 1 && !suffix.ends_with(['-', '+', '~', '.']))
        && match number(major, 2) {
            Some(1) => number(minor, 2).is_some_and(|n| n <= 13),
            Some(17..=22) => month(minor),
            Some(23..) => number(minor, 2).is_some(),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(kind: Binary, bytes: &[u8]) -> Option<String> {
        let mut finder = Finder::new(kind);
        finder.feed(bytes);
        finder.finish()
    }

    #[test]
    fn all_that_docker_was_ever_called() {
        for v in [
            "1.13.1",
            "1.9.0",
            "17.03.1-ce",
            "17.06.2-ee-16",
            "18.09.0",
            "18.06.0-ce-rc3",
            "19.03.13-beta2",
            "20.10.24+dfsg1",
            "20.10.5+dfsg1~3",
            "22.06.0-beta.0",
            "23.0.0-rc.1",
            "24.0.7-0ubuntu2~22.04.1",
            "28.2.2",
            "29.0.0",
        ] {
            assert!(is_version(v), "{v}");
        }
    }

    #[test]
    fn what_is_no_docker_version() {
        for v in [
            "",
            "1.2",
            "1.2.840",
            "1.2.840.113549",
            "1.19.8x",
            "1.14.0",
            "1.02.3",
            "2.16.840",
            "3.3.1",
            "10.0.0.1",
            "17.13.0",
            "17.3.0",
            "20.10.",
            "20.10.24+",
            "20.10.24-",
            "20.10.0001",
            "127.0.0.1",
            "23.01.0",
            "255.255.0",
            "20.10.24 x",
            "20.10.٣",
        ] {
            assert!(!is_version(v), "{v}");
        }
        let long = format!("20.10.24+{}", "x".repeat(MAX));
        assert!(!is_version(&long) && is_version(&long[..MAX]));
    }

    #[test]
    fn build_settings_of_debian_and_of_docker() {
        // As in dockerd 20.10.24+dfsg1 and docker 28.2.2.
        let debian =
            br#"-X \"github.com/docker/docker/dockerversion.Version=20.10.24+dfsg1\" 	-X \"github"#;
        let docker =
            br#"-X \"github.com/docker/cli/cli/version.Version=28.2.2\" -extldflags -static""#;
        assert_eq!(
            found(Binary::Daemon, debian).as_deref(),
            Some("20.10.24+dfsg1")
        );
        assert_eq!(found(Binary::Client, docker).as_deref(), Some("28.2.2"));
        assert_eq!(found(Binary::Daemon, docker), None);
        assert_eq!(
            found(Binary::Daemon, b"-X=x/dockerversion.Version=28.0.1 -s").as_deref(),
            Some("28.0.1")
        );
        assert_eq!(
            found(
                Binary::Daemon,
                b"github.com/containerd/containerd/version.Version=20.10.3 "
            ),
            None
        );
    }

    #[test]
    fn strings_of_their_own() {
        assert_eq!(
            found(Binary::Client, b"go1.19.8\0\0\x0020.10.24+dfsg1\0\0\x0f").as_deref(),
            Some("20.10.24+dfsg1")
        );
        assert_eq!(
            found(Binary::Client, b"\0\x001.2.11\0\0\0\x0020.10.24\0").as_deref(),
            Some("20.10.24")
        );
        assert_eq!(
            found(Binary::Client, b"\x001.13.1\0").as_deref(),
            Some("1.13.1")
        );
        for other in [
            &b"x20.10.24\0"[..],
            b"\x0020.10.24x\0",
            b"\x0020.10.24 (C)\0",
            b"\x001.2.840.113549\0",
            b"v1.4.0\0",
            b"\x00127.0.0.1\0",
        ] {
            assert_eq!(found(Binary::Client, other), None);
        }
    }

    #[test]
    fn folders_and_packed_constants() {
        let path = b"/build/reproducible-path/docker.io-20.10.24+dfsg1/_build/src/x.go\0";
        assert_eq!(
            found(Binary::Daemon, path).as_deref(),
            Some("20.10.24+dfsg1")
        );
        assert_eq!(
            found(Binary::Daemon, b"/docker.io-20.10.24+dfsg1.tar").as_deref(),
            None
        );
        assert_eq!(
            found(Binary::Daemon, b"16:04:0517.03.1-ceAuthorized").as_deref(),
            Some("17.03.1-ce")
        );
        assert_eq!(
            found(Binary::Daemon, b"117.06.0-ce-rc2-rc").as_deref(),
            Some("17.06.0-ce-rc2")
        );
    }

    #[test]
    fn the_surest_wins_wherever_it_stands() {
        let alone = b"\x0018.09.1\0".as_slice();
        let linked = b"/dockerversion.Version=20.10.7\"".as_slice();
        let folder = b"/docker.io-19.03.1/".as_slice();
        assert_eq!(
            found(Binary::Daemon, &[folder, alone, linked].concat()).as_deref(),
            Some("20.10.7")
        );
        assert_eq!(
            found(Binary::Daemon, &[linked, alone, folder].concat()).as_deref(),
            Some("20.10.7")
        );
        assert_eq!(
            found(Binary::Daemon, &[folder, alone].concat()).as_deref(),
            Some("18.09.1")
        );
    }

    fn near_versions() -> impl Strategy<Value = Vec<u8>> {
        const WORDS: [&str; 12] = [
            "\0",
            ".",
            "20.10.24",
            "+dfsg1",
            "-ce",
            "-rc1",
            "/docker.io-",
            "/",
            "/dockerversion.Version=",
            "\"",
            "1.13.1",
            "7",
        ];
        let word = proptest::sample::select(&WORDS[..]);
        proptest::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_matter(bytes in near_versions(), size in 1usize..80, lead in 0usize..PIECE + 200) {
            let bytes = [vec![b'x'; lead], bytes].concat();
            let mut finder = Finder::new(Binary::Daemon);
            bytes.chunks(size).for_each(|c| finder.feed(c));
            prop_assert_eq!(finder.finish(), found(Binary::Daemon, &bytes));
        }

        #[test]
        fn total_and_strict(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(found(Binary::Client, &bytes).is_none_or(|v| is_version(&v)));
        }
    }
}
