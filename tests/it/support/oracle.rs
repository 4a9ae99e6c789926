//! What engines said of themselves: recorded beside their hosts, or asked while they run.

use super::engine::Engine;
use super::mounts::Unmount;
use super::truth::Truth;
use super::{evidence, folder, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

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
pub fn read_sample(dir: &Path) -> Truth {
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

/// Unpacks a recorded host and gives its folder and answers.
pub fn recorded(name: &str) -> (TempDir, Truth) {
    let evidence = evidence().expect("recorded evidence");
    let dir = folder();
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

/// Everything the engine says of itself.
pub fn ask(engine: &Engine) -> Truth {
    let ids = |args: &[&str]| -> Vec<String> {
        let all: BTreeSet<String> = engine.docker(args).lines().into_iter().collect();
        all.into_iter().collect()
    };
    let inspect = |kind: &str, ids: &[String]| -> Vec<Value> {
        if ids.is_empty() {
            return Vec::new();
        }
        let mut args = vec![kind, "inspect"];
        args.extend(ids.iter().map(String::as_str));
        engine.json(&args).as_array().cloned().unwrap_or_default()
    };
    let containers = ids(&["ps", "-aq", "--no-trunc"]);
    let images = ids(&["images", "-aq", "--no-trunc"]);
    let mut truth = Truth {
        containers: inspect("container", &containers),
        images: inspect("image", &images),
        volumes: inspect("volume", &ids(&["volume", "ls", "-q"])),
        networks: inspect("network", &ids(&["network", "ls", "-q", "--no-trunc"])),
        info: engine.api("/info"),
        ctimes: true,
        ..Truth::default()
    };
    truth.docker20 = truth.info["ServerVersion"]
        .as_str()
        .is_some_and(|v| v.starts_with("20."));
    for id in &images {
        truth.history.insert(
            id.clone(),
            engine
                .api(&format!("/images/{id}/history"))
                .as_array()
                .cloned()
                .unwrap_or_default(),
        );
    }
    for c in &truth.containers {
        let (id, name) = (
            c["Id"].as_str().unwrap(),
            c["Name"]
                .as_str()
                .unwrap()
                .trim_start_matches('/')
                .to_owned(),
        );
        if c["RestartCount"] != json!(0) || c["State"]["Restarting"] == json!(true) {
            // It goes on between our question and the engine's end.
            truth.moving.push(format!("/{name}"));
            continue;
        }
        if matches!(
            c["HostConfig"]["LogConfig"]["Type"].as_str(),
            Some("json-file" | "local")
        ) {
            let said = engine.docker(&["logs", "-t", id]);
            truth.logs.insert(name.clone(), (said.stdout, said.stderr));
        }
        truth.changes.insert(
            name,
            engine
                .api(&format!("/containers/{id}/changes"))
                .as_array()
                .cloned()
                .unwrap_or_default(),
        );
    }
    truth
}

/// A partition of a recorded disk, mounted read-only as an analyst would.
pub fn recorded_disk(name: &str, partition: u32) -> (TempDir, Unmount) {
    let evidence = evidence().expect("recorded evidence");
    let dir = folder();
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
    (dir, Unmount(mount))
}

/// The recorded host whose data root is on btrfs, mounted so; the host is the folder `host` of the directory.
pub fn recorded_btrfs() -> (TempDir, Unmount) {
    let evidence = evidence().expect("recorded evidence");
    let dir = folder();
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
    (dir, Unmount(mount.clone()))
}
