//! Hosts to verify: whose engine unpacked and made layers of all kinds; and layers to tamper with.

use super::sha256;
use crate::support::engine::Engine;
use crate::support::{one, open, run, shell};
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// An archive for `docker load`: an image of these layers.
pub fn image(tag: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = layers
        .iter()
        .map(|l| format!("sha256:{}", sha256(l)))
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": layers.iter().map(|_| json!({"created_by": "test"})).collect::<Vec<_>>(),
    });
    let names: Vec<String> = (0..layers.len()).map(|i| format!("{i}.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    };
    put("config.json", config.to_string().as_bytes());
    put("manifest.json", manifest.to_string().as_bytes());
    for (name, layer) in names.iter().zip(layers) {
        put(name, layer);
    }
    tar.into_inner().unwrap()
}

/// All that a layer can hold, in a folder.
pub fn rich(dir: &Path) {
    fs::create_dir(dir).unwrap();
    let deep = format!("{}/{}", "d".repeat(120), "e".repeat(120));
    fs::create_dir_all(dir.join(&deep)).unwrap();
    fs::write(dir.join(&deep).join("n".repeat(90)), "deep").unwrap();
    fs::write(dir.join("l".repeat(150)), "long").unwrap();
    fs::write(dir.join(OsStr::from_bytes(b"latin-\xe9")), "odd name").unwrap();
    fs::write(dir.join("new\nline\x1b[31m"), "odd name").unwrap();
    let big: Vec<u8> = (0..1_500_000u32).map(|n| (n * 7 / 8) as u8).collect();
    fs::write(dir.join("big"), big).unwrap();
    symlink("x".repeat(130), dir.join("long-link")).unwrap();
    shell(
        dir,
        r#"
        mkdir -p bin etc/conf.d var/spool gone hidden/old
        echo one > bin/tool; chmod 4755 bin/tool; ln bin/tool bin/tool2; ln bin/tool bin/tool3
        echo two > bin/group; chown 12:34 bin/group; chmod 2710 bin/group
        : > etc/empty; ln -s ../bin/tool etc/link; chown -h 5:6 etc/link
        echo a > etc/conf.d/a; echo b > etc/conf.d/b
        chmod 1777 var/spool; mkfifo var/fifo; mknod var/null c 1 3; mknod var/disk b 8 1; mknod var/zero c 0 0
        chown 3000000:70000 etc/conf.d/b
        echo g > gone/file; echo h > hidden/old/file
        echo cap > bin/cap; setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 bin/cap
        touch -d '2011-03-04T05:06:07.123456789Z' bin/tool; touch -d '2050-01-01' etc/empty
        touch -d '1960-01-01' etc/conf.d/a; touch -h -d '2012-01-01T00:00:00.5Z' etc/link
        touch -d '2013-01-01T01:02:03.25Z' etc var .
        "#,
    );
}

/// A folder as GNU tar packs it.
pub fn packed(dir: &Path, options: &[&str]) -> Vec<u8> {
    let done = std::process::Command::new("tar")
        .args(["--numeric-owner", "--sort=name"])
        .args(options)
        .arg("-C")
        .arg(dir)
        .args(["-cf", "-", "."])
        .output()
        .expect("tar");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    done.stdout
}

/// A host whose engine unpacked and made layers of all kinds.
pub fn host(variables: &[(&str, &str)]) -> (Engine, PathBuf) {
    let mut engine = Engine::start_as("verify", variables).expect("an engine");
    let work = engine.scratch();
    let base = work.join("rich");
    rich(&base);
    let top = work.join("top");
    fs::create_dir_all(top.join("hidden")).unwrap();
    fs::create_dir_all(top.join("new")).unwrap();
    for name in [
        ".wh.gone",
        "hidden/.wh..wh..opq",
        "hidden/fresh",
        "new/file",
        "etc/.wh.empty",
    ] {
        fs::create_dir_all(top.join(name).parent().unwrap()).unwrap();
        fs::write(
            top.join(name),
            if name.contains(".wh.") { "" } else { "fresh" },
        )
        .unwrap();
    }
    let load = |tag: &str, layers: &[Vec<u8>]| {
        let archive = work.join("image.tar");
        fs::write(&archive, image(tag, layers)).unwrap();
        engine
            .docker(&["load", "-i", archive.to_str().unwrap()])
            .text();
    };
    let pax = [
        "--format=posix",
        "--xattrs",
        "--xattrs-include=security.capability",
    ];
    let upper = packed(&top, &pax);
    load("rich:pax", &[packed(&base, &pax), upper.clone()]);
    load("rich:gnu", &[packed(&base, &["--format=gnu"]), upper]);
    // Names below a link, which the engine followed, and a directory that no entry lists.
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    for (name, target) in [
        ("usr/lib/", ""),
        ("lib", "usr/lib"),
        ("lib/through", ""),
        ("implied/file", ""),
    ] {
        header.set_entry_type(match (target, name.ends_with('/')) {
            ("", true) => tar::EntryType::Directory,
            ("", false) => tar::EntryType::Regular,
            _ => tar::EntryType::Symlink,
        });
        header.set_size(0);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_path(name).unwrap();
        header.set_cksum();
        tar.append(&header, &b""[..]).unwrap();
    }
    load("linked:1", &[tar.into_inner().unwrap()]);
    // The engine's own archives: a committed container.
    engine.base_image();
    let script = "rm /bin/true; rm -r /tmp; mkdir /tmp; echo x > /tmp/x; chmod 4711 /bin/false; mkdir -p /a/b; echo 1 > /a/b/c; ln /a/b/c /a/d";
    engine
        .docker(&["run", "--name", "made", "base:1", "sh", "-c", script])
        .text();
    engine.docker(&["commit", "made", "made:1"]).text();
    // And BuildKit's, which lie where its steps wrote them.
    let file = "FROM base:1\nRUN rm /bin/true; rm -r /tmp; mkdir /tmp; echo x > /tmp/x; chmod 4711 /bin/false; mkdir -p /a/b; echo 1 > /a/b/c; ln /a/b/c /a/d; ln -s /x /a/e\nRUN rm -r /a/b; echo y > /a/b; chown 5:6 /tmp/x; touch -d 1999-01-01 /a/d\n";
    let kit = engine.buildkit(&["build", "-t", "kit:1", "-"], file.as_bytes());
    let why = String::from_utf8_lossy(&kit.stderr);
    assert!(kit.ok || why.contains("buildx"), "{why}"); // newer clients have it in a component of its own
    engine.kill();
    let root = engine.root();
    (engine, root)
}

/// Something done to a layer, then undone: times of the directory it is in stay as they were.
pub struct Tampered {
    path: PathBuf,
    kept: PathBuf,
    _dir: tempfile::TempDir,
}

pub fn times(path: &Path, of: &fs::Metadata) {
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec {
            tv_sec: of.atime(),
            tv_nsec: of.atime_nsec(),
        },
        last_modification: rustix::fs::Timespec {
            tv_sec: of.mtime(),
            tv_nsec: of.mtime_nsec(),
        },
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
}

/// The one layer directory below a host's overlay2 that has this path.
#[track_caller]
pub fn layer(host: &Path, tag: &str, position: i64, case: &Path) -> PathBuf {
    let sql = format!(
        "SELECT l.host_path FROM image_reference r JOIN image_layer il ON il.image_id = r.image_id JOIN layer l ON l.id = il.layer_id WHERE r.reference = '{tag}' AND il.position = {position}"
    );
    let path: String = one(&open(case), &sql);
    host.join(path.trim_start_matches('/'))
}

impl Tampered {
    /// Copies a layer aside with everything, so that it can be put back.
    pub fn of(layer: &Path) -> Tampered {
        let dir = tempfile::tempdir_in(
            layer
                .parent()
                .unwrap()
                .parent()
                .unwrap()
                .parent()
                .unwrap()
                .parent()
                .unwrap(),
        )
        .unwrap();
        let kept = dir.path().join("kept");
        run(
            "cp",
            &["-a", layer.to_str().unwrap(), kept.to_str().unwrap()],
        )
        .unwrap()
        .with(0);
        Tampered {
            path: layer.to_owned(),
            kept,
            _dir: dir,
        }
    }
}

impl Drop for Tampered {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
        run(
            "cp",
            &[
                "-a",
                self.kept.to_str().unwrap(),
                self.path.to_str().unwrap(),
            ],
        )
        .unwrap()
        .with(0);
    }
}
