//! Disks that fail: evidence that answers EIO, a target that does, and power cuts of it between any two writes.

use crate::support::fuse::{self, Disk, Failing, Fails, Told};
use crate::support::mounts::Attached;
use crate::support::strace::strace;
use crate::support::{
    Need, dof, folder, has, ingest, one, open, other_host, recover, run, sample, text,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The container of the sample that has this name: its directory within the host, and its id.
fn container(mount: &Path, name: &str) -> (PathBuf, String) {
    let all = fs::read_dir(mount.join("var/lib/docker/containers")).unwrap();
    let found = all.map(|e| e.unwrap().path()).find(|p| {
        fs::read_to_string(p.join("config.v2.json"))
            .is_ok_and(|t| t.contains(&format!("\"Name\":\"/{name}\"")))
    });
    let found = found.unwrap_or_else(|| panic!("{name} is there"));
    let id = found.file_name().unwrap().to_str().unwrap().to_owned();
    (found.strip_prefix(mount).unwrap().to_owned(), id)
}

/// A line of a json-file log of 256 bytes, newline and all.
fn line(n: usize) -> String {
    let line = format!(
        "{{\"log\":\"line {n} {}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00.{n:09}Z\"}}\n",
        "x".repeat(300)
    );
    let extra = line.len() - 256;
    line.replacen(&"x".repeat(extra), "", 1)
}

/// Every kind of reading that can fail does, each somewhere else: each is a problem with its path, on stderr too, and all the
/// rest is in the case.
#[test]
fn what_cannot_be_read_is_said_and_all_else_is_there() {
    if !has(&[Need::Fuse]) {
        return;
    }
    let (_host, mount) = sample();
    let docker = Path::new("var/lib/docker");
    let (apache, id) = container(&mount, "apache");
    let (config_read, _) = container(&mount, "web");
    let (config_open, _) = container(&mount, "toolbox");
    // A log of two hundred pieces of a block each, of which one cannot be read.
    let log = apache.join(format!("{id}-json.log"));
    let lines: Vec<String> = (0..4000).map(line).collect();
    assert!(lines.iter().all(|l| l.len() == 256));
    fs::write(mount.join(&log), lines.concat()).unwrap();
    let own = fs::read_to_string(
        mount.join(docker.join(format!("image/overlay2/layerdb/mounts/{id}/mount-id"))),
    )
    .unwrap();
    let layer = docker.join("overlay2").join(own.trim()).join("diff");
    let tmp = layer.join("tmp");
    fs::write(mount.join(tmp.join("torn")), vec![b'x'; 40_000]).unwrap();
    std::os::unix::fs::symlink("/etc", mount.join(tmp.join("alink"))).unwrap();
    let clean = ingest(&mount, 0);
    let entries = fs::read_dir(mount.join(layer.join("etc"))).unwrap().count();
    assert!(entries > 1);
    let other_layer = open(&clean.1)
        .query_row(
            "SELECT host_path FROM layer WHERE role = 'image' ORDER BY id LIMIT 1",
            [],
            |r| r.get::<_, String>(0),
        )
        .unwrap();
    let other_layer = PathBuf::from(other_layer.trim_start_matches('/'));
    let other_layer = other_layer
        .strip_prefix(mount.to_str().unwrap().trim_start_matches('/'))
        .map_or(other_layer.clone(), Path::to_owned);
    let all = fs::read_dir(mount.join(docker.join("containers"))).unwrap();
    let gone = all
        .map(|e| e.unwrap().path().strip_prefix(&mount).unwrap().to_owned())
        .find(|p| ![&apache, &config_read, &config_open].contains(&p))
        .unwrap();
    let faults = [
        (config_read.join("config.v2.json"), Fails::Read(0)),
        (config_open.join("hostconfig.json"), Fails::Open),
        (gone, Fails::Stat),
        (log.clone(), Fails::Read(512_000)),
        (docker.join("volumes/metadata.db"), Fails::Read(0)),
        (
            docker.join("image/overlay2/repositories.json"),
            Fails::Read(0),
        ),
        ("etc/machine-id".into(), Fails::Open),
        ("etc/docker/daemon.json".into(), Fails::Stat),
        (other_layer, Fails::Open),
        (layer.join("etc"), Fails::List),
        (tmp.join("torn"), Fails::Read(20_000)),
        (tmp.join("alink"), Fails::Link),
        (tmp.join("trojan"), Fails::Attributes),
        (tmp.join("later"), Fails::Stat),
    ];
    let at = folder();
    let _failing = fuse::mount(at.path(), Failing::new(&mount, &faults), true);
    let dir = folder();
    let case = dir.path().join("case.db");
    let mut command = vec![
        "60",
        env!("CARGO_BIN_EXE_dof"),
        "ingest",
        "--hash",
        "sha256",
    ];
    command.extend([at.path().to_str().unwrap(), case.to_str().unwrap()]);
    let ran = run("timeout", &command).unwrap().with(1);
    let db = open(&case);
    let told: Vec<(String, String)> = db
        .prepare("SELECT path, what FROM problem WHERE severity <> 'note'")
        .unwrap()
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (path, fails) in &faults {
        let path = format!("/{}", path.display());
        // What cannot be looked at is named itself, not only what would be in it.
        let of_it = |p: &str| match fails {
            Fails::Stat => p == path,
            _ => p.starts_with(&path),
        };
        assert!(
            told.iter()
                .any(|(p, what)| of_it(p) && what.contains("Input/output error")),
            "{path} {fails:?}: {told:#?}"
        );
        let said = ran
            .err
            .lines()
            .any(|l| l.contains(&path) && l.contains("Input/output error"));
        assert!(said, "{path} {fails:?}: {}", ran.err);
    }
    // All else: containers by their ids, images, volumes by their directories, the log but for the two lines that the bad
    // block cuts or holds, what was hashed, and the files.
    let count = |case: &Path, sql: &str| one::<i64>(&open(case), sql);
    for sql in [
        "SELECT count(*) FROM container",
        "SELECT count(*) FROM image",
        "SELECT count(*) FROM layer",
    ] {
        assert_eq!(count(&case, sql), count(&clean.1, sql), "{sql}");
    }
    let kept: BTreeSet<i64> = db
        .prepare("SELECT ts % 1000000000 FROM log_entry JOIN log_file lf ON lf.id = log_file_id WHERE lf.path = ?")
        .unwrap()
        .query_map([format!("/{}", log.display())], |r| r.get(0))
        .unwrap()
        .flatten()
        .collect();
    // Blocks are 4096 bytes: the lines that lie in that of byte 512,000, and no others, are lost.
    assert_eq!(512_000 % 4096, 0);
    let lost: Vec<i64> = (0..4000).filter(|n| !kept.contains(n)).collect();
    assert_eq!(lost, (2000..2016).collect::<Vec<i64>>());
    let hashed = "SELECT count(*) FROM file_hash";
    assert!(count(&case, hashed) > 100);
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM file f LEFT JOIN file_hash h ON h.file_id = f.id WHERE f.name = 'torn' AND h.sha256 IS NULL"
        ),
        1
    );
    // The other commands say it too, and come to an end.
    let tar = dir.path().join("tar");
    let (at, tar) = (at.path().to_str().unwrap(), tar.to_str().unwrap());
    let out = dir.path().join("out");
    for args in [
        vec!["list-containers", at],
        vec!["status", at],
        vec!["export-container", "--container", &id, "-o", tar, at],
        vec![
            "extract",
            "--container",
            &id,
            "/tmp",
            "-o",
            out.to_str().unwrap(),
            "--host",
            at,
        ],
        vec!["show-container-log", "--container", &id, at],
    ] {
        let mut command = vec!["60", env!("CARGO_BIN_EXE_dof")];
        command.extend(&args);
        let ran = run("timeout", &command).unwrap().with(1);
        assert!(
            ran.err.contains("Input/output error"),
            "{args:?}: {}",
            ran.err
        );
    }
}

/// Each call that writes fails once: a new case is not there, an old one is as it was.
#[test]
fn a_target_that_fails() {
    if !has(&[Need::Strace]) {
        return;
    }
    let (_host, mount) = sample();
    let dir = folder();
    let other = other_host(&mount, dir.path());
    let (_kept, kept) = ingest(&mount, 0);
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    let case = at.join("case.db");
    let mut failures = 0;
    for (call, most) in [
        ("pwrite64", 4),
        ("fsync", 7),
        ("unlink", 3),
        ("renameat2", 1),
    ] {
        for old in [false, true] {
            for n in 1..=most {
                let _ = fs::remove_file(&case);
                if old {
                    fs::copy(&kept, &case).unwrap();
                }
                // The n-th call, then (of many writes) some hundred ones on.
                let when = if call == "pwrite64" {
                    (n - 1) * 150 + 1
                } else {
                    n
                };
                let from = if old { &other } else { &mount };
                let traced = format!("trace={call}");
                let injected = format!("inject={call}:error=EIO:when={when}");
                let options = ["--seccomp-bpf", "-e", &traced, "-e", &injected];
                let (ran, _) = strace(
                    &options,
                    &[env!("CARGO_BIN_EXE_dof"), "ingest", text(from), text(&case)],
                );
                let said = &ran.err;
                if ran.code == 0 {
                    continue; // it makes no more of these calls, or one whose failure does no harm
                }
                failures += 1;
                assert_eq!(ran.code, 3, "{call} {n}: {said}");
                let names = fs::read_dir(&at).unwrap().map(|e| e.unwrap().file_name());
                let names: Vec<_> = names.collect();
                if !old && case.exists() {
                    // All was done but for the directory: the name may be lost in a power cut.
                    assert_eq!(call, "fsync", "{call} {n}: {said}");
                    dof([Path::new("check"), &case]).with(0);
                } else if !old {
                    assert!(names.is_empty(), "{call} {n}: {names:?}: {said}");
                } else {
                    recover(&case);
                    let checked = dof([Path::new("check"), &case]);
                    assert_eq!(checked.code, 0, "{call} {n}: {}", checked.out);
                }
            }
        }
    }
    eprintln!("{failures} failures");
    assert!(failures > 10, "{failures} failures");
}

/// Power cuts between any two writes to the disk that holds the case: what the disk was told to keep is there, of what came after
/// that nothing, some or all.
#[test]
fn power_cuts() {
    if !has(&[Need::Fuse, Need::Loop, Need::Program("mkfs.ext4")]) {
        return;
    }
    let cuts: usize = std::env::var("DOF_CUTS").map_or(10, |n| n.parse().expect("a number"));
    let (_host, mount) = sample();
    let dir = folder();
    let other = other_host(&mount, dir.path());
    let path = |name: &str| dir.path().join(name);
    let blank = path("blank");
    fs::File::create(&blank).unwrap().set_len(48 << 20).unwrap();
    let options = ["-q", "-F", "-E", "nodiscard", "-J", "size=4"];
    let mut make = options.to_vec();
    make.push(blank.to_str().unwrap());
    run("mkfs.ext4", &make).unwrap().with(0);
    for name in ["fuse", "at", "cut"] {
        fs::create_dir(path(name)).unwrap();
    }
    let disk = Disk::new(fs::read(&blank).unwrap());
    let mut image = disk.bytes.lock().unwrap().clone();
    let session = fuse::mount(&path("fuse"), disk.clone(), false);
    // How much the disk had been told before each ingest and when it said that it is done.
    let told = || disk.told.lock().unwrap().len();
    let attached = Attached::new(&path("fuse/disk"), &path("at"));
    run("sync", &["-f", path("at").to_str().unwrap()]).unwrap();
    let mut spans = Vec::new();
    for host in [&mount, &other] {
        let begun = told();
        dof([Path::new("ingest"), host, &path("at/case.db")]).with(0);
        spans.push((begun, told()));
    }
    drop(attached);
    drop(session);
    let told = disk.told.lock().unwrap().clone();
    let apply = |image: &mut [u8], told: &Told| {
        if let Told::Write(at, bytes) = told {
            image[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    };
    let mut at = 0; // all before this is in `image`
    let (mut without, mut one_host, mut both) = (0, 0, 0);
    for (which, (begun, done)) in spans.into_iter().enumerate() {
        let step = ((done - begun) / cuts).max(1);
        let points = (begun..done).step_by(step).chain([done]);
        for (n, cut) in points.enumerate() {
            let synced = told[..cut]
                .iter()
                .rposition(|t| matches!(t, Told::Sync))
                .map_or(0, |i| i + 1);
            for t in &told[at..synced.max(at)] {
                apply(&mut image, t);
            }
            at = at.max(synced);
            for kept in 0..2 {
                let mut left = image.clone();
                // Nothing of what was not synced; or all, or the odd ones.
                for (i, t) in told[synced..cut].iter().enumerate() {
                    if kept == 1 && (n % 2 == 0 || (i * 7 + n) % 3 == 0) {
                        apply(&mut left, t);
                    }
                }
                let file = path("cut.img");
                fs::write(&file, &left).unwrap();
                let here = format!("ingest {which}, cut at {cut} of {begun}..{done}, {kept}");
                let _attached = Attached::new(&file, &path("cut"));
                let case = path("cut/case.db");
                if !case.exists() {
                    assert!(which == 0 && cut < done, "{here}: no case");
                    without += 1;
                    continue;
                }
                // As dof finds it, with SQLite's journal.
                recover(&case);
                let hosts = dof(["query", "hosts", "--format", "jsonl", "--case"]
                    .map(Path::new)
                    .iter()
                    .chain([&case.as_path()]))
                .with(0);
                let hosts = hosts.out.lines().count();
                let checked = dof([Path::new("check"), &case]);
                assert!(checked.code == 0, "{here}: {}{}", checked.out, checked.err);
                assert!(
                    hosts == which + 1 || which == 1 && hosts == 1,
                    "{here}: {hosts}"
                );
                assert!(cut < done || hosts == which + 1, "{here}: {hosts} hosts");
                match hosts {
                    1 => one_host += 1,
                    _ => both += 1,
                }
            }
        }
    }
    eprintln!("{without} without a case, {one_host} with one host, {both} with both");
    assert!(without > 5 && one_host > 5 && both > 1);
}
