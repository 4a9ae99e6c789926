//! Recorded hosts against the answers their engines gave: the sample that comes with dof, and the evidence beside the
//! checkout where there is some.

use crate::support::oracle::{read, read_sample, recorded, recorded_btrfs, recorded_disk};
use crate::support::truth::{Truth, differences};
use crate::support::{Need, dof, evidence, has, ingest, open, sample, sample_oracle};
use std::collections::BTreeMap;
use std::path::Path;

/// Ingests a host and holds it against its oracle, but for differences the recording itself explains.
#[track_caller]
fn holds(host: &Path, truth: &Truth, code: i32) {
    let (_dir, case) = ingest(host, code);
    let found = differences(&open(&case), truth);
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn the_sample_host() {
    let (_dir, host) = sample();
    let mut truth = read_sample(&sample_oracle());
    if !Need::Trusted.is_met() {
        // Without root the sample unpacks without trusted.* attributes: opaque directories are lost.
        truth.changes.clear();
    }
    holds(&host, &truth, 0);
}

#[test]
fn apache_mysql_docker20_overlay2() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, truth) = recorded("apache-mysql-docker20-overlay2");
    holds(dir.path(), &truth, 0);
}

#[test]
fn logs_docker26_drivers() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, mut truth) = recorded("logs-docker26-drivers");
    // It went on restarting after the engine was asked.
    truth.logs.remove("crashloop");
    holds(dir.path(), &truth, 0);
}

#[test]
fn swarm_docker26() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, truth) = recorded("swarm-docker26");
    holds(dir.path(), &truth, 0);
}

#[test]
fn rootless_docker26() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, truth) = recorded("rootless-docker26");
    holds(dir.path(), &truth, 0);
}

/// The drivers that keep full copies: metadata only, for `docker diff` compares trees there.
#[test]
fn vfs_docker20() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (dir, mut truth) = recorded("vfs-docker20");
    truth.changes = BTreeMap::new();
    holds(dir.path(), &truth, 0);
}

fn disk(name: &str, partition: u32) {
    let (_dir, mounted) = recorded_disk(name, partition);
    let mut truth = read(&evidence().unwrap().join(format!("{name}.oracle")));
    truth.ctimes = true;
    holds(&mounted.0, &truth, 0);
    dof(["verify", "--full", mounted.0.to_str().unwrap()]).with(0);
}

/// A file system of btrfs, whose layers are subvolumes: full copies, as they were shipped.
#[test]
fn btrfs_docker20() {
    if !has(&[Need::Evidence, Need::Loop, Need::Mounts("btrfs")]) {
        return;
    }
    let (dir, _mounted) = recorded_btrfs();
    let host = dir.path().join("host");
    let ran = dof(["verify", "--full", host.to_str().unwrap()]).with(0);
    let layers = ran.out.lines().filter(|l| l.starts_with("layer "));
    assert_eq!(layers.count(), 9);
}

#[test]
fn a_whole_disk_with_ext4() {
    if !has(&[
        Need::Evidence,
        Need::Loop,
        Need::Mounts("ext4"),
        Need::Program("sfdisk"),
        Need::Program("blkid"),
    ]) {
        return;
    }
    disk("disk-image-docker26", 3);
}

#[test]
fn a_whole_disk_with_xfs() {
    if !has(&[
        Need::Evidence,
        Need::Loop,
        Need::Mounts("xfs"),
        Need::Program("sfdisk"),
        Need::Program("blkid"),
    ]) {
        return;
    }
    disk("disk-image-gpt-docker26", 4);
}

#[test]
fn a_whole_disk_with_an_unreplayed_journal() {
    if !has(&[
        Need::Evidence,
        Need::Loop,
        Need::Mounts("ext4"),
        Need::Program("sfdisk"),
        Need::Program("blkid"),
    ]) {
        return;
    }
    disk("disk-image-dirty-docker26", 3);
}
