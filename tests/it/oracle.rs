//! Recorded hosts against the answers their engines gave: the sample that comes with dof, and the evidence beside the
//! checkout where there is some.

use crate::support::truth::{Truth, differences};
use crate::support::{Need, dof, evidence, has, ingest, open, run, sample, sample_oracle};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .unwrap()
}

fn list(path: &Path) -> Vec<Value> {
    json(path).as_array().cloned().unwrap_or_default()
}

/// A log as `docker logs -t` gave it, perhaps compressed.
fn log(dir: &Path, stream: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = fs::read(dir.join(format!("logs.{stream}"))) {
        return Some(bytes);
    }
    let packed = dir.join(format!("logs.{stream}.zst"));
    packed.exists().then(|| {
        std::process::Command::new("zstd")
            .arg("-dcq")
            .arg(&packed)
            .output()
            .expect("zstd")
            .stdout
    })
}

/// Reads the oracle of the sample host, as tests/hosts/record.sh writes it.
fn read_sample(dir: &Path) -> Truth {
    let file = |name: &str| dir.join(format!("{name}.json"));
    let mut truth = Truth {
        containers: list(&file("containers")),
        images: list(&file("images")),
        volumes: list(&file("volumes")),
        networks: list(&file("networks")),
        info: json(&file("info")),
        ..Truth::default()
    };
    truth.docker20 = true;
    // The sample leaves the daemon's key out, from which its id comes.
    truth.info["ID"] = Value::Null;
    for entry in fs::read_dir(dir.join("history")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        truth.history.insert(
            format!("sha256:{}", name.trim_end_matches(".json")),
            list(&entry.path()),
        );
    }
    for c in &truth.containers {
        let name = c["Name"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned();
        if c["RestartCount"] != 0 {
            // It went on restarting after the engine was asked.
            truth.moving.push(format!("/{name}"));
            continue;
        }
        let driver = c["HostConfig"]["LogConfig"]["Type"]
            .as_str()
            .unwrap_or_default();
        if matches!(driver, "json-file" | "local") {
            let log = |stream: &str| {
                fs::read(dir.join(format!("logs/{name}.{stream}.ts"))).unwrap_or_default()
            };
            truth
                .logs
                .insert(name.clone(), (log("stdout"), log("stderr")));
        }
        truth
            .changes
            .insert(name.clone(), list(&dir.join(format!("diff/{name}.json"))));
    }
    truth
}

/// Reads the oracle of a recorded host beside the checkout.
pub fn read(dir: &Path) -> Truth {
    let mut truth = Truth {
        containers: list(&dir.join("inspect-containers.json")),
        images: list(&dir.join("inspect-images.json")),
        volumes: list(&dir.join("inspect-volumes.json")),
        networks: list(&dir.join("inspect-networks.json")),
        info: json(&dir.join("info.json")),
        ..Truth::default()
    };
    truth.docker20 = truth.info["ServerVersion"]
        .as_str()
        .is_some_and(|v| v.starts_with("20."));
    for entry in fs::read_dir(dir.join("history"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(id) = name.strip_suffix(".api.json") {
            truth
                .history
                .insert(format!("sha256:{id}"), list(&entry.path()));
        }
    }
    for c in &truth.containers {
        let name = c["Name"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned();
        let dir = dir.join("containers").join(&name);
        // Only what stays on the disk can be compared: none keeps nothing, journald and an uncached syslog neither.
        let driver = c["HostConfig"]["LogConfig"]["Type"]
            .as_str()
            .unwrap_or_default();
        let cached = c["HostConfig"]["LogConfig"]["Config"]["cache-disabled"] != "true";
        let kept = matches!(driver, "json-file" | "local")
            || (matches!(driver, "syslog" | "gelf") && cached);
        if let (true, Some(out), Some(err)) = (kept, log(&dir, "stdout"), log(&dir, "stderr")) {
            truth.logs.insert(name.clone(), (out, err));
        }
        if dir.join("changes.json").exists() {
            truth.changes.insert(name, list(&dir.join("changes.json")));
        }
    }
    truth
}

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

/// Unpacks a recorded host and gives its folder and answers.
pub fn recorded(name: &str) -> (tempfile::TempDir, Truth) {
    let evidence = evidence().expect("recorded evidence");
    let dir = crate::support::folder();
    let script = evidence.join("extract.sh");
    let tar = evidence.join(format!("{name}.tar.zst"));
    run(
        "bash",
        &[
            script.to_str().unwrap(),
            tar.to_str().unwrap(),
            dir.path().to_str().unwrap(),
        ],
    )
    .expect("bash")
    .with(0);
    (dir, read(&evidence.join(format!("{name}.oracle"))))
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

/// A partition of a whole disk, mounted read-only as an analyst would.
fn disk(name: &str, partition: u32) {
    let evidence = evidence().expect("recorded evidence");
    let dir = crate::support::folder();
    let raw = dir.path().join("disk.raw");
    let packed = evidence.join(name).join("disk.raw.zst");
    run(
        "zstd",
        &[
            "-dqf",
            packed.to_str().unwrap(),
            "-o",
            raw.to_str().unwrap(),
        ],
    )
    .expect("zstd")
    .with(0);
    let parts = run("sfdisk", &["-J", raw.to_str().unwrap()])
        .expect("sfdisk")
        .with(0)
        .out;
    let table: Value = serde_json::from_str(&parts).unwrap();
    let part = &table["partitiontable"]["partitions"][partition as usize - 1];
    let (start, size) = (
        part["start"].as_u64().unwrap() * 512,
        part["size"].as_u64().unwrap() * 512,
    );
    let mount = dir.path().join("mnt");
    fs::create_dir(&mount).unwrap();
    let kind = run(
        "blkid",
        &[
            "-p",
            "-o",
            "value",
            "-s",
            "TYPE",
            "-O",
            &start.to_string(),
            raw.to_str().unwrap(),
        ],
    )
    .expect("blkid")
    .out;
    let recovery = if kind.trim() == "xfs" {
        "norecovery"
    } else {
        "noload"
    };
    let options = format!("ro,noatime,{recovery},loop,offset={start},sizelimit={size}");
    run(
        "mount",
        &[
            "-o",
            &options,
            raw.to_str().unwrap(),
            mount.to_str().unwrap(),
        ],
    )
    .expect("mount")
    .with(0);
    let _unmount = Unmount(mount.clone());
    let mut truth = read(&evidence.join(format!("{name}.oracle")));
    truth.ctimes = true;
    holds(&mount, &truth, 0);
    dof(["verify", "--full", mount.to_str().unwrap()]).with(0);
}

/// A file system of btrfs, whose layers are subvolumes: full copies, as they were shipped.
#[test]
fn btrfs_docker20() {
    if !has(&[Need::Evidence, Need::Loop, Need::Mounts("btrfs")]) {
        return;
    }
    let evidence = evidence().expect("recorded evidence");
    let dir = crate::support::folder();
    let (raw, host) = (dir.path().join("raw"), dir.path().join("host"));
    let mount = host.join("var/lib/docker");
    fs::create_dir_all(&mount).unwrap();
    let packed = evidence.join("btrfs-docker20/var-lib-docker.btrfs.raw.zst");
    let [packed, raw] = [&packed, &raw].map(|p| p.to_str().unwrap());
    run("zstd", &["-dqf", "--long=27", packed, "-o", raw])
        .expect("zstd")
        .with(0);
    let at = mount.to_str().unwrap();
    run("mount", &["-o", "ro,noatime,loop", raw, at])
        .expect("mount")
        .with(0);
    let _unmount = Unmount(mount.clone());
    let ran = dof(["verify", "--full", host.to_str().unwrap()]).with(0);
    let layers = ran.out.lines().filter(|l| l.starts_with("layer "));
    assert_eq!(layers.count(), 9);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = run("umount", &[self.0.to_str().unwrap_or_default()]);
    }
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
