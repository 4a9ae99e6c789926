//! Records of layers that a test makes up.

use super::hosts::times;
use super::{differences, expected, sha256, verified};
use crate::support::folder;
use crate::support::made::gzip;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A host of one layer whose record and files a test makes up; no engine and no root needed.
struct MadeUp {
    dir: std::rc::Rc<tempfile::TempDir>,
    record: PathBuf,
    files: PathBuf,
}

/// An entry of a made-up archive: name, type, what its size is said to be, content, pax records.
type Made<'a> = (
    &'a str,
    u8,
    Option<u64>,
    &'a [u8],
    &'a [(&'a str, &'a [u8])],
);

/// tar-split's lines for an archive of these entries.
fn split(entries: &[Made<'_>]) -> String {
    use base64::Engine;
    let encode = |b: &[u8]| base64::prelude::BASE64_STANDARD.encode(b);
    let me = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut lines = String::new();
    let mut padding = 0;
    for (name, kind, size, content, pax) in entries {
        let mut tar = tar::Builder::new(vec![0; padding]);
        tar.append_pax_extensions(pax.iter().copied()).unwrap();
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_mode(if *kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(me.0.into());
        header.set_gid(me.1.into());
        header.set_mtime(1_000_000_000);
        let size = size.unwrap_or(content.len() as u64);
        header.set_size(size);
        header.set_cksum();
        let mut segment = tar.into_inner().unwrap();
        segment.truncate(segment.len() - 1024);
        segment.extend_from_slice(header.as_bytes());
        let sum = dof::parse::tar_split::CHECKSUM
            .checksum(content)
            .to_be_bytes();
        lines.push_str(&json!({"type": 2, "payload": encode(&segment)}).to_string());
        lines.push('\n');
        lines.push_str(&json!({"type": 1, "size": size, "payload": encode(&sum)}).to_string());
        lines.push('\n');
        padding = (512 - (size % 512) as usize) % 512;
    }
    lines.push_str(&json!({"type": 2, "payload": encode(&vec![0; padding + 1024])}).to_string());
    lines.push('\n');
    lines
}

impl MadeUp {
    fn new(driver: &str, cache_id: &str) -> MadeUp {
        Self::layer(std::rc::Rc::new(folder()), driver, cache_id, None)
    }

    /// A layer, and an image it is the top of; `parent` is the chain ID of one below.
    fn layer(
        dir: std::rc::Rc<tempfile::TempDir>,
        driver: &str,
        cache_id: &str,
        parent: Option<&str>,
    ) -> MadeUp {
        let docker = dir.path().join("var/lib/docker");
        let diff = format!("sha256:{}", "c".repeat(64));
        let chain = match parent {
            Some(parent) => sha256(format!("{parent} {diff}").as_bytes()),
            None => "c".repeat(64),
        };
        let store = docker
            .join("image")
            .join(driver)
            .join("layerdb/sha256")
            .join(chain);
        let files = docker.join(match driver {
            "aufs" => format!("aufs/diff/{cache_id}"),
            "vfs" => format!("vfs/dir/{cache_id}"),
            _ => format!("{driver}/{cache_id}/diff"),
        });
        for made in [&store, &files, &docker.join("containers")] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(store.join("diff"), &diff).unwrap();
        fs::write(store.join("cache-id"), cache_id).unwrap();
        let ids = vec![&diff; 1 + usize::from(parent.is_some())];
        let config = json!({"rootfs": {"type": "layers", "diff_ids": ids}}).to_string();
        let images = docker.join("image").join(driver);
        let content = images.join("imagedb/content/sha256");
        fs::create_dir_all(&content).unwrap();
        fs::write(content.join(sha256(config.as_bytes())), &config).unwrap();
        fs::write(images.join("repositories.json"), r#"{"Repositories":{}}"#).unwrap();
        if let Some(parent) = parent {
            fs::write(store.join("parent"), parent).unwrap();
        }
        MadeUp {
            record: store.join("tar-split.json.gz"),
            dir,
            files,
        }
    }

    fn shipped(&self, entries: &[Made<'_>]) {
        fs::write(&self.record, gzip(split(entries).as_bytes())).unwrap();
    }

    fn file(&self, name: &str, content: &[u8], ns: i64) {
        let path = self.files.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let time = rustix::fs::Timespec {
            tv_sec: 1_000_000_000,
            tv_nsec: ns,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty())
            .unwrap();
    }

    #[track_caller]
    fn row(&self, code: i32, options: &[&str]) -> Value {
        let mut rows = verified(self.dir.path(), code, options);
        rows.retain(|r| r["subject"] == "layer");
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    #[track_caller]
    fn cannot(&self, options: &[&str], why: &str) {
        let row = self.row(1, options);
        let note = row["note"].as_str().unwrap_or_default();
        assert_eq!(row["outcome"], "cannot be verified", "{why}: {row}");
        assert!(note.contains(why), "{why}: {row}");
    }
}

#[test]
fn records_of_any_kind_do_no_harm() {
    let host = MadeUp::new("overlay2", &"a".repeat(64));
    host.file("a", b"two", 0);
    // Later entries of a name hold; a name is one however it is written.
    host.shipped(&[
        ("./a", b'0', None, b"one!", &[]),
        ("/x/../a", b'0', None, b"two", &[]),
    ]);
    assert_eq!(host.row(0, &[])["entries"], 2);
    host.cannot(&["--full"], "lacks the content of /./a");
    // Names that lead out, or are none.
    fs::write(host.dir.path().join("var/lib/docker/outside"), "two").unwrap();
    let a: Made<'_> = ("a", b'0', None, b"two", &[]);
    let odd_ones: [Made<'_>; 4] = [
        ("../../../outside", b'0', None, &b"two"[..], &[][..]),
        ("x", b'0', None, b"two", &[("path", &b"a\0b"[..])]),
        ("x", b'7', None, b"", &[]),
        ("x", b'1', None, b"", &[]),
    ];
    for odd in odd_ones {
        host.shipped(&[a, odd]);
        host.cannot(&[], "no engine unpacks");
    }
    // Exabytes, announced and held to.
    host.shipped(&[("a", b'0', Some(1 << 60), b"two", &[])]);
    let row = host.row(1, &["--full"]);
    assert_eq!(
        (&row["attribute"], &row["shipped"]),
        (&json!("size"), &json!((1u64 << 60).to_string()))
    );
    let open = fs::OpenOptions::new()
        .write(true)
        .open(host.files.join("a"))
        .unwrap();
    if open.set_len(1 << 60).is_ok() {
        host.file("b", b"two", 0);
        drop(open);
        let huge = host.files.join("a");
        let time = fs::metadata(host.files.join("b")).unwrap();
        times(&huge, &time);
        fs::remove_file(host.files.join("b")).unwrap();
        for options in [&[][..], &["--full"]] {
            let row = host.row(1, options);
            assert_eq!(
                (&row["change"], &row["path"]),
                (&json!("unreadable"), &json!("/a"))
            );
        }
    }
    host.file("a", b"two", 0);
    // Records too large, in one line; with more than one layer of it, not to be followed, or no file at all.
    let mut line = b"{\"type\":2,\"payload\":\"".to_vec();
    line.resize(65 << 20, b'A');
    fs::write(&host.record, gzip(&line)).unwrap();
    host.cannot(&[], "larger than any engine makes it");
    fs::remove_file(&host.record).unwrap();
    symlink("/proc/self/environ", &host.record).unwrap();
    host.cannot(&[], "not there");
    fs::remove_file(&host.record).unwrap();
    fs::create_dir(&host.record).unwrap();
    host.cannot(&[], "directory where a file was expected");
    fs::remove_dir(&host.record).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &host.record,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    host.cannot(&[], "FIFO where a file was expected");
    fs::remove_file(&host.record).unwrap();
    // A directory that is a link on disk is not entered, whatever the record says lies in it.
    host.shipped(&[
        ("d/", b'5', None, b"", &[]),
        ("d/outside", b'0', None, b"two", &[]),
        a,
    ]);
    symlink("../..", host.files.join("d")).unwrap();
    let rows = verified(host.dir.path(), 1, &["--full"]);
    let want = [("changed", "/d", "type"), ("missing", "/d/outside", "")];
    assert_eq!(differences(&rows), expected(&want));
    fs::remove_file(host.files.join("d")).unwrap();
    // Deep trees.
    host.shipped(&[a]);
    let mut deep = host.files.clone();
    for _ in 0..600 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let mut rows = verified(host.dir.path(), 1, &[]);
    rows.retain(|r| r["subject"] == "layer");
    assert_eq!(rows.len(), 600);
}

/// A directory that a BuildKit step wrote to was not made from the archive, but the archive from it, with whole seconds.
#[test]
fn times_of_layers_built_in_place() {
    for (cache_id, code) in [("k".repeat(25), 0), ("a".repeat(64), 1)] {
        let host = MadeUp::new("overlay2", &cache_id);
        host.file("a", b"two", 123_456_789);
        host.shipped(&[("a", b'0', None, b"two", &[])]);
        assert_eq!(
            host.row(code, &[])["attribute"],
            if code == 0 {
                Value::Null
            } else {
                json!("mtime")
            }
        );
    }
}

/// aufs keeps the names that mark deletions, and has some of its own.
#[test]
fn marks_that_are_names() {
    let host = MadeUp::new("aufs", &"a".repeat(64));
    host.shipped(&[
        ("d/.wh.x", b'0', None, b"", &[]),
        ("d/.wh..wh..opq", b'0', None, b"", &[]),
    ]);
    for name in ["d/.wh.x", "d/.wh..wh..opq"] {
        host.file(name, b"", 0);
    }
    fs::create_dir(host.files.join(".wh..wh.orph")).unwrap();
    host.row(0, &[]);
    fs::remove_file(host.files.join("d/.wh.x")).unwrap();
    assert_eq!(host.row(1, &[])["path"], "/d/.wh.x");
}

/// Full copies hold what the layers below shipped. What was put into a directory that the layer does not list sets its time.
#[test]
fn copies_hold_the_layers_below() {
    let base = MadeUp::new("vfs", &"a".repeat(64));
    let chain = format!("sha256:{}", "c".repeat(64));
    let top = MadeUp::layer(base.dir.clone(), "vfs", &"b".repeat(64), Some(&chain));
    let d: Made<'_> = ("d/", b'5', None, b"", &[]);
    let a: Made<'_> = ("d/a", b'0', None, b"two", &[]);
    base.shipped(&[d, a, ("d/x", b'0', None, b"", &[])]);
    top.shipped(&[
        ("d/.wh.x", b'0', None, b"", &[]),
        ("d/b", b'0', None, b"", &[]),
    ]);
    for (layer, names) in [(&base, ["a", "x"]), (&top, ["a", "b"])] {
        for name in names {
            layer.file(
                &format!("d/{name}"),
                if name == "a" { b"two" } else { b"" },
                0,
            );
        }
    }
    let a = fs::metadata(base.files.join("d/a")).unwrap();
    times(&base.files.join("d"), &a);
    let host = base.dir.path();
    assert_eq!(differences(&verified(host, 0, &[])), BTreeSet::new());
    top.file("d/a", b"owt", 0);
    top.file("d/x", b"", 0);
    let want = [("changed", "/d/a", "content"), ("added", "/d/x", "")];
    assert_eq!(differences(&verified(host, 1, &[])), expected(&want));
    top.file("d/a", b"two", 0);
    fs::remove_file(top.files.join("d/x")).unwrap();
    // Without the record of the layer below nothing can be said of the copy.
    fs::remove_file(&base.record).unwrap();
    let rows = verified(host, 1, &[]);
    assert!(
        rows.iter().all(|r| r["outcome"] == "cannot be verified"),
        "{rows:?}"
    );
}
