//! Random stacks of layers against a plain model of overlays, and against the kernel.

use super::{changes, diff, drift, equal, shown, unlisted};
use crate::support::made::Host;
use crate::support::mounts::Overlay;
use crate::support::trees::{set_mtime, walked};
use crate::support::{Need, has, ingest, one, open, rows, str_of};
use proptest::prelude::*;
use rustix::fs::CWD;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a layer has at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Dir { opaque: bool, mode: u32 },
    File { size: u8, mode: u32, mtime: i64 },
    Link(bool),
    Whiteout,
}

pub type Layer = BTreeMap<String, Kind>;

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
pub fn layer() -> impl Strategy<Value = Layer> {
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
pub fn build(layer: &Layer, at: &Path, by_name: bool) {
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

fn holds(stacks: &[Vec<Layer>], by_name: bool) {
    let host = Host::of(if by_name {
        "fuse-overlayfs"
    } else {
        "overlay2"
    });
    for (s, stack) in stacks.iter().enumerate() {
        let names: Vec<String> = (0..stack.len()).map(|i| format!("s{s}l{i}")).collect();
        for (layer, name) in stack.iter().zip(&names) {
            build(layer, &host.layer(name), by_name);
        }
        host.stack(&format!("c{s}"), &names);
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
        let mounted = Overlay::new(&paths).unwrap();
        let all = shown(&of(&files, "container", &name));
        equal(&all, &walked(&mounted.at()), &format!("kernel, {what}"));
        let below = Overlay::new(&paths[1..]).unwrap();
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
