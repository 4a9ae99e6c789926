//! Docker's `local` log driver: frames of a big-endian length, a protobuf `LogEntry`, and the length again.
//!
//! After moby daemon/logger/local/local.go (`marshal`), local/read.go (`decoder`) and
//! api/types/plugins/logdriver/entry.proto. The length at both ends, meant for reading backwards, is also what
//! lets [`step`] find the next frame after damage.

use crate::problem::Defect;

/// The longest message believed. Docker itself refuses to read more than 1,000,000 bytes (local/read.go,
/// `maxMsgLen`) and writes hardly more than 16 KiB of line and the attributes.
pub const MAX_FRAME: usize = 1 << 20;

const LEN: usize = 4;

/// What Go's `time.Time{}.UnixNano()` gives: year 1 overflows.
const GO_ZERO: i64 = -6_795_364_578_871_345_152;

/// How many times the bytes at hand may be looked through for the next frame after damage: bytes made to look
/// like frames all over must not cost quadratic time.
const PATIENCE: usize = 16;

/// One message of a container, or a part of one. Docker keeps no newline: its `logs` command adds one after
/// each message that is not partial, and after the last part of one that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// `stdout` or `stderr`.
    pub source: &'a [u8],
    /// When the engine received it; `None` when it does not say, or says Go's zero time.
    pub time_ns: Option<i64>,
    /// What the container wrote, without a newline.
    pub line: &'a [u8],
    /// Whether it is one part of a longer message.
    pub partial: bool,
    /// Which part of which message.
    pub partial_meta: Option<Partial<'a>>,
    /// Labels, environment and tag that the container was told to log.
    pub attrs: Vec<(&'a [u8], &'a [u8])>,
}

/// Where a partial entry belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partial<'a> {
    /// The message, the same for all its parts.
    pub id: &'a [u8],
    /// Its place among them, from 1.
    pub ordinal: i32,
    /// Whether it is the last.
    pub last: bool,
}

/// What [`step`] found at the start of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// An entry, in that many bytes.
    Entry {
        /// The entry.
        entry: Entry<'a>,
        /// How many bytes to go on by.
        used: usize,
    },
    /// Damage; another frame may follow it.
    Bad {
        /// What was wrong; its offset counts from the start of the buffer.
        defect: Defect,
        /// How many bytes to go on by, at least one.
        used: usize,
    },
    /// The buffer is too short to tell; give more of the file. Never with a buffer of [`MAX_FRAME`] + 8 bytes.
    More,
    /// Nothing is left.
    End,
}

/// Reads one frame from the start of `buf`; `eof` says that the file ends with it.
pub fn step(buf: &[u8], eof: bool) -> Step<'_> {
    if buf.is_empty() {
        return if eof { Step::End } else { Step::More };
    }
    let (what, next) = match frame(buf) {
        Frame::Whole(body) => match entry(body) {
            Some(entry) => {
                return Step::Entry {
                    entry,
                    used: body.len() + 2 * LEN,
                };
            }
            None => (
                "a log entry is not the protobuf it should be",
                Some(body.len() + 2 * LEN),
            ),
        },
        Frame::Short if !eof => return Step::More,
        Frame::Short => ("the log ends within an entry", None),
        Frame::Long => ("an impossible length of a log entry", None),
        Frame::Unequal => ("the lengths before and after a log entry differ", None),
    };
    // What the lengths say is the next frame goes before all that merely looks like one.
    let next = next.filter(|&n| n == buf.len() || starts_entry(&buf[n..]));
    let used = match next.or_else(|| resync(buf)) {
        Some(next) => next,
        None if eof => buf.len(),
        None if buf.len() < MAX_FRAME + 2 * LEN => return Step::More,
        // A frame may have begun that ends beyond the buffer. Half of it goes, or this would take for ever.
        None => (buf.len() / 2..buf.len())
            .find(|&n| matches!(frame(&buf[n..]), Frame::Short))
            .unwrap_or(buf.len()),
    };
    Step::Bad {
        defect: Defect::at(0, what, format!("nothing of {used} bytes")),
        used,
    }
}

/// The bytes at the start of a buffer, taken for a frame.
enum Frame<'a> {
    Whole(&'a [u8]),
    Short,
    Long,
    Unequal,
}

fn frame(buf: &[u8]) -> Frame<'_> {
    let Some((head, rest)) = buf.split_first_chunk::<LEN>() else {
        return Frame::Short;
    };
    let len = u32::from_be_bytes(*head) as usize;
    if len > MAX_FRAME {
        return Frame::Long;
    }
    let Some((body, tail)) = rest.split_at_checked(len) else {
        return Frame::Short;
    };
    match tail.first_chunk::<LEN>() {
        None => Frame::Short,
        Some(tail) if tail == head => Frame::Whole(body),
        Some(_) => Frame::Unequal,
    }
}

fn starts_entry(buf: &[u8]) -> bool {
    matches!(frame(buf), Frame::Whole(body) if entry(body).is_some())
}

/// Where after the start of `buf` the next whole frame begins.
fn resync(buf: &[u8]) -> Option<usize> {
    let mut patience = buf.len().saturating_mul(PATIENCE);
    (1..buf.len()).find(|&at| match frame(&buf[at..]) {
        Frame::Whole(body) if body.len() <= patience => {
            patience -= body.len();
            entry(body).is_some()
        }
        _ => false,
    })
}

/// A `LogEntry`. One that says neither where it comes from nor when is none: a run of NULs would be one.
fn entry(body: &[u8]) -> Option<Entry<'_>> {
    let mut entry = Entry::default();
    for field in Fields(body) {
        match field? {
            (1, Value::Bytes(b)) => entry.source = b,
            (2, Value::Varint(n)) => {
                entry.time_ns = Some(n.cast_signed()).filter(|n| !matches!(*n, 0 | GO_ZERO));
            }
            (3, Value::Bytes(b)) => entry.line = b,
            (4, Value::Varint(n)) => entry.partial = n != 0,
            (5, Value::Bytes(b)) => entry.partial_meta = Some(partial(b)?),
            (6, Value::Bytes(b)) => entry.attrs.push(attr(b)?),
            (1..=6, _) => return None,
            _ => {}
        }
    }
    (!entry.source.is_empty() || entry.time_ns.is_some()).then_some(entry)
}

/// A `PartialLogEntryMetadata`.
fn partial(body: &[u8]) -> Option<Partial<'_>> {
    let mut partial = Partial::default();
    for field in Fields(body) {
        match field? {
            (1, Value::Varint(n)) => partial.last = n != 0,
            (2, Value::Bytes(b)) => partial.id = b,
            (3, Value::Varint(n)) => partial.ordinal = n as i32, // as protobuf does
            (1..=3, _) => return None,
            _ => {}
        }
    }
    Some(partial)
}

/// A `LogAttr`.
fn attr(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields(body) {
        match field? {
            (1, Value::Bytes(b)) => key = b,
            (2, Value::Bytes(b)) => value = b,
            (1..=2, _) => return None,
            _ => {}
        }
    }
    Some((key, value))
}

/// The value of a protobuf field.
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of a fixed width, which no field here has.
    Fixed,
}

/// The fields of a protobuf message with their numbers; `None`, once, where it is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        (tag >> 3 != 0).then_some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let len = self.0.iter().take(10).position(|b| b & 0x80 == 0)? + 1;
        Some(
            self.take(len)?
                .iter()
                .rev()
                .fold(0, |n, b| n << 7 | u64::from(b & 0x7f)),
        )
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        assert!(body.len() < 128);
        [&[number << 3 | 2, body.len() as u8], body].concat()
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32).to_be_bytes();
        [&len, body, &len].concat()
    }

    fn simple(line: &[u8]) -> Vec<u8> {
        framed(&[field(1, b"stdout"), vec![0x10, 1], field(3, line)].concat())
    }

    /// Everything in a file, read with a buffer that grows by `more` bytes at a time.
    fn read(file: &[u8], more: usize) -> (Vec<Entry<'_>>, Vec<usize>) {
        let (mut entries, mut bad) = (Vec::new(), Vec::new());
        let (mut at, mut end) = (0, 0);
        loop {
            match step(&file[at..end], end == file.len()) {
                Step::Entry { entry, used } => {
                    entries.push(entry);
                    at += used;
                }
                Step::Bad { used, .. } => {
                    assert!(used > 0);
                    bad.push(at);
                    at += used;
                }
                Step::More => {
                    assert!(end < file.len() && end - at < MAX_FRAME + 2 * LEN);
                    end = file.len().min(end + more);
                }
                Step::End => {
                    assert_eq!(at, file.len());
                    return (entries, bad);
                }
            }
        }
    }

    fn lines(file: &[u8]) -> (Vec<&[u8]>, Vec<usize>) {
        let (entries, bad) = read(file, file.len().max(1));
        (entries.into_iter().map(|e| e.line).collect(), bad)
    }

    #[test]
    fn a_file_of_docker_26() {
        let file = b"\0\0\0\x1b\n\x06stdout\x10\x95\xa3\xdc\x8f\xe5\x91\xb4\xf5\x18\x1a\x07to gelf\0\0\0\x1b";
        let entry = Entry {
            source: b"stdout",
            time_ns: Some(1_795_476_711_139_643_797),
            line: b"to gelf",
            ..Entry::default()
        };
        assert_eq!(step(file, false), Step::Entry { entry, used: 35 });
    }

    #[test]
    fn every_field() {
        let meta = [&[0x08, 1][..], &field(2, b"id"), &[0x18, 3]].concat();
        let attrs = [field(1, b"tag"), field(2, b"web")].concat();
        let unknown = [
            &[0x38, 0xff, 1, 0x41][..],
            &[0; 8],
            &[0x4d],
            &[0; 4],
            &field(10, b"?"),
        ]
        .concat();
        let body = [
            field(1, b"stderr"),
            vec![0x10, 0x96, 1],
            field(3, b"x"),
            vec![0x20, 1],
            field(5, &meta),
            field(6, &attrs),
            field(6, b""),
            unknown,
        ];
        let file = framed(&body.concat());
        let want = Entry {
            source: b"stderr",
            time_ns: Some(150),
            line: b"x",
            partial: true,
            partial_meta: Some(Partial {
                id: b"id",
                ordinal: 3,
                last: true,
            }),
            attrs: vec![(b"tag", b"web"), (b"", b"")],
        };
        assert_eq!(
            step(&file, false),
            Step::Entry {
                entry: want,
                used: file.len()
            }
        );
    }

    #[test]
    fn negative_numbers_take_ten_bytes() {
        let minus_one = [[0xff; 9].as_slice(), &[1]].concat();
        let file = framed(&[&[0x10], &minus_one[..]].concat());
        assert_eq!(read(&file, 99).0[0].time_ns, Some(-1));
    }

    #[test]
    fn no_time_is_none() {
        // Go's `time.Time{}.UnixNano()`, as a varint of ten bytes.
        let go_zero = [0x80, 0x80, 0xe8, 0xe8, 0xb3, 0xfd, 0x80, 0xd9, 0xa1, 0x01];
        for time in [&[][..], &[0x10, 0], &[&[0x10][..], &go_zero].concat()] {
            let file = framed(&[&field(1, b"stdout"), time].concat());
            assert_eq!(read(&file, 99).0[0].time_ns, None, "{time:?}");
        }
    }

    #[test]
    fn more_is_asked_for_until_the_end() {
        let file = simple(b"line");
        for n in 0..file.len() {
            assert_eq!(step(&file[..n], false), Step::More, "{n}");
            assert!(
                matches!(step(&file[..n], true), Step::End | Step::Bad { .. }),
                "{n}"
            );
        }
    }

    #[test]
    fn reading_goes_on_after_damage() {
        let (a, b, c) = (simple(b"a"), simple(b"b"), simple(b"c"));
        let all = [a.clone(), b.clone(), c.clone()].concat();
        let hit = |at: usize| {
            let mut file = all.clone();
            file[at] ^= 0x40;
            let (lines, bad) = lines(&file);
            (lines.concat(), bad)
        };
        assert_eq!(hit(0), (b"bc".to_vec(), vec![0]), "too long");
        assert_eq!(hit(3), (b"bc".to_vec(), vec![0]), "another length");
        assert_eq!(
            hit(a.len() + 5),
            (b"ac".to_vec(), vec![a.len()]),
            "the length of the source"
        );
        assert_eq!(
            hit(all.len() - 1),
            (b"ab".to_vec(), vec![a.len() + b.len()]),
            "the last length"
        );
        let torn = [&a[..], &b[..9], &[0; 50], &c].concat();
        assert_eq!(lines(&torn), (vec![&b"a"[..], b"c"], vec![a.len()]));
        assert_eq!(
            lines(&[&a[..], &[0; 4096]].concat()),
            (vec![&b"a"[..]], vec![a.len()])
        );
    }

    #[test]
    fn a_forged_frame_in_a_damaged_one_is_not_believed() {
        let mut outer = simple(&[&b"xx"[..], &simple(b"forged")].concat());
        outer[4] = 0;
        assert_eq!(
            lines(&[outer, simple(b"true")].concat()),
            (vec![&b"true"[..]], vec![0])
        );
    }

    #[test]
    fn much_damage_takes_little_time() {
        let looks_like_frames = [0, 0x0f].repeat(3 << 20);
        let file = [&looks_like_frames[..], &simple(b"found")].concat();
        let (entries, bad) = read(&file, 1 << 18);
        assert_eq!(entries.len(), 1);
        assert!(bad.len() < 20, "{}", bad.len());
    }

    fn damaged_logs() -> impl Strategy<Value = Vec<u8>> {
        let line = proptest::collection::vec(any::<u8>(), 0..60);
        let frames = proptest::collection::vec(line, 0..8)
            .prop_map(|lines| lines.iter().flat_map(|l| simple(l)).collect::<Vec<_>>());
        (
            frames,
            proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
            0usize..500,
        )
            .prop_map(|(mut file, hits, cut)| {
                for (at, byte) in hits {
                    if !file.is_empty() {
                        let at = at.index(file.len());
                        file[at] = byte;
                    }
                }
                file.truncate(cut);
                file
            })
    }

    proptest! {
        #[test]
        fn lines_come_back_however_they_are_fed(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..99), 0..9), more in 1usize..99) {
            let file: Vec<u8> = lines.iter().flat_map(|l| simple(l)).collect();
            let (entries, bad) = read(&file, more);
            prop_assert!(bad.is_empty());
            prop_assert_eq!(entries.iter().map(|e| e.line).collect::<Vec<_>>(), lines);
        }

        #[test]
        fn total(bytes in proptest::collection::vec(any::<u8>(), 0..300), more in 1usize..99) {
            read(&bytes, more);
        }

        #[test]
        fn total_on_damaged_logs(file in damaged_logs(), more in 1usize..99) {
            read(&file, more);
        }
    }
}
