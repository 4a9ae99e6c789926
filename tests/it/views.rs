//! Merged views, drift and whose-file answers: against a plain model, the kernel's overlay mounts, and `docker diff`.

use crate::export::{STORY, Writable, shell};
use crate::support::engine::Engine;
use crate::support::{Need, dof, folder, has, ingest, one, open, run, sample};
use dof::text::lossless;
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A host made by hand, of one storage driver: images of layers, and a container on each.
struct Host {
    dir: TempDir,
    driver: &'static str,
}

impl Host {
    fn new(driver: &'static str) -> Host {
        let host = Host {
            dir: folder(),
            driver,
        };
        host.write("etc/hostname", "made");
        host
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Where the files of a layer stand.
    fn layer(&self, cache_id: &str) -> PathBuf {
        self.dir
            .path()
            .join(format!("var/lib/docker/{}/{cache_id}/diff", self.driver))
    }

    /// Binds these sources at these places of a container.
    fn bind(&self, name: &str, binds: &[(String, String)]) {
        let id = format!("{:x}", Sha256::digest(name.as_bytes()));
        let config = format!("var/lib/docker/containers/{id}/config.v2.json");
        let text = fs::read(self.dir.path().join(&config)).unwrap();
        let mut json: Value = serde_json::from_slice(&text).unwrap();
        for (source, at) in binds {
            json["MountPoints"][at] =
                serde_json::json!({"Type": "bind", "Source": source, "Destination": at});
        }
        self.write(&config, &json.to_string());
    }

    /// A container over these layers, base first, the last its own; with an image of the others, named as it is.
    fn container(&self, name: &str, layers: &[String]) {
        let (own, image) = layers.split_last().unwrap();
        let store = format!("var/lib/docker/image/{}", self.driver);
        let sha = |text: &str| format!("{:x}", Sha256::digest(text.as_bytes()));
        let mut chain: Option<String> = None;
        let mut diffs = Vec::new();
        for cache_id in image {
            let diff = format!("sha256:{}", sha(cache_id));
            let id = match &chain {
                None => diff[7..].to_owned(),
                Some(below) => sha(&format!("sha256:{below} {diff}")),
            };
            let at = format!("{store}/layerdb/sha256/{id}");
            self.write(&format!("{at}/diff"), &diff);
            self.write(&format!("{at}/cache-id"), cache_id);
            self.write(&format!("{at}/size"), "0");
            if let Some(below) = &chain {
                self.write(&format!("{at}/parent"), &format!("sha256:{below}"));
            }
            diffs.push(diff);
            chain = Some(id);
        }
        let id = sha(name);
        let at = format!("{store}/layerdb/mounts/{id}");
        self.write(&format!("{at}/mount-id"), own);
        if let Some(top) = &chain {
            self.write(&format!("{at}/parent"), &format!("sha256:{top}"));
        }
        let config =
            serde_json::json!({"rootfs": {"type": "layers", "diff_ids": diffs}, "comment": name})
                .to_string();
        let image_id = sha(&config);
        self.write(
            &format!("{store}/imagedb/content/sha256/{image_id}"),
            &config,
        );
        self.write(
            &format!("{store}/repositories.json"),
            r#"{"Repositories":{}}"#,
        );
        let config = serde_json::json!({"Name": format!("/{name}"), "Driver": self.driver, "Image": format!("sha256:{image_id}"), "State": {}, "Config": {}});
        let at = format!("var/lib/docker/containers/{id}");
        self.write(&format!("{at}/config.v2.json"), &config.to_string());
        self.write(&format!("{at}/hostconfig.json"), "{}");
    }
}

/// The rows of a query.
#[track_caller]
fn rows(case: &Path, args: &[&str]) -> Vec<Value> {
    let case = case.to_str().unwrap();
    let args = [&["query"], args, &["--case", case, "--format", "jsonl"]].concat();
    let ran = dof(args).with(0);
    ran.out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

fn str_of(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap_or_default().to_owned()
}

fn time(seconds: i64, nanoseconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, nanoseconds as u32)
        .unwrap()
        .format("%Y-%m-%dT%H:%M:%S%.9fZ")
        .to_string()
}

/// What a walk of a mounted file system shows: all that a row of `container-files` says too.
fn walked(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        // The kernel lists a whiteout that hides nothing, and then has nothing there.
        let Ok(m) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        let inside = entry.path().strip_prefix(root).unwrap();
        let link = fs::read_link(entry.path()).unwrap_or_default();
        let kind = match m.mode() & 0o170_000 {
            0o100_000 => "file",
            0o040_000 => "directory",
            0o120_000 => "symlink",
            0o010_000 => "fifo",
            0o140_000 => "socket",
            0o020_000 => "chardev",
            _ => "blockdev",
        };
        let said = format!(
            "{kind} {:04o} {}:{} {} m{} c{} -> {}",
            m.mode() & 0o7777,
            m.uid(),
            m.gid(),
            m.size(),
            time(m.mtime(), m.mtime_nsec()),
            time(m.ctime(), m.ctime_nsec()),
            lossless(link.as_os_str().as_bytes())
        );
        let path = format!("/{}", lossless(inside.as_os_str().as_bytes()));
        all.entry(path).or_default().insert(said);
    }
    all
}

/// The same of the query's rows.
fn shown(rows: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for r in rows {
        let said = format!(
            "{} {} {}:{} {} m{} c{} -> {}",
            str_of(r, "type"),
            str_of(r, "mode"),
            r["uid"],
            r["gid"],
            r["size"],
            str_of(r, "mtime"),
            str_of(r, "ctime"),
            str_of(r, "link_target")
        );
        // Two names may be printed alike (\xff, and a byte 0xff), but no file is there twice.
        let new = all.entry(str_of(r, "path")).or_default().insert(said);
        assert!(new, "{r}: one row a path");
    }
    all
}

#[track_caller]
fn equal<V: PartialEq + std::fmt::Debug>(
    ours: &BTreeMap<String, V>,
    truth: &BTreeMap<String, V>,
    what: &str,
) {
    let keys: BTreeSet<&String> = ours.keys().chain(truth.keys()).collect();
    let differ: Vec<String> = keys
        .into_iter()
        .filter(|k| ours.get(*k) != truth.get(*k))
        .map(|k| format!("{k}\n  truth {:?}\n  ours  {:?}", truth.get(k), ours.get(k)))
        .collect();
    assert!(
        differ.is_empty(),
        "{what}: {}\n{}",
        differ.len(),
        differ.join("\n")
    );
}

/// `docker diff` of two trees that a walk showed, as moby's pkg/archive compares them: what is different, and then up.
fn diff(now: &Path, before: &Path) -> BTreeMap<String, String> {
    let stat = |root: &Path| -> BTreeMap<String, fs::Metadata> {
        walkdir::WalkDir::new(root)
            .min_depth(1)
            .into_iter()
            .filter_map(|e| {
                let e = e.unwrap();
                let inside = e.path().strip_prefix(root).unwrap().as_os_str().as_bytes();
                let meta = fs::symlink_metadata(e.path()).ok()?;
                Some((format!("/{}", lossless(inside)), meta))
            })
            .collect()
    };
    let (new, old) = (stat(now), stat(before));
    changes(&new, &old, fs::Metadata::is_dir, |n, o| {
        n.mode() != o.mode()
            || (n.uid(), n.gid(), n.rdev()) != (o.uid(), o.gid(), o.rdev())
            || !o.is_dir()
                && (n.size(), n.mtime(), n.mtime_nsec()) != (o.size(), o.mtime(), o.mtime_nsec())
    })
}

/// A, C and D of two trees.
fn changes<V>(
    new: &BTreeMap<String, V>,
    old: &BTreeMap<String, V>,
    is_dir: impl Fn(&V) -> bool,
    differ: impl Fn(&V, &V) -> bool,
) -> BTreeMap<String, String> {
    let parent = |p: &str| p[..p.rfind('/').unwrap()].to_owned();
    let mut found = BTreeMap::new();
    for (path, n) in new {
        match old.get(path) {
            None => drop(found.insert(path.clone(), "A".to_owned())),
            Some(o) if differ(n, o) => drop(found.insert(path.clone(), "C".to_owned())),
            Some(_) => {}
        }
    }
    for path in old.keys().filter(|p| !new.contains_key(*p)) {
        let above = parent(path);
        if above.is_empty() || new.get(&above).is_some_and(&is_dir) {
            found.insert(path.clone(), "D".to_owned());
        }
    }
    for path in found.keys().cloned().collect::<Vec<_>>() {
        let mut above = parent(&path);
        while !above.is_empty() {
            found.entry(above.clone()).or_insert_with(|| "C".to_owned());
            above = parent(&above);
        }
    }
    found
}

/// The rows of `drift` that `docker diff` has too.
fn drift(rows: &[Value]) -> BTreeMap<String, String> {
    rows.iter()
        .filter(|r| r["change"] != "U")
        .map(|r| (str_of(r, "path"), str_of(r, "change")))
        .collect()
}

/// The rows that it does not have.
fn unlisted(rows: &[Value]) -> BTreeSet<String> {
    rows.iter()
        .filter(|r| r["change"] == "U")
        .map(|r| str_of(r, "path"))
        .collect()
}

/// What a layer of overlayfs's has that was there before and is no change to `docker diff`: files, and directories it has empty.
fn copied_up(own: &Path, before: &Path, diff: &BTreeMap<String, String>) -> BTreeSet<String> {
    walkdir::WalkDir::new(own)
        .min_depth(1)
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| {
            let meta = e.metadata().unwrap();
            let whiteout = meta.mode() & 0o170_000 == 0o020_000 && meta.rdev() == 0;
            let filled = meta.is_dir() && fs::read_dir(e.path()).unwrap().next().is_some();
            !whiteout && !filled
        })
        .map(|e| e.path().strip_prefix(own).unwrap().to_owned())
        .filter(|p| fs::symlink_metadata(before.join(p)).is_ok())
        .map(|p| format!("/{}", lossless(p.as_os_str().as_bytes())))
        .filter(|p| !diff.contains_key(p))
        .collect()
}

/// A read-only overlay mount of layers, topmost first, gone when dropped.
struct Mounted(TempDir);

impl Mounted {
    fn new(layers: &[PathBuf]) -> Option<Mounted> {
        let dir = folder();
        let [first, second, at] = ["first", "second", "at"].map(|n| dir.path().join(n));
        for d in [&first, &second, &at] {
            fs::create_dir(d).unwrap();
        }
        // One layer alone is no overlay; empty ones below show nothing.
        let lower: Vec<&str> = layers
            .iter()
            .chain([&first, &second])
            .map(|p| p.to_str().unwrap())
            .collect();
        let options = format!(
            "ro,redirect_dir=follow,metacopy=on,lowerdir={}",
            lower.join(":")
        );
        let done = run(
            "mount",
            &["-t", "overlay", "overlay", "-o", &options, at.to_str()?],
        )?;
        assert_eq!(done.code, 0, "{}", done.err);
        Some(Mounted(dir))
    }

    fn at(&self) -> PathBuf {
        self.0.path().join("at")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.at().to_str().unwrap()]);
    }
}

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
    let host = Host::new("overlay2");
    let work = folder();
    let at = work.path().join("at");
    fs::create_dir(&at).unwrap();
    let mut layers: Vec<PathBuf> = Vec::new();
    let mut names = Vec::new();
    for (i, script) in STORY.iter().enumerate() {
        let name = format!("layer{i}");
        let upper = host.layer(&name);
        fs::create_dir_all(&upper).unwrap();
        if layers.is_empty() {
            shell(&upper, script);
        } else {
            let aside = work.path().join(&name);
            fs::create_dir(&aside).unwrap();
            fs::remove_dir(&upper).unwrap();
            let made = Writable::new(work.path(), &layers, &aside, &at);
            let made = made.expect("the kernel mounts an overlay");
            shell(&at, script);
            drop(made);
            fs::rename(&aside, &upper).unwrap();
        }
        layers.insert(0, upper);
        names.push(name);
    }
    for i in 0..STORY.len() {
        // A layer is a container's or an image's: each stack is a host of its own, of the same layers.
        let name = format!("upto{i}");
        let root = host.dir.path().join("var/lib/docker");
        for records in ["image", "containers"] {
            let _ = fs::remove_dir_all(root.join(records));
        }
        host.container(&name, &names[..=i]);
        let (_dir, case) = ingest(host.dir.path(), 0);
        let stack = &layers[STORY.len() - 1 - i..];
        let mounted = Mounted::new(stack).expect("mount");
        let all = rows(&case, &["container-files", "--container", &name]);
        equal(&shown(&all), &walked(&mounted.at()), &name);
        let below = Mounted::new(&stack[1..]).expect("mount");
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
    let sql = dof::query::find("whose").unwrap().sql;
    let mut stmt = db.prepare(&sql).unwrap();
    let columns: Vec<String> = stmt
        .column_names()
        .iter()
        .map(|c| (*c).to_owned())
        .collect();
    let at = |name: &str| columns.iter().position(|c| c == name).unwrap();
    let at = ["path", "file_id", "effective", "host_path"].map(at);
    let mut ask = |path: Option<&str>| -> Vec<(String, i64, Option<i64>, String)> {
        for (parameter, value) in [(":path", path), (":container", Some(name))] {
            let i = stmt.parameter_index(parameter).unwrap().unwrap();
            stmt.raw_bind_parameter(i, value).unwrap();
        }
        let mut rows = stmt.raw_query();
        let mut found = Vec::new();
        while let Some(r) = rows.next().unwrap() {
            let [path, file, effective, host] = at;
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
        let this = found.iter().find(|f| f.1 == *file);
        let this = this.unwrap_or_else(|| panic!("{host}: {found:?}"));
        assert_eq!((&this.0, this.2), (path, *shown), "{host}");
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

/// Extended attributes of a path as the kernel shows them, without overlayfs's and the system's own.
fn attributes(path: &Path) -> BTreeMap<String, String> {
    let ran = run(
        "getfattr",
        &[
            "-h",
            "-d",
            "-e",
            "hex",
            "-m",
            "-",
            "--absolute-names",
            path.to_str().unwrap(),
        ],
    );
    let out = ran.expect("getfattr").out;
    out.lines()
        .filter_map(|l| l.split_once('='))
        .filter(|(name, _)| !name.contains("overlay") && *name != "security.selinux")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Attributes and access control lists alone: nothing `docker diff` compares, and yet named; directories that were only
/// touched; and two names that are printed the same.
#[test]
fn attributes_and_names_that_docker_does_not_compare() {
    if !has(&[
        Need::Trusted,
        Need::Program("setfattr"),
        Need::Program("getfattr"),
    ]) {
        return;
    }
    let host = Host::new("overlay2");
    let (base, own) = (host.layer("base"), host.layer("own"));
    fs::create_dir_all(&base).unwrap();
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    shell(
        &base,
        "mkdir d d/sub touched changed acldir; for f in user acl both same gone d/in; do echo x > $f; done
         setfattr -n user.keep -v 1 same; setfattr -n user.gone -v 1 gone
         echo x > \"$(printf 'raw\\377')\"; echo x > 'raw\\xff'",
    );
    // The list user::rw-, user:7:rwx, group::r--, mask::rwx, other::r--: it makes the group's bits rwx.
    let list = "0x0200000001000600ffffffff020007000700000004000400ffffffff10000700ffffffff20000400ffffffff";
    shell(
        &base,
        &format!(
            "chmod 674 acl both; setfattr -n system.posix_acl_access -v {} both",
            list.replace("02000700", "02000600")
        ),
    );
    let work = folder();
    let [at, aside] = ["at", "aside"].map(|n| work.path().join(n));
    for dir in [&at, &aside] {
        fs::create_dir(dir).unwrap();
    }
    let made = Writable::new(work.path(), std::slice::from_ref(&base), &aside, &at).expect("mount");
    shell(
        &at,
        &format!(
            "setfattr -n user.evil -v 1 user; setfattr -n system.posix_acl_access -v {list} acl both; setfattr -n user.also -v 2 both
             chmod 600 same; chmod 644 same; setfattr -x user.gone gone; touch d/in; touch -r d d/in; chmod 640 d/in; chmod 644 d/in
             setfattr -n user.evil -v 1 d; setfattr -n system.posix_acl_default -v {list} acldir; touch touched; chmod 700 changed; chmod 755 changed
             chmod 600 raw*"
        ),
    );
    drop(made);
    fs::rename(&aside, &own).unwrap();
    host.container("c", &["base".into(), "own".into()]);
    let dir = folder();
    let case = dir.path().join("case.db");
    let [from, to] = [host.dir.path(), &case].map(|p| p.to_str().unwrap());
    dof(["ingest", "--hash", "sha256", from, to]).with(0);
    let found = rows(&case, &["drift"]);
    let [now, before] = [
        Mounted::new(&[own.clone(), base.clone()]).unwrap(),
        Mounted::new(std::slice::from_ref(&base)).unwrap(),
    ];
    let mut named = BTreeMap::new();
    for path in [
        "user", "acl", "both", "same", "gone", "d", "d/in", "acldir", "touched", "changed",
    ] {
        let [now, before] = [&now, &before].map(|m| attributes(&m.at().join(path)));
        let differ = |acl: bool| {
            let of = |all: &BTreeMap<String, String>| {
                let mut all = all.clone();
                all.retain(|name, _| name.starts_with("system.posix_acl_") == acl);
                all
            };
            of(&now) != of(&before)
        };
        let truth: Vec<&str> = [(differ(true), "acl"), (differ(false), "xattr")]
            .into_iter()
            .filter_map(|(is, word)| is.then_some(word))
            .collect();
        let row = found.iter().find(|r| r["path"] == format!("/{path}"));
        let row = row.unwrap_or_else(|| panic!("{path}: {found:?}"));
        let differs = str_of(row, "differs");
        let ours: Vec<&str> = differs
            .split(',')
            .filter(|d| ["acl", "xattr"].contains(d))
            .collect();
        assert_eq!(ours, truth, "{row}");
        let same = if row["type"] == "file" {
            1
        } else {
            i64::from(!truth.is_empty())
        };
        if row["change"] == "U" {
            assert_eq!(row["metadata_only"], same, "{row}");
        }
        named.insert(path, (str_of(row, "change"), differs));
    }
    let said = |change: &str, differs: &str| (change.to_owned(), differs.to_owned());
    for (path, truth) in [
        ("user", said("U", "xattr")),
        ("both", said("U", "acl,xattr")),
        ("gone", said("U", "xattr")),
        ("same", said("U", "")),
        ("d", said("U", "xattr")),
        ("acldir", said("U", "acl")),
        ("touched", said("U", "")),
        ("changed", said("U", "")),
    ] {
        assert_eq!(named[path], truth, "{path}");
    }
    let raw: Vec<_> = found
        .iter()
        .filter(|r| r["path"] == "/raw\\xff")
        .map(|r| str_of(r, "path_raw"))
        .collect();
    assert_eq!(
        raw.iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&String::new(), &"2f726177ff".into()]),
        "{raw:?}"
    );
    assert!(
        found
            .iter()
            .all(|r| r["path"] == "/raw\\xff" || r["path_raw"].is_null())
    );
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
    let host = Host::new("overlay2");
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
    host.container("c", &["base".into(), "upper".into()]);
    let mounted = Mounted::new(&[upper.clone(), base.clone()]).expect("mount");
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

/// What a layer has at a path.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Dir { opaque: bool, mode: u32 },
    File { size: u8, mode: u32, mtime: i64 },
    Link(bool),
    Whiteout,
}

type Layer = BTreeMap<String, Kind>;

/// An entry of the merged view: what it is, and the layer it comes from.
type View = BTreeMap<String, (Kind, usize)>;

fn kinds() -> impl Strategy<Value = Kind> {
    let mode = prop_oneof![Just(0o644u32), Just(0o755), Just(0o4755)];
    let of_dir = prop_oneof![4 => Just(0o755u32), 1 => Just(0o700)];
    prop_oneof![
        3 => (any::<bool>(), of_dir).prop_map(|(opaque, mode)| Kind::Dir { opaque, mode }),
        3 => (0u8..3, mode, 1_000i64..1_002).prop_map(|(size, mode, mtime)| Kind::File { size, mode, mtime }),
        1 => any::<bool>().prop_map(Kind::Link),
        3 => Just(Kind::Whiteout),
    ]
}

/// A layer: few names, so that layers meet. `b.d` sorts before `b/...`, and `%`, `_` and `[` mean something to SQL.
fn layer() -> impl Strategy<Value = Layer> {
    let name = prop_oneof![Just("a"), Just("b"), Just("b.d"), Just("[%_*]")];
    let path = prop::collection::vec(name, 1..4).prop_map(|n| format!("/{}", n.join("/")));
    prop::collection::vec((path, kinds()), 0..9).prop_map(|entries| {
        let mut layer = Layer::new();
        for (path, kind) in entries {
            let above: Vec<String> = path
                .match_indices('/')
                .skip(1)
                .map(|(i, _)| path[..i].to_owned())
                .collect();
            let blocked = above
                .iter()
                .any(|a| layer.get(a).is_some_and(|k| !matches!(k, Kind::Dir { .. })));
            if blocked || layer.contains_key(&path) {
                continue;
            }
            for a in above {
                layer.entry(a).or_insert(Kind::Dir {
                    opaque: false,
                    mode: 0o755,
                });
            }
            layer.insert(path, kind);
        }
        layer
    })
}

/// The plain model: layers one over the other, base first.
fn merged(layers: &[Layer]) -> View {
    let mut view = View::new();
    for (i, layer) in layers.iter().enumerate() {
        for (path, kind) in layer {
            let below = format!("{path}/");
            let was_dir = matches!(view.get(path), Some((Kind::Dir { .. }, _)));
            if !was_dir || !matches!(kind, Kind::Dir { opaque: false, .. }) {
                // What this layer itself has below comes later, in the order of paths.
                view.retain(|p, (_, from)| !p.starts_with(&below) || *from == i);
            }
            match kind {
                Kind::Whiteout => drop(view.remove(path)),
                _ => drop(view.insert(path.clone(), (kind.clone(), i))),
            }
        }
    }
    view
}

/// Writes a layer. By name, so that neither root nor a kernel that marks like this is needed, or as overlayfs does.
fn build(layer: &Layer, at: &Path, by_name: bool) {
    fs::create_dir_all(at).unwrap();
    for (path, kind) in layer {
        let path = at.join(&path[1..]);
        match kind {
            Kind::Dir { opaque, mode } => {
                fs::create_dir(&path).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                if *opaque && by_name {
                    fs::write(path.join(".wh..wh..opq"), "").unwrap();
                } else if *opaque {
                    let flags = rustix::fs::XattrFlags::empty();
                    rustix::fs::setxattr(&path, "trusted.overlay.opaque", b"y", flags).unwrap();
                }
            }
            Kind::File { size, mode, mtime } => {
                fs::write(&path, vec![b'x'; *size as usize]).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                set_mtime(&path, *mtime);
            }
            Kind::Link(to) => {
                std::os::unix::fs::symlink(if *to { "a" } else { "../b" }, &path).unwrap();
                set_mtime(&path, 1_000);
            }
            Kind::Whiteout if by_name => {
                let name = path.file_name().unwrap().to_str().unwrap();
                fs::write(path.with_file_name(format!(".wh.{name}")), "").unwrap();
            }
            Kind::Whiteout => {
                let mode = rustix::fs::Mode::empty();
                rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::CharacterDevice, mode, 0)
                    .unwrap();
            }
        }
    }
}

fn set_mtime(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 7,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn holds(stacks: &[Vec<Layer>], by_name: bool) {
    let host = Host::new(if by_name {
        "fuse-overlayfs"
    } else {
        "overlay2"
    });
    for (s, stack) in stacks.iter().enumerate() {
        let names: Vec<String> = (0..stack.len()).map(|i| format!("s{s}l{i}")).collect();
        for (layer, name) in stack.iter().zip(&names) {
            build(layer, &host.layer(name), by_name);
        }
        host.container(&format!("c{s}"), &names);
    }
    let (_dir, case) = ingest(host.dir.path(), 0);
    let files = rows(&case, &["container-files"]);
    let drifts = rows(&case, &["drift"]);
    let images = rows(&case, &["image-files"]);
    let whose = rows(&case, &["whose"]);
    let of = |all: &[Value], column: &str, name: &str| -> Vec<Value> {
        all.iter().filter(|r| r[column] == name).cloned().collect()
    };
    for (s, stack) in stacks.iter().enumerate() {
        let name = format!("c{s}");
        let what = format!("{name} {stack:?}");
        let kind = |k: &Kind| match k {
            Kind::Dir { .. } => "directory",
            Kind::File { .. } => "file",
            Kind::Link(_) => "symlink",
            Kind::Whiteout => "whiteout",
        };
        let model = |view: &View| -> BTreeMap<String, String> {
            let place = |(k, i): &(Kind, usize)| format!("{} s{s}l{i}", kind(k));
            view.iter().map(|(p, v)| (p.clone(), place(v))).collect()
        };
        let ours = |rows: Vec<Value>| -> BTreeMap<String, String> {
            let row = |r: &Value| {
                (
                    str_of(r, "path"),
                    format!("{} {}", str_of(r, "type"), str_of(r, "layer")),
                )
            };
            rows.iter().map(row).filter(|(p, _)| p != "/").collect()
        };
        let now = merged(stack);
        let before = merged(&stack[..stack.len() - 1]);
        equal(&ours(of(&files, "container", &name)), &model(&now), &what);
        let differ = |(n, _): &(Kind, usize), (o, _): &(Kind, usize)| match (n, o) {
            (Kind::Dir { mode: n, .. }, Kind::Dir { mode: o, .. }) => n != o,
            (Kind::Link(n), Kind::Link(o)) => n != o, // their lengths differ
            _ => n != o,
        };
        let is_dir = |v: &(Kind, usize)| matches!(v.0, Kind::Dir { .. });
        let mut truth = changes(&now, &before, is_dir, differ);
        let mut found = drift(&of(&drifts, "container", &name));
        equal(&found, &truth, &format!("changes of {what}"));
        // What the top layer has and is no change: files, and directories that hold nothing there.
        let own = &stack[stack.len() - 1];
        let filled = |p: &str| own.keys().any(|k| k.starts_with(&format!("{p}/")));
        let copied: BTreeSet<String> = now
            .iter()
            .filter(|(p, (k, i))| {
                let here = *i == stack.len() - 1 && before.contains_key(*p);
                here && !truth.contains_key(*p) && !(matches!(k, Kind::Dir { .. }) && filled(p))
            })
            .map(|(p, _)| p.clone())
            .collect();
        assert_eq!(unlisted(&of(&drifts, "container", &name)), copied, "{what}");
        let image: String = one(
            &open(&case),
            &format!("SELECT image_full_id FROM container WHERE name = '{name}'"),
        );
        if stack.len() > 1 {
            equal(
                &ours(of(&images, "image", &image)),
                &model(&before),
                &format!("image of {what}"),
            );
        }
        // Whose file: effective is what the view has.
        let ids = |rows: Vec<Value>| -> BTreeMap<String, i64> {
            let row = |r: &Value| (str_of(r, "path"), r["file_id"].as_i64().unwrap());
            rows.iter().map(row).collect()
        };
        let mut effective = of(&whose, "container", &name);
        effective.retain(|r| r["effective"] == 1);
        assert_eq!(effective.len(), now.len() + 1, "one is effective, {what}");
        let seen = ids(of(&files, "container", &name));
        equal(&ids(effective), &seen, &format!("whose, {what}"));
        if by_name {
            continue;
        }
        // The kernel, and what dof's own merging in Rust shows is that of the kernel too (export.rs).
        let paths: Vec<PathBuf> = (0..stack.len())
            .rev()
            .map(|i| host.layer(&format!("s{s}l{i}")))
            .collect();
        let mounted = Mounted::new(&paths).unwrap();
        let all = shown(&of(&files, "container", &name));
        equal(&all, &walked(&mounted.at()), &format!("kernel, {what}"));
        let below = Mounted::new(&paths[1..]).unwrap();
        truth = diff(&mounted.at(), &below.at());
        found = drift(&of(&drifts, "container", &name));
        equal(&found, &truth, &format!("kernel, changes of {what}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random stacks of layers, their deletions marked by names: the view and its changes are the model's.
    #[test]
    fn random_stacks_are_the_models(stacks in prop::collection::vec(prop::collection::vec(layer(), 1..6), 1..8)) {
        holds(&stacks, true);
    }

    /// The same, marked as overlayfs does: they are the model's and the kernel's.
    #[test]
    fn random_stacks_are_the_kernels(stacks in prop::collection::vec(prop::collection::vec(layer(), 1..6), 1..8)) {
        if !has(&[Need::Mounts("overlay")]) {
            return Ok(());
        }
        holds(&stacks, false);
    }
}

/// The image of the live test: what the container then changes.
const IMAGE: &str = r#"
mkdir -p bin etc tmp proc sys dev gone/x/y opq/old2 swapdf/in ren/deep data var/lib/app "$(printf 'dir\377')" run
ln -s /run var/run
cp /bin/busybox bin/busybox; for a in sh rm mkdir mv ln chmod touch; do ln -s busybox bin/$a; done
for f in del mode owner same copied cap size mtime; do echo $f > etc/$f; done
cp etc/size etc/exec; chmod 755 etc/exec; chmod 644 etc/cap
echo x > gone/x/y/z; echo x > opq/old1; echo x > opq/old2/x; echo x > swapfd; echo x > swapdf/in/f; echo x > ren/deep/f; echo x > ren/f
for f in back backexec; do echo good > etc/$f; done; chmod 755 etc/backexec; mkdir etc/used
echo x > hl1; ln hl1 hl3; echo x > data/hidden; mkdir data/sub; echo x > data/sub/hidden
echo raw > "$(printf 'bad\377')"; echo raw > "$(printf 'dir\377')/file"; echo x > 'bad\xff'; echo x > '%_['; ln -s etc/del link; mkfifo fifo
p=deep; for i in $(seq 200); do p=$p/d$i; done; mkdir -p $p; echo x > $p/bottom
truncate -s 30M sparse
"#;

/// Every kind of change a container can make.
const CHANGES: &str = r#"
rm /etc/del; rm -r /gone; rm -r /opq; mkdir /opq; echo n > /opq/new; rm /swapfd; mkdir /swapfd; echo n > /swapfd/f; rm -r /swapdf; echo n > /swapdf
chmod 4600 /etc/mode; busybox chown 5:6 /etc/owner; chmod 600 /etc/copied; chmod 644 /etc/copied; echo longer than before > /etc/size; busybox touch -d '2020-01-02 03:04:05' /etc/mtime
echo other > /etc/exec; mv /ren /ren2; echo n > /ren2/n; ln /hl1 /hl2; rm "$(printf 'bad\377')"; echo n > "$(printf 'new\377')"; echo other > 'new\xff'; echo more >> "$(printf 'dir\377')/file"
p=/deep; for i in $(busybox seq 200); do p=$p/d$i; done; echo n > $p/added; busybox truncate -s 50M /sparse2; busybox dd if=/dev/zero of=/large bs=1048576 count=9 2>/dev/null
rm /link; ln -s /etc/same /link; rm /fifo; busybox mkfifo /fifo; busybox mknod /tmp/null c 1 3; cp=busybox; busybox cp /bin/busybox /tmp/suid; chmod 6755 /tmp/suid; touch '/%_[2'; chmod 700 /var/lib/app
for f in back backexec; do busybox touch -r /etc/$f /tmp/$f; echo evil > /etc/$f; busybox touch -r /tmp/$f /etc/$f; done
touch /etc/used/now; rm /etc/used/now
echo n > /data/volume-file; echo n > /run/gone-with-memory
"#;

#[test]
fn a_live_container_with_every_kind_of_change() {
    if !has(&[
        Need::Engine,
        Need::Program("setfattr"),
        Need::Program("getfattr"),
    ]) {
        return;
    }
    let mut engine = Engine::start("views").expect("an engine");
    let tree = engine.scratch().join("tree");
    fs::create_dir(&tree).unwrap();
    shell(&tree, IMAGE);
    let tar = |dir: &Path, what: &str| {
        std::process::Command::new("tar")
            .args(["--xattrs", "--xattrs-include=*", "-C"])
            .arg(dir)
            .args(["-c", what])
            .output()
            .unwrap()
            .stdout
    };
    engine
        .docker_in(&["import", "-", "every:1"], &tar(&tree, "."))
        .text();
    // A second layer of the image, which deletes, replaces and adds too.
    engine
        .docker(&["run", "--name", "builder", "every:1", "sh", "-c", "rm -r /data/sub; echo 2 > /data/sub; rm /etc/same; echo 2 > /etc/same; mkdir /second; echo x > /second/f"])
        .text();
    engine.docker(&["commit", "builder", "every:2"]).text();
    engine
        .docker(&[
            "create",
            "--name",
            "every",
            "-v",
            "things:/data",
            "--tmpfs",
            "/var/run",
            "every:2",
            "sh",
            "-c",
            CHANGES,
        ])
        .text();
    engine.docker(&["start", "-a", "every"]).text();
    // Attributes only: a file capability, and a note of an attacker's. busybox cannot set them, an archive can.
    let cap = engine.scratch().join("cap");
    fs::create_dir(&cap).unwrap();
    fs::copy(tree.join("etc/cap"), cap.join("cap")).unwrap();
    shell(
        &cap,
        "touch -r ../tree/etc/cap cap; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 cap; cp cap noted; setfattr -n user.note -v evil noted; chmod 755 noted",
    );
    for file in ["cap", "noted"] {
        let copied = engine.docker_in(&["cp", "-", "every:/etc"], &tar(&cap, file));
        assert!(copied.ok, "{copied:?}");
    }
    let said = engine.api("/containers/every/changes");
    let truth: BTreeMap<String, String> = said
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                str_of(c, "Path"),
                ["C", "A", "D"][c["Kind"].as_u64().unwrap() as usize].to_owned(),
            )
        })
        .collect();
    engine.kill();
    engine.install_binaries().expect("binaries");
    let (_dir, case) = ingest(&engine.root(), 0);
    let changed = rows(&case, &["drift", "--container", "every"]);
    let listed: Vec<&Value> = changed.iter().filter(|r| r["change"] != "U").collect();

    // Names that are not UTF-8 reach JSON as U+FFFD, and the case as \xNN.
    let as_json: BTreeMap<String, String> = listed
        .iter()
        .map(|r| {
            let raw = ["/new\\xff", "/bad\\xff", "/dir\\xff"];
            let path = str_of(r, "path");
            let is_raw = r["file_id"].is_null() || one::<bool>(&open(&case), &format!("SELECT max(name_raw IS NOT NULL OR dir_id IN (SELECT id FROM directory WHERE path_raw IS NOT NULL)) FROM file WHERE id = {}", r["file_id"]));
            let path = if is_raw && raw.iter().any(|p| path.starts_with(p)) { path.replace("\\xff", "\u{fffd}") } else { path };
            (path, str_of(r, "change"))
        })
        .collect();
    equal(&as_json, &truth, "docker diff");
    assert_eq!(
        listed.len(),
        truth.len(),
        "both names of one printed form are there"
    );
    assert_eq!(truth["/etc/cap"], "C", "a capability alone is a change");
    assert!(
        !truth.contains_key("/etc/copied"),
        "copied up and as it was"
    );

    // What docker diff does not say.
    let of = |path: &str| {
        changed
            .iter()
            .find(|r| r["path"] == path)
            .unwrap_or_else(|| panic!("{path}"))
            .clone()
    };
    for (path, differs, only) in [
        ("/etc/mode", "mode", 1),
        ("/etc/owner", "owner", 1),
        ("/etc/cap", "capability", 1),
        ("/etc/mtime", "mtime", 0),
        ("/etc/size", "size,mtime", 0),
        ("/var/lib/app", "mode", 1),
        ("/etc", "children", 0),
    ] {
        let row = of(path);
        assert_eq!(
            (str_of(&row, "differs"), row["metadata_only"].as_i64()),
            (differs.to_owned(), Some(only)),
            "{row}"
        );
    }
    the_unlisted(&engine.root(), &changed);
    let row = of("/swapdf");
    assert_eq!(
        (str_of(&row, "type"), str_of(&row, "type_before")),
        ("file".into(), "directory".into())
    );
    for (path, executable, gained) in [
        ("/tmp/suid", "new", "setuid,setgid"),
        ("/etc/exec", "replaced", ""),
        ("/etc/mode", "", "setuid"),
        ("/etc/cap", "", "capability"),
        ("/etc/noted", "new", ""),
    ] {
        let row = of(path);
        assert_eq!(
            (str_of(&row, "executable"), str_of(&row, "gained")),
            (executable.into(), gained.into()),
            "{row}"
        );
    }
    assert_eq!(
        str_of(&of("/etc/cap"), "capability"),
        "0100000200040000000000000000000000000000"
    );
    let before = fs::metadata(tree.join("etc/mode")).unwrap();
    let row = of("/etc/mode");
    assert_eq!(
        (str_of(&row, "mode"), str_of(&row, "mode_before")),
        ("4600".into(), format!("{:04o}", before.mode() & 0o7777))
    );
    assert_eq!(row["size_before"], before.size());
    let note: String = one(
        &open(&case),
        "SELECT CAST(x.value AS TEXT) FROM file_xattr x JOIN file f ON f.id = x.file_id WHERE x.name = 'user.note' AND f.name = 'noted'",
    );
    assert_eq!(note, "evil");

    // The merged view is what the kernel shows of the same layers, as the driver's own file lists them.
    let db = open(&case);
    let layer = |sql: &str| -> String { one(&db, sql) };
    let own = layer(
        "SELECT l.host_path FROM layer l JOIN container c ON c.layer_id = l.id WHERE c.name = 'every'",
    );
    let lower = layer(
        "SELECT l.lower FROM layer l JOIN container c ON c.layer_id = l.id WHERE c.name = 'every'",
    );
    let data = engine.data_root().join("overlay2");
    let stack: Vec<PathBuf> = [engine.root().join(&own[1..])]
        .into_iter()
        .chain(
            lower
                .split(':')
                .map(|l| data.join(l).canonicalize().unwrap()),
        )
        .collect();
    assert_eq!(stack.len(), 4, "own, init, two of the image");
    let mounted = Mounted::new(&stack).unwrap();
    let all = rows(&case, &["container-files", "--container", "every"]);
    let (things, of_layers): (Vec<Value>, Vec<Value>) =
        all.into_iter().partition(|r| r["role"] == "volume");
    equal(
        &shown(&of_layers),
        &walked(&mounted.at()),
        "the kernel's view",
    );

    // The volume, and what it and the tmpfs hide. /var/run is a link to /run.
    let volume = engine.data_root().join("volumes/things/_data");
    let placed: BTreeMap<String, BTreeSet<String>> = walked(&volume)
        .into_iter()
        .map(|(p, v)| (format!("/data{}", p.trim_end_matches('/')), v))
        .collect();
    equal(&shown(&things), &placed, "the volume");
    assert!(
        placed.contains_key("/data/volume-file") && placed.contains_key("/data/sub"),
        "{placed:?}"
    );
    for row in &of_layers {
        let path = str_of(row, "path");
        let under = |place: &str| path == place || path.starts_with(&format!("{place}/"));
        let hidden = if under("/data") {
            "/data (volume things)"
        } else if under("/run") {
            "/run (tmpfs)"
        } else {
            ""
        };
        assert_eq!(str_of(row, "hidden_by"), hidden, "{row}");
    }
    assert!(
        things
            .iter()
            .all(|r| r["hidden_by"].is_null() && r["layer"] == "things")
    );
    let some = rows(
        &case,
        &[
            "container-files",
            "--container",
            "every",
            "--path",
            "/data/*",
        ],
    );
    assert_eq!(
        some.len(),
        things.len() - 1
            + of_layers
                .iter()
                .filter(|r| str_of(r, "path").starts_with("/data/"))
                .count()
    );

    // Whose: what is effective is what the merged view has, for every path, in every layer.
    let mut effective: BTreeMap<String, i64> = BTreeMap::new();
    for r in rows(&case, &["whose", "--container", "every"])
        .iter()
        .filter(|r| r["effective"] == 1)
    {
        let twice = effective.insert(str_of(r, "path"), r["file_id"].as_i64().unwrap());
        assert!(
            twice.is_none() || str_of(r, "path").contains("\\xff"),
            "{r}"
        );
    }
    let visible: BTreeMap<String, i64> = things
        .iter()
        .chain(&of_layers)
        .filter(|r| r["hidden_by"].is_null())
        .map(|r| (str_of(r, "path"), r["file_id"].as_i64().unwrap()))
        .collect();
    equal(&effective, &visible, "whose");
    let versions = rows(
        &case,
        &["whose", "--path", "/etc/same", "--container", "every"],
    );
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert_eq!(
        (&versions[0]["effective"], &versions[1]["effective"]),
        (&1.into(), &0.into())
    );
    assert!(
        str_of(&versions[1], "hidden_by").contains(&str_of(&versions[0], "layer")),
        "{versions:?}"
    );
    let deleted = rows(
        &case,
        &["whose", "--path", "/etc/del", "--container", "every"],
    );
    assert_eq!(
        deleted
            .iter()
            .map(|r| str_of(r, "hidden_by").ends_with("whiteout")
                || str_of(r, "hidden_by").ends_with("(whiteout)"))
            .collect::<Vec<_>>(),
        [true, true],
        "{deleted:?}"
    );
    // From a host path, and back.
    let host_path = format!("{own}/tmp/suid");
    for asked in [
        host_path.as_str(),
        "diff/tmp/suid",
        "/var/lib/docker/*/tmp/su?d",
        "/tmp/suid",
    ] {
        let found = rows(&case, &["whose", "--path", asked]);
        assert_eq!(found.len(), 1, "{asked}: {found:?}");
        assert_eq!(
            (
                str_of(&found[0], "container"),
                str_of(&found[0], "path"),
                str_of(&found[0], "host_path")
            ),
            ("every".into(), "/tmp/suid".into(), host_path.clone())
        );
    }
    let found = rows(
        &case,
        &[
            "whose",
            "--path",
            "/var/lib/docker/volumes/things/_data/volume-file",
        ],
    );
    assert_eq!(
        (
            found.len(),
            str_of(&found[0], "path"),
            &found[0]["effective"]
        ),
        (1, "/data/volume-file".into(), &1.into())
    );
}

/// What `docker diff` does not list of the live container: in its layer, and as it was, or as if. `changed` is without hashes.
fn the_unlisted(host: &Path, changed: &[Value]) {
    let paths = [
        "/etc/back",
        "/etc/backexec",
        "/etc/copied",
        "/etc/used",
        "/hl1",
    ]; // hl1: another name was made

    let all: BTreeSet<String> = paths.iter().map(|p| (*p).to_owned()).collect();
    assert_eq!(unlisted(changed), all);
    let dir = folder();
    let case = dir.path().join("case.db");
    let [host, case] = [host, &case].map(|p| p.to_str().unwrap());
    dof(["ingest", "--hash", "sha256", host, case]).with(0);
    let hashed = rows(Path::new(case), &["drift", "--container", "every"]);
    assert_eq!((unlisted(&hashed), hashed.len()), (all, changed.len()));
    let said = |rows: &[Value], path: &str| {
        let row = rows.iter().find(|r| r["path"] == path).unwrap();
        if row["change"] == "U" && path != "/etc/used" {
            assert_eq!(row["mtime"], row["mtime_before"], "{row}");
            assert!(str_of(row, "ctime") > str_of(row, "ctime_before"), "{row}");
        }
        let columns = ["differs", "same_content", "metadata_only", "executable"];
        Value::from(columns.map(|c| row[c].clone()).to_vec())
    };
    use serde_json::json;
    for (path, without, with) in [
        (
            "/etc/back",
            json!([null, null, null, null]),
            json!(["content", 0, 0, null]),
        ),
        (
            "/etc/backexec",
            json!([null, null, null, null]),
            json!(["content", 0, 0, "replaced"]),
        ),
        (
            "/etc/copied",
            json!([null, null, null, null]),
            json!([null, 1, 1, null]),
        ),
        (
            "/etc/used",
            json!([null, null, 0, null]),
            json!([null, null, 0, null]),
        ),
        (
            "/etc/mtime",
            json!(["mtime", null, 0, null]),
            json!(["mtime", 1, 1, null]),
        ),
        (
            "/etc/mode",
            json!(["mode", null, 1, null]),
            json!(["mode", 1, 1, null]),
        ),
        (
            "/etc/exec",
            json!(["size,mtime", null, 0, "replaced"]),
            json!(["size,content,mtime", 0, 0, "replaced"]),
        ),
    ] {
        assert_eq!(said(changed, path), without, "{path}");
        assert_eq!(said(&hashed, path), with, "{path}, hashed");
    }
}

/// On a driver of full copies each file is another than before: only contents tell.
#[test]
fn a_full_copy_is_no_copy_up() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (host, _) = crate::oracle::recorded("vfs-docker20");
    let (_dir, case) = ingest(host.path(), 0);
    let all = rows(&case, &["drift"]);
    assert!(unlisted(&all).is_empty() && all.len() > 5, "{}", all.len());
    // A file that is as its image has it, written over with its time set back.
    let path: String = one(
        &open(&case),
        "SELECT l.host_path || '/bin/busybox' FROM container c JOIN layer l ON l.id = c.layer_id WHERE c.name = 'front'",
    );
    let path = host.path().join(&path[1..]);
    let meta = fs::metadata(&path).unwrap();
    let mut content = fs::read(&path).unwrap();
    content[99] ^= 1;
    fs::write(&path, content).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    let (_dir, case) = ingest(host.path(), 0);
    assert!(unlisted(&rows(&case, &["drift"])).is_empty(), "no hashes");
    let case = folder();
    let case = case.path().join("case.db");
    let [mount, file] = [host.path(), &case].map(|p| p.to_str().unwrap());
    dof(["ingest", "--hash", "sha256", mount, file]).with(0);
    let found = rows(&case, &["drift"]);
    let found: Vec<&Value> = found.iter().filter(|r| r["change"] == "U").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["path"], &found[0]["executable"]),
        (&"/bin/busybox".into(), &"replaced".into())
    );
}

/// With volumes and bind sources at their places: what is not hidden is what the mounted containers show. Returns how many
/// containers there are, and how many of them with something mounted.
fn as_mounted(mount: &Path) -> (usize, usize) {
    let (_case_dir, case) = ingest(mount, 0);
    let dir = folder();
    let _undo = crate::mount::Mounted(dir.path());
    let at = dir.path().to_str().unwrap();
    let mount = mount.to_str().unwrap();
    let ran = dof(["mount-container", "--all", "--at-mountpoint", at, mount]);
    let (mut compared, mut mounts) = (0, 0);
    for (name, place) in crate::mount::whole(&ran) {
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
        let (host, _) = crate::oracle::recorded(name);
        let (containers, _) = as_mounted(host.path());
        assert!(containers > 1, "{name}: {containers}");
    }
}

/// A path that is given whole is searched for, and one container costs what it costs: no step of the plans walks all files.
#[test]
fn what_is_asked_for_is_searched_not_scanned() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    for name in ["container-files", "image-files", "drift", "whose"] {
        let sql = dof::query::find(name).unwrap().sql;
        let mut stmt = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut plan: Vec<String> = Vec::new();
        let mut steps = stmt.raw_query();
        while let Some(row) = steps.next().unwrap() {
            plan.push(row.get(3).unwrap());
        }
        for step in &plan {
            let scanned = step.strip_prefix("SCAN ").unwrap_or_default();
            let big = [
                "f",
                "g",
                "n",
                "o",
                "d",
                "sd",
                "cl",
                "il",
                "file",
                "directory",
            ];
            assert!(!big.contains(&scanned), "{name}: {step}\n{plan:#?}");
            let lacks =
                step.contains("AUTOMATIC") && !step.contains(" b ") && !step.contains(" q ");
            assert!(!lacks || name == "whose", "{name}: {step}\n{plan:#?}");
        }
        let searched = |what: &str| plan.iter().any(|s| s.contains(what));
        let run = "f USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
        assert!(searched(run), "{name}: {plan:#?}");
        let by_path = "directory_path (tree_id=? AND path=?)";
        assert!(searched(by_path), "{name}: {plan:#?}");
    }
}

/// What hides a version is the topmost layer's entry that does, of its path or above it; the rules are overlayfs's.
#[test]
fn what_hides_a_version() {
    let host = Host::new("fuse-overlayfs");
    let file = |layer: &str, path: &str| {
        let path = host.layer(layer).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    for path in ["a", "b", "dir/x", "o/y"] {
        file("base", path);
    }
    for path in ["a", "dir"] {
        file("mid", path);
    }
    for path in ["a", ".wh.b", "o/.wh..wh..opq"] {
        file("own", path);
    }
    host.container("c", &["base".into(), "mid".into(), "own".into()]);
    let (_dir, case) = ingest(host.dir.path(), 0);
    let hidden = |path: &str| -> Vec<(String, Option<String>)> {
        rows(&case, &["whose", "--container", "c", "--path", path])
            .iter()
            .map(|r| {
                (
                    str_of(r, "layer"),
                    r["hidden_by"].as_str().map(str::to_owned),
                )
            })
            .collect()
    };
    let version = |layer: &str, by: &str| (layer.to_owned(), Some(by.to_owned()));
    assert_eq!(
        hidden("/a"),
        [
            ("own".into(), None),
            version("mid", "own /a (file)"),
            version("base", "own /a (file)")
        ]
    );
    let by_mark = [
        version("own", "whiteout"),
        version("base", "own /b (whiteout)"),
    ];
    assert_eq!(hidden("/b"), by_mark);
    assert_eq!(hidden("/dir/x"), [version("base", "mid /dir (file)")]);
    assert_eq!(hidden("/o/y"), [version("base", "own /o (opaque)")]);
}

/// What a redirect brings along without taking it away stands at two paths (only a disk made for it has that). Asked for at
/// either it is told of at both, as the kernel's overlay mount shows it; asked for by a name alone it is told of once each.
#[test]
fn a_file_at_two_paths() {
    if !has(&[Need::Mounts("overlay")]) {
        return;
    }
    let host = Host::new("overlay2");
    let base = host.layer("base");
    fs::create_dir_all(base.join("etc/deep")).unwrap();
    for path in ["etc/a", "etc/deep/b"] {
        fs::write(base.join(path), "").unwrap();
    }
    let own = host.layer("own");
    fs::create_dir_all(own.join("twin")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(own.join("twin"), "trusted.overlay.redirect", b"/etc", flags).unwrap();
    host.container("c", &["base".into(), "own".into()]);
    let merged = tempfile::tempdir().unwrap();
    let options = format!(
        "ro,redirect_dir=follow,lowerdir={}:{}",
        own.display(),
        base.display()
    );
    let at = merged.path().to_str().unwrap();
    run("mount", &["-t", "overlay", "overlay", "-o", &options, at]);
    let both = [["/etc/a", "/twin/a"], ["/etc/deep/b", "/twin/deep/b"]];
    let there = both
        .as_flattened()
        .iter()
        .filter(|path| merged.path().join(&path[1..]).exists())
        .count();
    run("umount", &[at]);
    assert_eq!(there, 4, "the kernel shows each twice");
    let (_dir, case) = ingest(host.dir.path(), 0);
    let places = |path: &str| -> Vec<String> {
        rows(&case, &["whose", "--container", "c", "--path", path])
            .iter()
            .filter(|r| r["effective"] == 1 && r["type"] == "file")
            .map(|r| str_of(r, "path"))
            .collect()
    };
    for both in both {
        for path in both {
            assert_eq!(places(path), both, "{path}");
        }
    }
    for pattern in ["/twin/*", "/etc/*", "*/diff/etc*"] {
        assert_eq!(
            places(pattern),
            ["/etc/a", "/etc/deep/b", "/twin/a", "/twin/deep/b"],
            "{pattern}"
        );
    }
}

/// A file of a mount is hidden by what is mounted above it, and by nothing beside it, whose name only begins alike.
#[test]
fn what_hides_a_file_of_a_mount() {
    let host = Host::new("overlay2");
    for path in ["srv/a/sub/f", "srv/a/sub0", "srv/b/g", "srv/c/h"] {
        host.write(path, "");
    }
    fs::create_dir_all(host.layer("own")).unwrap();
    host.container("c", &["own".into()]);
    let binds = [
        ("/srv/a", "/data"),
        ("/srv/b", "/data/sub"),
        ("/srv/c", "/data0"),
    ];
    host.bind("c", &binds.map(|(from, at)| (from.into(), at.into())));
    let (_dir, case) = ingest(host.dir.path(), 0);
    let hidden: BTreeMap<String, String> = rows(&case, &["container-files", "--container", "c"])
        .iter()
        .filter(|r| !r["hidden_by"].is_null())
        .map(|r| (str_of(r, "path"), str_of(r, "hidden_by")))
        .collect();
    let by = "/data/sub (bind /srv/b)".to_owned();
    let truth = ["/data/sub", "/data/sub/f"].map(|path| (path.to_owned(), by.clone()));
    assert_eq!(hidden, BTreeMap::from(truth));
    let listed: BTreeSet<String> = rows(&case, &["macrobber-volumes", "--container", "c"])
        .iter()
        .map(|r| str_of(r, "path"))
        .collect();
    let truth = [
        "/data",
        "/data/sub (hidden)",
        "/data/sub/f (hidden)",
        "/data/sub0",
        "/data/sub",
        "/data/sub/g",
        "/data0",
        "/data0/h",
    ];
    assert_eq!(listed, truth.map(String::from).into());
}

/// A link of one container's leads to what that one has mounted, not to the same in others.
#[test]
fn a_link_to_a_mount_is_its_containers() {
    let host = Host::new("overlay2");
    host.write("srv/v/f", "");
    for (name, at) in [("a", "/data"), ("b", "/data"), ("c", "/other")] {
        let own = host.layer(name);
        fs::create_dir_all(&own).unwrap();
        if name == "a" {
            std::os::unix::fs::symlink("/data", own.join("link")).unwrap();
        }
        host.container(name, &[name.into()]);
        host.bind(name, &[("/srv/v".into(), at.into())]);
    }
    let (_dir, case) = ingest(host.dir.path(), 0);
    let seen = |path: &str| -> BTreeSet<(String, String)> {
        rows(&case, &["whose", "--path", path])
            .iter()
            .map(|r| (str_of(r, "container"), str_of(r, "path")))
            .collect()
    };
    let at = |container: &str, path: &str| (container.to_owned(), path.to_owned());
    assert_eq!(seen("/link/f"), [at("a", "/data/f")].into());
    // Asked for where it is, it is everybody's who has it, wherever that is.
    let all = [at("a", "/data/f"), at("b", "/data/f"), at("c", "/other/f")];
    assert_eq!(seen("/data/f"), all.into());
}

/// What a query of one column gives.
fn texts(db: &rusqlite::Connection, sql: &str) -> BTreeSet<String> {
    let mut stmt = db.prepare(sql).unwrap();
    let rows = stmt.query_map([], |r| r.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Trees within trees are seen sixteen levels deep; that there are deeper ones is a problem, and only then.
#[test]
fn mounts_within_mounts_have_a_limit() {
    for (levels, code) in [(16, 0), (20, 1)] {
        let host = Host::new("overlay2");
        fs::create_dir_all(host.layer("own")).unwrap();
        let nested: Vec<String> = (1..=levels).map(|n| "/d".repeat(n)).collect();
        fs::create_dir_all(host.dir.path().join(format!("srv{}", nested[levels - 1]))).unwrap();
        for (name, binds) in [("outer", &[String::new()][..]), ("inner", &nested)] {
            host.container(name, &["own".into()]);
            let binds: Vec<_> = binds
                .iter()
                .map(|below| (format!("/srv{below}"), format!("/{name}{below}")))
                .collect();
            host.bind(name, &binds);
        }
        let (_dir, case) = ingest(host.dir.path(), code);
        let db = open(&case);
        let ours = texts(
            &db,
            "SELECT place FROM mount_place m JOIN container c ON c.id = m.container_id WHERE c.name = 'outer' AND m.kind = 'nested'",
        );
        let truth: BTreeSet<String> = nested[..16].iter().map(|p| format!("/outer{p}")).collect();
        assert_eq!(ours, truth);
        let problems: i64 = db
            .query_row("SELECT count(*) FROM problem WHERE what LIKE 'seen in containers through mounts%' AND path LIKE '/srv/d/d/%'", [], |r| r.get(0))
            .unwrap();
        assert_eq!(problems, i64::from(code));
    }
}

/// Links of the layers on the way to the place of a mount are followed as the topmost layer has them, and never for ever.
#[test]
fn the_places_of_mounts() {
    places_of_mounts(0);
    // Names in large directories are looked up another way when there are many mounts.
    places_of_mounts(2_000);
}

/// With as many further entries in each directory, and three times as many further mounts.
fn places_of_mounts(further: usize) {
    use std::os::unix::fs::symlink;
    let host = Host::new("fuse-overlayfs");
    let (base, own) = (host.layer("base"), host.layer("own"));
    for dir in [base.join("var/lib"), base.join("opt"), own.join("opt")] {
        fs::create_dir_all(dir).unwrap();
    }
    symlink("../run", base.join("var/run")).unwrap();
    symlink("/circle", base.join("circle")).unwrap();
    symlink("/var/run/deep", base.join("chain")).unwrap();
    symlink("/nowhere", base.join("opt/old")).unwrap();
    fs::write(own.join("opt/.wh..wh..opq"), "").unwrap();
    for dir in ["", "var", "opt"] {
        for n in 0..further {
            fs::write(base.join(dir).join(format!("further-{n}")), "").unwrap();
        }
    }
    host.container("c", &["base".into(), "own".into()]);
    let places = [
        ("/var/run", "/run"),
        ("/var/run/x/", "/run/x"),
        ("/chain/../y", "/run/y"),
        ("/circle/z", "/circle/z"),
        ("/opt/old/w", "/opt/old/w"),
        ("/not/there", "/not/there"),
    ];
    let tmpfs: serde_json::Map<String, Value> = places
        .iter()
        .map(|(p, _)| (*p).to_owned())
        .chain((0..3 * further).map(|n| format!("/further/{n}")))
        .map(|p| (p, "".into()))
        .collect();
    let hostconfig = serde_json::json!({ "Tmpfs": tmpfs }).to_string();
    let id = format!("{:x}", Sha256::digest(b"c"));
    host.write(
        &format!("var/lib/docker/containers/{id}/hostconfig.json"),
        &hostconfig,
    );
    let (_dir, case) = ingest(host.dir.path(), 0);
    let db = open(&case);
    let ours = texts(
        &db,
        "SELECT place FROM mount_place WHERE place NOT GLOB '/further/*'",
    );
    let truth: BTreeSet<String> = places.iter().map(|(_, p)| (*p).to_owned()).collect();
    assert_eq!(ours, truth);
}
