//! Random stacks of layers, on a host made by hand.

use super::made::Host;
use super::trees::set_mtime;
use proptest::prelude::*;
use rustix::fs::CWD;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

/// What a layer has at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Dir { opaque: bool, mode: u32 },
    File { size: u8, mode: u32, mtime: i64 },
    Link(bool),
    Whiteout,
}

pub type Layer = BTreeMap<String, Kind>;

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

/// Some stacks, base first.
pub fn stacks() -> impl Strategy<Value = Vec<Vec<Layer>>> {
    prop::collection::vec(prop::collection::vec(layer(), 1..6), 1..8)
}

/// A host whose containers c0, c1, ... are of these stacks; layers are named s0l0, s0l1, ...
pub fn host_of(stacks: &[Vec<Layer>], by_name: bool) -> Host {
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
    host
}
