//! Memory of tools, and volumes in very many runs.

use super::{NEEDS, Place, patch};
use crate::support::{Need, dof, dof_command, has, must, text};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

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
