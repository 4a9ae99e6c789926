//! Failures, kills and images in use: what is undone, and what stays.

use super::{DISK, Image, PARTS, QEMU, RAW, disk, mount_image, unmount_image};
use crate::support::{Need, dof, dof_command, folder, has, must, run, text};
use std::fs;

/// What fails midway leaves nothing; what cannot be undone yet stays on record.
#[test]
fn failures_leave_nothing() {
    if !has(&[DISK, QEMU].concat()) {
        return;
    }
    let dir = folder();
    let image = dir.path().join("broken.raw");
    disk(&image, "ext4", 64);
    // The root's group descriptors are gone: the kernel refuses it, and the boot volume stays mounted.
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 8192], PARTS[2].0 * 512 + 2048)
        .unwrap();
    drop(file);
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    let ran = mount_image(&at, &image).with(1);
    let mounted = Image(image.clone(), ran.out.clone(), ran.err.clone());
    assert!(
        ran.err.contains("4:Ext4 / [Linux] is not mounted"),
        "{}",
        ran.err
    );
    let boot = mounted.place("2");
    assert_eq!(fs::read_dir(&at).unwrap().count(), 1);
    // In use: said, kept, and undone the next time.
    let held = fs::File::open(&boot).unwrap();
    let busy = unmount_image(&boot).with(3);
    assert!(busy.err.contains(text(&boot)), "{}", busy.err);
    drop(held);
    let done = unmount_image(&boot).with(0);
    assert_eq!(done.out, format!("Unmounted {}\n", boot.display()));
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    unmount_image(&image).with(2);
    let nothing = dir.path().join("nothing.raw");
    fs::write(&nothing, [1; 4096]).unwrap();
    mount_image(&at, &nothing).with(3);
    assert_eq!(must("losetup", &["-j", text(&image)]), "");
    // A tool that is missing is named with its package.
    let qcow2 = dir.path().join("d.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&image), text(&qcow2)],
    );
    let out = dof_command()
        .env("PATH", dir.path())
        .args(["mount-image", "--at", text(&at), text(&qcow2)])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{err}");
    assert!(
        err.contains("qemu-storage-daemon") && err.contains("apt install"),
        "{err}"
    );
}

/// A container mounted from an image keeps it: the image is not taken away below it.
#[test]
fn an_image_in_use_stays() {
    if !has(&[
        RAW,
        QEMU,
        &[Need::Mounts("overlay"), Need::Program("mkfs.ext4")],
    ]
    .concat())
    {
        return;
    }
    let dir = folder();
    let (_sample, host) = crate::support::sample();
    let raw = dir.path().join("used.raw");
    fs::File::create(&raw).unwrap().set_len(128 << 20).unwrap();
    must("mkfs.ext4", &["-qF", "-d", text(&host), text(&raw)]);
    let qcow2 = dir.path().join("used.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    for image in [&raw, &qcow2] {
        let mounted = Image::mount(image, dir.path());
        let root = mounted.place("0");
        let at = dir.path().join("container");
        // The directory need not be there.
        dof([
            "mount-container",
            "--container",
            "apache",
            "--at-mountpoint",
            text(&at),
            text(&root),
        ])
        .with(0);
        let refused = unmount_image(image).with(3);
        assert!(
            refused.err.contains("dof unmount-container"),
            "{}",
            refused.err
        );
        assert_eq!(
            fs::read(at.join("tmp/later")).unwrap(),
            b"after the commit\n"
        );
        dof(["unmount-container", text(&at)]).with(0);
        unmount_image(image).with(0);
        assert_eq!(must("losetup", &["-j", text(image)]), "");
        drop(mounted);
        let _ = fs::remove_dir(&at);
    }
}

/// Killed at any moment of mounting: unmount-image finds all there is, and nothing stays.
#[test]
fn a_killed_mount_is_undone() {
    if !has(&[DISK, QEMU, &[Need::Program("pgrep")]].concat()) {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("killed.raw");
    disk(&raw, "ext4", 64);
    let qcow2 = dir.path().join("killed.qcow2");
    must(
        "qemu-img",
        &["convert", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    for image in [&raw, &qcow2] {
        for n in 0..25 {
            use std::os::unix::process::CommandExt;
            let mut child = dof_command()
                .args(["mount-image", "--at", text(&at), text(image)])
                .stdout(std::process::Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(n * 4));
            let _ = child.kill();
            child.wait().unwrap();
            // A tool that was under way goes on for a moment, and its work counts.
            let group = child.id().to_string();
            while run("pgrep", &["-r", "R,S,D", "-g", &group])
                .expect("pgrep")
                .code
                == 0
            {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            unmount_image(image);
            assert_eq!(
                must("losetup", &["-j", text(image)]),
                "",
                "killed after {} ms",
                n * 4
            );
            let left: Vec<_> = fs::read_dir(&at).unwrap().collect();
            assert!(left.is_empty(), "killed after {} ms: {left:?}", n * 4);
        }
    }
}
