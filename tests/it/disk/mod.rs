//! Disk images: the whole tour on disks that a real engine ran on, every format and table, and nothing left behind.
//!
//! Truths: what the engine said before it was killed, `mmls` for the numbers of volumes, `fls` for times, LVM's own tools for
//! logical volumes, and the image's digest, which nothing may change.

mod broken;
mod tour;
mod undone;
mod volumes;

use crate::support::mounts::Loop;
use crate::support::{Need, Ran, dof, must, text};
use std::fs;
use std::path::{Path, PathBuf};

/// Sectors of the partitions of [`disk`]: boot, swap, root.
const PARTS: [(u64, u64); 3] = [(2048, 40960), (43008, 32768), (75776, 0)];

/// To mount a raw image.
const RAW: &[Need] = &[Need::Loop, Need::Mounts("ext4")];
/// To make [`disk`], and mount it.
const DISK: &[Need] = &[
    Need::Loop,
    Need::Mounts("ext4"),
    Need::Program("sfdisk"),
    Need::Program("mkswap"),
    Need::Program("mkfs.ext4"),
];
/// To make and mount the images that QEMU reads.
const QEMU: &[Need] = &[
    Need::Fuse,
    Need::Program("qemu-img"),
    Need::Program("qemu-storage-daemon"),
];
/// The same of EWF.
const EWF: &[Need] = &[
    Need::Fuse,
    Need::Program("ewfacquire"),
    Need::Program("ewfmount"),
];
/// An engine, and mounting its containers.
const ENGINE: &[Need] = &[Need::Engine, Need::Mounts("overlay")];

fn mount_image(at: &Path, image: &Path) -> Ran {
    dof(["mount-image", "--at", text(at), text(image)])
}

fn unmount_image(image: &Path) -> Ran {
    dof(["unmount-image", text(image)])
}

/// An image mounted by dof, undone also when a test fails.
struct Image(PathBuf, String, String);

impl Image {
    #[track_caller]
    fn mount(image: &Path, at: &Path) -> Image {
        let ran = mount_image(at, image);
        let mounted = Image(image.to_path_buf(), ran.out.clone(), ran.err.clone());
        ran.with(0);
        mounted
    }

    /// Where the volume of this number is mounted.
    #[track_caller]
    fn place(&self, slot: &str) -> PathBuf {
        let line = |l: &&str| l.starts_with("Mounted") && l.contains(&format!(" {slot}:"));
        let line = self.1.lines().find(line);
        let line = line.unwrap_or_else(|| panic!("no volume {slot}: {}", self.1));
        line.split_once(" at path ")
            .unwrap()
            .1
            .trim_end_matches('.')
            .into()
    }

    /// The command that is proposed as the next one.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let next = self
            .1
            .split_once("Next: dof ")
            .unwrap_or_else(|| panic!("no host: {}", self.1))
            .1;
        next.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        unmount_image(&self.0);
    }
}

/// Writes a partition table as sfdisk is told it.
fn partition(image: &Path, layout: &str) {
    let told = image.with_extension("layout");
    fs::write(&told, layout).unwrap();
    let sfdisk = format!("sfdisk -q '{}' < '{}'", image.display(), told.display());
    must("sh", &["-c", &sfdisk]);
}

/// A disk with a boot partition, swap and an empty root of this file system.
fn disk(image: &Path, kind: &str, mib: u64) -> u64 {
    fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
    let [boot, swap, root] = PARTS;
    let line = |(start, size), kind| match size {
        0 => format!("start={start},type={kind}\n"),
        _ => format!("start={start},size={size},type={kind}\n"),
    };
    let [b, s, r] = [line(boot, "83"), line(swap, "82"), line(root, "83")];
    partition(image, &format!("label: dos\n{b}{s}{r}"));
    let sectors = (mib << 11) - root.0;
    for (part, mkfs) in [
        (boot, vec!["mkfs.ext4", "-qF", "-L", "boot"]),
        (swap, vec!["mkswap"]),
        (
            (root.0, sectors),
            match kind {
                "ext4" => vec!["mkfs.ext4", "-qF", "-M", "/"],
                "xfs" => vec!["mkfs.xfs", "-qf", "-L", "root fs"],
                _ => vec!["mkfs.btrfs", "-qf"],
            },
        ),
    ] {
        let device = Loop::new(image, part.0, part.1);
        let args: Vec<&str> = mkfs[1..]
            .iter()
            .copied()
            .chain([device.0.as_str()])
            .collect();
        must(mkfs[0], &args);
    }
    sectors
}
