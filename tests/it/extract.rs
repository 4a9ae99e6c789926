//! Files copied out of containers: against `docker cp` of a live engine, and against hostile names and places.

use crate::support::engine::Engine;
use crate::support::{Need, dof, folder, has, run, sample};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

fn extract(mount: &Path, container: &str, paths: &[&str], to: &Path) -> crate::support::Ran {
    let mut args = vec!["extract", "--container", container];
    args.extend(paths);
    args.extend([
        "-o",
        to.to_str().unwrap(),
        "--host",
        mount.to_str().unwrap(),
    ]);
    dof(args)
}

/// Regular files below: size, permissions, seconds of mtime, content.
fn files(at: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(at) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let meta = entry.metadata().unwrap();
            let name = entry.path().strip_prefix(at).unwrap().to_owned();
            let content = fs::read(entry.path()).unwrap();
            let mode = meta.permissions().mode() & 0o777;
            all.insert(name, (meta.len(), mode, meta.mtime(), content));
        }
    }
    all
}

fn manifest(at: &Path) -> Vec<BTreeMap<String, String>> {
    let mut rows = csv::Reader::from_path(at.join("manifest.csv")).unwrap();
    rows.deserialize().collect::<Result<_, _>>().unwrap()
}

/// sha256sum's word on the list.
#[track_caller]
fn sums_hold(at: &Path) -> usize {
    let script = format!(
        "cd '{}' && sha256sum -c --strict --quiet SHA256SUMS",
        at.display()
    );
    run("bash", &["-c", &script]).expect("bash").with(0);
    let list = fs::read(at.join("SHA256SUMS")).unwrap();
    list.iter().filter(|&&b| b == b'\n').count()
}

#[test]
fn what_docker_cp_copies() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("extract").expect("an engine");
    engine.base_image();
    engine.docker(&["volume", "create", "data"]).text();
    let script = "mkdir -p /loot/a/b /loot/empty; echo one > /loot/a/one; echo two > /loot/a/b/two; chown 1234:5678 /loot/a/one; chmod 4750 /loot/a/one
        ln -s /loot/a /way; mkdir /other; ln -s ../../../../etc/hostname /other/up; ln -s /loot/a/one /loot/link; touch -d 2019-05-27 /loot/a/b/two
        rm /bin/busybox2 2>/dev/null; echo new > /bin/added; echo vol > /vol/v";
    let start = [
        "run",
        "--name",
        "one",
        "-v",
        "data:/vol",
        "base:1",
        "sh",
        "-c",
        script,
    ];
    engine.docker(&start).text();
    let truth = engine.scratch().join("cp");
    for path in ["loot", "bin", "vol"] {
        let to = truth.join(path);
        fs::create_dir_all(&truth).unwrap();
        let from = format!("one:/{path}");
        engine.docker(&["cp", &from, to.to_str().unwrap()]).text();
    }
    engine.kill();
    let dir = folder();
    let to = dir.path().join("out");
    let said = extract(
        &engine.root(),
        "one",
        &["/way/..", "/bin", "vol", "/other", "/loot/a"],
        &to,
    )
    .with(0)
    .err;
    let (ours, theirs) = (files(&to.join("files")), files(&truth));
    assert!(theirs.len() >= 5, "{:?}", theirs.keys());
    assert_eq!(ours, theirs);
    assert!(
        said.contains(&format!("Copied {} files", ours.len())),
        "{said}"
    );
    assert_eq!(sums_hold(&to), ours.len());
    assert!(to.join("files/loot/empty").is_dir());
    // Links are told of and not made.
    let rows = manifest(&to);
    let row = |path: &str| {
        rows.iter()
            .find(|r| r["path"] == path)
            .unwrap_or_else(|| panic!("{path}"))
    };
    assert_eq!(
        (
            row("/loot/link")["type"].as_str(),
            row("/loot/link")["link"].as_str()
        ),
        ("symlink", "/loot/a/one")
    );
    assert!(to.join("files/loot/link").symlink_metadata().is_err());
    // Whole seconds, as touch sets them, with all nine digits.
    let mtime = &row("/loot/a/b/two")["mtime"];
    assert!(
        mtime.starts_with("2019-05-27T") && mtime.ends_with(".000000000Z"),
        "{mtime}"
    );
    let one = row("/loot/a/one");
    assert_eq!(
        (
            one["mode"].as_str(),
            one["uid"].as_str(),
            one["gid"].as_str()
        ),
        ("4750", "1234", "5678")
    );
    let made = fs::metadata(to.join("files/loot/a/one")).unwrap();
    assert_eq!((made.mode() & 0o7777, made.uid()), (0o750, 0));
    // Where on the host each lies.
    for r in rows.iter().filter(|r| r["type"] == "file") {
        let host = engine.root().join(&r["host_path"][1..]);
        let copy = to.join("files").join(&r["path"][1..]);
        assert_eq!(fs::read(host).unwrap(), fs::read(copy).unwrap(), "{r:?}");
        assert!(r["host_path"].starts_with(&r["layer"]));
    }
    // By way of a link, and with owners.
    let to = dir.path().join("second");
    let args = [
        "extract",
        "--container",
        "one",
        "/way/one",
        "--keep-owners",
        "-o",
        to.to_str().unwrap(),
        "--host",
        engine.root().to_str().unwrap(),
    ]
    .map(str::to_owned);
    dof(args).with(0);
    let made = fs::metadata(to.join("files/loot/a/one")).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.mode() & 0o7777),
        (1234, 5678, 0o750)
    );
}

#[test]
fn hostile_names_and_places() {
    if !has(&[Need::Root, Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    let names = [
        &b"new\nline"[..],
        b"back\\slash",
        b"\\x0a",
        b"cr\r",
        b"bad\xff",
        b"-rf",
        b"#",
        b"a,\"b",
    ];
    for name in names {
        fs::write(volume.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    for (name, kind) in [("device", &["b", "8", "0"][..]), ("pipe", &["p"][..])] {
        let path = volume.join(name);
        let args = [&[path.to_str().unwrap()], kind].concat();
        run("mknod", &args).expect("mknod").with(0);
    }
    let secret = folder();
    fs::write(secret.path().join("secret"), "the analyst's").unwrap();
    std::os::unix::fs::symlink(secret.path(), volume.join("out")).unwrap();
    let hole = fs::File::create(volume.join("sparse")).unwrap();
    hole.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&hole, b"end", (1 << 40) - 3).unwrap();
    let dir = folder();
    let to = dir.path().join("out");
    let place = "/var/www/html/uploads";
    let ran = extract(&mount, "web", &[place], &to).with(1);
    assert!(
        ran.err.contains("more holes than are hashed"),
        "{}",
        ran.err
    );
    let copies = to.join("files").join(&place[1..]);
    for name in names {
        let copy = copies.join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(fs::read(copy).unwrap(), name);
    }
    sums_hold(&to);
    let sparse = fs::metadata(copies.join("sparse")).unwrap();
    assert!(sparse.len() == 1 << 40 && sparse.blocks() < 1000);
    let rows = manifest(&to);
    // Bytes as the manifest counts them: holes too.
    let sizes = rows.iter().filter(|r| r["type"] == "file");
    let sizes: u64 = sizes.map(|r| r["size"].parse::<u64>().unwrap()).sum();
    assert!(sizes > 1 << 40);
    let told = format!(" files ({sizes} bytes, holes included) of web");
    assert!(ran.err.contains(&told), "{}", ran.err);
    let kind = |name: &str| {
        rows.iter()
            .find(|r| r["path"] == format!("{place}/{name}"))
            .unwrap()["type"]
            .clone()
    };
    assert_eq!(
        [kind("device"), kind("pipe"), kind("out")],
        ["blockdev", "fifo", "symlink"]
    );
    for name in ["device", "pipe", "out"] {
        assert!(copies.join(name).symlink_metadata().is_err(), "{name}");
    }
    // A link out of the container stays in it: there is nothing of that name.
    let ran = extract(
        &mount,
        "web",
        &[&format!("{place}/out/secret")],
        &dir.path().join("no"),
    );
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(!dir.path().join("no").exists());
    // Nothing is overwritten, nothing goes through a link, nothing into the evidence.
    assert_eq!(extract(&mount, "web", &[place], &to).code, 2);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
    assert_eq!(extract(&mount, "web", &[place], &link).code, 2);
    assert!(!dir.path().join("elsewhere").exists());
    assert_eq!(
        extract(&mount, "web", &[place], &mount.join("tmp/x")).code,
        2
    );
    assert_eq!(
        extract(&mount, "nobody", &[place], &dir.path().join("n")).code,
        2
    );
}

/// Names of the files copied out of the uploads of the sample's web, and of what the manifest has beside them.
fn taken(to: &Path) -> (Vec<String>, Vec<String>) {
    let short = |path: &str| path.replace("/var/www/html/uploads/", "");
    let rows = manifest(to);
    let of = |file: bool| {
        rows.iter()
            .filter(|r| (r["type"] == "file") == file)
            .map(|r| short(&r["path"]))
            .collect()
    };
    (of(true), of(false))
}

#[test]
fn a_name_like_a_glob_hides_nothing() {
    if !has(&[Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads/h");
    fs::create_dir(&volume).unwrap();
    for name in [&b"*"[..], b"a", b"b", b"[ab]", b"x\xff", b"x\\xff"] {
        fs::write(volume.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let dir = folder();
    let at = "/var/www/html/uploads/h";
    for (nth, (glob, names)) in [
        (
            "*",
            &["h/*", "h/[ab]", "h/a", "h/b", "h/x\\xff", "h/x\\xff"][..],
        ),
        ("[ab]", &["h/[ab]", "h/a", "h/b"]),
        ("?", &["h/*", "h/a", "h/b"]),
        ("x\\xff", &["h/x\\xff"]),
    ]
    .into_iter()
    .enumerate()
    {
        let to = dir.path().join(nth.to_string());
        let ran = extract(&mount, "web", &[&format!("{at}/{glob}")], &to).with(0);
        let (mut files, _) = taken(&to);
        files.sort();
        assert_eq!(files, names, "{glob}");
        let told = format!("Copied {} files", names.len());
        assert!(ran.err.contains(&told), "{glob}: {}", ran.err);
        assert_eq!(sums_hold(&to), names.len());
    }
}

#[test]
fn a_link_to_nothing_is_told_of() {
    if !has(&[Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    let links = [
        ("dangling", "/h/missing"),
        ("loop1", "loop2"),
        ("loop2", "loop1"),
        ("fine", "shell"),
        ("way", "."),
    ];
    for (name, target) in links {
        std::os::unix::fs::symlink(target, volume.join(name)).unwrap();
    }
    fs::write(volume.join("shell"), "x").unwrap();
    let dir = folder();
    let at = "/var/www/html/uploads";
    for (name, row, says) in [
        (
            "dangling",
            "dangling",
            "a link to /h/missing, which is not in this container",
        ),
        (
            "way/way/dangling",
            "dangling",
            "a link to /h/missing, which is not",
        ),
        ("loop1", "loop1", "a link to loop2, which leads in a circle"),
    ] {
        let to = dir.path().join(name.replace('/', "-"));
        let ran = extract(&mount, "web", &[&format!("{at}/{name}")], &to).with(1);
        assert!(
            ran.err.contains(&format!("{at}/{row}")) && ran.err.contains(says),
            "{}",
            ran.err
        );
        assert_eq!(taken(&to), (vec![], vec![row.to_owned()]));
        let link = links.iter().find(|l| l.0 == row).unwrap().1;
        assert_eq!(manifest(&to)[0]["link"], link);
    }
    let to = dir.path().join("all");
    extract(&mount, "web", &[&format!("{at}/*")], &to).with(0);
    assert!(links.iter().all(|l| taken(&to).1.contains(&l.0.to_owned())));
    let to = dir.path().join("fine");
    extract(&mount, "web", &[&format!("{at}/fine")], &to).with(0);
    assert_eq!(taken(&to), (vec!["shell".to_owned()], vec![]));
    // Nothing of that name, and a name that was never set.
    for (path, says) in [
        (format!("{at}/dangling/x"), "no /var"),
        (format!("{at}/loop1/x"), "no /var"),
        (String::new(), "a path is empty"),
    ] {
        let to = dir.path().join("none");
        let ran = extract(&mount, "web", &["/etc/hostname", &path], &to).with(2);
        assert!(ran.err.contains(says) && !to.exists(), "{}", ran.err);
    }
}

/// A host is wanted, whatever case may be about, and that is what is said.
#[test]
fn no_host_is_named() {
    let dir = folder();
    for words in [
        &["extract", "/tmp/trojan", "-o", "loot"][..],
        &["export-container", "-o", "tar"],
        &["mount-container"],
    ] {
        let out = crate::support::dof_command()
            .args([words, &["--container", "apache"]].concat())
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("no mounted host is named"), "{said}");
    }
}
