//! Random stacks in which directories were renamed (overlay redirects), against the kernel.

use super::{diff, drift, equal, shown};
use crate::support::made::Host;
use crate::support::mounts::Overlay;
use crate::support::stacks::{Kind, Layer, build, layer};
use crate::support::trees::walked;
use crate::support::{Need, has, ingest, one, open, rows, str_of};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A layer, and the redirects of some of its directories: which of these, and to where.
type Renamed = (Layer, Vec<(prop::sample::Index, &'static str)>);

fn renamed() -> impl Strategy<Value = Renamed> {
    let to = prop::sample::select(vec![
        "/a", "/b", "a", "b", "/a/b", "/b/a", "/a/b.d", "[%_*]",
    ]);
    let some = prop::collection::vec((any::<prop::sample::Index>(), to), 0..4);
    (layer(), some)
}

fn holds(stacks: &[Vec<Renamed>]) {
    let host = Host::of("overlay2");
    for (s, stack) in stacks.iter().enumerate() {
        let names: Vec<String> = (0..stack.len()).map(|i| format!("s{s}l{i}")).collect();
        for ((layer, redirects), name) in stack.iter().zip(&names) {
            let at = host.layer(name);
            build(layer, &at, false);
            let is_dir = |(_, kind): &(&String, &Kind)| matches!(kind, Kind::Dir { .. });
            let dirs: Vec<&String> = layer.iter().filter(is_dir).map(|(path, _)| path).collect();
            for (which, to) in redirects.iter().filter(|_| !dirs.is_empty()) {
                let path = at.join(&which.get(&dirs)[1..]);
                let flags = rustix::fs::XattrFlags::empty();
                let name = "trusted.overlay.redirect";
                rustix::fs::setxattr(&path, name, to.as_bytes(), flags).unwrap();
            }
        }
        host.stack(&format!("c{s}"), &names);
    }
    let (_dir, case) = ingest(host.dir.path(), 0);
    for (s, stack) in stacks.iter().enumerate() {
        let name = format!("c{s}");
        let what = format!("{name} {stack:?}");
        let layers: Vec<PathBuf> = (0..stack.len())
            .rev()
            .map(|i| host.layer(&format!("s{s}l{i}")))
            .collect();
        let mounted = Overlay::new(&layers).unwrap();
        let files = rows(&case, &["container-files", "--container", &name]);
        equal(&shown(&files), &walked(&mounted.at()), &what);
        let below = Overlay::new(&layers[1..]).unwrap();
        let drifts = rows(&case, &["drift", "--container", &name]);
        let truth = diff(&mounted.at(), &below.at());
        equal(&drift(&drifts), &truth, &format!("changes of {what}"));
        let sql = format!("SELECT image_full_id FROM container WHERE name = '{name}'");
        let image: String = one(&open(&case), &sql);
        if stack.len() > 1 {
            let files = rows(&case, &["image-files", "--image", &image]);
            let what = format!("image of {what}");
            equal(&shown(&files), &walked(&below.at()), &what);
        }
        // Whose file: effective is what the view has, at the same places.
        let places = |r: &serde_json::Value| (str_of(r, "path"), r["file_id"].as_i64().unwrap());
        let view: BTreeSet<_> = files.iter().map(places).collect();
        let mut whose = rows(&case, &["whose", "--container", &name]);
        whose.retain(|r| r["effective"] == 1);
        let effective: BTreeSet<_> = whose.iter().map(places).collect();
        assert_eq!((effective, whose.len()), (view, files.len()), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_renames_are_the_kernels(stacks in prop::collection::vec(prop::collection::vec(renamed(), 1..6), 1..8)) {
        if !has(&[Need::Mounts("overlay")]) {
            return Ok(());
        }
        holds(&stacks);
    }
}
