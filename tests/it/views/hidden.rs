//! What hides a version of a file, and files that stand at two paths.

use super::{equal, shown};
use crate::support::made::Host;
use crate::support::mounts::Overlay;
use crate::support::trees::walked;
use crate::support::{Need, has, ingest, rows, run, shell, str_of};
use std::fs;

/// What hides a version is the topmost layer's entry that does, of its path or above it; the rules are overlayfs's.
#[test]
fn what_hides_a_version() {
    let host = Host::of("fuse-overlayfs");
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
    host.stack("c", &["base".into(), "mid".into(), "own".into()]);
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
            version("base", "mid /a (file)")
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
    let host = Host::of("overlay2");
    let base = host.layer("base");
    fs::create_dir_all(base.join("etc/deep")).unwrap();
    for path in ["etc/a", "etc/deep/b"] {
        fs::write(base.join(path), "").unwrap();
    }
    let own = host.layer("own");
    fs::create_dir_all(own.join("twin")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(own.join("twin"), "trusted.overlay.redirect", b"/etc", flags).unwrap();
    host.stack("c", &["base".into(), "own".into()]);
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

/// What a renamed directory brought along is hidden with it, and with what it lies in.
#[test]
fn what_was_moved_is_hidden_too() {
    if !has(&[Need::Mounts("overlay"), Need::Program("setfattr")]) {
        return;
    }
    for own in [
        "echo > n",
        "mknod n c 0 0",
        "mkdir n; setfattr -n trusted.overlay.opaque -v y n",
        "mkdir n; mknod n/a c 0 0",
        "mkdir n; echo > n/a",
        "mkdir -p n/a; setfattr -n trusted.overlay.opaque -v y n/a",
        "mkdir -p n/a; mknod n/a/d c 0 0",
        "mkdir -p n/a; echo > n/a/d",
    ] {
        as_mounted(&[
            "mkdir -p b/d/e; echo > b/d/f",
            "mkdir -p n/a; setfattr -n trusted.overlay.redirect -v /b n/a",
            own,
        ]);
    }
}

/// A directory in a renamed one that leads to what stands there by its own name anyway, or beside it.
#[test]
fn what_is_led_to_again_stands_there_once() {
    if !has(&[Need::Mounts("overlay"), Need::Program("setfattr")]) {
        return;
    }
    for to in ["a", "x", "/a/a", "/a"] {
        let own = format!(
            "mkdir -p b/a; mknod b/a/f c 0 0; setfattr -n trusted.overlay.redirect -v /a b
             setfattr -n trusted.overlay.redirect -v {to} b/a"
        );
        let base = "mkdir -p a/a/x a/x; echo > a/a/f; echo > a/a/x/h; echo > a/x/f; echo > a/g";
        as_mounted(&[base, &own]);
        as_mounted(&[base, &own, "mkdir -p b/a/x; mknod b/a/x/h c 0 0"]);
    }
}

/// Layers made by these scripts, base first, show what the kernel mounts of them.
fn as_mounted(scripts: &[&str]) {
    let host = Host::of("overlay2");
    let mut layers = Vec::new();
    let mut names = Vec::new();
    for (i, script) in scripts.iter().enumerate() {
        names.push(format!("layer{i}"));
        let at = host.layer(&names[i]);
        fs::create_dir_all(&at).unwrap();
        shell(&at, script);
        layers.insert(0, at);
    }
    host.stack("c", &names);
    let (_dir, case) = ingest(host.dir.path(), 0);
    let mounted = Overlay::new(&layers).unwrap();
    let all = rows(&case, &["container-files"]);
    let what = scripts.join("; ");
    equal(&shown(&all), &walked(&mounted.at()), &what);
}
