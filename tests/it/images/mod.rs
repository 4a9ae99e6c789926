//! Hostile disk images: no name in one, and no file beside one, leads a tool to another file; tools have bounds; a dof that
//! was killed leaves nothing that `unmount-image` does not end.
//!
//! Truths: the calls that strace saw of dof and of every tool it ran; names, contents and times of the folders before and
//! after; the kernel's own lists of processes, mounts and loop devices.

mod bounds;
mod formats;
mod meanwhile;
mod vmdk;

use crate::support::strace::strace;
use crate::support::trees::state;
use crate::support::{Need, folder, must, text};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

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

    /// All of both folders.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let [mut all, outside] = [&self.images, &self.outside].map(|dir| state(dir));
        all.extend(outside);
        all
    }

    /// Mounts an image and undoes it, all traced. Holds that nothing but the image's folder was opened, that neither folder
    /// has changed and that nothing is left; gives the exit code and what was said.
    #[track_caller]
    fn attack(&self, image: &Path) -> (i32, String) {
        let before = self.state();
        let script = r#"timeout -s KILL 60 "$0" mount-image --at "$1" "$2" 2>&1; echo "code $?"; "$0" unmount-image "$2" >/dev/null 2>&1; true"#;
        let options = ["-y", "-s", "4096", "-e", "trace=%file"];
        let dof = env!("CARGO_BIN_EXE_dof");
        let command = ["sh", "-c", script, dof, text(&self.at), text(image)];
        let (ran, calls) = strace(&options, &command);
        let (said, code) = ran.out.rsplit_once("code ").unwrap_or((&ran.out, "999"));
        let lines = || calls.iter().map(|call| call.line.as_str());
        assert!(
            lines().any(|l| l.contains("mount-image")),
            "nothing was traced"
        );
        let reached: Vec<&str> = lines()
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
