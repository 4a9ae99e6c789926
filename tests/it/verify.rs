//! `dof verify` against real layers: as the engine unpacked them nothing is found; of each thing done to them after, exactly
//! that is.

use crate::support::engine::Engine;
use crate::support::{Need, dof, folder, has, ingest, one, open, run, sample};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Runs a shell script that must succeed.
#[track_caller]
fn sh(dir: &Path, script: &str) {
    let script = format!("set -eu; cd '{}'; {script}", dir.display());
    run("bash", &["-c", &script]).expect("bash").with(0);
}

/// What `dof verify` says of a host, as rows.
#[track_caller]
fn verified(host: &Path, code: i32, options: &[&str]) -> Vec<Value> {
    let mut args = vec!["verify", "--format", "jsonl"];
    args.extend(options);
    args.push(host.to_str().unwrap());
    let ran = dof(&args).with(code);
    ran.out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// What differs: change, path and attribute of every row that tells of something; not that an image has such a layer.
fn differences(rows: &[Value]) -> BTreeSet<(String, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    rows.iter()
        .filter(|r| r["change"] != Value::Null || r["outcome"] != "as shipped")
        .filter(|r| {
            r["subject"] != "image" || r["change"] != "changed" || r["attribute"] != "layer"
        })
        .map(|r| (text(&r["change"]), text(&r["path"]), text(&r["attribute"])))
        .collect()
}

fn expected(all: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    let own = |&(a, b, c): &(&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
    all.iter().map(own).collect()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// An archive for `docker load`: an image of these layers.
fn image(tag: &str, layers: &[Vec<u8>]) -> Vec<u8> {
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
fn rich(dir: &Path) {
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
    sh(
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
fn packed(dir: &Path, options: &[&str]) -> Vec<u8> {
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
fn host(variables: &[(&str, &str)]) -> (Engine, PathBuf) {
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
struct Tampered {
    path: PathBuf,
    kept: PathBuf,
    _dir: tempfile::TempDir,
}

fn times(path: &Path, of: &fs::Metadata) {
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
fn layer(host: &Path, tag: &str, position: i64, case: &Path) -> PathBuf {
    let sql = format!(
        "SELECT l.host_path FROM image_reference r JOIN image_layer il ON il.image_id = r.image_id JOIN layer l ON l.id = il.layer_id WHERE r.reference = '{tag}' AND il.position = {position}"
    );
    let path: String = one(&open(case), &sql);
    host.join(path.trim_start_matches('/'))
}

impl Tampered {
    /// Copies a layer aside with everything, so that it can be put back.
    fn of(layer: &Path) -> Tampered {
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

#[test]
fn what_is_done_to_a_layer_is_named() {
    if !has(&[Need::BuildKit, Need::Program("setfattr")]) {
        return;
    }
    let (_engine, host) = host(&[]);
    // As the engine left it, nothing is found, and each archive comes out as its diff ID.
    let rows = verified(&host, 0, &["--full"]);
    assert!(rows.len() >= 10, "{rows:?}");
    assert_eq!(differences(&rows), BTreeSet::new());
    let bytes: i64 = rows.iter().filter_map(|r| r["bytes"].as_i64()).sum();
    assert!(bytes > 3_000_000, "contents were read: {bytes}");

    let (_dir, case) = ingest(&host, 0);
    let built = "SELECT count(*) * 2 FROM image_reference WHERE reference = 'kit:1'";
    let in_place = "SELECT count(*) FROM layer WHERE role = 'image' AND length(cache_id) < 64";
    let [built, in_place] = [built, in_place].map(|sql| one::<i64>(&open(&case), sql));
    assert_eq!(in_place, built, "BuildKit's layers");
    let pax = layer(&host, "rich:pax", 1, &case);
    let upper = layer(&host, "rich:pax", 2, &case);
    type Deed<'a> = (
        &'a str,
        &'a Path,
        &'a str,
        &'a [(&'a str, &'a str, &'a str)],
    );
    let long = format!("/{}", "l".repeat(150));
    // What is done, and all that is to be named. The directory's own time is put back, as who hides would.
    let deeds: &[Deed<'_>] = &[
        (
            "one byte",
            &pax,
            "printf x | dd of=bin/tool bs=1 seek=1 conv=notrunc status=none; touch -d '2011-03-04T05:06:07.123456789Z' bin/tool",
            &[("changed", "/bin/tool", "content")],
        ),
        (
            "the last byte of a big one",
            &pax,
            "touch -r big ../t; printf '\\377' | dd of=big bs=1 seek=1499999 conv=notrunc status=none; touch -r ../t big; rm ../t",
            &[("changed", "/big", "content")],
        ),
        (
            "a mode bit",
            &pax,
            "chmod 0755 bin/tool",
            &[("changed", "/bin/tool", "mode")],
        ),
        (
            "setuid",
            &pax,
            "chmod 6710 bin/group",
            &[("changed", "/bin/group", "mode")],
        ),
        (
            "a directory's mode",
            &pax,
            "chmod 0777 var/spool",
            &[("changed", "/var/spool", "mode")],
        ),
        (
            "an owner",
            &pax,
            "chown 13 bin/group; chmod 2710 bin/group",
            &[("changed", "/bin/group", "owner")],
        ),
        (
            "a group",
            &pax,
            "chgrp 35 var/fifo",
            &[("changed", "/var/fifo", "group")],
        ),
        (
            "a time",
            &pax,
            "touch -d '2011-03-04T05:06:07.123456788Z' bin/tool",
            &[("changed", "/bin/tool", "mtime")],
        ),
        (
            "a directory's time",
            &pax,
            "touch etc/conf.d",
            &[("changed", "/etc/conf.d", "mtime")],
        ),
        (
            "a longer file",
            &pax,
            "touch -r big ../t; echo >> big; touch -r ../t big; rm ../t",
            &[("changed", "/big", "size")],
        ),
        (
            "an added file",
            &pax,
            "echo evil > bin/evil",
            &[("added", "/bin/evil", "")],
        ),
        (
            "an added directory",
            &pax,
            "mkdir bin/.x; echo evil > bin/.x/y",
            &[("added", "/bin/.x", ""), ("added", "/bin/.x/y", "")],
        ),
        (
            "a file in a new directory of an upper layer",
            &upper,
            "echo evil > new/evil",
            &[("added", "/new/evil", "")],
        ),
        (
            "a removed file",
            &pax,
            "rm etc/conf.d/a",
            &[("missing", "/etc/conf.d/a", "")],
        ),
        (
            "a removed name of two",
            &pax,
            "rm bin/tool2",
            &[("missing", "/bin/tool2", "")],
        ),
        (
            "a name of another file",
            &pax,
            "ln -f bin/cap bin/tool2",
            &[("changed", "/bin/tool2", "hard link")],
        ),
        (
            "names of one file parted",
            &pax,
            "cp -a bin/tool bin/t; mv bin/t bin/tool2",
            &[("changed", "/bin/tool2", "hard link")],
        ),
        (
            "a long name",
            &pax,
            &format!("chmod 0600 .{long}"),
            &[("changed", &long, "mode")],
        ),
        (
            "a name that is not UTF-8",
            &pax,
            "chmod 0600 latin-*",
            &[("changed", "/latin-\\xe9", "mode")],
        ),
        (
            "a name with an escape sequence",
            &pax,
            "chmod 0600 new*",
            &[("changed", "/new\nline\x1b[31m", "mode")],
        ),
        (
            "another target",
            &pax,
            "rm etc/link; ln -s ../bin/evil etc/link; chown -h 5:6 etc/link; touch -h -d '2012-01-01T00:00:00.5Z' etc/link",
            &[("changed", "/etc/link", "link target")],
        ),
        (
            "a file in place of a link",
            &pax,
            "rm etc/link; echo > etc/link",
            &[("changed", "/etc/link", "type")],
        ),
        (
            "a link in place of a directory",
            &pax,
            "mv etc/conf.d var/spool/x; ln -s ../var/spool/x etc/conf.d; rm -r var/spool/x",
            &[
                ("changed", "/etc/conf.d", "type"),
                ("missing", "/etc/conf.d/a", ""),
                ("missing", "/etc/conf.d/b", ""),
            ],
        ),
        (
            "a FIFO in place of a file",
            &pax,
            "rm etc/conf.d/a; mkfifo etc/conf.d/a",
            &[("changed", "/etc/conf.d/a", "type")],
        ),
        (
            "another device",
            &pax,
            "rm var/null; mknod -m 0644 var/null c 1 5; touch -r ../n var/null",
            &[("changed", "/var/null", "device")],
        ),
        (
            "capabilities",
            &pax,
            "setfattr -n security.capability -v 0x0100000200000020000000000000000000000000 bin/cap",
            &[("changed", "/bin/cap", "xattr security.capability")],
        ),
        (
            "capabilities gone",
            &pax,
            "setfattr -x security.capability bin/cap",
            &[("changed", "/bin/cap", "xattr security.capability")],
        ),
        (
            "capabilities given",
            &pax,
            "setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 big",
            &[("changed", "/big", "xattr security.capability")],
        ),
        (
            "a deletion undone",
            &upper,
            "rm gone",
            &[("missing", "/gone", "")],
        ),
        (
            "a file in place of a deletion",
            &upper,
            "rm gone; echo > gone",
            &[("changed", "/gone", "type")],
        ),
        (
            "a deletion added",
            &upper,
            "mknod new/tool c 0 0",
            &[("added", "/new/tool", "")],
        ),
        (
            "a directory no longer opaque",
            &upper,
            "setfattr -x trusted.overlay.opaque hidden",
            &[("changed", "/hidden", "opaque")],
        ),
        (
            "a directory made opaque",
            &upper,
            "setfattr -n trusted.overlay.opaque -v y new",
            &[("changed", "/new", "opaque")],
        ),
        (
            "the root made opaque",
            &upper,
            "setfattr -n trusted.overlay.opaque -v y .",
            &[("changed", "/", "opaque")],
        ),
        (
            "a redirect",
            &upper,
            "setfattr -n trusted.overlay.redirect -v /etc new",
            &[("changed", "/new", "xattr trusted.overlay.redirect")],
        ),
    ];
    for (deed, dir, script, want) in deeds {
        let _back = Tampered::of(dir);
        // Times of all directories, to be put back but where they are what is done.
        let before: Vec<(PathBuf, fs::Metadata)> = walkdir::WalkDir::new(dir)
            .into_iter()
            .flatten()
            .filter(|e| e.file_type().is_dir())
            .map(|e| (e.path().to_owned(), e.metadata().unwrap()))
            .collect();
        sh(
            dir,
            &format!("touch -r var/null ../n 2>/dev/null || true; {script}; rm -f ../n"),
        );
        for (path, meta) in before.iter().rev() {
            if !want
                .iter()
                .any(|(_, p, a)| *a == "mtime" && path.ends_with(&p[1..]))
                && path.symlink_metadata().is_ok_and(|m| m.is_dir())
            {
                times(path, meta);
            }
        }
        let rows = verified(&host, 1, &[]);
        assert_eq!(differences(&rows), expected(want), "{deed}");
        let layers: BTreeSet<&str> = rows
            .iter()
            .filter(|r| r["outcome"] != "as shipped")
            .filter_map(|r| r["host_path"].as_str())
            .collect();
        assert_eq!(layers.len(), 1, "{deed}: {layers:?}");
        assert!(dir.ends_with(&layers.first().unwrap()[1..]), "{deed}");
    }
    assert_eq!(
        differences(&verified(&host, 0, &["--full"])),
        BTreeSet::new(),
        "all was put back"
    );
    the_store_itself(&host, &case, &pax);
    the_case(&host, &case, &pax);
}

/// Configs, ids and records.
fn the_store_itself(host: &Path, case: &Path, pax: &Path) {
    let docker = host.join("var/lib/docker");
    let chain: String = one(
        &open(case),
        "SELECT l.chain_id FROM image_reference r JOIN image_layer il ON il.image_id = r.image_id JOIN layer l ON l.id = il.layer_id WHERE r.reference = 'rich:pax' AND il.position = 1",
    );
    let id: String = one(
        &open(case),
        "SELECT image_full_id FROM image_reference WHERE reference = 'rich:pax'",
    );
    let store = docker
        .join("image/overlay2/layerdb/sha256")
        .join(&chain[7..]);
    let config = docker
        .join("image/overlay2/imagedb/content/sha256")
        .join(&id[7..]);
    let with = |path: &Path, content: &[u8], options: &[&str]| {
        let kept = fs::read(path).unwrap();
        fs::write(path, content).unwrap();
        let rows = verified(host, 1, options);
        fs::write(path, kept).unwrap();
        differences(&rows)
    };
    let text = fs::read_to_string(&config).unwrap();
    let tampered = text.replace("/bin/sh", "/bin/ev");
    assert_ne!(text, tampered);
    assert_eq!(
        with(&config, tampered.as_bytes(), &["--full"]),
        expected(&[("changed", "", "config")])
    );

    let diff = store.join("diff");
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(
        with(&diff, other.as_bytes(), &["--full"]),
        expected(&[("changed", "", "chain ID"), ("changed", "", "archive")])
    );

    // A record that was changed along with the file is found out by the digest of the archive.
    let record = store.join("tar-split.json.gz");
    let kept = fs::read(&record).unwrap();
    let mut lines = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&kept[..]), &mut lines)
        .unwrap();
    let gz = |text: &str| gzip(text.as_bytes());
    {
        let _back = Tampered::of(pax);
        let tool = pax.join("bin/tool");
        let meta = fs::metadata(&tool).unwrap();
        fs::write(&tool, "onE\n").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(meta.mode())).unwrap();
        times(&tool, &meta);
        let sum = |text: &[u8]| {
            use base64::Engine;
            base64::prelude::BASE64_STANDARD
                .encode(dof::parse::tar_split::CHECKSUM.checksum(text).to_be_bytes())
        };
        assert!(
            lines.contains(&sum(b"one\n")),
            "Docker's own checksum is ours"
        );
        let forged = gz(&lines.replacen(&sum(b"one\n"), &sum(b"onE\n"), 1));
        let kept = fs::read(&record).unwrap();
        fs::write(&record, &forged).unwrap();
        assert_eq!(differences(&verified(host, 0, &[])), BTreeSet::new());
        assert_eq!(
            differences(&verified(host, 1, &["--full"])),
            expected(&[("changed", "", "archive")])
        );
        fs::write(&record, kept).unwrap();
    }
    // Records that cannot be read: said, and the rest goes on.
    let none = expected(&[("", "", "")]);
    for garbage in [
        &b""[..],
        b"garbage",
        &kept[..kept.len() / 2],
        &gz("{}\n"),
        &gz(""),
    ] {
        assert_eq!(with(&record, garbage, &[]), none);
    }
    fs::rename(&record, store.join("away")).unwrap();
    let rows = verified(host, 1, &[]);
    assert_eq!(differences(&rows), none);
    let layers = rows.iter().filter(|r| r["subject"] == "layer");
    let said: Vec<&str> = layers.filter_map(|r| r["note"].as_str()).collect();
    assert!(
        said.len() == 1 && said[0].ends_with("tar-split.json.gz: not there"),
        "{said:?}"
    );
    assert!(rows.iter().filter(|r| r["outcome"] == "as shipped").count() > 8);
    fs::rename(store.join("away"), &record).unwrap();

    // A layer's directory that is a link is not followed.
    let away = pax.with_file_name("away");
    fs::rename(pax, &away).unwrap();
    symlink("away", pax).unwrap();
    assert_eq!(
        differences(&verified(host, 1, &[])),
        expected(&[("changed", "", "type")])
    );
    fs::remove_file(pax).unwrap();
    fs::rename(&away, pax).unwrap();

    // A layer the image is made of and the store does not have.
    let away = store.with_file_name("away");
    fs::rename(&store, &away).unwrap();
    let rows = verified(host, 1, &["--image", "rich:pax"]);
    assert!(
        differences(&rows).contains(&("missing".into(), String::new(), "layer".into())),
        "{rows:?}"
    );
    fs::rename(&away, &store).unwrap();
}

/// Results kept in a case, and asked of it.
fn the_case(host: &Path, case: &Path, pax: &Path) {
    let (mount, path) = (host.to_str().unwrap(), case.to_str().unwrap());
    let ran = dof(["verify", path]).with(2);
    assert!(ran.err.contains("never verified"), "{}", ran.err);
    dof(["verify", "--full", path]).with(2);
    let fresh = dof(["verify", "--case", path, mount]).with(0).out;
    assert_eq!(
        dof(["verify", path]).with(0).out,
        fresh,
        "the case says what was said"
    );
    let said = |image: &str| {
        dof(["verify", "--image", image, path])
            .with(0)
            .out
            .lines()
            .count()
    };
    assert_eq!((said("rich:pax"), said("rich:gnu")), (3, 3));
    dof(["verify", "--image", "nothing:1", mount]).with(2);

    let _back = Tampered::of(pax);
    fs::set_permissions(pax.join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    dof(["verify", "--case", path, mount]).with(1);
    let out = dof(["verify", path]).with(1).out;
    assert!(
        out.contains("    changed /bin/tool, mode: shipped 4755, found 0755\n"),
        "{out}"
    );
    dof(["verify", "--image", "rich:gnu", mount]).with(0);
    let out = dof([
        "query",
        "verify",
        "--case",
        path,
        "--outcome",
        "changed",
        "--format",
        "jsonl",
    ])
    .with(0)
    .out;
    let told = out.lines().map(|l| {
        let row: Value = serde_json::from_str(l).unwrap();
        ["subject", "path", "images", "attribute"].map(|c| row[c].clone())
    });
    let want = [
        json!(["layer", "/bin/tool", "rich:pax", "mode"]),
        json!(["image", null, "rich:pax", "layer"]),
    ];
    assert!(told.map(|r| json!(r)).eq(want), "{out}");
    let db = open(case);
    let twice: i64 = one(
        &db,
        "SELECT count(*) - count(DISTINCT coalesce(layer_id, -image_id)) FROM verification",
    );
    assert_eq!(twice, 0, "earlier results are gone");
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM pragma_foreign_key_check"),
        0
    );
    drop(db);
    // Another host's case is refused; ingested again, a host's results are gone.
    let (_other, sample_host) = sample();
    let (_dir, other) = ingest(&sample_host, 0);
    let ran = dof(["verify", "--case", other.to_str().unwrap(), mount]).with(2);
    assert!(
        ran.err.contains("this host is not in the case"),
        "{}",
        ran.err
    );
    dof(["ingest", mount, path]).with(0);
    assert_eq!(
        one::<i64>(&open(case), "SELECT count(*) FROM verification"),
        0
    );
    assert_eq!(
        one::<i64>(&open(case), "SELECT count(*) FROM verification_finding"),
        0
    );
}

/// What a verification does not look at, it does not call as shipped.
#[test]
fn no_more_is_said_than_was_verified() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("partly").expect("an engine");
    engine.base_image();
    let made = ["run", "--name", "step", "base:1", "sh", "-c", "echo x > /x"];
    engine.docker(&made).text();
    let two = engine.docker(&["commit", "step", "two:1"]).text();
    engine
        .docker(&["run", "--name", "web", "two:1", "true"])
        .text();
    engine.docker(&["rm", "step"]).text();
    engine.kill();
    let host = engine.root();
    let mount = host.to_str().unwrap();
    let (dir, case) = ingest(&host, 0);
    let path = case.to_str().unwrap();
    let top = layer(&host, "two:1", 2, &case);

    // One image verified is not all of them.
    dof(["verify", "--image", "base:1", "--case", path, mount]).with(0);
    let ran = dof(["verify", path]).with(0);
    assert_eq!(ran.err, "dof: not verified: 1 layers, 1 images\n");
    // Nor does it take away what was found of the others.
    fs::write(top.join("added"), "").unwrap();
    dof(["verify", "--case", path, mount]).with(1);
    for _ in 0..2 {
        dof(["verify", "--image", "base:1", "--case", path, mount]).with(0);
        let ran = dof(["verify", path]).with(1);
        assert!(
            ran.err.is_empty() && ran.out.contains("added /added"),
            "{ran:?}"
        );
        assert_eq!(
            ran.out.matches("\nlayer ").count() + ran.out.matches("\nimage ").count(),
            3
        );
    }
    fs::remove_file(top.join("added")).unwrap();
    dof(["verify", "--image", "two:1", "--case", path, mount]).with(0);
    dof(["verify", path]).with(0);

    // A problem is one, though all layers are as shipped.
    let names = engine.data_root().join("image/overlay2/repositories.json");
    let aside = dir.path().join("aside");
    fs::copy(&names, &aside).unwrap();
    fs::remove_file(&names).unwrap();
    let ran = dof(["verify", mount]).with(1);
    assert!(
        !ran.out.contains(": changed") && !ran.out.contains("cannot be"),
        "{}",
        ran.out
    );
    fs::copy(&aside, &names).unwrap();

    // Files of an image and its containers, where a layer is not there.
    let home = top.parent().unwrap();
    fs::rename(home, dir.path().join("home")).unwrap();
    dof(["ingest", mount, path]).with(1);
    for (query, option, who) in [
        ("image-files", ["--image", "two:1"], "image two:1"),
        ("whose", ["--path", "/bin/sh"], "container web"),
        ("drift", ["--container", "web"], "container web"),
    ] {
        let ran = dof(["query", query, option[0], option[1], "--case", path]).with(1);
        let want = format!("dof: {who}: 1 of its layers are not there; ");
        assert!(ran.err.contains(&want), "{query}: {}", ran.err);
    }
    dof(["query", "image-files", "--image", "base:1", "--case", path]).with(0);
    fs::rename(dir.path().join("home"), home).unwrap();

    // An image removed by hand leaves layers that no image and no container has.
    let id = two.trim_start_matches("sha256:");
    let store = engine.data_root().join("image/overlay2");
    let all = fs::read_to_string(&names).unwrap();
    let mut all: Value = serde_json::from_str(&all).unwrap();
    all["Repositories"].as_object_mut().unwrap().remove("two");
    fs::write(&names, all.to_string()).unwrap();
    fs::remove_file(store.join("imagedb/content/sha256").join(id)).unwrap();
    let rows = verified(&host, 1, &[]);
    let gone = |r: &&Value| r["subject"] == "image" && r["outcome"] == "cannot be verified";
    assert_eq!(
        rows.iter().filter(gone).count(),
        1,
        "its container has it: {rows:?}"
    );
    let web = fs::read_dir(engine.data_root().join("containers")).unwrap();
    for web in web.flatten() {
        let id = web.file_name().into_string().unwrap();
        fs::remove_dir_all(web.path()).unwrap();
        fs::remove_dir_all(store.join("layerdb/mounts").join(id)).unwrap();
    }
    let rows = verified(&host, 1, &[]);
    let odd: Vec<&Value> = rows
        .iter()
        .filter(|r| r["outcome"] != "as shipped")
        .collect();
    assert_eq!(odd.len(), 1, "{odd:?}");
    assert_eq!(
        (&odd[0]["subject"], &odd[0]["outcome"]),
        (&json!("layer"), &json!("cannot be verified"))
    );
    let note = odd[0]["note"].as_str().unwrap();
    assert!(note.contains("no image and no container has it"), "{note}");
}

/// An engine that shifts users: owners on disk are those of the archive in the ranges of its user.
#[test]
fn owners_of_a_remapped_engine() {
    if !has(&[
        Need::BuildKit,
        Need::UserNamespace,
        Need::Program("setfattr"),
    ]) {
        return;
    }
    let (_engine, host) = host(&[("USERNS_REMAP", "1")]);
    assert_eq!(
        differences(&verified(&host, 0, &["--full"])),
        BTreeSet::new()
    );
    let (_dir, case) = ingest(&host, 0);
    let layer = layer(&host, "rich:pax", 1, &case);
    let owner = |path: &str| fs::symlink_metadata(layer.join(path)).unwrap().uid();
    assert_eq!(
        (owner("bin/tool"), owner("etc/conf.d/b")),
        (231_072, 3_334_464),
        "two ranges"
    );
    sh(&layer, "chown 0 etc/conf.d/b");
    let want = expected(&[("changed", "/etc/conf.d/b", "owner")]);
    let rows = verified(&host, 1, &[]);
    assert_eq!(differences(&rows), want);
    assert!(
        rows.iter()
            .any(|r| r["shipped"] == "3334464" && r["found"] == "0"),
        "{rows:?}"
    );
}

/// Sparse files: the engine unpacks the holes, but keeps no map of them, so nobody can put that archive together again.
/// Contents are compared all the same.
#[test]
fn sparse_files_are_compared_not_put_together() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("sparse").expect("an engine");
    let holes = engine.scratch().join("holes");
    fs::create_dir(&holes).unwrap();
    let file = fs::File::create(holes.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 1 << 20).unwrap();
    file.set_len(3 << 20).unwrap();
    let archive = engine.scratch().join("image.tar");
    let layer = packed(&holes, &["--format=posix", "--sparse"]);
    assert!(layer.len() < 1 << 20, "the archive is sparse");
    fs::write(&archive, image("sparse:1", &[layer])).unwrap();
    engine
        .docker(&["load", "-i", archive.to_str().unwrap()])
        .text();
    engine.kill();
    let host = engine.root();
    assert_eq!(differences(&verified(&host, 0, &[])), BTreeSet::new());
    let rows = verified(&host, 1, &["--full"]);
    assert_eq!(differences(&rows), expected(&[("", "", "")]));
    let note = rows[0]["note"].as_str().unwrap_or_default();
    assert!(note.contains("holes of sparse files"), "{rows:?}");
    let (_dir, case) = ingest(&host, 0);
    let file = self::layer(&host, "sparse:1", 1, &case).join("sparse");
    let meta = fs::metadata(&file).unwrap();
    let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&open, b"evil", 2 << 20).unwrap();
    times(&file, &meta);
    let want = expected(&[("changed", "/sparse", "content")]);
    assert_eq!(differences(&verified(&host, 1, &[])), want);
}

/// Where there is no image store that dof reads, nothing was verified, and that is no good news.
#[test]
fn nothing_to_verify_is_said() {
    let dir = folder();
    let docker = dir.path().join("var/lib/docker");
    let container = docker.join("containers").join("a".repeat(64));
    fs::create_dir_all(&container).unwrap();
    let config = json!({"ID": "a".repeat(64), "Name": "/x", "Driver": "overlayfs", "State": {}});
    fs::write(container.join("config.v2.json"), config.to_string()).unwrap();
    let ran = dof(["verify", dir.path().to_str().unwrap()]).with(1);
    assert!(ran.err.contains("nothing was verified"), "{}", ran.err);
}

/// The sample host is as its engine left it; without root it unpacks otherwise.
#[test]
fn the_sample_is_as_shipped() {
    if !has(&[Need::Root, Need::Trusted]) {
        return;
    }
    let (_dir, host) = sample();
    // But for the image of a container that the story removed by force.
    let rows = verified(&host, 1, &["--full"]);
    assert_eq!(differences(&rows), expected(&[("missing", "", "config")]));
    let layers = rows.iter().filter(|r| r["subject"] == "layer").count();
    assert_eq!((layers, rows.len() - layers), (14, 41));
    let gone: Vec<&Value> = rows
        .iter()
        .filter(|r| r["outcome"] != "as shipped")
        .collect();
    let miner = "sha256:2a2bf5cb68b96af6ac56862f3602e23dc62240fb29a5cea45207603bf59fe654";
    assert!(gone.len() == 1 && gone[0]["id"] == miner, "{gone:?}");
    assert_eq!(gone[0]["outcome"], "cannot be verified");
    // In text, names speak to no terminal.
    let (_dir, case) = ingest(&host, 0);
    let layer = layer(&host, "shop/web:1.0", 1, &case);
    fs::write(layer.join("\x1b[2Jevil"), "").unwrap();
    let out = dof(["verify", host.to_str().unwrap()]).with(1).out;
    assert!(
        out.contains("added /\\x1b[2Jevil: found file 0644 0:0 0 bytes\n"),
        "{out}"
    );
    assert!(!out.contains('\x1b'));
    // An image with a layer that is not as shipped is not so either.
    let mut images = out.lines().filter(|l| l.starts_with("image "));
    assert!(images.any(|l| l.contains("shop/web:1.0") && l.ends_with(": changed")));
}

/// Recorded hosts: the engines' own layers, of four drivers and two kinds of shifted owners.
#[test]
fn recorded_hosts_are_as_shipped() {
    if !has(&[Need::Evidence]) {
        return;
    }
    for (name, layers) in [
        ("apache-mysql-docker20-overlay2", 20),
        ("logs-docker26-drivers", 13),
        ("swarm-docker26", 3),
        ("rootless-docker26", 2),
        ("vfs-docker20", 9),
    ] {
        let (dir, _) = crate::oracle::recorded(name);
        // On one of them the image of a container was removed by force.
        let gone = name == "logs-docker26-drivers";
        let rows = verified(dir.path(), i32::from(gone), &["--full"]);
        let config = [("missing", "", "config")];
        let want = expected(&config[..usize::from(gone)]);
        assert_eq!(differences(&rows), want, "{name}");
        assert_eq!(
            rows.iter().filter(|r| r["subject"] == "layer").count(),
            layers,
            "{name}"
        );
        if name == "rootless-docker26" {
            // Without the users' ranges the shift is taken from the files, and said.
            for file in ["subuid", "subgid"] {
                fs::remove_file(dir.path().join("etc").join(file)).unwrap();
            }
            let rows = verified(dir.path(), 0, &[]);
            assert_eq!(differences(&rows), BTreeSet::new());
            assert!(
                rows.iter().any(|r| r["note"]
                    .as_str()
                    .is_some_and(|n| n.contains("+1000 for 0"))),
                "{rows:?}"
            );
        }
        if name == "vfs-docker20" {
            copies(dir.path());
        }
    }
}

/// Full copies: what was done to a file that a layer below shipped is found in the copy.
fn copies(host: &Path) {
    let (_dir, case) = ingest(host, 0);
    let sql = "SELECT l.host_path FROM layer l WHERE l.role = 'image' AND l.parent_chain_id IS NOT NULL ORDER BY l.id LIMIT 1";
    let path: String = one(&open(&case), sql);
    let layer = host.join(path.trim_start_matches('/'));
    let _back = Tampered::of(&layer);
    let bin = layer.join("bin");
    let meta = fs::metadata(&bin).unwrap();
    fs::write(bin.join("evil"), "").unwrap();
    times(&bin, &meta);
    fs::set_permissions(bin.join("busybox"), fs::Permissions::from_mode(0o4755)).unwrap();
    let want = [
        ("added", "/bin/evil", ""),
        ("changed", "/bin/busybox", "mode"),
    ];
    assert_eq!(differences(&verified(host, 1, &[])), expected(&want));
}

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

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text).unwrap();
    out.finish().unwrap()
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
