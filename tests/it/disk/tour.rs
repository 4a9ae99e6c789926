//! The whole tour, as an investigator's notes have it, on disks that a real engine ran on.

use super::{DISK, ENGINE, EWF, Image, PARTS, QEMU, RAW, disk, unmount_image};
use crate::support::engine::Engine;
use crate::support::mactime::mactime_rows;
use crate::support::mounts::{Loop, Unmount};
use crate::support::trees::digest;
use crate::support::{Need, acquire, dof, dof_command, evidence, folder, has, must, run, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What the engine said of itself before it was killed.
struct Said {
    /// Name to id and log.
    containers: BTreeMap<String, (String, String)>,
    /// `docker history` of the image, oldest first.
    history: Vec<String>,
    /// Tag and id of the image.
    image: (String, String),
}

/// Makes a disk on whose root a real engine ran until the power was cut.
fn host(image: &Path, kind: &str, driver: &str) -> Said {
    let sectors = disk(image, kind, 640);
    let device = Loop::new(image, PARTS[2].0, sectors);
    let mut mounted = None;
    let mut engine = Engine::start_on("disk", driver, |root| {
        must("mount", &["-t", kind, &device.0, text(root)]);
        mounted = Some(Unmount(root.to_path_buf()));
    })
    .expect("an engine");
    engine.base_image();
    fs::create_dir_all(engine.root().join("srv/site")).unwrap();
    fs::write(engine.root().join("srv/site/index.html"), "hello").unwrap();
    let dockerfile = "FROM base:1\nRUN echo one > /one\nENV A=b\nVOLUME /data\nCMD [\"sh\", \"-c\", \"echo up; echo bad >&2; echo v > /data/v; sleep 100000\"]\n";
    let built = engine.docker_in(
        &["build", "-q", "-t", "shop/web:1", "-"],
        dockerfile.as_bytes(),
    );
    built.text();
    for args in [
        vec![
            "run",
            "-d",
            "--name",
            "apache",
            "-p",
            "8080:80",
            "-v",
            "/srv/site:/site:ro",
            "shop/web:1",
        ],
        vec![
            "run",
            "--name",
            "job",
            "base:1",
            "sh",
            "-c",
            "echo done; exit 3",
        ],
    ] {
        let answer = engine.docker(&args);
        assert!(
            answer.ok || args.contains(&"job"),
            "{}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }
    let script = "echo evil > /tmp/trojan; chmod 4755 /tmp/trojan; touch '/tmp/a|b%41'; rm /one; ln -s /etc/passwd /tmp/link; touch -d 2019-05-27T14:12:11 /tmp/trojan 2>/dev/null || touch -d '2019-05-27 14:12:11' /tmp/trojan";
    engine
        .docker(&["exec", "apache", "sh", "-c", script])
        .text();
    let names = engine
        .docker(&["ps", "-a", "--format", "{{.Names}}"])
        .lines();
    let containers = names.into_iter().map(|name| {
        let id = engine.docker(&["inspect", "-f", "{{.Id}}", &name]).text();
        let log = fs::read_to_string(
            engine
                .data_root()
                .join(format!("containers/{id}/{id}-json.log")),
        );
        (name, (id, log.unwrap()))
    });
    let said = Said {
        containers: containers.collect(),
        history: engine
            .json(&[
                "history",
                "--no-trunc",
                "--format",
                "{{json .}}",
                "shop/web:1",
            ])
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|h| h["CreatedBy"].as_str().unwrap().to_owned())
            .collect(),
        image: (
            "shop/web:1".into(),
            engine
                .docker(&["inspect", "-f", "{{.Id}}", "shop/web:1"])
                .text(),
        ),
    };
    engine.kill();
    drop(mounted);
    said
}

/// The whole tour on an image of [`host`], as an investigator's notes have it.
fn tour(image: &Path, said: &Said, body: &mut Vec<u8>) {
    let dir = folder();
    let before = digest(image);
    let mounted = Image::mount(image, dir.path());
    let lines: Vec<&str> = mounted.1.lines().collect();
    assert!(
        lines[0].starts_with("Mounted volume 20.0 MiB 2:Ext4 boot [Linux] at path "),
        "{lines:#?}"
    );
    assert_eq!(
        lines[1],
        "Unsupported filesystem 3:Linux Swap / Solaris x86 (0x82) (type: swap, block offset: 43008, length: 32768)"
    );
    let root = mounted.place("4");
    assert_eq!(
        lines[3],
        format!(
            "Docker host on volume 4, data root /var/lib/docker. Next: dof ingest {} case.db",
            root.display()
        )
    );
    let dof = |args: &[&str]| {
        let mut command = dof_command();
        command.env("DOF_IMAGE_MOUNTPOINT", &root);
        let out = command.args(args).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!((out.status.code(), err.as_str()), (Some(0), ""), "{args:?}");
        out.stdout
    };
    let said_of = |args: &[&str]| String::from_utf8(dof(args)).unwrap();

    let status = said_of(&["status"]);
    assert!(
        status.contains("1 containers running on this machine"),
        "{status}"
    );
    assert!(
        status.contains(&format!("{} total containers found", said.containers.len())),
        "{status}"
    );

    let listed = said_of(&["list-containers"]);
    let csv = said_of(&["list-containers", "--format", "csv"]);
    for (name, (id, log)) in &said.containers {
        assert!(
            listed.contains(&format!("/{name}\n    ID: {id}\n")),
            "{listed}"
        );
        assert!(
            csv.lines()
                .any(|l| l.starts_with(&format!("/{name},{id},"))),
            "{csv}"
        );
        assert_eq!(said_of(&["show-container-log", "--container", name]), *log);
    }
    assert!(
        listed.contains("State: running") && listed.contains("State: exited"),
        "{listed}"
    );
    let (tag, id) = &said.image;
    let images = said_of(&["list-images"]);
    let short = id.strip_prefix("sha256:").unwrap();
    assert!(
        images.contains("shop/web") && images.contains(short),
        "{images}"
    );

    let history: Vec<Value> =
        serde_json::from_slice(&dof(&["show-image-history", "--image", tag])).unwrap();
    let steps: Vec<&str> = history
        .iter()
        .map(|h| h["created_by"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(steps, said.history);

    body.clear();
    for command in ["macrobber-container-layer", "macrobber-volumes"] {
        body.extend(dof(&[command, "--container", "apache"]));
    }
    let rows = mactime_rows(body);
    for (time, name) in [
        ("2019-05-27T14:12:11Z", "/tmp/trojan"),
        ("", "/tmp/a|b%41"),
        ("", "/site/index.html"),
        ("", "/data/v"),
    ] {
        assert!(
            rows.iter()
                .any(|(t, n)| n == name.as_bytes() && t.starts_with(time)),
            "{name}: {rows:?}"
        );
    }

    let at = dir.path().join("apache");
    fs::create_dir(&at).unwrap();
    let line = said_of(&[
        "mount-container",
        "--container",
        "apache",
        "--at-mountpoint",
        text(&at),
    ]);
    assert_eq!(
        line,
        format!("Mounted container apache at {}\n", at.display())
    );
    let planted = fs::read_to_string(at.join("tmp/trojan"));
    let site = fs::read_to_string(at.join("site/index.html"));
    let deleted = at.join("one").exists();
    said_of(&["unmount-container", text(&at)]);
    assert_eq!(
        (planted.unwrap().as_str(), site.unwrap().as_str(), deleted),
        ("evil\n", "hello", false)
    );

    // The proposed command, in a directory of its own.
    let next = mounted.next();
    let ran = dof_command()
        .args(&next)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(
        ran.status.code(),
        Some(0),
        "{next:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let case = dir.path().join("case.db");
    let from_case = dof_command()
        .args(["list-containers", "--format", "csv", text(&case)])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(from_case.stdout).unwrap(), csv);

    let undone = unmount_image(image).with(0);
    assert_eq!(undone.out.lines().count(), 2, "{}", undone.out);
    assert!(!root.exists(), "its directory stays");
    assert_eq!(digest(image), before, "the image changed");
}

/// Body lines equal those of `fls -r -m`: inode, type and mode, owner, size and all four times.
fn as_fls(image: &Path, body: &[u8], said: &Said) {
    let fls = run(
        "fls",
        &["-r", "-m", "/", "-o", &PARTS[2].0.to_string(), text(image)],
    )
    .expect("fls");
    let id = &said.containers["apache"].0;
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("0|")?.split_once('|')?;
        Some((name.to_owned(), rest.to_owned()))
    };
    let truth: BTreeMap<String, String> = fls.out.lines().filter_map(line).collect();
    let mut compared = 0;
    for (name, rest) in String::from_utf8_lossy(body).lines().filter_map(line) {
        if name.contains(['%', '|']) || !name.starts_with("/tmp") {
            continue; // encoded for mactime, which fls does not do
        }
        let theirs: Vec<&String> = truth
            .iter()
            .filter(|(n, _)| {
                n.split_once("/diff").is_some_and(|(at, n)| {
                    n == name && at.contains("overlay2") && !at.ends_with("-init")
                })
            })
            .map(|(_, rest)| rest)
            .collect();
        assert!(
            theirs.contains(&&rest),
            "{id}: {name}: {rest}, fls: {theirs:?}"
        );
        compared += 1;
    }
    assert!(compared >= 3, "{compared} lines compared");
}

#[test]
fn the_tour_on_raw_qcow2_and_ewf_with_an_ext4_root() {
    if !has(&[
        ENGINE,
        DISK,
        QEMU,
        EWF,
        &[Need::Program("mactime"), Need::Program("fls")],
    ]
    .concat())
    {
        return;
    }
    let dir = folder();
    let raw = dir.path().join("shop.raw");
    let said = host(&raw, "ext4", "overlay2");
    let mut body = Vec::new();
    tour(&raw, &said, &mut body);
    as_fls(&raw, &body, &said);
    let first = body.clone();
    let qcow2 = dir.path().join("shop.qcow2");
    must(
        "qemu-img",
        &["convert", "-c", "-O", "qcow2", text(&raw), text(&qcow2)],
    );
    tour(&qcow2, &said, &mut body);
    assert_eq!(body, first);
    let to = dir.path().join("shop");
    acquire(&raw, &to, &["-c", "fast", "-S", "1.4 GiB"]);
    tour(&dir.path().join("shop.E01"), &said, &mut body);
    assert_eq!(body, first);
}

#[test]
fn the_tour_with_an_xfs_root() {
    let xfs = [
        Need::Mounts("xfs"),
        Need::Program("mkfs.xfs"),
        Need::Program("mactime"),
    ];
    if !has(&[ENGINE, DISK, &xfs].concat()) {
        return;
    }
    roots("xfs", "overlay2");
}

#[test]
fn the_tour_with_a_btrfs_root() {
    let btrfs = [
        Need::Mounts("btrfs"),
        Need::Program("mkfs.btrfs"),
        Need::Program("mactime"),
    ];
    if !has(&[ENGINE, DISK, &btrfs].concat()) {
        return;
    }
    roots("btrfs", "btrfs");
}

fn roots(kind: &str, driver: &str) {
    let dir = folder();
    let raw = dir.path().join(format!("{kind}.raw"));
    tour(&raw, &host(&raw, kind, driver), &mut Vec::new());
}

/// The recorded whole disks, one with a journal that must not be replayed.
#[test]
fn recorded_disks() {
    if !has(&[RAW, &[Need::Evidence, Need::Mounts("xfs")]].concat()) {
        return;
    }
    let evidence = evidence().expect("recorded evidence");
    let dir = folder();
    for (name, slot) in [
        ("disk-image-docker26", "4"),
        ("disk-image-gpt-docker26", "7"),
        ("disk-image-dirty-docker26", "4"),
    ] {
        let image = dir.path().join(format!("{name}.raw"));
        let packed = evidence.join(name).join("disk.raw.zst");
        must("zstd", &["-dqf", text(&packed), "-o", text(&image)]);
        let mounted = Image::mount(&image, dir.path());
        let place = mounted.place(slot);
        let journal = mounted.2.contains("its journal was not replayed");
        assert_eq!(journal, name.contains("dirty"), "{}", mounted.2);
        assert_eq!(mounted.next(), ["ingest", text(&place), "case.db"]);
        let listed = dof(["list-containers", text(&place)]).with(0);
        for container in ["site", "queue", "job"] {
            assert!(
                listed.out.contains(&format!("/{container}\n")),
                "{}",
                listed.out
            );
        }
        drop(mounted);
        let oracle = evidence.join(format!("{name}.oracle")).join("raw.sha256");
        let want = fs::read_to_string(oracle).unwrap();
        assert_eq!(
            want.split_whitespace().next().unwrap(),
            digest(&image),
            "{name}"
        );
    }
}
