//! What changes or ends while dof and its tools work.

use super::{NEEDS, Place, SECTORS, descriptor, setups, sparse, users};
use crate::support::{Need, acquire, dof, dof_command, has, must, run, text};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

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
        acquire(raw, &to, &["-S", "100MiB"]);
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
