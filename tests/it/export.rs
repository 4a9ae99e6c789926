//! Exported containers against the kernel's own overlay mount of the same layers.

use crate::support::mounts::Mounted;
use crate::support::mounts::{STORY, Writable};
use crate::support::trees::same_trees;
use crate::support::{Need, dof, folder, has, sample, shell, untar};
use dof::evidence::{Evidence, EvidencePath};
use dof::rootfs::merge::View;
use dof::rootfs::{Container, archive, mount};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[test]
fn the_merged_view_is_the_kernels() {
    if !has(&[Need::Mounts("overlay"), Need::Program("setfattr")]) {
        return;
    }
    let dir = folder();
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    let mut layers: Vec<PathBuf> = Vec::new();
    for (i, script) in STORY.iter().enumerate() {
        let upper = dir.path().join(format!("layer{i}"));
        fs::create_dir(&upper).unwrap();
        if layers.is_empty() {
            shell(&upper, script);
        } else {
            let made = Writable::new(dir.path(), &layers, &upper, &at);
            let made = made.expect("the kernel mounts an overlay");
            shell(&at, script);
            drop(made);
        }
        layers.insert(0, upper);
        // The host is the folder itself.
        let made_of = Container {
            engine: "docker".into(),
            driver: "overlay2".into(),
            layers: layers
                .iter()
                .map(|p| Some(EvidencePath::new(p.file_name().unwrap().as_bytes())))
                .collect(),
            ..Container::default()
        };
        let evidence = Evidence::open(dir.path()).unwrap();
        let mut problems = Vec::new();
        let view = View::open(&evidence, &made_of, &mut problems).unwrap();
        let file = dir.path().join("out.tar");
        let out = std::io::BufWriter::new(fs::File::create(&file).unwrap());
        let written = archive::write(&view, out, |p| problems.push(p)).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(written.sockets, 1);
        assert!(
            fs::metadata(&file).unwrap().size() < 10_000_000,
            "sparse files stay small"
        );
        let extracted = folder();
        untar(&file, extracted.path());
        let outside = folder();
        let place = outside.path().join("mounted");
        fs::create_dir(&place).unwrap();
        let missing = mount::container(dir.path(), &made_of, &place).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
        let compared = std::panic::catch_unwind(|| {
            same_trees(extracted.path(), &place, &format!("layers 0 to {i}"));
        });
        mount::unmount(&place).unwrap();
        if let Err(e) = compared {
            std::panic::resume_unwind(e);
        }
    }
}

/// With volumes and bind mounts, from a host and to a pipe.
#[test]
fn an_exported_container_is_the_mounted_one() {
    if !has(&[Need::Mounts("overlay")]) {
        return;
    }
    let (_host, mount) = sample();
    let mount = mount.to_str().unwrap();
    let dir = folder();
    let all = dir.path().join("all");
    fs::create_dir(&all).unwrap();
    let _undo = Mounted(&all);
    let ran = dof([
        "mount-container",
        "--all",
        "--at-mountpoint",
        all.to_str().unwrap(),
        mount,
    ]);
    let mut compared = 0;
    for line in ran.out.lines() {
        let (name, place) = line
            .strip_prefix("Mounted container ")
            .and_then(|l| l.split_once(" at "))
            .unwrap();
        let file = dir.path().join(format!("{name}.tar"));
        let written = dof([
            "export-container",
            "--container",
            name,
            "-o",
            file.to_str().unwrap(),
            mount,
        ]);
        assert!(written.code <= 1, "{}", written.err);
        let extracted = folder();
        untar(&file, extracted.path());
        same_trees(extracted.path(), Path::new(place), name);
        compared += 1;
    }
    assert!(compared > 10, "{}{}", ran.out, ran.err);
}

#[test]
fn an_archive_is_never_written_into_the_evidence() {
    let (_host, mount) = sample();
    let inside = mount.join("out.tar");
    let refused = dof([
        "export-container",
        "--container",
        "apache",
        "-o",
        inside.to_str().unwrap(),
        mount.to_str().unwrap(),
    ]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(
        refused.err.contains("lies in the evidence"),
        "{}",
        refused.err
    );
    assert!(!inside.exists());
}

#[test]
fn an_unknown_container_is_refused_before_anything_is_written() {
    let (_host, mount) = sample();
    let dir = folder();
    let file = dir.path().join("out.tar");
    let refused = dof([
        "export-container",
        "--container",
        "nosuch",
        "-o",
        file.to_str().unwrap(),
        mount.to_str().unwrap(),
    ]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("nosuch"), "{}", refused.err);
    assert!(!file.exists());
}
