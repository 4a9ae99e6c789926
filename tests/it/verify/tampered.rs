//! What is done to layers and to the records of them is named, and nothing else.

use super::hosts::{Tampered, host, layer, times};
use super::{differences, expected, verified};
use crate::support::made::gzip;
use crate::support::{Need, dof, has, ingest, one, open, sample, shell};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

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
        shell(
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
