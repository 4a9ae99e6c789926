//! Images that are not whole, damaged tables, and headers that lead elsewhere.

use super::{DISK, EWF, PARTS, QEMU, disk, mount_image, partition, unmount_image};
use crate::support::mounts::{Loop, Unmount};
use crate::support::{Need, acquire, dof, folder, has, must, text};
use std::fs;
use std::path::Path;

/// Headers that lead to other files of this machine are not followed, whatever they are called.
#[test]
fn no_header_leads_elsewhere() {
    if !has(&[DISK, QEMU].concat()) {
        return;
    }
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    let canary = path("canary.raw");
    disk(&canary, "ext4", 64);
    let made = |name: &str, args: &[&str]| {
        let to = path(name);
        must(
            "qemu-img",
            &[&["create", "-q", "-f"], args, &[text(&to)]].concat(),
        );
        to
    };
    let backed = made("backed.qcow2", &["qcow2", "-b", text(&canary), "-F", "raw"]);
    let data = format!("data_file={}", path("data.raw").display());
    let external = path("external.qcow2");
    must(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            &data,
            text(&external),
            "64M",
        ],
    );
    let flat = path("flat.vmdk");
    fs::write(&flat, format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 131072 FLAT \"{}\" 0\n", canary.display())).unwrap();
    let link = path("link.vmdk");
    std::os::unix::fs::symlink(&canary, path("extent")).unwrap();
    fs::write(&link, "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 131072 FLAT \"extent\" 0\n").unwrap();
    let packed = path("packed.raw");
    fs::write(&packed, b"\x28\xb5\x2f\xfd rest").unwrap();
    for (image, why) in [
        (&backed, "difference to another image"),
        (&external, "leads to another file"),
        (&flat, "leads to another file"),
        (&link, "leads to another file"),
        (&packed, "packed (zstd)"),
    ] {
        let ran = mount_image(dir.path(), image).with(2);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
    // A guest wrote the header of a qcow2 image in front of its disk: its owner says what it is.
    let forged = path("forged.raw");
    fs::copy(&canary, &forged).unwrap();
    let head = fs::read(&backed).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&forged).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &head[..400], 0).unwrap();
    mount_image(dir.path(), &forged).with(2);
    let ran = dof([
        "mount-image",
        "--image-format",
        "raw",
        "--at",
        text(dir.path()),
        text(&forged),
    ]);
    unmount_image(&forged);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("4:Ext4 / [Linux]"), "{}", ran.out);
}

/// What of an image is missing is said: it would read as zeros.
#[test]
fn images_that_are_not_whole() {
    if !has(&[DISK, QEMU, EWF].concat()) {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("whole.raw");
    disk(&raw, "ext4", 96);
    let noise: Vec<u8> = (0..30_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    let at = folder();
    {
        let device = Loop::new(&raw, PARTS[2].0, (96 << 11) - PARTS[2].0);
        let mounted = Unmount(at.path().join("rw"));
        fs::create_dir(&mounted.0).unwrap();
        must("mount", &[&device.0, text(&mounted.0)]);
        fs::write(mounted.0.join("noise"), &noise).unwrap();
    }
    let warned = |image: &Path, why: &str| {
        let ran = mount_image(at.path(), image);
        unmount_image(image);
        assert!(ran.err.contains(why), "{}: {}", image.display(), ran.err);
        assert!(
            ran.code == 1 || ran.code == 3 && ran.out.is_empty(),
            "{}: exit code {}",
            image.display(),
            ran.code
        );
    };
    let sane = |image: &Path| {
        let ran = mount_image(at.path(), image).with(0);
        unmount_image(image).with(0);
        assert_eq!(ran.err, "", "{}", image.display());
    };
    // EWF: a segment gone, the last ones gone, one cut off.
    let to = dir.path().join("e");
    acquire(&raw, &to, &["-c", "none", "-S", "16MiB"]);
    let first = dir.path().join("e.E01");
    sane(&first);
    let third = dir.path().join("e.E03");
    let kept = fs::read(&third).unwrap();
    fs::remove_file(&third).unwrap();
    warned(&first, "segment e.E03 is missing");
    fs::write(&third, &kept[..kept.len() / 2]).unwrap();
    warned(&first, "segment e.E03 is cut off");
    fs::write(&third, &kept).unwrap();
    sane(&first);
    // QCOW2, cut off.
    let qcow2 = dir.path().join("q.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    sane(&qcow2);
    let size = fs::metadata(&qcow2).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&qcow2)
        .unwrap()
        .set_len(size * 2 / 3)
        .unwrap();
    warned(&qcow2, "damaged or cut off");
    // Pieces: one gone, one short.
    must(
        "split",
        &[
            "-b",
            "24M",
            "--numeric-suffixes=1",
            "-a3",
            text(&raw),
            text(&dir.path().join("p.")),
        ],
    );
    let piece = |n: u8| dir.path().join(format!("p.00{n}"));
    sane(&piece(1));
    let kept = fs::read(piece(3)).unwrap();
    fs::remove_file(piece(3)).unwrap();
    warned(&piece(1), "piece p.003 is missing");
    fs::write(piece(3), &kept[..kept.len() - 512]).unwrap();
    warned(&piece(1), "not at its place");
    // The raw image, cut off within its last partition.
    fs::OpenOptions::new()
        .write(true)
        .open(&raw)
        .unwrap()
        .set_len(90 << 20)
        .unwrap();
    warned(&raw, "the image ends within it");
}

/// Partition tables that are damaged: what can be had is mounted, what is wrong is said.
#[test]
fn damaged_partition_tables() {
    if !has(&[DISK, &[Need::Program("mkfs.ext2")]].concat()) {
        return;
    }
    let dir = folder();
    let image = dir.path().join("d.raw");
    let build = |layout: &str, starts: &[u64]| {
        let _ = fs::remove_file(&image);
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        partition(&image, layout);
        for start in starts {
            must(
                "mkfs.ext2",
                &[
                    "-qF",
                    "-L",
                    &format!("at{start}"),
                    &Loop::new(&image, *start, 20480).0,
                ],
            );
        }
    };
    let poke = |at: u64, bytes: &[u8]| {
        let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
    };
    let mount = || {
        let ran = mount_image(dir.path(), &image);
        unmount_image(&image);
        ran
    };
    let gpt = "label: gpt\nstart=2048,size=20480\nstart=24576,size=20480\n";
    for at in [512 + 40, 1024 + 130] {
        build(gpt, &[2048, 24576]);
        poke(at, &[0x5a; 4]);
        let ran = mount().with(1);
        assert!(
            ran.out.contains(":Ext2 at2048") && ran.out.contains(":Ext2 at24576"),
            "{}{}",
            ran.out,
            ran.err
        );
        assert!(
            ran.err.contains("its copy at the disk's end"),
            "{}",
            ran.err
        );
    }
    let logical = "label: dos\nstart=2048,size=20480,type=83\nstart=24576,size=90000,type=5\nstart=26624,size=20480,type=83\nstart=51200,size=20480,type=83\n";
    build(logical, &[2048, 26624, 51200]);
    let all = mount().with(0);
    assert_eq!(all.out.matches("Mounted volume").count(), 3, "{}", all.out);
    // The second extended table is found by the first one's second entry: let it lead back.
    poke(24576 * 512 + 446 + 16 + 8, &0u32.to_le_bytes());
    let ran = mount().with(1);
    assert!(
        ran.out.contains("at2048") && ran.out.contains("at26624"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("leads in a circle"), "{}", ran.err);
    // An old table in front of a bare file system.
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    must("mkfs.ext4", &["-qF", "-L", "bare", text(&image)]);
    let mut table = [0; 66];
    table[4] = 0x83;
    table[8..12].copy_from_slice(&2048u32.to_le_bytes());
    table[12..16].copy_from_slice(&20480u32.to_le_bytes());
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    poke(446, &table);
    let ran = mount().with(0);
    assert!(ran.out.contains(" 0:Ext4 bare"), "{}", ran.out);
}
