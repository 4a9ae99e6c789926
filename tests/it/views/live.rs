//! A live container that changes its files in every way: against `docker diff` and the kernel.

use super::{equal, shown, unlisted};
use crate::support::engine::Engine;
use crate::support::mounts::Overlay;
use crate::support::trees::walked;
use crate::support::{Need, has, hashed, ingest, one, open, rows, shell, str_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    let mounted = Overlay::new(&stack).unwrap();
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
    let (_dir, case) = hashed(host, &[], 0);
    let hashed = rows(&case, &["drift", "--container", "every"]);
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
