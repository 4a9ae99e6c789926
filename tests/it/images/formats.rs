//! The other formats, and images in pieces.

use super::{NEEDS, OTHER, Place, copy, make, patch};
use crate::support::{Need, acquire, dof, has, must, text};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

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
    acquire(&own, &to, &["-c", "none", "-S", "6MiB"]);
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
