//! Hostile disk images: no name in one, and no file beside one, leads a tool to another file; tools have bounds; a dof that
//! was killed leaves nothing that `unmount-image` does not end.
//!
//! Truths: the calls that strace saw of dof and of every tool it ran; names, contents and times of the folders before and
//! after; the kernel's own lists of processes, mounts and loop devices.

use crate::support::{Need, dof, dof_command, folder, has, must, run, text};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

const NEEDS: &[Need] = &[
    Need::Root,
    Need::Program("strace"),
    Need::Program("qemu-img"),
    Need::Program("qemu-storage-daemon"),
    Need::Program("mkfs.ext4"),
];

/// A folder with images, and beside it one with what they must not lead to.
struct Place {
    _dir: tempfile::TempDir,
    images: PathBuf,
    outside: PathBuf,
    at: PathBuf,
}

/// Sectors of a disk of these tests: a file system of 16 MiB.
const SECTORS: u64 = 32768;

impl Place {
    fn new() -> Place {
        let dir = folder();
        let [images, outside, at] =
            ["images", "outside", "at"].map(|name| dir.path().canonicalize().unwrap().join(name));
        for dir in [&images, &outside, &at] {
            fs::create_dir(dir).unwrap();
        }
        let place = Place {
            _dir: dir,
            images,
            outside,
            at,
        };
        place.disk(&place.canary(), "CANARY");
        place
    }

    /// A disk that must never be mounted.
    fn canary(&self) -> PathBuf {
        self.outside.join("canary.raw")
    }

    /// A file system with this label.
    fn disk(&self, at: &Path, label: &str) {
        fs::File::create(at)
            .unwrap()
            .set_len(SECTORS * 512)
            .unwrap();
        let tree = folder();
        fs::write(tree.path().join("label"), label).unwrap();
        must(
            "mkfs.ext4",
            &["-qF", "-L", label, "-d", text(tree.path()), text(at)],
        );
    }

    fn image(&self, name: &str) -> PathBuf {
        self.images.join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.image(name), bytes).unwrap();
        self.image(name)
    }

    /// An image of the disk `own.raw`, converted by QEMU.
    fn converted(&self, name: &str, format: &str, options: &str) -> PathBuf {
        let raw = self.outside.join("own.raw");
        if !raw.exists() {
            self.disk(&raw, "OWN");
        }
        let to = self.image(name);
        let mut args = vec!["convert", "-O", format];
        args.extend(if options.is_empty() {
            vec![]
        } else {
            vec!["-o", options]
        });
        args.extend([text(&raw), text(&to)]);
        must("qemu-img", &args);
        to
    }

    /// Names, kinds, contents and times of both folders.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut state = BTreeMap::new();
        for dir in [&self.images, &self.outside] {
            for entry in walkdir::WalkDir::new(dir) {
                let path = entry.unwrap().into_path();
                let m = path.symlink_metadata().unwrap();
                // Sparse files of terabytes are known by their times.
                let content = if m.is_file() && m.size() < 1 << 30 {
                    must("sha256sum", &[text(&path)])
                } else {
                    String::new()
                };
                let (kind, size) = (m.mode(), m.size());
                let (written, changed) = (m.mtime(), m.ctime());
                let parts = (m.mtime_nsec(), m.ctime_nsec());
                let line = format!("{kind:o} {size} {written} {changed} {parts:?} {content}");
                state.insert(path, line);
            }
        }
        state
    }

    /// Mounts an image and undoes it, all traced. Holds that nothing but the image's folder was opened, that neither folder
    /// has changed and that nothing is left; gives the exit code and what was said.
    #[track_caller]
    fn attack(&self, image: &Path) -> (i32, String) {
        let before = self.state();
        let log = self.at.join("trace");
        let script = r#"timeout -s KILL 60 "$0" mount-image --at "$1" "$2" 2>&1; echo "code $?"; "$0" unmount-image "$2" >/dev/null 2>&1; true"#;
        let out = Command::new("strace")
            .args([
                "-f",
                "-y",
                "-qq",
                "-s",
                "4096",
                "-e",
                "trace=%file",
                "-e",
                "signal=none",
                "-o",
            ])
            .arg(&log)
            .args(["sh", "-c", script, env!("CARGO_BIN_EXE_dof")])
            .args([&self.at, image])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let (said, code) = said.rsplit_once("code ").unwrap_or((&said, "999"));
        let trace = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
        fs::remove_file(&log).unwrap();
        assert!(trace.contains("mount-image"), "nothing was traced");
        let reached: Vec<&str> = trace
            .lines()
            .filter(|l| l.contains(text(&self.outside)) || l.contains("/etc/passwd-canary"))
            .filter(|l| !l.contains("execve("))
            .collect();
        assert!(
            reached.is_empty(),
            "{}: {said}\n{reached:#?}",
            image.display()
        );
        assert!(!said.contains("CANARY"), "{}: {said}", image.display());
        assert_eq!(self.state(), before, "{}", image.display());
        self.nothing_left(image);
        (code.trim().parse().unwrap(), said.to_owned())
    }

    /// No directory of a mount, loop device, mount or process of dof's is left.
    #[track_caller]
    fn nothing_left(&self, image: &Path) {
        let left: Vec<_> = fs::read_dir(&self.at).unwrap().flatten().collect();
        assert!(left.is_empty(), "{}: {left:?}", image.display());
        assert_eq!(setups(image), Vec::<PathBuf>::new(), "{}", image.display());
        if image.is_file() {
            assert_eq!(must("losetup", &["-j", text(image)]), "");
        }
    }

    /// Each image is refused with this exit code and these words.
    #[track_caller]
    fn refused(&self, image: &Path, code: i32, why: &str) {
        let (ended, said) = self.attack(image);
        assert!(said.contains(why), "{}: {why}: {said}", image.display());
        assert_eq!(ended, code, "{}: {said}", image.display());
    }

    /// It is mounted, and shows its own bytes.
    #[track_caller]
    fn mounted(&self, image: &Path) {
        let (code, said) = self.attack(image);
        assert!(said.contains("Ext4 OWN"), "{}: {said}", image.display());
        assert_eq!(code, 0, "{}: {said}", image.display());
    }
}

/// The directories of setups for an image.
fn setups(image: &Path) -> Vec<PathBuf> {
    let of = |dir: &PathBuf| {
        let record = fs::read_to_string(dir.join("setup.json")).unwrap_or_default();
        record.contains(&format!("\"{}\"", image.display()))
    };
    let all = fs::read_dir("/run/dof").into_iter().flatten().flatten();
    all.map(|e| e.path()).filter(of).collect()
}

/// Processes and mounts that name a directory.
fn users(dir: &Path) -> Vec<String> {
    let mut users = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text(dir)) {
            users.push(line);
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    users.extend(
        mounts
            .lines()
            .filter(|l| l.contains(text(dir)))
            .map(str::to_owned),
    );
    users
}

/// A descriptor with these lines.
fn descriptor(lines: &str) -> Vec<u8> {
    format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n{lines}\n")
        .into_bytes()
}

/// The header of a sparse extent, with a descriptor of so many sectors in it.
fn sparse(capacity: u64, sectors: u64, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0u8; 512];
    bytes[..4].copy_from_slice(b"KDMV");
    for (at, n) in [
        (4, 1u64),
        (12, capacity),
        (20, 128),
        (28, 1),
        (36, sectors),
        (44, 512),
        (56, 21),
    ] {
        let width = if matches!(at, 4 | 44) { 4 } else { 8 };
        bytes[at..at + width].copy_from_slice(&n.to_le_bytes()[..width]);
    }
    bytes.extend(text);
    bytes.resize(bytes.len().max(64 << 10), 0);
    bytes
}

fn patch(image: &Path, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(image).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
}

fn copy(from: &Path, name: &str) -> PathBuf {
    let to = from.with_file_name(name);
    fs::copy(from, &to).unwrap();
    to
}

/// Something under a name that is no plain file, and how dof calls it.
const OTHER: [&str; 5] = ["symbolic link", "FIFO", "directory", "device", "socket"];

fn make(kind: &str, at: &Path, canary: &Path) {
    let _ = fs::remove_file(at).or_else(|_| fs::remove_dir(at));
    match kind {
        "symbolic link" => symlink(canary, at).unwrap(),
        "FIFO" => drop(must("mkfifo", &[text(at)])),
        "directory" => fs::create_dir(at).unwrap(),
        "device" => drop(must("mknod", &[text(at), "b", "7", "250"])),
        _ => drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
    }
}

#[test]
fn vmdk_descriptors_lead_nowhere() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    let to = text(&canary);
    let flat = |name: &str| descriptor(&format!("RW {SECTORS} FLAT \"{name}\" 0"));
    // Names.
    for name in [
        to,
        "../outside/canary.raw",
        "./../outside/canary.raw",
        "nbd:unix:/tmp/socket",
        "nbd://127.0.0.1/x",
        "fd:3",
        "file:../outside/canary.raw",
        &format!("json:{{\"driver\":\"file\",\"filename\":\"{to}\"}}"),
        "/dev/fdset/1",
        "..",
        ".",
        "",
        "..\\outside\\canary.raw",
    ] {
        let name = name.replace('"', "'");
        let image = place.write("names.vmdk", flat(&name));
        place.refused(&image, 2, "leads to another file");
    }
    // Blanks of C's, other words, and lines that only QEMU understands.
    for (line, why) in [
        (
            format!("RW\u{b}{SECTORS}\u{b}FLAT\u{b}\"{to}\"\u{b}0"),
            "control characters",
        ),
        (
            format!("RW\u{c}{SECTORS}\u{c}FLAT \"{to}\" 0"),
            "control characters",
        ),
        (
            format!("\u{b}RW {SECTORS} FLAT \"{to}\" 0"),
            "control characters",
        ),
        (
            format!("a=b\0\nRW {SECTORS} FLAT \"{to}\" 0"),
            "control characters",
        ),
        (
            format!("rw {SECTORS} FLAT \"{to}\" 0"),
            "does not understand",
        ),
        (format!("RW {SECTORS} flat \"x\" 0"), "does not understand"),
        (format!("RW {SECTORS} FLAT \"{to} 0"), "does not understand"),
        (
            format!("RW {SECTORS} FLAT \"x\" 0 \"{to}\""),
            "does not understand",
        ),
        (format!("RW {SECTORS} FLAT '{to}' 0"), "does not understand"),
        (format!("RW +{SECTORS} ZERO"), "does not understand"),
        ("RW 0 ZERO".into(), "does not understand"),
        (
            format!("parentFileNameHint=\"{to}\""),
            "difference to another image",
        ),
        (
            format!("PARENTFILENAMEHINT = \"{to}\"\nparentCID=00000001"),
            "difference to another image",
        ),
        ("parentCID=00000001".into(), "difference to another image"),
        (
            "CID=2\nparentCID=ffffffff\nparentCID = 1".into(),
            "difference to another image",
        ),
        ("".into(), "no extents"),
    ] {
        let image = place.write("lines.vmdk", descriptor(&line));
        place.refused(&image, 2, why);
    }
    let image = place.write("case.vmdk", {
        let text = flat(to);
        [b"# dISK dESCRIPTORfILE".as_slice(), &text[21..]].concat()
    });
    place.refused(&image, 2, "leads to another file");
    // Files that are no plain ones.
    for what in OTHER {
        for kind in ["FLAT \"e.vmdk\" 0", "SPARSE \"e.vmdk\"", "VMFS \"e.vmdk\""] {
            make(what, &place.image("e.vmdk"), &canary);
            let image = place.write("other.vmdk", descriptor(&format!("RW {SECTORS} {kind}")));
            place.refused(&image, 2, what);
        }
    }
    let _ = fs::remove_file(place.image("e.vmdk"));
    // Names that would speak to a terminal.
    for name in ["a\u{9b}31m", "a\u{202e}b"] {
        let image = place.write("speaks.vmdk", flat(name));
        let (code, said) = place.attack(&image);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("No such file"), "{said}");
        assert!(!said.contains(['\u{9b}', '\u{202e}']), "{said}");
    }
    let image = place.write("gone.vmdk", flat("gone"));
    place.refused(&image, 3, "gone: No such file");
}

#[test]
fn vmdk_extents_lead_nowhere() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    let inner = descriptor(&format!("RW {SECTORS} FLAT \"{}\" 0", canary.display()));
    // A header of no sectors: QEMU takes it for a descriptor, and reads more of it than the header says.
    let beyond = [vec![b'#'; 512], vec![b'\n'], inner.clone()].concat();
    for (n, text) in [(1, &beyond), (20, &inner), (0, &inner)] {
        let image = place.write("none.vmdk", sparse(0, n, text));
        place.refused(&image, 2, "of no sectors");
        // The same as an extent.
        let outer = place.write(
            "outer.vmdk",
            descriptor(&format!("RW {SECTORS} SPARSE \"none.vmdk\"")),
        );
        place.refused(&outer, 2, "of no sectors");
    }
    // An extent that is a descriptor itself: as a sparse one refused, as a flat one the disk's bytes.
    place.write("inner.vmdk", &inner);
    let outer = place.write("outer.vmdk", descriptor("RW 512 SPARSE \"inner.vmdk\""));
    place.refused(&outer, 2, "does not begin as one");
    let outer = place.write("outer.vmdk", descriptor("RW 512 FLAT \"inner.vmdk\" 0"));
    place.refused(&outer, 3, "no volume");
    // As a flat one, a qcow2 image that has the canary below it.
    let backed = place.image("backed.qcow2");
    let backing = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        text(&canary),
        "-F",
        "raw",
        text(&backed),
    ];
    must("qemu-img", &backing);
    let outer = place.write("outer.vmdk", descriptor("RW 1024 FLAT \"backed.qcow2\" 0"));
    place.refused(&outer, 3, "no volume");
    // An extent whose own descriptor has a parent, or leads elsewhere.
    let real = place.converted("real.vmdk", "vmdk", "subformat=monolithicSparse");
    let at = u64::from_le_bytes(fs::read(&real).unwrap()[28..36].try_into().unwrap()) * 512;
    let put = |text: &[u8]| {
        let image = copy(&real, "changed.vmdk");
        let mut area = text.to_vec();
        area.resize(20 * 512, 0);
        patch(&image, at, &area);
        image
    };
    let parent = format!("parentFileNameHint=\"{}\"", canary.display());
    place.refused(&put(&descriptor(&parent)), 2, "difference");
    place.refused(&put(&inner), 2, "leads to another file");
    place.refused(
        &put(&descriptor("RW 9 FLAT \"real.vmdk\" 0")),
        2,
        "more than itself",
    );
    place.mounted(&real);
    // Behind another name it still is its own extent.
    place.mounted(&copy(&real, "renamed.vmdk"));
    // The header at a stream's end counts as well.
    let stream = place.converted("stream.vmdk", "vmdk", "subformat=streamOptimized");
    place.mounted(&stream);
    let end = fs::metadata(&stream).unwrap().len() - 1024;
    let head = fs::read(&stream).unwrap();
    if head[56..64] == [0xff; 8] {
        let changed = copy(&stream, "footer.vmdk");
        patch(&changed, end + 12, &[0; 8]);
        place.refused(&changed, 2, "at a sparse extent's end");
    }
    let cut = copy(&real, "cut.vmdk");
    patch(&cut, 56, &[0xff; 8]);
    place.refused(&cut, 2, "at a sparse extent's end");
    // Sound ones: in pieces, with letters that are not English, and one after the other.
    place.converted("flat.vmdk", "vmdk", "subformat=monolithicFlat");
    place.mounted(&place.image("flat.vmdk"));
    place.mounted(&place.converted("two.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"));
    fs::rename(
        place.image("flat-flat.vmdk"),
        place.image("\u{76d8} f=.vmdk"),
    )
    .unwrap();
    let half = SECTORS / 2;
    let image = place.write("halves.vmdk", descriptor(&format!(
        "RW {half} FLAT \"\u{76d8} f=.vmdk\" 0\r\nRDONLY {half}\tFLAT \"\u{76d8} f=.vmdk\" {half}\nRW 8 ZERO"
    )));
    place.mounted(&image);
    // Extents that do not fill their place.
    let image = place.write(
        "short.vmdk",
        descriptor(&format!(
            "RW {} SPARSE \"real.vmdk\"\nRW 8 ZERO",
            SECTORS + 64
        )),
    );
    let (code, said) = place.attack(&image);
    assert!(
        said.contains("Ext4 OWN") && said.contains("extent real.vmdk has"),
        "{said}"
    );
    assert_eq!(code, 1);
}

#[test]
fn qcow2_leads_nowhere() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    let own = place.converted("own.qcow2", "qcow2", "");
    place.mounted(&own);
    place.mounted(&place.converted("old.qcow2", "qcow2", "compat=0.10"));
    for name in [
        text(&canary),
        "../outside/canary.raw",
        "own.qcow2",
        "nbd://127.0.0.1/x",
        "fd:3",
        &format!(
            "json:{{\"driver\":\"raw\",\"file\":{{\"driver\":\"file\",\"filename\":\"{}\"}}}}",
            canary.display()
        ),
    ] {
        let image = place.image("backed.qcow2");
        let args = [
            "create",
            "-q",
            "-u",
            "-f",
            "qcow2",
            "-b",
            name,
            "-F",
            "raw",
            text(&image),
            "16M",
        ];
        must("qemu-img", &args);
        place.refused(&image, 2, "difference to another image");
        // Without a length the name is none, and still one.
        patch(&image, 16, &[0; 4]);
        place.refused(&image, 2, "difference to another image");
    }
    let data = place.image("data.qcow2");
    let option = format!("data_file={}", place.outside.join("data.raw").display());
    must(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            &option,
            text(&data),
            "16M",
        ],
    );
    place.refused(&data, 2, "leads to another file");
    // The name alone, without the bit that makes it count; the bit alone.
    let head = fs::read(&data).unwrap();
    let named = copy(&data, "named.qcow2");
    patch(&named, 79, &[head[79] & !4]);
    place.refused(&named, 2, "leads to another file");
    let bit = copy(&own, "bit.qcow2");
    patch(&bit, 79, &[4]);
    place.refused(&bit, 2, "leads to another file");
    let encrypted = copy(&own, "encrypted.qcow2");
    patch(&encrypted, 35, &[2]);
    place.refused(&encrypted, 2, "encrypted");
    // What the analyst says does not open more.
    let said = dof([
        "mount-image",
        "--image-format",
        "qcow2",
        "--at",
        text(&place.at),
        text(&data),
    ]);
    assert_eq!(said.with(2).out, "");
    // Cut off: dof says so, and QEMU makes nothing longer.
    let cut = copy(&own, "cut.qcow2");
    let size = fs::metadata(&cut).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&cut)
        .unwrap()
        .set_len(size / 2)
        .unwrap();
    let (code, said) = place.attack(&cut);
    assert!(code == 1 || code == 3, "{code}: {said}");
}

#[test]
fn vdi_vhd_and_vhdx_lead_nowhere() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    let name: Vec<u8> = text(&canary)
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    // VDI: a difference, by its type and by its parent's id.
    let vdi = place.converted("own.vdi", "vdi", "");
    place.mounted(&vdi);
    for (n, why) in [(4u32, "difference"), (3, "difference"), (9, "unknown type")] {
        let image = copy(&vdi, "type.vdi");
        patch(&image, 0x4c, &n.to_le_bytes());
        place.refused(&image, 2, why);
    }
    let image = copy(&vdi, "parent.vdi");
    patch(&image, 0x1b8, &[7; 32]);
    let (code, _) = place.attack(&image);
    assert_ne!(code, 0);
    // VHD: a difference, and one whose parent is said in a dynamic disk.
    let vhd = place.converted("own.vhd", "vpc", "subformat=dynamic,force_size=on");
    place.mounted(&vhd);
    let sum = |image: &Path, at: u64, length: usize, sum_at: usize| {
        let mut bytes = fs::read(image).unwrap()[at as usize..at as usize + length].to_vec();
        bytes[sum_at..sum_at + 4].fill(0);
        let sum = !bytes.iter().map(|&b| u32::from(b)).sum::<u32>();
        patch(image, at + sum_at as u64, &sum.to_be_bytes());
    };
    let image = copy(&vhd, "difference.vhd");
    patch(&image, 60, &4u32.to_be_bytes());
    sum(&image, 0, 512, 64);
    place.refused(&image, 2, "difference");
    // The dynamic header is behind the footer's copy: the parent's name, and a locator W2ku of it.
    let image = copy(&vhd, "parent.vhd");
    patch(&image, 512 + 40, &[7; 16]);
    patch(&image, 512 + 64, &name);
    patch(&image, 512 + 576, b"W2ku");
    for (at, n) in [(580, 1u32), (584, name.len() as u32), (596, 512 + 64)] {
        patch(&image, 512 + at, &n.to_be_bytes());
    }
    sum(&image, 512, 1024, 36);
    place.mounted(&image);
    // VHDX: a parent, said where its metadata are.
    let vhdx = place.converted("own.vhdx", "vhdx", "subformat=dynamic");
    place.mounted(&vhdx);
    let bytes = fs::read(&vhdx).unwrap();
    let find = |what: &[u8]| bytes.windows(what.len()).position(|w| w == what).unwrap();
    let table = find(b"metadata");
    let parameters = find(b"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b");
    let offset = u32::from_le_bytes(bytes[parameters + 16..parameters + 20].try_into().unwrap());
    let image = copy(&vhdx, "parent.vhdx");
    patch(&image, (table + offset as usize + 4) as u64, &[2]);
    let count = u16::from_le_bytes(bytes[table + 10..table + 12].try_into().unwrap());
    let entry = table + 32 + 32 * usize::from(count);
    patch(
        &image,
        entry as u64,
        b"\x2d\x5f\xd3\xa8\x0b\xb3\x4d\x45\xab\xf7\xd3\xd8\x48\x34\xab\x0c",
    );
    patch(&image, entry as u64 + 16, &[0, 0, 2, 0, 0, 1, 0, 0, 4]);
    patch(&image, table as u64 + 10, &(count + 1).to_le_bytes());
    patch(&image, table as u64 + 0x20000, &name);
    let (code, said) = place.attack(&image);
    assert_eq!(code, 3, "{said}");
    // VHDX: a log with entries, which only a writer may replay.
    let image = copy(&vhdx, "log.vhdx");
    for at in [0x10000u64, 0x20000] {
        let mut header = bytes[at as usize..at as usize + 4096].to_vec();
        header[48..64].fill(5);
        header[4..8].fill(0);
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&header);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        patch(&image, at, &header);
    }
    let log = u64::from_le_bytes(bytes[0x10000 + 72..0x10000 + 80].try_into().unwrap());
    let mut entry = vec![0u8; 4096];
    entry[..4].copy_from_slice(b"loge");
    for (at, n) in [
        (8usize, 4096u64),
        (16, 1),
        (48, bytes.len() as u64),
        (56, bytes.len() as u64),
    ] {
        entry[at..at + 8].copy_from_slice(&n.to_le_bytes());
    }
    entry[12..16].fill(0);
    entry[32..48].fill(5);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&entry);
    entry[4..8].copy_from_slice(&crc.to_le_bytes());
    patch(&image, log, &entry);
    place.refused(&image, 2, "replay them in a copy");
}

#[test]
fn pieces_and_segments_lead_nowhere() {
    if !has(NEEDS) || !has(&[Need::Program("ewfacquire"), Need::Program("ewfmount")]) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    let own = place.outside.join("own.raw");
    place.disk(&own, "OWN");
    let noise: Vec<u8> = (0..8_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    patch(&own, 8 << 20, &noise);
    must(
        "split",
        &[
            "-b",
            "6M",
            "--numeric-suffixes=1",
            "-a3",
            text(&own),
            text(&place.image("p.")),
        ],
    );
    let to = place.image("e");
    let acquire = [
        "-u",
        "-q",
        "-f",
        "encase6",
        "-c",
        "none",
        "-S",
        "6MiB",
        "-t",
        text(&to),
        text(&own),
    ];
    must("ewfacquire", &acquire);
    for (first, second) in [("p.001", "p.002"), ("e.E01", "e.E02")] {
        let (first, second) = (place.image(first), place.image(second));
        place.mounted(&first);
        let kept = fs::read(&second).unwrap();
        for what in OTHER {
            make(what, &second, &canary);
            place.refused(&first, 2, what);
            let (_, said) = place.attack(&first);
            assert!(said.contains(text(&second)), "{said}");
        }
        let _ = fs::remove_file(&second);
        fs::write(&second, kept).unwrap();
        place.mounted(&first);
        // A link as the first one leads to a whole image: that one's own folder counts.
        let elsewhere = place.outside.join(first.file_name().unwrap());
        let link = place.image(&format!(
            "link-{}",
            elsewhere.file_name().unwrap().display()
        ));
        symlink(&first, &link).unwrap();
        place.mounted(&link);
        fs::remove_file(link).unwrap();
    }
    // A later one is no first one.
    place.refused(&place.image("p.002"), 2, "p.001");
    place.refused(&place.image("e.E02"), 2, "e.E01");
}

/// The image itself: a disk only where the analyst names one.
#[test]
fn what_an_image_can_be() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    for what in ["FIFO", "directory", "socket"] {
        let image = place.image("image.raw");
        make(what, &image, &canary);
        place.refused(&image, 2, what);
    }
    must("mknod", &[text(&place.image("null")), "c", "1", "3"]);
    place.refused(&place.image("null"), 2, "device");
    let qcow2 = place.converted("own.qcow2", "qcow2", "");
    let device = must(
        "losetup",
        &["--find", "--show", "--read-only", text(&qcow2)],
    );
    let device = PathBuf::from(device.trim());
    let link = place.image("disk.raw");
    symlink(&device, &link).unwrap();
    let through_link = dof(["mount-image", "--at", text(&place.at), text(&link)]);
    let itself = dof(["mount-image", "--at", text(&place.at), text(&device)]);
    let undone = dof(["unmount-image", text(&device)]);
    // Links of the system's lead to disks, not those in a folder of everybody's.
    let shared = Path::new("/dev/shm").join(place.images.parent().unwrap().file_name().unwrap());
    let everybodys = symlink(&device, &shared).map(|()| {
        let ran = dof(["mount-image", "--at", text(&place.at), text(&shared)]);
        fs::remove_file(&shared).unwrap();
        ran
    });
    must("losetup", &["--detach", text(&device)]);
    assert!(through_link.err.contains("device"), "{}", through_link.err);
    through_link.with(2);
    if let Ok(ran) = everybodys {
        assert!(ran.with(2).err.contains("device"));
    }
    assert!(
        itself.out.contains("Ext4 OWN"),
        "{}{}",
        itself.out,
        itself.err
    );
    undone.with(0);
}

/// Whoever can rename in the image's folder while it is mounted does not lead a tool elsewhere: what is mounted is the file
/// that dof looked at.
#[test]
fn names_that_change_meanwhile() {
    if !has(NEEDS) || !has(&[Need::Program("ewfacquire"), Need::Program("ewfmount")]) {
        return;
    }
    let place = Place::new();
    let own = place.outside.join("own.raw");
    place.disk(&own, "OWN");
    for name in ["raw.raw", "extent"] {
        fs::copy(&own, place.image(name)).unwrap();
    }
    place.write(
        "flat.vmdk",
        descriptor(&format!("RW {SECTORS} FLAT \"extent\" 0")),
    );
    for (raw, to) in [
        (&own, place.image("e")),
        (&place.canary(), place.outside.join("canary")),
    ] {
        must(
            "ewfacquire",
            &[
                "-u",
                "-q",
                "-f",
                "encase6",
                "-S",
                "100MiB",
                "-t",
                text(&to),
                text(raw),
            ],
        );
    }
    let evil = place.outside.join("canary.E01");
    for (image, changed, to) in [
        ("raw.raw", "raw.raw", &place.canary()),
        ("flat.vmdk", "extent", &place.canary()),
        ("e.E01", "e.E01", &evil),
    ] {
        let [image, changed] = [image, changed].map(|name| place.image(name));
        let [good, bad] = ["good", "bad"].map(|name| place.image(name));
        symlink(to, &bad).unwrap();
        let (running, stopped) = std::sync::mpsc::channel::<()>();
        let mut shown = 0;
        std::thread::scope(|s| {
            let running = running; // it ends with this closure, also when a check fails
            s.spawn(|| {
                let stopped = stopped;
                while stopped.try_recv() == Err(TryRecvError::Empty) {
                    for (from, to) in [
                        (&changed, &good),
                        (&bad, &changed),
                        (&changed, &bad),
                        (&good, &changed),
                    ] {
                        fs::rename(from, to).unwrap();
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            });
            let end = Instant::now() + Duration::from_secs(8);
            while Instant::now() < end {
                let ran = dof(["mount-image", "--at", text(&place.at), text(&image)]);
                let line = ran.out.lines().find_map(|l| l.strip_prefix("Mounted"));
                if let Some((volume, at)) = line.and_then(|l| l.split_once(" at path ")) {
                    // A link that the analyst names is followed, and dof says so by the other's name.
                    let at = Path::new(at.trim_end_matches('.'));
                    let named_canary = at
                        .file_name()
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .starts_with("canary-");
                    let label = fs::read_to_string(at.join("label")).unwrap();
                    assert!(
                        volume.ends_with(&format!("Ext4 {label} [Linux]")),
                        "{label}: {}",
                        ran.out
                    );
                    assert_eq!(label == "CANARY", named_canary, "{}", ran.out);
                    shown += usize::from(label == "OWN");
                }
                for name in [&image, to] {
                    for _ in setups(name) {
                        dof([Path::new("unmount-image"), name.as_path()]);
                    }
                }
            }
            drop(running);
        });
        assert!(shown > 0, "{}: it was never mounted", image.display());
        fs::remove_file(bad).unwrap();
    }
}

/// A sparse QCOW2 of some KiB whose check takes memory by its length: QEMU gets no more than its bound.
#[test]
fn tools_have_bounds_of_memory() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let image = place.image("large.qcow2");
    let mut bytes = vec![0u8; 20 << 10];
    let mut put = |at: usize, b: &[u8]| bytes[at..at + b.len()].copy_from_slice(b);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &9u32.to_be_bytes()); // clusters of 512 bytes
    put(24, &(1u64 << 30).to_be_bytes());
    put(36, &(1u32 << 15).to_be_bytes()); // entries of the table
    put(40, &4096u64.to_be_bytes());
    put(48, &512u64.to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(96, &6u32.to_be_bytes()); // counts of 64 bits
    put(100, &104u32.to_be_bytes());
    put(512, &1024u64.to_be_bytes());
    put(4096, &(5120u64 | 1 << 63).to_be_bytes());
    fs::write(&image, bytes).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(1 << 36)
        .unwrap();
    let mut child = dof_command()
        .args(["mount-image", "--at"])
        .args([&place.at, &image])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(children_memory(child.id()));
        std::thread::sleep(Duration::from_millis(2));
    }
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(most > 0, "no tool was seen");
    assert!(most < 600 << 10, "{most} KiB");
    assert!(said.contains("whether it is whole is not known"), "{said}");
    place.nothing_left(&image);
}

/// The most memory in KiB that a child of this process held.
fn children_memory(parent: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.unwrap_or_default();
    let peak = |pid: &str| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    children
        .split_whitespace()
        .filter_map(peak)
        .max()
        .unwrap_or(0)
}

/// A logical volume in so many runs, as LVM itself writes it down.
fn in_runs(place: &Place, runs: usize) -> PathBuf {
    let image = place.image("runs.raw");
    fs::File::create(&image)
        .unwrap()
        .set_len(512 << 20)
        .unwrap();
    let device = must("losetup", &["--find", "--show", text(&image)]);
    let device = device.trim();
    let lvm = |args: &[&str]| {
        let config = [
            "--driverloaded",
            "n",
            "--devices",
            device,
            "--config",
            "activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0}",
        ];
        must("lvm", &[args, config.as_slice()].concat())
    };
    lvm(&["pvcreate", "-qq", "--metadatasize", "64m", device]);
    lvm(&["vgcreate", "-qq", "-s", "4k", "vg0", device]);
    lvm(&[
        "lvcreate", "-qq", "-an", "-Zn", "-Wn", "-y", "-n", "many", "-l", "1", "vg0",
    ]);
    let first = lvm(&[
        "pvs",
        "--noheadings",
        "--units",
        "b",
        "--nosuffix",
        "-o",
        "pe_start",
        device,
    ]);
    let kept = place.at.join("text");
    lvm(&["vgcfgbackup", "-qq", "-f", text(&kept), "vg0"]);
    let group = fs::read_to_string(&kept).unwrap();
    let start = group.find("segment_count = 1").unwrap();
    let mut many = group[..start].to_owned();
    many += &format!("segment_count = {runs}\n");
    for n in 0..runs {
        // Every other extent: no two lie together.
        many += &format!(
            "segment{} {{\nstart_extent = {n}\nextent_count = 1\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", {}\n]\n}}\n",
            n + 1,
            2 * n
        );
    }
    many += "}\n}\n}\n";
    // LVM would take a minute to write it: into the area behind its header, whose place it says itself.
    let area = 4096;
    patch(&image, area + 512, many.as_bytes());
    for (at, n) in [(40, 512), (48, many.len() as u64)] {
        patch(&image, area + at, &n.to_le_bytes());
    }
    must("losetup", &["--detach", device]);
    fs::remove_file(kept).unwrap();
    // A file system over all runs.
    let first: u64 = first.trim().parse().unwrap();
    let whole = place.outside.join("whole.raw");
    fs::File::create(&whole)
        .unwrap()
        .set_len(runs as u64 * 4096)
        .unwrap();
    must("mkfs.ext2", &["-qF", "-L", "MANY", text(&whole)]);
    let bytes = fs::read(&whole).unwrap();
    for (n, run) in bytes.chunks(4096).enumerate() {
        if run.iter().any(|&b| b != 0) {
            patch(&image, first + 8192 * n as u64, run);
        }
    }
    fs::remove_file(whole).unwrap();
    image
}

/// A volume in very many runs is refused at once, and one in many is mounted.
#[test]
fn volumes_in_very_many_runs() {
    if !has(NEEDS) || !has(&[Need::Program("lvm")]) {
        return;
    }
    let place = Place::new();
    let image = in_runs(&place, 30_000);
    let start = Instant::now();
    let ran = dof(["mount-image", "--at", text(&place.at), text(&image)]);
    let took = start.elapsed();
    assert!(
        ran.err
            .contains("it lies in 30000 runs; dof joins at most 1024"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert!(took < Duration::from_secs(30), "{took:?}");
    place.nothing_left(&image);
    let image = in_runs(&place, 1000);
    let start = Instant::now();
    let ran = dof(["mount-image", "--at", text(&place.at), text(&image)]).with(0);
    let took = start.elapsed();
    dof(["unmount-image", text(&image)]).with(0);
    assert!(ran.out.contains("Ext2 MANY"), "{}", ran.out);
    assert!(took < Duration::from_secs(30), "{took:?}");
    place.nothing_left(&image);
}

/// Killed while a tool is at work: once `unmount-image` says that all is undone, no tool, mount or loop device is left, nor
/// comes later.
#[test]
fn killed_while_a_tool_works() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let own = place.image("extent");
    place.disk(&own, "OWN");
    // Thousands of extents of one file keep QEMU busy for a while.
    let each = SECTORS / 2048;
    let lines: Vec<String> = (0..2048)
        .map(|n| format!("RW {each} FLAT \"extent\" {}", n * each))
        .collect();
    let image = place.write("busy.vmdk", descriptor(&lines.join("\n")));
    let mut busy = 0;
    for wait in [0, 20, 50, 100, 200, 400, 600, 900, 1200, 1600, 2000] {
        let mut child = dof_command()
            .args(["mount-image", "--at"])
            .args([&place.at, &image])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while setups(&image).is_empty() && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        let dirs = setups(&image);
        busy += usize::from(dirs.iter().any(|dir| !users(dir).is_empty()));
        let ran = dof([Path::new("unmount-image"), &image]);
        assert!(
            ran.code == 0 || dirs.is_empty(),
            "after {wait} ms: {}",
            ran.err
        );
        // A shell of another test may name it for a moment: what is left stays.
        for _ in 0..3 {
            for dir in &dirs {
                assert_eq!(users(dir), Vec::<String>::new(), "after {wait} ms");
                assert!(!dir.exists(), "after {wait} ms");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        place.nothing_left(&image);
        assert_eq!(must("losetup", &["-j", text(&own)]), "");
    }
    assert!(busy > 2, "no tool was ever at work when dof was killed");
}

/// Whoever changes the image itself while it is opened does not get another file mounted either: dof looks at what the tool
/// holds open.
#[test]
fn a_header_that_changes_meanwhile() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let image = place.converted("changed.vmdk", "vmdk", "subformat=monolithicSparse");
    let inner = descriptor(&format!(
        "RW {SECTORS} FLAT \"{}\" 0",
        place.canary().display()
    ));
    let evil = place.outside.join("evil.vmdk");
    fs::write(&evil, sparse(0, 20, &inner)).unwrap();
    // Between dof's look at the header and QEMU's.
    let tools = place.outside.join("tools");
    fs::create_dir(&tools).unwrap();
    let real = must("sh", &["-c", "command -v qemu-storage-daemon"]);
    let script = format!(
        "#!/bin/sh\ncat {} > {}\nexec {} \"$@\"\n",
        evil.display(),
        image.display(),
        real.trim()
    );
    let tool = tools.join("qemu-storage-daemon");
    fs::write(&tool, script).unwrap();
    must("chmod", &["755", text(&tool)]);
    let path = std::env::var("PATH").unwrap();
    let out = dof_command()
        .env("PATH", format!("{}:{path}", tools.display()))
        .args(["mount-image", "--at"])
        .args([&place.at, &image])
        .output()
        .unwrap();
    let [said, err] = [out.stdout, out.stderr].map(|b| String::from_utf8(b).unwrap());
    let why = format!("led a tool to another file, {}", place.canary().display());
    assert!(err.contains(&why), "{said}{err}");
    assert_eq!((out.status.code(), said.as_str()), (Some(3), ""));
    place.nothing_left(&image);
    assert_eq!(must("losetup", &["-j", text(&place.canary())]), "");
}

/// Two dofs do not work on one mount at once.
#[test]
fn one_dof_at_a_time() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let image = place.image("own.raw");
    place.disk(&image, "OWN");
    dof(["mount-image", "--at", text(&place.at), text(&image)]).with(0);
    let [dir] = &setups(&image)[..] else {
        panic!("one record");
    };
    let lock = fs::File::open(dir).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = dof(["unmount-image", text(&image)]);
    drop(lock);
    dof(["unmount-image", text(&image)]).with(0);
    assert!(refused.with(3).err.contains("still at work"));
    place.nothing_left(&image);
}

/// A losetup that goes on after dof was killed, and cannot be asked to end: its device does not stay.
#[test]
fn a_loop_device_that_comes_late() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let image = place.image("own.raw");
    place.disk(&image, "OWN");
    let tools = place.outside.join("tools");
    fs::create_dir(&tools).unwrap();
    let real = must(
        "sh",
        &["-c", "PATH=$PATH:/usr/sbin:/sbin command -v losetup"],
    );
    let script = format!(
        "#!/bin/sh\ntrap '' TERM\ncase \"$*\" in *--read-only*) sleep 1;; esac\nexec {} \"$@\"\n",
        real.trim()
    );
    fs::write(tools.join("losetup"), script).unwrap();
    must("chmod", &["755", text(&tools.join("losetup"))]);
    let path = std::env::var("PATH").unwrap();
    let mut child = dof_command()
        .env("PATH", format!("{}:{path}", tools.display()))
        .args(["mount-image", "--at"])
        .args([&place.at, &image])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let recorded = || {
        let [dir] = &setups(&image)[..] else {
            return false;
        };
        let record = fs::read_to_string(dir.join("setup.json")).unwrap_or_default();
        record.contains("/dev/loop")
    };
    let start = Instant::now();
    while !recorded() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
    dof(["unmount-image", text(&image)]).with(0);
    let left = must("losetup", &["-j", text(&image)]);
    if let Some((device, _)) = left.split_once(':') {
        run("losetup", &["-d", device]);
    }
    assert_eq!(left, "");
    place.nothing_left(&image);
}
