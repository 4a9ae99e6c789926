//! Hosts as their engines left them, and what cannot be verified.

use super::hosts::{Tampered, host, image, layer, packed, times};
use super::{differences, expected, verified};
use crate::support::engine::Engine;
use crate::support::{Need, dof, folder, has, ingest, one, open, sample, shell};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What a verification does not look at, it does not call as shipped.
#[test]
fn no_more_is_said_than_was_verified() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("partly").expect("an engine");
    engine.base_image();
    let made = ["run", "--name", "step", "base:1", "sh", "-c", "echo x > /x"];
    engine.docker(&made).text();
    let two = engine.docker(&["commit", "step", "two:1"]).text();
    engine
        .docker(&["run", "--name", "web", "two:1", "true"])
        .text();
    engine.docker(&["rm", "step"]).text();
    engine.kill();
    let host = engine.root();
    let mount = host.to_str().unwrap();
    let (dir, case) = ingest(&host, 0);
    let path = case.to_str().unwrap();
    let top = layer(&host, "two:1", 2, &case);

    // One image verified is not all of them.
    dof(["verify", "--image", "base:1", "--case", path, mount]).with(0);
    let ran = dof(["verify", path]).with(0);
    assert_eq!(ran.err, "dof: not verified: 1 layers, 1 images\n");
    // Nor does it take away what was found of the others.
    fs::write(top.join("added"), "").unwrap();
    dof(["verify", "--case", path, mount]).with(1);
    for _ in 0..2 {
        dof(["verify", "--image", "base:1", "--case", path, mount]).with(0);
        let ran = dof(["verify", path]).with(1);
        assert!(
            ran.err.is_empty() && ran.out.contains("added /added"),
            "{ran:?}"
        );
        assert_eq!(
            ran.out.matches("\nlayer ").count() + ran.out.matches("\nimage ").count(),
            3
        );
    }
    fs::remove_file(top.join("added")).unwrap();
    dof(["verify", "--image", "two:1", "--case", path, mount]).with(0);
    dof(["verify", path]).with(0);

    // A problem is one, though all layers are as shipped.
    let names = engine.data_root().join("image/overlay2/repositories.json");
    let aside = dir.path().join("aside");
    fs::copy(&names, &aside).unwrap();
    fs::remove_file(&names).unwrap();
    let ran = dof(["verify", mount]).with(1);
    assert!(
        !ran.out.contains(": changed") && !ran.out.contains("cannot be"),
        "{}",
        ran.out
    );
    fs::copy(&aside, &names).unwrap();

    // Files of an image and its containers, where a layer is not there.
    let home = top.parent().unwrap();
    fs::rename(home, dir.path().join("home")).unwrap();
    dof(["ingest", mount, path]).with(1);
    for (query, option, who) in [
        ("image-files", ["--image", "two:1"], "image two:1"),
        ("whose", ["--path", "/bin/sh"], "container web"),
        ("drift", ["--container", "web"], "container web"),
    ] {
        let ran = dof(["query", query, option[0], option[1], "--case", path]).with(1);
        let want = format!("dof: {who}: 1 of its layers are not there; ");
        assert!(ran.err.contains(&want), "{query}: {}", ran.err);
    }
    dof(["query", "image-files", "--image", "base:1", "--case", path]).with(0);
    fs::rename(dir.path().join("home"), home).unwrap();

    // An image removed by hand leaves layers that no image and no container has.
    let id = two.trim_start_matches("sha256:");
    let store = engine.data_root().join("image/overlay2");
    let all = fs::read_to_string(&names).unwrap();
    let mut all: Value = serde_json::from_str(&all).unwrap();
    all["Repositories"].as_object_mut().unwrap().remove("two");
    fs::write(&names, all.to_string()).unwrap();
    fs::remove_file(store.join("imagedb/content/sha256").join(id)).unwrap();
    let rows = verified(&host, 1, &[]);
    let gone = |r: &&Value| r["subject"] == "image" && r["outcome"] == "cannot be verified";
    assert_eq!(
        rows.iter().filter(gone).count(),
        1,
        "its container has it: {rows:?}"
    );
    let web = fs::read_dir(engine.data_root().join("containers")).unwrap();
    for web in web.flatten() {
        let id = web.file_name().into_string().unwrap();
        fs::remove_dir_all(web.path()).unwrap();
        fs::remove_dir_all(store.join("layerdb/mounts").join(id)).unwrap();
    }
    let rows = verified(&host, 1, &[]);
    let odd: Vec<&Value> = rows
        .iter()
        .filter(|r| r["outcome"] != "as shipped")
        .collect();
    assert_eq!(odd.len(), 1, "{odd:?}");
    assert_eq!(
        (&odd[0]["subject"], &odd[0]["outcome"]),
        (&json!("layer"), &json!("cannot be verified"))
    );
    let note = odd[0]["note"].as_str().unwrap();
    assert!(note.contains("no image and no container has it"), "{note}");
}

/// An engine that shifts users: owners on disk are those of the archive in the ranges of its user.
#[test]
fn owners_of_a_remapped_engine() {
    if !has(&[
        Need::BuildKit,
        Need::UserNamespace,
        Need::Program("setfattr"),
    ]) {
        return;
    }
    let (_engine, host) = host(&[("USERNS_REMAP", "1")]);
    assert_eq!(
        differences(&verified(&host, 0, &["--full"])),
        BTreeSet::new()
    );
    let (_dir, case) = ingest(&host, 0);
    let layer = layer(&host, "rich:pax", 1, &case);
    let owner = |path: &str| fs::symlink_metadata(layer.join(path)).unwrap().uid();
    assert_eq!(
        (owner("bin/tool"), owner("etc/conf.d/b")),
        (231_072, 3_334_464),
        "two ranges"
    );
    shell(&layer, "chown 0 etc/conf.d/b");
    let want = expected(&[("changed", "/etc/conf.d/b", "owner")]);
    let rows = verified(&host, 1, &[]);
    assert_eq!(differences(&rows), want);
    assert!(
        rows.iter()
            .any(|r| r["shipped"] == "3334464" && r["found"] == "0"),
        "{rows:?}"
    );
}

/// Sparse files: the engine unpacks the holes, but keeps no map of them, so nobody can put that archive together again.
/// Contents are compared all the same.
#[test]
fn sparse_files_are_compared_not_put_together() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("sparse").expect("an engine");
    let holes = engine.scratch().join("holes");
    fs::create_dir(&holes).unwrap();
    let file = fs::File::create(holes.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 1 << 20).unwrap();
    file.set_len(3 << 20).unwrap();
    let archive = engine.scratch().join("image.tar");
    let layer = packed(&holes, &["--format=posix", "--sparse"]);
    assert!(layer.len() < 1 << 20, "the archive is sparse");
    fs::write(&archive, image("sparse:1", &[layer])).unwrap();
    engine
        .docker(&["load", "-i", archive.to_str().unwrap()])
        .text();
    engine.kill();
    let host = engine.root();
    assert_eq!(differences(&verified(&host, 0, &[])), BTreeSet::new());
    let rows = verified(&host, 1, &["--full"]);
    assert_eq!(differences(&rows), expected(&[("", "", "")]));
    let note = rows[0]["note"].as_str().unwrap_or_default();
    assert!(note.contains("holes of sparse files"), "{rows:?}");
    let (_dir, case) = ingest(&host, 0);
    let file = self::layer(&host, "sparse:1", 1, &case).join("sparse");
    let meta = fs::metadata(&file).unwrap();
    let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&open, b"evil", 2 << 20).unwrap();
    times(&file, &meta);
    let want = expected(&[("changed", "/sparse", "content")]);
    assert_eq!(differences(&verified(&host, 1, &[])), want);
}

/// Where there is no image store that dof reads, nothing was verified, and that is no good news.
#[test]
fn nothing_to_verify_is_said() {
    let dir = folder();
    let docker = dir.path().join("var/lib/docker");
    let container = docker.join("containers").join("a".repeat(64));
    fs::create_dir_all(&container).unwrap();
    let config = json!({"ID": "a".repeat(64), "Name": "/x", "Driver": "overlayfs", "State": {}});
    fs::write(container.join("config.v2.json"), config.to_string()).unwrap();
    let ran = dof(["verify", dir.path().to_str().unwrap()]).with(1);
    assert!(ran.err.contains("nothing was verified"), "{}", ran.err);
}

/// The sample host is as its engine left it; without root it unpacks otherwise.
#[test]
fn the_sample_is_as_shipped() {
    if !has(&[Need::Root, Need::Trusted]) {
        return;
    }
    let (_dir, host) = sample();
    // But for the image of a container that the story removed by force.
    let rows = verified(&host, 1, &["--full"]);
    assert_eq!(differences(&rows), expected(&[("missing", "", "config")]));
    let count = |subject| rows.iter().filter(|r| r["subject"] == subject).count();
    assert_eq!(["layer", "image", "init layer"].map(count), [14, 41, 31]);
    let gone: Vec<&Value> = rows
        .iter()
        .filter(|r| r["outcome"] != "as shipped")
        .collect();
    let miner = "sha256:2a2bf5cb68b96af6ac56862f3602e23dc62240fb29a5cea45207603bf59fe654";
    assert!(gone.len() == 1 && gone[0]["id"] == miner, "{gone:?}");
    assert_eq!(gone[0]["outcome"], "cannot be verified");
    // In text, names speak to no terminal.
    let (_dir, case) = ingest(&host, 0);
    let layer = layer(&host, "shop/web:1.0", 1, &case);
    fs::write(layer.join("\x1b[2Jevil"), "").unwrap();
    let out = dof(["verify", host.to_str().unwrap()]).with(1).out;
    assert!(
        out.contains("added /\\x1b[2Jevil: found file 0644 0:0 0 bytes\n"),
        "{out}"
    );
    assert!(!out.contains('\x1b'));
    // An image with a layer that is not as shipped is not so either.
    let mut images = out.lines().filter(|l| l.starts_with("image "));
    assert!(images.any(|l| l.contains("shop/web:1.0") && l.ends_with(": changed")));
}

/// Recorded hosts: the engines' own layers, of four drivers and two kinds of shifted owners.
#[test]
fn recorded_hosts_are_as_shipped() {
    if !has(&[Need::Evidence]) {
        return;
    }
    for (name, layers) in [
        ("apache-mysql-docker20-overlay2", 20),
        ("logs-docker26-drivers", 13),
        ("swarm-docker26", 3),
        ("rootless-docker26", 2),
        ("vfs-docker20", 9),
    ] {
        let (dir, _) = crate::support::oracle::recorded(name);
        // On one of them the image of a container was removed by force.
        let gone = name == "logs-docker26-drivers";
        let rows = verified(dir.path(), i32::from(gone), &["--full"]);
        let config = [("missing", "", "config")];
        let want = expected(&config[..usize::from(gone)]);
        assert_eq!(differences(&rows), want, "{name}");
        assert_eq!(
            rows.iter().filter(|r| r["subject"] == "layer").count(),
            layers,
            "{name}"
        );
        if name == "rootless-docker26" {
            // Without the users' ranges the shift is taken from the files, and said.
            for file in ["subuid", "subgid"] {
                fs::remove_file(dir.path().join("etc").join(file)).unwrap();
            }
            let rows = verified(dir.path(), 0, &[]);
            assert_eq!(differences(&rows), BTreeSet::new());
            assert!(
                rows.iter().any(|r| r["note"]
                    .as_str()
                    .is_some_and(|n| n.contains("+1000 for 0"))),
                "{rows:?}"
            );
        }
        if name == "vfs-docker20" {
            copies(dir.path());
        }
    }
}

/// Full copies: what was done to a file that a layer below shipped is found in the copy.
fn copies(host: &Path) {
    let (_dir, case) = ingest(host, 0);
    let sql = "SELECT l.host_path FROM layer l WHERE l.role = 'image' AND l.parent_chain_id IS NOT NULL ORDER BY l.id LIMIT 1";
    let path: String = one(&open(&case), sql);
    let layer = host.join(path.trim_start_matches('/'));
    let _back = Tampered::of(&layer);
    let bin = layer.join("bin");
    let meta = fs::metadata(&bin).unwrap();
    fs::write(bin.join("evil"), "").unwrap();
    times(&bin, &meta);
    fs::set_permissions(bin.join("busybox"), fs::Permissions::from_mode(0o4755)).unwrap();
    let want = [
        ("added", "/bin/evil", ""),
        ("changed", "/bin/busybox", "mode"),
    ];
    assert_eq!(differences(&verified(host, 1, &[])), expected(&want));
}
