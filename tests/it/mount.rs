//! Mounted and exported containers against `docker export` of the same containers, before the engine was killed.

use crate::support::engine::Engine;
use crate::support::mounts::Mounted;
use crate::support::untar;
use crate::support::{Need, dof, folder, has, run, sample};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Entries whose time of modification is another. Docker writes whole seconds, which tar takes for exact in the entries
/// whose names need an extended header.
fn other_times(archive: &str, dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let extended = entry.pax_extensions().unwrap().and_then(|mut all| {
            let mtime = all.find_map(|e| e.ok().filter(|e| e.key() == Ok("mtime")))?;
            Some(mtime.value().unwrap().split('.').next()?.parse().unwrap())
        });
        let written = extended.unwrap_or(entry.header().mtime().unwrap() as i64);
        let there = fs::symlink_metadata(Path::new(dir).join(&path)).unwrap();
        let there = std::os::unix::fs::MetadataExt::mtime(&there);
        if written != there {
            found.push(format!(
                "{}: mtime {written}, mounted {there}",
                path.display()
            ));
        }
    }
    found
}

/// What tar finds different between an archive and a directory, and what only one of them has. Sockets are in no archive.
pub fn differences(archive: &Path, dir: &Path) -> Vec<String> {
    let (archive, dir) = (archive.to_str().unwrap(), dir.to_str().unwrap());
    let compared = run(
        "tar",
        &["--compare", "--numeric-owner", "-f", archive, "-C", dir],
    )
    .unwrap();
    let mut found: Vec<String> = format!("{}{}", compared.out, compared.err)
        .lines()
        .filter(|l| !l.ends_with(": Mod time differs")) // other_times() says it better
        .map(str::to_owned)
        .collect();
    found.extend(other_times(archive, dir));
    let shipped: BTreeSet<PathBuf> = tar::Archive::new(fs::File::open(archive).unwrap())
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().components().collect())
        .collect();
    let seen: BTreeSet<PathBuf> = walkdir::WalkDir::new(dir)
        .min_depth(1)
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| !e.file_type().is_socket())
        .map(|e| e.path().strip_prefix(dir).unwrap().to_owned())
        .collect();
    found.extend(
        shipped
            .symmetric_difference(&seen)
            .map(|p| format!("only in one: {}", p.display())),
    );
    found
}

#[test]
fn a_mounted_and_an_exported_container_is_what_docker_exports() {
    if !has(&[Need::Engine, Need::Mounts("overlay")]) {
        return;
    }
    let mut engine = Engine::start("mount").expect("an engine");
    engine.story();
    let dir = folder();
    let names = engine
        .docker(&["ps", "-a", "--format", "{{.Names}}"])
        .lines();
    for name in &names {
        let archive = dir.path().join(format!("{name}.tar"));
        let answer = engine.docker(&["export", "-o", archive.to_str().unwrap(), name]);
        assert!(archive.exists(), "{name}: {}", answer.text());
    }
    engine.kill();
    let all = dir.path().join("all");
    fs::create_dir(&all).unwrap();
    let _undo = Mounted(&all);
    let root = engine.root();
    let at = all.to_str().unwrap();
    let ran = dof([
        "mount-container",
        "--all",
        "--no-volumes",
        "--at-mountpoint",
        at,
        root.to_str().unwrap(),
    ]);
    assert!(ran.code <= 1, "{}", ran.err);
    for name in &names {
        let mounted = all.join(format!("dof-{name}"));
        let said = format!("Mounted container {name} at {}", mounted.display());
        assert!(ran.out.lines().any(|l| l == said), "{said}: {}", ran.out);
        let differ = differences(&dir.path().join(format!("{name}.tar")), &mounted);
        assert!(differ.is_empty(), "{name}: {differ:#?}");
        let ours = dir.path().join(format!("{name}-ours.tar"));
        let written = dof([
            "export-container",
            "--no-volumes",
            "--container",
            name,
            "-o",
            ours.to_str().unwrap(),
            root.to_str().unwrap(),
        ]);
        assert!(written.code <= 1, "{name}: {}", written.err);
        let extracted = folder();
        untar(&ours, extracted.path());
        let differ = differences(&dir.path().join(format!("{name}.tar")), extracted.path());
        assert!(differ.is_empty(), "{name} exported: {differ:#?}");
    }
    let refused = fs::write(all.join(format!("dof-{}", names[0])).join("x"), "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let undone = dof(["unmount-container", at]).with(0);
    assert_eq!(undone.out.lines().count(), names.len());
    assert!(
        fs::read_dir(&all).unwrap().next().is_none(),
        "directories stay"
    );
}

#[test]
fn layers_of_fuse_overlayfs() {
    if !has(&[Need::EngineOn("fuse-overlayfs"), Need::Mounts("overlay")]) {
        return;
    }
    other_driver("fuse-overlayfs");
}

#[test]
fn layers_of_the_first_overlay_driver() {
    if !has(&[Need::EngineOn("overlay"), Need::Mounts("overlay")]) {
        return;
    }
    other_driver("overlay");
}

#[test]
fn layers_that_are_full_copies() {
    if !has(&[Need::EngineOn("vfs"), Need::Mounts("overlay")]) {
        return;
    }
    other_driver("vfs");
}

/// A container with changes of every kind on another storage driver, mounted and exported, against `docker export`.
fn other_driver(driver: &str) {
    let mut engine = Engine::start_on("driver", driver, |_| {}).expect("an engine");
    engine.base_image();
    let dockerfile = "FROM base:1\nRUN mkdir -p /a/b /gone /swap && echo 1 > /a/one && echo 2 > /a/b/two && echo 3 > /gone/three && echo 4 > /swap/four && echo 5 > /file && ln -s /a/one /swap/link\nRUN rm /a/one && rm -r /swap && mkdir /swap && echo new > /swap/new && chmod 700 /a/b\n";
    engine
        .docker_in(
            &["build", "-q", "-t", "layers:1", "-"],
            dockerfile.as_bytes(),
        )
        .text();
    let script = "rm /file; rm -r /gone /a; mkdir /a; echo x > /a/x; ln /a/x /hard; mv /swap /moved; echo y > /moved/y; chmod 4755 /bin/busybox; mkdir -p /deep/er && rm -r /tmp && ln -s /deep /tmp; sleep 1";
    let ran = engine.docker(&[
        "run", "--name", "all", "-v", "/data", "layers:1", "sh", "-ec", script,
    ]);
    ran.text();
    engine
        .docker(&[
            "create",
            "--name",
            "never",
            "-v",
            "/new/place",
            "layers:1",
            "true",
        ])
        .text();
    let dir = folder();
    let names = ["all", "never"];
    for name in names {
        let archive = dir.path().join(format!("{name}.tar"));
        engine
            .docker(&["export", "-o", archive.to_str().unwrap(), name])
            .text();
    }
    engine.kill();
    let root = engine.root();
    let root = root.to_str().unwrap();
    for name in names {
        let truth = dir.path().join(format!("{name}.tar"));
        let at = dir.path().join(name);
        fs::create_dir(&at).unwrap();
        let _undo = Mounted(&at);
        let at_text = at.to_str().unwrap();
        dof([
            "mount-container",
            "--no-volumes",
            "--container",
            name,
            "--at-mountpoint",
            at_text,
            root,
        ])
        .with(0);
        let differ = differences(&truth, &at);
        assert!(differ.is_empty(), "{driver}: {name}: {differ:#?}");
        dof(["unmount-container", at_text]).with(0);
        let ours = dir.path().join(format!("{name}-ours.tar"));
        dof([
            "export-container",
            "--no-volumes",
            "--container",
            name,
            "-o",
            ours.to_str().unwrap(),
            root,
        ])
        .with(0);
        let extracted = folder();
        untar(&ours, extracted.path());
        let differ = differences(&truth, extracted.path());
        assert!(differ.is_empty(), "{driver}: {name} exported: {differ:#?}");
        if driver != "vfs" {
            // A place that no container made yet.
            dof([
                "mount-container",
                "--container",
                name,
                "--at-mountpoint",
                at_text,
                root,
            ])
            .with(0);
            let place = at.join(if name == "all" { "data" } else { "new/place" });
            assert!(place.is_dir(), "{driver}: {}", place.display());
            let twice = dof([
                "mount-container",
                "--container",
                name,
                "--at-mountpoint",
                at_text,
                root,
            ])
            .with(2);
            assert!(twice.err.contains("is taken"), "{}", twice.err);
            dof(["unmount-container", at_text]).with(0);
        }
    }
}

/// A place in the container that is a link out of it: the volume stays inside.
#[test]
fn no_link_takes_a_volume_out_of_the_container() {
    if !has(&[Need::Mounts("overlay")]) {
        return;
    }
    let (_host, mount) = sample();
    let listed = dof([
        "query",
        "container-filesystem",
        "--format",
        "jsonl",
        "--case",
        mount.to_str().unwrap(),
    ]);
    let rows: Vec<serde_json::Value> = listed
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let volume = rows
        .iter()
        .find(|r| r["part"] == "mount" && r["kind"] == "volume" && !r["host_path"].is_null())
        .expect("the sample host has a volume");
    let (id, place) = (
        volume["container"].as_str().unwrap(),
        volume["destination"].as_str().unwrap(),
    );
    let own = rows
        .iter()
        .find(|r| r["container"] == id && r["kind"] == "container")
        .unwrap();
    let inside = |r: &serde_json::Value| mount.join(&r["host_path"].as_str().unwrap()[1..]);
    fs::write(inside(volume).join("planted"), "from the volume").unwrap();
    let outside = folder();
    let link = inside(own).join(&place[1..]);
    let _ = fs::remove_dir_all(&link);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(outside.path(), &link).unwrap();
    // Where the link leads within the container.
    fs::create_dir_all(inside(own).join(outside.path().strip_prefix("/").unwrap())).unwrap();
    let at = folder();
    let _undo = Mounted(at.path());
    let to = at.path().to_str().unwrap();
    dof([
        "mount-container",
        "--container",
        id,
        "--at-mountpoint",
        to,
        mount.to_str().unwrap(),
    ]);
    assert!(
        fs::read_dir(outside.path()).unwrap().next().is_none(),
        "a volume landed outside"
    );
    let landed = at
        .path()
        .join(outside.path().strip_prefix("/").unwrap())
        .join("planted");
    assert_eq!(fs::read_to_string(landed).unwrap(), "from the volume");
    dof(["unmount-container", to]).with(0);
}

/// What cannot be mounted is refused with a reason, and leaves nothing behind, in the evidence least of all.
#[test]
fn what_cannot_be_mounted_leaves_nothing_behind() {
    if !has(&[Need::Mounts("overlay")]) {
        return;
    }
    let (_host, mount) = sample();
    let evidence = mount.to_str().unwrap();
    let inside = mount.join("root");
    fs::create_dir_all(&inside).unwrap();
    let list = || -> BTreeSet<PathBuf> {
        let all = walkdir::WalkDir::new(&mount).into_iter();
        all.map(|e| e.unwrap().path().to_owned()).collect()
    };
    let before = list();
    let place = inside.to_str().unwrap();
    for which in [&["--all"][..], &["--container", "apache"]] {
        let asked = [
            &["mount-container", "--at-mountpoint", place, evidence],
            which,
        ]
        .concat();
        let ran = dof(asked).with(2);
        assert!(ran.err.contains("lies in the evidence"), "{}", ran.err);
    }
    assert_eq!(list(), before);
    // A container without any layer on the disk is said so, and not passed over; one whose own layer of full copies is
    // gone does not show the layer below in its place.
    let at = folder();
    let _undo = Mounted(at.path());
    let to = at.path().to_str().unwrap();
    fs::remove_dir_all(mount.join("var/lib/docker/image")).unwrap();
    let ran = dof(["mount-container", "--all", "--at-mountpoint", to, evidence]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(
        ran.err
            .contains("dof: apache: its layers are not on this disk"),
        "{}",
        ran.err
    );
    assert!(
        fs::read_dir(at.path()).unwrap().next().is_none(),
        "directories stay"
    );
    assert_eq!(dof(["unmount-container", to]).code, 2);
    let missing = at.path().join("none");
    let ran = dof([
        "mount-container",
        "--container",
        "apache",
        "--at-mountpoint",
        missing.to_str().unwrap(),
        evidence,
    ]);
    assert!(
        ran.code == 3 && ran.err.contains("its layers are not on this disk"),
        "{}",
        ran.err
    );
    assert!(!missing.exists(), "a directory made for nothing goes again");
}
