//! What is fuzzed: a function a format, from bytes to nothing but an assertion. Used by the targets beside this file
//! (cargo fuzz) and by `tests/it/fuzz.rs`, which needs no nightly compiler.

#![allow(missing_docs, dead_code)]

/// A function to feed.
pub type Target = fn(&[u8]);

/// All of them by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("bolt", bolt),
    ("carve", carve),
    ("case_opener", case_opener),
    ("expression", expression),
    ("hash_list", hash_list),
    ("json", json),
    ("json_log", json_log),
    ("local_log", local_log),
    ("node_cert", node_cert),
    ("tar_split", tar_split),
    ("times", times),
    ("unit", unit),
    ("version", version),
    ("lvm", lvm),
    ("partitions", partitions),
    ("superblock", superblock),
    ("disk_image", disk_image),
    ("vmdk", vmdk),
    ("query_header", query_header),
    ("names", names),
    ("resolve", resolve),
];

pub fn bolt(data: &[u8]) {
    use dof::parse::bolt::{Bolt, Bucket, Item};
    // Buckets that lead in circles: some rounds are enough.
    fn walk(bucket: Bucket<'_>, left: &mut u8) {
        for (_, item) in bucket.entries().value {
            if let (Item::Bucket(inner), 1..) = (item, *left) {
                *left -= 1;
                walk(inner, left);
            }
        }
    }
    if let Ok(file) = Bolt::open(data) {
        let _ = (file.defect(), file.bucket(&[b"volumes"]));
        let _ = file.root().value(b"libnetwork");
        walk(file.root(), &mut 40);
    }
}

pub fn carve(data: &[u8]) {
    for key in ["Cid", "ep_iface"] {
        for found in dof::parse::carve::objects(data, key) {
            assert!(found.get(key).is_some());
        }
    }
}

/// A case whose first page, where the schema is, has `data` in it, and a journal and a `-wal` of these bytes beside it: no panic,
/// and nothing in its folder changes.
pub fn case_opener(data: &[u8]) {
    use std::{fs, sync::OnceLock};
    static SEALED: OnceLock<Vec<u8>> = OnceLock::new();
    let sealed = SEALED.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("case.db");
        let mut target = dof::case::Target::create(&path).expect("a case");
        target
            .writer()
            .expect("a writer")
            .finish(0, &|_, _, _| false)
            .expect("indexes");
        target.seal().expect("sealed");
        fs::read(path).expect("its bytes")
    });
    use dof::parse::sqlite_file::{header, journal, leads, next_overflow, wal};
    let _ = (leads(data, 0), leads(data, 100), next_overflow(data));
    let _ = (
        header(data),
        journal(data, data, 32768, 60),
        wal(data, 32768),
    );
    let [what, low, high, data @ ..] = data else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("case.db");
    let mut bytes = sealed.clone();
    // The header, or a place in the schema's page.
    let at = match what & 1 {
        0 => usize::from(*low) % 100,
        _ => usize::from(u16::from_be_bytes([*high, *low])) % 32768,
    };
    let n = data.len().min(32768 - at);
    bytes[at..at + n].copy_from_slice(&data[..n]);
    if what & 2 != 0 {
        bytes.clone_from(sealed);
    }
    fs::write(&path, bytes).expect("room");
    for (bit, name, head) in [
        (
            4,
            "case.db-journal",
            &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7][..],
        ),
        (8, "case.db-wal", &[0x37, 0x7f, 6, 0x82]),
    ] {
        if what & bit != 0 {
            fs::write(dir.path().join(name), [head, data].concat()).expect("room");
        }
    }
    let state = || {
        let files = fs::read_dir(dir.path()).expect("a folder");
        let mut all: Vec<_> = files
            .map(|f| f.expect("a file"))
            .map(|f| {
                (
                    f.file_name(),
                    fs::read(f.path()).expect("bytes"),
                    f.metadata().expect("times").modified().ok(),
                )
            })
            .collect();
        all.sort();
        all
    };
    let before = state();
    let opened = dof::case::Case::open(&path).is_ok();
    let _ = dof::case::check(&path);
    assert!(!opened || what & 4 == 0, "a journal is not passed over");
    assert!(before == state(), "reading changes nothing");
}

/// An expression and, on the next lines, what it is held against.
pub fn expression(data: &[u8]) {
    use dof::parse::expression::Expression;
    let mut parts = data.splitn(2, |&b| b == b'\n');
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let line = parts.next().unwrap_or_default();
    let opposite = Expression::new(&format!("NOT ({text})"));
    if let (Ok(this), Ok(not)) = (Expression::new(&text), opposite) {
        assert_ne!(this.finds(line), not.finds(line), "NOT is the opposite");
    }
}

pub fn hash_list(data: &[u8]) {
    use dof::parse::hash_list::{Layout, hash, line, weaker};
    let mut lines = data.split(|&b| b == b'\n');
    let header = lines.clone().next().unwrap_or_default();
    if let Layout::Csv {
        separator, hash, ..
    } = Layout::of(header)
    {
        assert!(hash < header.split(|&b| b == separator).count());
    }
    let _ = weaker(data);
    assert!(lines.all(|l| line(l).is_none() || l.len() >= 64));
    let _ = hash(data);
}

pub fn json(data: &[u8]) {
    use dof::parse::json::{Document, Fields, Shape, first, read};
    // A shape of every kind.
    const STATE: Shape = Shape::Struct(&[
        ("Pid", Shape::Int),
        ("Log", Shape::List(&Shape::Map(&Shape::Any))),
    ]);
    const TYPED: Document = Document {
        shape: Shape::Struct(&[
            ("State", Shape::Pointer(&STATE)),
            ("Created", Shape::Time),
            ("RestartCount", Shape::Uint(16)),
            (
                "Config",
                Shape::Struct(&[
                    ("Env", Shape::List(&Shape::Text)),
                    ("Cmd", Shape::Words),
                    ("Tty", Shape::Bool),
                ]),
            ),
        ]),
        whole: true,
        strict: false,
    };
    let typed = read(data, &TYPED);
    assert!(
        typed.value.is_null() || typed.value.is_object(),
        "a struct or nothing"
    );
    if let Some(text) = first(data) {
        assert_eq!(
            read(&text, &TYPED).value,
            typed.value,
            "the text that counts"
        );
    }
    let read = read(data, &Document::ANY);
    let mut fields = Fields::new(&read.value);
    for path in [
        "State.Pid",
        "Config.Env",
        "NetworkSettings.Ports",
        "Created",
        "RestartCount",
    ] {
        let _ = (
            fields.text(path),
            fields.int(path),
            fields.flag(path),
            fields.time(path),
            fields.json(path),
        );
        let _ = (
            fields.array(path),
            fields.members(path),
            fields.items(path),
            fields.is(path),
        );
    }
}

pub fn json_log(data: &[u8]) {
    let mut scratch = String::new();
    for line in data.split(|&b| b == b'\n') {
        let Ok(entry) = dof::parse::json_log::parse(line, &mut scratch) else {
            continue;
        };
        let again = entry.time_ns.is_some_and(|time| {
            let mut again = Vec::new();
            dof::parse::json_log::write(
                &mut again,
                entry.line,
                &entry.stream,
                entry.attrs.as_deref(),
                Some(time),
            );
            again == line
        });
        assert_eq!(entry.canonical, again, "that it can be written again");
    }
}

pub fn local_log(data: &[u8]) {
    use dof::parse::local_log::{Step, step};
    let mut rest = data;
    loop {
        rest = match step(rest, true) {
            Step::Entry { used, .. } | Step::Bad { used, .. } => {
                assert!(used > 0, "it goes on");
                &rest[used..]
            }
            Step::More | Step::End => return,
        }
    }
}

pub fn node_cert(data: &[u8]) {
    let _ = dof::parse::node_cert::parse(data);
    // What is decoded, too: few inputs are base64.
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    base64::Engine::encode_string(&base64::engine::general_purpose::STANDARD, data, &mut pem);
    pem.push_str("\n-----END CERTIFICATE-----\n");
    let _ = dof::parse::node_cert::parse(pem.as_bytes());
}

pub fn times(data: &[u8]) {
    use dof::parse::time::{iso8601, rfc3339, rfc3339_nano};
    if let Some(ns) = rfc3339(data) {
        assert_eq!(
            rfc3339(rfc3339_nano(ns).as_bytes()),
            Some(ns),
            "a time survives being written"
        );
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = iso8601(text);
    }
}

pub fn unit(data: &[u8]) {
    let _ = dof::parse::unit::data_root(&String::from_utf8_lossy(data));
}

pub fn version(data: &[u8]) {
    use dof::parse::version::{Binary, Finder};
    for binary in [Binary::Client, Binary::Daemon] {
        let mut whole = Finder::new(binary);
        whole.feed(data);
        let mut pieces = Finder::new(binary);
        data.chunks(7).for_each(|piece| pieces.feed(piece));
        assert_eq!(whole.finish(), pieces.finish(), "pieces make no difference");
    }
}

pub fn lvm(data: &[u8]) {
    let _ = dof::parse::lvm::pv_header(data);
    let _ = dof::parse::lvm::group(data);
    for (_, length) in dof::parse::lvm::text_parts(data, 1 << 20).unwrap_or_default() {
        assert!(length <= 1 << 20, "within its area");
    }
}

pub fn partitions(data: &[u8]) {
    use dof::parse::partitions as p;
    let _ = p::mbr(data);
    if let Some(header) = p::gpt_header(data) {
        let _ = p::gpt_entries(data.get(512..).unwrap_or_default(), &header);
    }
    let spans: Vec<p::Span> = data
        .chunks_exact(17)
        .map(|c| p::Span {
            start: u64::from_le_bytes(c[..8].try_into().unwrap()),
            length: u64::from_le_bytes(c[8..16].try_into().unwrap()),
            meta: c[16] & 1 != 0,
        })
        .take(200)
        .collect();
    let _ = p::slots(&spans);
}

pub fn superblock(data: &[u8]) {
    let _ = dof::parse::superblock::probe(data);
    // Superblocks further in: few inputs are that long.
    for at in [1024, 0x1_0000] {
        let mut head = vec![0; at];
        head.extend_from_slice(data);
        head.resize(head.len().max(at + 4096), 0);
        let _ = dof::parse::superblock::probe(&head);
    }
}

pub fn disk_image(data: &[u8]) {
    use dof::parse::disk_image as image;
    // Each format that QEMU reads: few inputs keep the number it begins with.
    for (at, magic) in [
        (0, b"".as_slice()),
        (0, b"QFI\xfb\0\0\0\x02"),
        (0, b"QFI\xfb\0\0\0\x03"),
        (0, b"conectix"),
        (0, b"vhdxfile"),
        (0x40, b"\x7f\x10\xda\xbe"),
    ] {
        let mut head = data.to_vec();
        head.resize(head.len().max(at + magic.len()), 0);
        head[at..at + magic.len()].copy_from_slice(magic);
        if image::format(&head) == Ok(image::Format::Qcow2) {
            assert_eq!(head[8..16], [0; 8], "no backing file");
            assert!(head[7] < 3 || head[79] & 4 == 0, "no data file");
        }
    }
    let name = String::from_utf8_lossy(data);
    let _ = (image::next_piece(&name), image::is_first_piece(&name));
    let _ = image::ewf_section(data);
    let _ = image::ewf_segment(&name, u32::from(data.first().copied().unwrap_or(1)));
}

pub fn vmdk(data: &[u8]) {
    use dof::parse::vmdk::{self, Content, Extent};
    if let Ok(sparse) = vmdk::sparse(data, data) {
        assert_ne!(sparse.capacity, 0, "QEMU would take it for a descriptor");
        let length = sparse.descriptor.map_or(0, |d| d.1);
        assert!(length <= vmdk::MOST_DESCRIPTOR);
    }
    let Ok(extents) = vmdk::extents(data) else {
        return;
    };
    let numbered = extents.iter().enumerate().map(|(i, extent)| {
        let name = |name: &[u8]| {
            assert!(!name.contains(&b'/') && name != b"..", "a plain name");
            format!("/proc/self/fd/{i}")
        };
        let content = match &extent.content {
            Content::Zero => Content::Zero,
            Content::Flat(file, first) => Content::Flat(name(file), *first),
            Content::Sparse(file) => Content::Sparse(name(file)),
        };
        let sectors = extent.sectors;
        Extent { sectors, content }
    });
    let written = vmdk::write(numbered);
    let only = |b: u8| b == b'\n' || b == b' ' || b.is_ascii_graphic();
    assert!(written.bytes().all(only), "nothing of the input's");
    assert_eq!(written.matches("RW ").count(), extents.len());
}

pub fn query_header(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let query = dof::query::parse("fuzz", &text);
    for parameter in &query.parameters {
        let _ = parameter.choices();
    }
    thread_local! {
        static CASE: rusqlite::Connection = rusqlite::Connection::open_in_memory().unwrap();
    }
    if query.sql.len() < 2000 {
        CASE.with(|case| {
            let _ = query.prepare(case);
        });
    }
}

pub fn names(data: &[u8]) {
    // A name on its way to people and out again: nothing that could forge a line or a colour.
    let text = dof::text::lossless(data);
    let shown = dof::text::printable(&text);
    assert!(!shown.chars().any(char::is_control));
    if dof::text::is_plain(data) {
        assert_eq!(text.as_bytes(), data, "plain text is kept");
    }
}

/// A tree of files, directories and links made of the input, with a canary outside it: no path leads there.
pub fn resolve(data: &[u8]) {
    use dof::evidence::resolve;
    use rustix::{fd::AsFd, fs::OFlags};
    // Opened once a thread and emptied for each input: to open clones a mount, which takes milliseconds.
    thread_local! {
        static TREE: (tempfile::TempDir, dof::evidence::Evidence) = {
            let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let root = dir.path().join("root");
            std::fs::create_dir(&root).unwrap();
            std::fs::write(dir.path().join("canary"), "outside").unwrap();
            (dir, dof::evidence::Evidence::open(&root).unwrap())
        };
    }
    TREE.with(|(dir, evidence)| {
        let root = dir.path().join("root");
        for old in std::fs::read_dir(&root).unwrap().map(Result::unwrap) {
            let whole = old.file_type().unwrap().is_dir();
            if whole {
                std::fs::remove_dir_all(old.path())
            } else {
                std::fs::remove_file(old.path())
            }
            .unwrap();
        }
        grow(&root, data);
        let top = std::fs::File::open(&root).unwrap();
        for way in data.chunks(5).take(24) {
            let path = way
                .iter()
                .map(|&b| if b & 0x80 != 0 { ".." } else { name(b) });
            let path = dof::evidence::EvidencePath::new(path.collect::<Vec<_>>().join("/"));
            if let Ok((bytes, _)) = evidence.read(&path, 100) {
                assert_eq!(bytes, b"inside", "{path}");
            }
            let [kernel, ours] = [resolve::open_in_root, resolve::open_by_components].map(|open| {
                let fd = open(top.as_fd(), path.as_bytes(), OFlags::PATH)?;
                rustix::fs::fstat(fd).map(|s| (s.st_dev, s.st_ino))
            });
            assert_eq!(kernel, ours, "{path}: with openat2 and without");
            if let Ok((names, _)) = evidence.list(&path, 100) {
                assert!(!names.contains(&b"root".to_vec()), "{path} is outside");
            }
        }
    });
}

fn name(b: u8) -> &'static str {
    const NAMES: [&str; 4] = ["a", "b", "c", "canary"];
    NAMES[usize::from(b) % NAMES.len()]
}

/// Makes an entry of each four bytes: its kind, two directories to go into and its name.
fn grow(root: &std::path::Path, data: &[u8]) {
    const TO: [&str; 8] = [
        "/canary",
        "../canary",
        "../../canary",
        "a",
        "/",
        "..",
        "/proc/self/root/canary",
        "./b/../../../canary",
    ];
    for op in data.chunks(4).take(24) {
        let [kind, way @ .., last] = op else { continue };
        // Only real directories are made into: the test's own system calls must stay inside too.
        let mut at = root.to_path_buf();
        for &b in way {
            let next = at.join(name(b));
            if next.symlink_metadata().is_ok_and(|m| m.is_dir()) {
                at = next;
            }
        }
        let at = at.join(name(*last));
        let _ = match kind % 3 {
            0 => std::fs::create_dir(&at),
            1 => std::os::unix::fs::symlink(TO[usize::from(kind / 3) % TO.len()], &at),
            _ if at.symlink_metadata().is_err() => std::fs::write(&at, "inside"),
            _ => Ok(()),
        };
    }
}

pub fn tar_split(data: &[u8]) {
    use dof::parse::tar_split::{CHECKSUM, Reader, pax_records};
    let mut reader = Reader::default();
    for line in data.split(|&b| b == b'\n') {
        if reader.line(line).is_err() {
            break;
        }
    }
    let _ = (reader.end(), CHECKSUM.checksum(data));
    for (key, value) in pax_records(data) {
        assert!(
            key.len() + value.len() < data.len(),
            "records are parts of the input"
        );
    }
}
