//! Views against what the kernel mounts of the same layers.

use super::{copied_up, diff, drift, equal, shown, unlisted};
use crate::support::made::Host;
use crate::support::mounts::{Overlay, STORY, story};
use crate::support::trees::walked;
use crate::support::{Need, dof, folder, has, ingest, one, open, rows, sample, shell, str_of};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Whiteouts, opaque directories, absolute and relative redirects, metacopies and chains of them over several layers, as
/// the kernel writes them.
#[test]
fn the_merged_view_and_its_changes_are_the_kernels() {
    if !has(&[
        Need::Mounts("overlay"),
        Need::Program("setfattr"),
        Need::Program("getfattr"),
    ]) {
        return;
    }
    let host = Host::of("overlay2");
    let (layers, names) = story(&host);
    for i in 0..STORY.len() {
        // A layer is a container's or an image's: each stack is a host of its own, of the same layers.
        let name = format!("upto{i}");
        let root = host.dir.path().join("var/lib/docker");
        for records in ["image", "containers"] {
            let _ = fs::remove_dir_all(root.join(records));
        }
        host.stack(&name, &names[..=i]);
        let (_dir, case) = ingest(host.dir.path(), 0);
        let stack = &layers[STORY.len() - 1 - i..];
        let mounted = Overlay::new(stack).expect("mount");
        let all = rows(&case, &["container-files", "--container", &name]);
        equal(&shown(&all), &walked(&mounted.at()), &name);
        let below = Overlay::new(&stack[1..]).expect("mount");
        let changed = rows(&case, &["drift", "--container", &name]);
        let truth = diff(&mounted.at(), &below.at());
        equal(&drift(&changed), &truth, &format!("changes of {name}"));
        let copied = copied_up(&stack[0], &below.at(), &truth);
        assert_eq!(unlisted(&changed), copied, "{name}");
        assert!(truth.len() > 5, "{name} changes something");
        whose_of_a_view(&open(&case), &name, &all);
        if i > 0 {
            let image: String = one(
                &open(&case),
                &format!("SELECT image_full_id FROM container WHERE name = '{name}'"),
            );
            let all = rows(&case, &["image-files", "--image", &image]);
            equal(&shown(&all), &walked(&below.at()), &image);
        }
        // A metacopy names the layer of its content.
        for row in all.iter().filter(|r| !r["data_layer"].is_null()) {
            let lies = layers.iter().any(|l| {
                l.to_str()
                    .unwrap()
                    .contains(row["data_layer"].as_str().unwrap())
            });
            assert!(lies && row["data_layer"] != row["layer"], "{row}");
        }
        if i == 1 {
            let big = all.iter().find(|r| r["path"] == "/big").unwrap();
            assert_eq!(
                (&big["layer"], &big["data_layer"]),
                (&"layer1".into(), &"layer0".into())
            );
        }
    }
}

/// What `whose` says of a container's files, at their paths in it, on the host, and of all of them, is what its view says.
fn whose_of_a_view(db: &rusqlite::Connection, name: &str, all: &[Value]) {
    let ask = |path: Option<&str>| -> Vec<(String, i64, Option<i64>, String)> {
        let query = path.map_or("whose-pattern", |_| "whose");
        let sql = dof::query::find(query).unwrap().sql;
        let mut stmt = db.prepare_cached(&sql).unwrap();
        for (parameter, value) in [(":path", path), (":container", Some(name))] {
            let i = stmt.parameter_index(parameter).unwrap().unwrap();
            stmt.raw_bind_parameter(i, value).unwrap();
        }
        let columns: Vec<String> = stmt.column_names().iter().map(|c| (*c).into()).collect();
        let at = |name: &str| columns.iter().position(|c| c == name).unwrap();
        let [path, file, effective, host] = ["path", "file_id", "effective", "host_path"].map(at);
        let mut rows = stmt.raw_query();
        let mut found = Vec::new();
        while let Some(r) = rows.next().unwrap() {
            found.push((
                r.get(path).unwrap(),
                r.get(file).unwrap(),
                r.get(effective).unwrap(),
                r.get(host).unwrap(),
            ));
        }
        found
    };
    let view: BTreeSet<(String, i64)> = all
        .iter()
        .map(|r| (str_of(r, "path"), r["file_id"].as_i64().unwrap()))
        .collect();
    let versions = ask(None);
    let effective: BTreeSet<(String, i64)> = versions
        .iter()
        .filter(|v| v.2 == Some(1))
        .map(|v| (v.0.clone(), v.1))
        .collect();
    assert_eq!(effective, view, "{name}");
    assert_eq!(
        effective.len(),
        versions.iter().filter(|v| v.2 == Some(1)).count()
    );
    // Some of them, those that were renamed among them.
    let moved = |path: &str, host: &str| !host.ends_with(path);
    let mut asked = 0;
    for (nth, (path, file, shown, host)) in versions.iter().enumerate() {
        if !moved(path, host) && nth % 7 > 0 || path.len() > 1000 {
            continue;
        }
        let found = ask(Some(host));
        let is_there = found
            .iter()
            .any(|f| (&f.0, f.1, f.2) == (path, *file, *shown));
        assert!(is_there, "{path} {host}: {found:?}");
        if shown == &Some(1) {
            let found = ask(Some(path));
            let this: Vec<i64> = found
                .iter()
                .filter(|f| f.2 == Some(1) && f.0 == *path)
                .map(|f| f.1)
                .collect();
            assert!(this.contains(file), "{path}: {found:?}");
        }
        asked += 1;
    }
    assert!(asked > 5, "{name}: {asked}");
}

/// An empty file with the attribute of a whiteout is one to whoever looks it up, whatever its directory says; Linux only
/// lists it where the directory does not.
#[test]
fn whiteouts_by_attribute() {
    // Older ones know no whiteouts by attribute.
    if !has(&[
        Need::Mounts("overlay"),
        Need::Program("setfattr"),
        Need::Kernel(6, 7),
    ]) {
        return;
    }
    let host = Host::of("overlay2");
    let layers = ["base", "upper"].map(|n| host.layer(n));
    for layer in &layers {
        for dir in ["plain", "marked", "alone"] {
            fs::create_dir_all(layer.join(dir)).unwrap();
        }
    }
    let [base, upper] = &layers;
    shell(
        base,
        "rmdir alone; for d in plain marked; do for f in f full old; do echo $f > $d/$f; done; done",
    );
    shell(
        upper,
        "setfattr -n trusted.overlay.opaque -v x marked; for d in plain marked alone; do : > $d/f; echo x > $d/full; : > $d/empty
         for f in f full; do setfattr -n trusted.overlay.whiteout -v y $d/$f; done; done",
    );
    host.stack("c", &["base".into(), "upper".into()]);
    let mounted = Overlay::new(&[upper.clone(), base.clone()]).expect("mount");
    let (_dir, case) = ingest(host.dir.path(), 0);
    let [view, below] = [&mounted.at(), base];
    let mut truth: BTreeSet<String> = BTreeSet::new();
    for dir in ["plain", "marked", "alone"] {
        for file in ["f", "full", "empty", "old"] {
            let path = format!("{dir}/{file}");
            if fs::symlink_metadata(view.join(&path)).is_ok() {
                truth.insert(format!("/{path}"));
            }
        }
    }
    assert!(
        truth.contains("/plain/full") && !truth.contains("/plain/f"),
        "{truth:?}"
    );
    let of = |args: &[&str]| -> BTreeSet<String> {
        rows(&case, args)
            .iter()
            .filter(|r| r["type"] == "file" && r["effective"] != 0)
            .map(|r| str_of(r, "path"))
            .collect()
    };
    assert_eq!(of(&["container-files"]), truth);
    assert_eq!(of(&["whose", "--path", "/*/*"]), truth);
    let deleted: BTreeSet<String> = rows(&case, &["drift"])
        .iter()
        .filter(|r| r["change"] == "D")
        .map(|r| str_of(r, "path"))
        .collect();
    assert!(below.join("plain/f").exists());
    assert_eq!(deleted, ["/marked/f", "/plain/f"].map(String::from).into());
    // What is copied out is the same.
    let out = folder();
    let to = out.path().join("out");
    let args = ["extract", "--container", "c", "/plain", "/marked", "/alone"];
    let more = [
        "--host",
        host.dir.path().to_str().unwrap(),
        "-o",
        to.to_str().unwrap(),
    ];
    dof(args.into_iter().chain(more)).with(0);
    let copied: BTreeSet<String> = walkdir::WalkDir::new(to.join("files"))
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| e.file_type().is_file())
        .map(|e| {
            format!(
                "/{}",
                e.path().strip_prefix(to.join("files")).unwrap().display()
            )
        })
        .collect();
    assert_eq!(copied, truth);
}

/// With volumes and bind sources at their places: what is not hidden is what the mounted containers show. Returns how many
/// containers there are, and how many of them with something mounted.
fn as_mounted(mount: &Path) -> (usize, usize) {
    let (_case_dir, case) = ingest(mount, 0);
    let dir = folder();
    let _undo = crate::support::mounts::Mounted(dir.path());
    let at = dir.path().to_str().unwrap();
    let mount = mount.to_str().unwrap();
    let ran = dof(["mount-container", "--all", "--at-mountpoint", at, mount]);
    let (mut compared, mut mounts) = (0, 0);
    for (name, place) in crate::support::mounts::whole(&ran) {
        let mut all = rows(&case, &["container-files", "--container", name]);
        // A tmpfs is on no disk, so what it hid is what is mounted.
        all.retain(|r| r["hidden_by"].is_null() || str_of(r, "hidden_by").ends_with(" (tmpfs)"));
        // In a bind of the whole host lie Docker's own layers, each of which the view shows as what it is, not there again.
        let mut truth = walked(Path::new(place));
        truth.retain(|path, _| {
            !(path.starts_with("/host/") && path.contains("/overlay2/") && path.contains("/diff/"))
        });
        equal(&shown(&all), &truth, name);
        compared += 1;
        let mounted = |r: &Value| r["role"] == "volume" || r["role"] == "bind";
        mounts += usize::from(all.iter().any(mounted));
    }
    (compared, mounts)
}

#[test]
fn every_container_of_the_sample_is_as_mounted() {
    if !has(&[Need::Mounts("overlay")]) {
        return;
    }
    let (_host, mount) = sample();
    let (containers, mounts) = as_mounted(&mount);
    assert!(containers > 10 && mounts > 3, "{containers} {mounts}");
}

/// Layers that are full copies; and those of a user's own engine.
#[test]
fn containers_of_other_drivers_are_as_mounted() {
    if !has(&[Need::Evidence, Need::Mounts("overlay")]) {
        return;
    }
    for name in ["vfs-docker20", "rootless-docker26"] {
        let (host, _) = crate::support::oracle::recorded(name);
        let (containers, _) = as_mounted(host.path());
        assert!(containers > 1, "{name}: {containers}");
    }
}
