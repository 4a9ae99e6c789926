//! Random stacks of layers against a plain model of overlays, and against the kernel.

use super::{changes, diff, drift, equal, shown, unlisted};
use crate::support::mounts::Overlay;
use crate::support::stacks::{Kind, Layer, host_of, stacks};
use crate::support::trees::walked;
use crate::support::{Need, has, ingest, one, open, rows, str_of};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// An entry of the merged view: what it is, and the layer it comes from.
type View = BTreeMap<String, (Kind, usize)>;

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

fn holds(stacks: &[Vec<Layer>], by_name: bool) {
    let host = host_of(stacks, by_name);
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
    fn random_stacks_are_the_models(stacks in stacks()) {
        holds(&stacks, true);
    }

    /// The same, marked as overlayfs does: they are the model's and the kernel's.
    #[test]
    fn random_stacks_are_the_kernels(stacks in stacks()) {
        if !has(&[Need::Mounts("overlay")]) {
            return Ok(());
        }
        holds(&stacks, false);
    }
}
