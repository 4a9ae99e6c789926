//! Merged views, drift and whose-file answers: against a plain model, the kernel's overlay mounts, and `docker diff`.

use crate::export::{STORY, Writable, shell};
use crate::support::{dof, folder, ingest, is_root, one, open, run, skip};
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
fn walked(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
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
        all.insert(
            format!("/{}", lossless(inside.as_os_str().as_bytes())),
            said,
        );
    }
    all
}

/// The same of the query's rows.
fn shown(rows: &[Value]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
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
        let twice = all.insert(str_of(r, "path"), said);
        assert!(twice.is_none(), "{r}: one row a path");
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

fn drift(rows: &[Value]) -> BTreeMap<String, String> {
    rows.iter()
        .map(|r| (str_of(r, "path"), str_of(r, "change")))
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
    if !is_root() {
        return skip("mounting needs root");
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
        let ours = drift(&rows(&case, &["drift", "--container", &name]));
        let truth = diff(&mounted.at(), &below.at());
        equal(&ours, &truth, &format!("changes of {name}"));
        assert!(truth.len() > 5, "{name} changes something");
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
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Random stacks of layers, their deletions marked by names: the view and its changes are the model's.
    #[test]
    fn random_stacks_are_the_models(stacks in prop::collection::vec(prop::collection::vec(layer(), 1..6), 1..8)) {
        holds(&stacks, true);
    }

    /// The same, marked as overlayfs does: they are the model's and the kernel's.
    #[test]
    fn random_stacks_are_the_kernels(stacks in prop::collection::vec(prop::collection::vec(layer(), 1..6), 1..8)) {
        if is_root() {
            holds(&stacks, false);
        } else {
            skip("whiteouts of overlayfs need root");
        }
    }
}
