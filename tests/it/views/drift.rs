//! What a container changed that `docker diff` does not list.

use super::unlisted;
use crate::support::made::Host;
use crate::support::mounts::{Overlay, Writable};
use crate::support::{Need, folder, has, hashed, ingest, one, open, rows, run, shell, str_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Extended attributes of a path as the kernel shows them, without overlayfs's and the system's own.
fn attributes(path: &Path) -> BTreeMap<String, String> {
    let ran = run(
        "getfattr",
        &[
            "-h",
            "-d",
            "-e",
            "hex",
            "-m",
            "-",
            "--absolute-names",
            path.to_str().unwrap(),
        ],
    );
    let out = ran.expect("getfattr").out;
    out.lines()
        .filter_map(|l| l.split_once('='))
        .filter(|(name, _)| !name.contains("overlay") && *name != "security.selinux")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Attributes and access control lists alone: nothing `docker diff` compares, and yet named; directories that were only
/// touched; and two names that are printed the same.
#[test]
fn attributes_and_names_that_docker_does_not_compare() {
    if !has(&[
        Need::Trusted,
        Need::Program("setfattr"),
        Need::Program("getfattr"),
    ]) {
        return;
    }
    let host = Host::of("overlay2");
    let (base, own) = (host.layer("base"), host.layer("own"));
    fs::create_dir_all(&base).unwrap();
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    shell(
        &base,
        "mkdir d d/sub touched changed acldir; for f in user acl both same gone d/in; do echo x > $f; done
         setfattr -n user.keep -v 1 same; setfattr -n user.gone -v 1 gone
         echo x > \"$(printf 'raw\\377')\"; echo x > 'raw\\xff'",
    );
    // The list user::rw-, user:7:rwx, group::r--, mask::rwx, other::r--: it makes the group's bits rwx.
    let list = "0x0200000001000600ffffffff020007000700000004000400ffffffff10000700ffffffff20000400ffffffff";
    shell(
        &base,
        &format!(
            "chmod 674 acl both; setfattr -n system.posix_acl_access -v {} both",
            list.replace("02000700", "02000600")
        ),
    );
    let work = folder();
    let [at, aside] = ["at", "aside"].map(|n| work.path().join(n));
    for dir in [&at, &aside] {
        fs::create_dir(dir).unwrap();
    }
    let made = Writable::new(work.path(), std::slice::from_ref(&base), &aside, &at).expect("mount");
    shell(
        &at,
        &format!(
            "setfattr -n user.evil -v 1 user; setfattr -n system.posix_acl_access -v {list} acl both; setfattr -n user.also -v 2 both
             chmod 600 same; chmod 644 same; setfattr -x user.gone gone; touch d/in; touch -r d d/in; chmod 640 d/in; chmod 644 d/in
             setfattr -n user.evil -v 1 d; setfattr -n system.posix_acl_default -v {list} acldir; touch touched; chmod 700 changed; chmod 755 changed
             chmod 600 raw*"
        ),
    );
    drop(made);
    fs::rename(&aside, &own).unwrap();
    host.stack("c", &["base".into(), "own".into()]);
    let (_dir, case) = hashed(host.dir.path(), &[], 0);
    let found = rows(&case, &["drift"]);
    let [now, before] = [
        Overlay::new(&[own.clone(), base.clone()]).unwrap(),
        Overlay::new(std::slice::from_ref(&base)).unwrap(),
    ];
    let mut named = BTreeMap::new();
    for path in [
        "user", "acl", "both", "same", "gone", "d", "d/in", "acldir", "touched", "changed",
    ] {
        let [now, before] = [&now, &before].map(|m| attributes(&m.at().join(path)));
        let differ = |acl: bool| {
            let of = |all: &BTreeMap<String, String>| {
                let mut all = all.clone();
                all.retain(|name, _| name.starts_with("system.posix_acl_") == acl);
                all
            };
            of(&now) != of(&before)
        };
        let truth: Vec<&str> = [(differ(true), "acl"), (differ(false), "xattr")]
            .into_iter()
            .filter_map(|(is, word)| is.then_some(word))
            .collect();
        let row = found.iter().find(|r| r["path"] == format!("/{path}"));
        let row = row.unwrap_or_else(|| panic!("{path}: {found:?}"));
        let differs = str_of(row, "differs");
        let ours: Vec<&str> = differs
            .split(',')
            .filter(|d| ["acl", "xattr"].contains(d))
            .collect();
        assert_eq!(ours, truth, "{row}");
        let same = if row["type"] == "file" {
            1
        } else {
            i64::from(!truth.is_empty())
        };
        if row["change"] == "U" {
            assert_eq!(row["metadata_only"], same, "{row}");
        }
        named.insert(path, (str_of(row, "change"), differs));
    }
    let said = |change: &str, differs: &str| (change.to_owned(), differs.to_owned());
    for (path, truth) in [
        ("user", said("U", "xattr")),
        ("both", said("U", "acl,xattr")),
        ("gone", said("U", "xattr")),
        ("same", said("U", "")),
        ("d", said("U", "xattr")),
        ("acldir", said("U", "acl")),
        ("touched", said("U", "")),
        ("changed", said("U", "")),
    ] {
        assert_eq!(named[path], truth, "{path}");
    }
    let raw: Vec<_> = found
        .iter()
        .filter(|r| r["path"] == "/raw\\xff")
        .map(|r| str_of(r, "path_raw"))
        .collect();
    assert_eq!(
        raw.iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&String::new(), &"2f726177ff".into()]),
        "{raw:?}"
    );
    assert!(
        found
            .iter()
            .all(|r| r["path"] == "/raw\\xff" || r["path_raw"].is_null())
    );
}

/// On a driver of full copies each file is another than before: only contents tell.
#[test]
fn a_full_copy_is_no_copy_up() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let (host, _) = crate::support::oracle::recorded("vfs-docker20");
    let (_dir, case) = ingest(host.path(), 0);
    let all = rows(&case, &["drift"]);
    assert!(unlisted(&all).is_empty() && all.len() > 5, "{}", all.len());
    // A file that is as its image has it, written over with its time set back.
    let path: String = one(
        &open(&case),
        "SELECT l.host_path || '/bin/busybox' FROM container c JOIN layer l ON l.id = c.layer_id WHERE c.name = 'front'",
    );
    let path = host.path().join(&path[1..]);
    let meta = fs::metadata(&path).unwrap();
    let mut content = fs::read(&path).unwrap();
    content[99] ^= 1;
    fs::write(&path, content).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    let (_dir, case) = ingest(host.path(), 0);
    assert!(unlisted(&rows(&case, &["drift"])).is_empty(), "no hashes");
    let (_dir, case) = hashed(host.path(), &[], 0);
    let found = rows(&case, &["drift"]);
    let found: Vec<&Value> = found.iter().filter(|r| r["change"] == "U").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["path"], &found[0]["executable"]),
        (&"/bin/busybox".into(), &"replaced".into())
    );
}
