//! The commands that print Docker's own documents and logs: byte for byte what stands on the disk, from mount and case.

use crate::support::made::Host;
use crate::support::{dof, ingest, rows, sample, sample_oracle};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

fn containers(mount: &Path) -> Vec<(String, PathBuf)> {
    let listed: Value =
        serde_json::from_slice(&std::fs::read(sample_oracle().join("containers.json")).unwrap())
            .unwrap();
    let item = |c: &Value| {
        let id = c["Id"].as_str().unwrap();
        (
            c["Name"].as_str().unwrap()[1..].to_owned(),
            mount.join("var/lib/docker/containers").join(id),
        )
    };
    listed.as_array().unwrap().iter().map(item).collect()
}

/// Rotated files oldest first, decompressed, joined.
fn joined(dir: &Path) -> Vec<u8> {
    let id = dir.file_name().unwrap().to_str().unwrap();
    let mut out = Vec::new();
    for n in (0..10).rev() {
        let name = if n == 0 {
            format!("{id}-json.log")
        } else {
            format!("{id}-json.log.{n}")
        };
        if let Ok(bytes) = std::fs::read(dir.join(&name)) {
            out.extend(bytes);
        } else if let Ok(packed) = std::fs::File::open(dir.join(format!("{name}.gz"))) {
            flate2::read::MultiGzDecoder::new(packed)
                .read_to_end(&mut out)
                .unwrap();
        }
    }
    out
}

#[test]
fn a_json_file_log_comes_out_byte_for_byte() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let mut bytes = 0;
    for (name, dir) in containers(&mount) {
        let want = joined(&dir);
        if want.is_empty() {
            continue;
        }
        let out = crate::support::dof_command()
            .args(["show-container-log", "--container", &name])
            .arg(&case)
            .output()
            .unwrap();
        assert!(
            out.status.success() && out.stdout == want,
            "{name}: {} bytes, on the disk {}",
            out.stdout.len(),
            want.len()
        );
        bytes += want.len();
    }
    assert!(bytes > 10_000, "there were logs: {bytes} bytes");
}

#[test]
fn logs_are_filtered_and_a_driver_without_a_log_is_said() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let run = |args: &[&str]| dof([&["show-container-log", case.to_str().unwrap()], args].concat());
    let all = run(&["--container", "log-rotated"]).with(0).out;
    let lines: Vec<&str> = all.lines().collect();
    assert!(lines.len() > 20);
    let tail = run(&["--container", "log-rotated", "--tail", "3"])
        .with(0)
        .out;
    assert_eq!(tail.lines().collect::<Vec<_>>(), lines[lines.len() - 3..]);
    let grep = run(&["--container", "log-rotated", "--grep", "^line 19[0-9] "])
        .with(0)
        .out;
    assert_eq!(
        grep.lines().count(),
        lines
            .iter()
            .filter(|l| l.contains("\"log\":\"line 19"))
            .count()
            - lines
                .iter()
                .filter(|l| l.contains("\"log\":\"line 19 "))
                .count()
    );
    let time: Value = serde_json::from_str(lines[10]).unwrap();
    let since = run(&[
        "--container",
        "log-rotated",
        "--since",
        time["time"].as_str().unwrap(),
    ])
    .with(0)
    .out;
    assert!(since.lines().count() >= lines.len() - 10 && since.lines().count() < lines.len());
    let err = run(&[
        "--container",
        "log-plain",
        "--stream",
        "stderr",
        "--format",
        "text",
    ])
    .with(0)
    .out;
    assert!(
        !err.is_empty() && err.lines().all(|l| l.contains(" stderr err ")),
        "{err}"
    );
    let local = run(&["--container", "log-local"]).with(0).out;
    assert!(
        local
            .lines()
            .all(|l| serde_json::from_str::<Value>(l).unwrap()["stream"].is_string())
    );
    // Bounds count to the nanosecond, from the entry of that very time on.
    for at in [5, 11, 17] {
        let time = |n: usize| -> String {
            let entry: Value = serde_json::from_str(lines[n]).unwrap();
            entry["time"].as_str().unwrap().to_owned()
        };
        let (from, to) = (time(at), time(at + 3));
        let cut = run(&[
            "--container",
            "log-rotated",
            "--since",
            &from,
            "--until",
            &to,
        ])
        .with(0)
        .out;
        let want: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(n, _)| (from.as_str()..to.as_str()).contains(&time(*n).as_str()))
            .map(|(_, l)| *l)
            .collect();
        assert_eq!(cut.lines().collect::<Vec<_>>(), want, "{from} {to}");
        assert!(!want.is_empty());
    }
    let newest = run(&["--container", "log-rotated", "--follow-rotated", "off"])
        .with(0)
        .out;
    let rotated = containers(&mount)
        .into_iter()
        .find(|(name, _)| name == "log-rotated")
        .unwrap()
        .1;
    let id = rotated.file_name().unwrap().to_str().unwrap();
    let file = std::fs::read_to_string(rotated.join(format!("{id}-json.log"))).unwrap();
    assert!(newest == file && newest.len() < all.len());
    let none = run(&["--container", "log-none"]).with(0);
    assert!(
        none.out.is_empty() && none.err.contains("log driver none"),
        "{}",
        none.err
    );
    run(&["--container", "nobody"]).with(2);
    run(&["--container", "log-plain", "--since", "soon"]).with(2);
}

#[test]
fn container_and_image_configs_lose_nothing() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    for (name, dir) in containers(&mount) {
        for source in [&mount, &case] {
            let out = dof([
                Path::new("show-container-config"),
                source,
                Path::new("--container"),
                Path::new(&name),
            ])
            .with(0)
            .out;
            let mut shown: serde_json::Map<String, Value> = serde_json::from_str(&out).unwrap();
            let host = shown.shift_remove("HostConfig").unwrap();
            let read = |f: &str| std::fs::read_to_string(dir.join(f)).unwrap();
            assert_eq!(
                serde_json::to_string(&shown).unwrap(),
                serde_json::from_str::<Value>(&read("config.v2.json"))
                    .unwrap()
                    .to_string(),
                "{name}"
            );
            assert_eq!(
                host.to_string(),
                serde_json::from_str::<Value>(&read("hostconfig.json"))
                    .unwrap()
                    .to_string(),
                "{name}"
            );
        }
    }
    let image = dof([
        "show-image-config",
        "--image",
        "shop/web:1.0",
        case.to_str().unwrap(),
    ])
    .with(0)
    .out;
    let id = format!(
        "{:x}",
        <sha2::Sha256 as sha2::Digest>::digest(image.as_bytes())
    );
    let config = std::fs::read_to_string(
        mount
            .join("var/lib/docker/image/overlay2/imagedb/content/sha256")
            .join(&id),
    );
    assert_eq!(
        config.expect("the config's hash is the image's id"),
        image.trim_end()
    );
}

#[test]
fn an_images_history_keeps_its_fields_and_names_its_layers() {
    let (_host, mount) = sample();
    let image = dof([
        Path::new("show-image-config"),
        &mount,
        Path::new("--image"),
        Path::new("shop/web"),
    ])
    .with(0)
    .out;
    let config: Value = serde_json::from_str(&image).unwrap();
    let out = dof([
        Path::new("show-image-history"),
        &mount,
        Path::new("--image"),
        Path::new("shop/web:1.0"),
    ])
    .with(0)
    .out;
    let mut steps: Vec<Value> = serde_json::from_str(&out).unwrap();
    let made = steps.iter().filter(|s| s["layer"].is_string()).count();
    assert_eq!(made, config["rootfs"]["diff_ids"].as_array().unwrap().len());
    for step in &mut steps {
        assert_eq!(
            step["empty_layer"] == Value::Bool(true),
            step["layer"].is_null()
        );
        step.as_object_mut().unwrap().shift_remove("layer");
    }
    assert_eq!(Value::from(steps), config["history"]);
}

/// A volume may have another directory, a share or a device mounted in its place: its own folder is empty then.
#[test]
fn what_is_mounted_in_a_volumes_place_is_named() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let listed = std::fs::read(sample_oracle().join("volumes.json")).unwrap();
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    let device_of = |name: &Value| {
        let volume = listed.as_array().unwrap().iter();
        let mut volume = volume.filter(|v| v["Name"] == *name);
        volume
            .next()
            .map_or(Value::Null, |v| v["Options"]["device"].clone())
    };
    let mut seen = 0;
    for query in ["volumes", "mounts"] {
        for row in rows(&case, &[query]) {
            assert_eq!(row["device"], device_of(&row["name"]), "{row}");
            seen += usize::from(row["device"].is_string());
        }
    }
    assert!(seen > 2, "{seen}");

    // The host's root, by the options the driver keeps beside the volume.
    let host = Host::new();
    host.write("var/lib/docker/volumes/all/_data/.keep", "");
    host.write(
        "var/lib/docker/volumes/all/opts.json",
        r#"{"MountType":"none","MountOpts":"bind","MountDevice":"/","Quota":{"Size":0}}"#,
    );
    host.container(
        'a',
        r#"{"Name":"/a","MountPoints":{"/host":{"Type":"volume","Name":"all","Driver":"local","Destination":"/host","RW":false,
        "Source":"/var/lib/docker/volumes/all/_data"}}}"#,
    );
    let (_dir, case) = ingest(&host.mount(), 1);
    let mounts = rows(&case, &["mounts"]);
    assert_eq!((mounts.len(), &mounts[0]["device"]), (1, &"/".into()));
    let listed = rows(&case, &["list-containers"]);
    let says = "Volume 'all' (/var/lib/docker/volumes/all/_data, device /) mounted in Container at '/host' read-only";
    let volumes: Value = serde_json::from_str(listed[0]["VOLUMES"].as_str().unwrap()).unwrap();
    assert_eq!(volumes, serde_json::json!([says]));
}

/// What tells of a container's isolation, as the engine itself listed it.
#[test]
fn isolation_is_told() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let listed = std::fs::read(sample_oracle().join("containers.json")).unwrap();
    let listed: Vec<Value> = serde_json::from_slice(&listed).unwrap();
    let mut differ = std::collections::BTreeSet::new();
    for row in rows(&case, &["containers"]) {
        let truth = listed.iter().find(|c| c["Id"] == row["id"]).unwrap();
        for (column, place) in [
            ("runtime", "Runtime"),
            ("cgroupns_mode", "CgroupnsMode"),
            ("cgroup_parent", "CgroupParent"),
            ("ipc_mode", "IpcMode"),
            ("uts_mode", "UTSMode"),
            ("masked_paths", "MaskedPaths"),
            ("readonly_paths", "ReadonlyPaths"),
            ("readonly_rootfs", "ReadonlyRootfs"),
            ("group_add", "GroupAdd"),
            ("device_requests", "DeviceRequests"),
        ] {
            let (ours, theirs) = (&row[column], &truth["HostConfig"][place]);
            let ours = match ours.as_str() {
                Some(text) if theirs.is_array() => serde_json::from_str(text).unwrap(),
                _ => ours.clone(),
            };
            let theirs = match theirs {
                Value::Bool(b) => Value::from(i64::from(*b)),
                Value::String(s) if s.is_empty() && ours.is_null() => Value::Null,
                theirs => theirs.clone(),
            };
            assert_eq!(ours, theirs, "{} {column}", row["name"]);
            differ.insert((column, ours.to_string()));
        }
    }
    assert!(differ.len() > 14, "{differ:?}");
}
