//! Formats, partition tables, logical volumes, and hosts that lie on several volumes.

use super::{DISK, Image, QEMU, RAW, disk, mount_image, partition, unmount_image};
use crate::support::mounts::Loop;
use crate::support::trees::digest;
use crate::support::{Need, dof, dof_command, folder, has, must, text};
use std::fs;

/// Every format QEMU writes, and split ones, give the volumes of the raw image, of which `mmls` knows the numbers.
#[test]
fn every_format_shows_the_same_volumes() {
    if !has(&[DISK, QEMU, &[Need::Program("mmls")]].concat()) {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("disk.raw");
    disk(&raw, "ext4", 64);
    let mut formats = vec![raw.clone()];
    for (name, format, options) in [
        ("q.qcow2", "qcow2", "compat=0.10"),
        ("sparse.vmdk", "vmdk", "subformat=monolithicSparse"),
        ("flat.vmdk", "vmdk", "subformat=monolithicFlat"),
        ("stream.vmdk", "vmdk", "subformat=streamOptimized"),
        ("two.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"),
        ("d.vdi", "vdi", "static=off"),
        ("dynamic.vhd", "vpc", "subformat=dynamic,force_size=on"),
        ("fixed.vhd", "vpc", "subformat=fixed,force_size=on"),
        ("d.vhdx", "vhdx", "subformat=dynamic"),
    ] {
        let to = dir.path().join(name);
        must(
            "qemu-img",
            &[
                "convert",
                "-O",
                format,
                "-o",
                options,
                text(&raw),
                text(&to),
            ],
        );
        formats.push(to);
    }
    for (digits, first) in [(true, "split.001"), (false, "letters.aa")] {
        let (stem, _) = first.split_once('.').unwrap();
        let to = dir.path().join(format!("{stem}."));
        let mut args = vec!["-b", "20M"];
        args.extend(if digits {
            ["--numeric-suffixes=1", "-a3"].as_slice()
        } else {
            &["-a2"]
        });
        args.extend([text(&raw), text(&to)]);
        must("split", &args);
        formats.push(dir.path().join(first));
    }
    let mmls = must("mmls", &[text(&raw)]);
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    for image in formats {
        let before = digest(&image);
        let mounted = Image::mount(&image, &at);
        let name = image.file_stem().unwrap().to_str().unwrap();
        let want = [
            format!("Mounted volume 20.0 MiB 2:Ext4 boot [Linux] at path {}/{name}-2-boot.", at.display()),
            "Unsupported filesystem 3:Linux Swap / Solaris x86 (0x82) (type: swap, block offset: 43008, length: 32768)".into(),
            format!("Mounted volume 27.0 MiB 4:Ext4 / [Linux] at path {}/{name}-4-root.", at.display()),
            "No container engine found on these volumes.".into(),
        ];
        assert_eq!(
            mounted.1.lines().collect::<Vec<_>>(),
            want,
            "{}",
            image.display()
        );
        let options = must("findmnt", &["-no", "OPTIONS", text(&mounted.place("4"))]);
        for option in ["ro", "nosuid", "nodev", "noexec", "noatime", "norecovery"] {
            assert!(options.trim().split(',').any(|o| o == option), "{options}");
        }
        drop(mounted);
        assert!(
            fs::read_dir(&at).unwrap().next().is_none(),
            "{}: directories stay",
            image.display()
        );
        assert_eq!(digest(&image), before, "{}", image.display());
        assert_eq!(
            must("losetup", &["-j", text(&image)]),
            "",
            "loop devices stay"
        );
    }
    for slot in [
        "002:  000:000   0000002048",
        "003:  000:001   0000043008",
        "004:  000:002   0000075776",
    ] {
        assert!(mmls.contains(slot), "{mmls}");
    }
    let second = dof(["mount-image", text(&dir.path().join("split.002"))]).with(2);
    assert!(second.err.contains("split.001"), "{}", second.err);
}

/// Partition tables with gaps and logical partitions: the same numbers as in `mmls`.
#[test]
fn volumes_are_numbered_as_in_mmls() {
    if !has(&[DISK, &[Need::Program("mmls"), Need::Program("mkfs.ext2")]].concat()) {
        return;
    }
    let dir = folder();
    let layouts = [
        "label: dos\nstart=2048,size=20480,type=83\nstart=51200,size=120000,type=5\nstart=53248,size=20480,type=83\nstart=80000,size=20480,type=7\nstart=110592,size=20480,type=83\nstart=180000,size=20480,type=83\n",
        "label: gpt\nstart=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649\nstart=8192,size=20480,name=\"root fs\"\nstart=40960,size=20480,type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F\nstart=65536,size=20480\n",
    ];
    for (i, layout) in layouts.into_iter().enumerate() {
        let image = dir.path().join(format!("d{i}.raw"));
        fs::File::create(&image)
            .unwrap()
            .set_len(128 << 20)
            .unwrap();
        partition(&image, layout);
        let mmls = must("mmls", &[text(&image)]);
        // Slot, first sector and sectors of each partition.
        let row = |line: &str| {
            let f: Vec<&str> = line.split_whitespace().collect();
            let number = |i: usize| f.get(i)?.parse::<u64>().ok();
            let is = f
                .get(1)
                .is_some_and(|slot| slot.starts_with(|c: char| c.is_ascii_digit()));
            (is && f[0].ends_with(':')).then(|| Some((number_of(f[0]), number(2)?, number(4)?)))?
        };
        let truth: Vec<(u64, u64, u64)> = mmls.lines().filter_map(row).collect();
        assert_eq!(
            truth.len(),
            layout.matches("start=").count() - usize::from(i == 0),
            "{mmls}"
        );
        for (_, start, _) in &truth {
            let device = Loop::new(&image, *start, 2048);
            must(
                "mkfs.ext2",
                &["-qF", "-L", &format!("at {start}"), &device.0],
            );
        }
        let mounted = Image::mount(&image, dir.path());
        let ours: Vec<&str> = mounted
            .1
            .lines()
            .filter(|l| l.starts_with("Mounted"))
            .collect();
        assert_eq!(ours.len(), truth.len(), "{ours:#?}");
        for ((slot, start, sectors), line) in truth.iter().zip(ours) {
            let want = format!(" {slot}:Ext2 at {start} [Linux] at path ");
            assert!(line.contains(&want), "{want}: {line}\n{mmls}");
            let at = line.split_once(" at path ").unwrap().1;
            let device = must("findmnt", &["-no", "SOURCE", at.trim_end_matches('.')]);
            let size: u64 = must("blockdev", &["--getsz", device.trim()])
                .trim()
                .parse()
                .unwrap();
            assert_eq!(size, *sectors, "{line}");
        }
    }
}

/// The number in `004:`.
fn number_of(slot: &str) -> u64 {
    slot.trim_end_matches(':').parse().unwrap()
}

/// LVM's own tools lay volumes out; a file system is put where they say it is, and comes out as it was.
#[test]
fn logical_volumes_without_device_mapper() {
    if !has(&[DISK, QEMU, &[Need::Program("lvm")]].concat()) {
        return;
    }
    let dir = folder();
    let image = dir.path().join("lvm.raw");
    fs::File::create(&image)
        .unwrap()
        .set_len(256 << 20)
        .unwrap();
    let parts = [(2048u64, 204_800u64), (206_848, 204_800)];
    partition(
        &image,
        "label: dos\nstart=2048,size=204800,type=8e\nstart=206848,size=204800,type=8e\n",
    );
    let devices = parts.map(|(start, sectors)| Loop::new(&image, start, sectors));
    let [a, b] = [devices[0].0.as_str(), devices[1].0.as_str()];
    let both = format!("{a},{b}");
    let lvm = |args: &[&str]| {
        let config = [
            "--driverloaded",
            "n",
            "--devices",
            &both,
            "--config",
            "activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0}",
        ];
        must("lvm", &[args, config.as_slice()].concat())
    };
    let make = |name: &str, extents: &str, more: &[&str]| {
        let args = [
            "lvcreate", "-qq", "-an", "-Zn", "-Wn", "-y", "-n", name, "-l", extents,
        ];
        lvm(&[args.as_slice(), more, &["vg0"]].concat());
    };
    lvm(&["pvcreate", "-qq", a, b]);
    lvm(&["vgcreate", "-qq", "vg0", a, b]);
    make("root", "8", &[]);
    make("swap", "2", &[]);
    make("wide", "2", &["-i2"]);
    // Behind the other one, and then over to the second physical volume.
    lvm(&["lvextend", "-qq", "-l", "+20", "vg0/root"]);
    let root: Vec<(u64, u64)> = lvm(&[
        "lvs",
        "--noheadings",
        "--units",
        "s",
        "--nosuffix",
        "-o",
        "seg_pe_ranges",
        "vg0/root",
    ])
    .lines()
    .map(|l| {
        let (device, range) = l.trim().rsplit_once(':').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        let part = parts[usize::from(device == b)].0;
        let starts = lvm(&[
            "pvs",
            "--noheadings",
            "--units",
            "s",
            "--nosuffix",
            "-o",
            "pe_start",
            device,
        ]);
        let start: u64 = starts.trim().parse().unwrap();
        (
            (part + start) * 512 + first * (4 << 20),
            (last - first + 1) * (4 << 20),
        )
    })
    .collect();
    assert!(root.len() >= 2, "LVM made one run of it: {root:?}");
    drop(devices);
    // A file system of that size with a known tree, cut up as LVM would have it.
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("var/lib")).unwrap();
    let known: Vec<u8> = (0..60_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(tree.join("var/lib/known"), &known).unwrap();
    let whole = dir.path().join("fs.raw");
    let size: u64 = root.iter().map(|r| r.1).sum();
    fs::File::create(&whole).unwrap().set_len(size).unwrap();
    must("mkfs.ext4", &["-qF", "-d", text(&tree), text(&whole)]);
    let bytes = fs::read(&whole).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    let mut from = 0;
    for (at, length) in root {
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes[from..from + length as usize], at)
            .unwrap();
        from += length as usize;
    }
    drop(file);
    let before = digest(&image);
    let qcow2 = dir.path().join("lvm.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&image), text(&qcow2)],
    );
    for image in [&image, &qcow2] {
        let mounted = Image::mount(image, dir.path());
        let at = mounted.place("2.1");
        assert!(
            mounted.1.contains("112.0 MiB 2.1:Ext4 vg0-root [Linux]"),
            "{}",
            mounted.1
        );
        assert!(
            mounted
                .1
                .contains("of group vg0 (2 physical volumes), logical volumes: root, swap, wide"),
            "{}",
            mounted.1
        );
        assert_eq!(fs::read(at.join("var/lib/known")).unwrap(), known);
    }
    assert_eq!(digest(&image), before);
    let ran = mount_image(dir.path(), &image).with(0);
    unmount_image(&image).with(0);
    assert!(ran.err.contains("2.3: striped over 2"), "{}", ran.err);
}

/// A bare file system, a volume that is only /var, and btrfs with the host in a subvolume.
#[test]
fn hosts_in_parts() {
    if !has(&[
        RAW,
        &[
            Need::Mounts("btrfs"),
            Need::Trusted,
            Need::Program("mkfs.ext3"),
            Need::Program("mkfs.ext4"),
            Need::Program("mkfs.btrfs"),
        ],
    ]
    .concat())
    {
        return;
    }
    let dir = folder();
    let (_sample, host) = crate::support::sample();
    for (name, tree, mkfs, next) in [
        (
            "bare",
            host.clone(),
            vec!["mkfs.ext3", "-qF", "-d"],
            "ingest {}",
        ),
        (
            "var",
            host.join("var"),
            vec!["mkfs.ext4", "-qF", "-d"],
            "ingest --docker-home /lib/docker {}",
        ),
        (
            "docker",
            host.join("var/lib/docker"),
            vec!["mkfs.ext4", "-qF", "-d"],
            "ingest --docker-home / {}",
        ),
        (
            "sub",
            host.clone(),
            vec!["mkfs.btrfs", "-q", "-r"],
            "ingest {}/@",
        ),
    ] {
        let image = dir.path().join(format!("{name}.img"));
        fs::File::create(&image)
            .unwrap()
            .set_len(256 << 20)
            .unwrap();
        let tree = if name == "sub" {
            let top = dir.path().join("top");
            fs::create_dir(&top).unwrap();
            must("cp", &["-a", text(&tree), text(&top.join("@"))]);
            top
        } else {
            tree
        };
        let args: Vec<&str> = mkfs[1..]
            .iter()
            .copied()
            .chain([text(&tree), text(&image)])
            .collect();
        must(mkfs[0], &args);
        let mounted = Image::mount(&image, dir.path());
        let want = next.replace("{}", text(&mounted.place("0"))) + " case.db";
        assert_eq!(mounted.next().join(" "), want, "{}", mounted.1);
        let ran = dof_command()
            .args(mounted.next())
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            ran.status.code() < Some(2),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        let listed = dof(["list-containers", text(&dir.path().join("case.db"))]).with(0);
        assert!(listed.out.contains("/apache\n"), "{name}: {}", listed.out);
        fs::remove_file(dir.path().join("case.db")).unwrap();
    }
}
