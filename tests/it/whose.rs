//! Whose file is this: the ways in which an investigator may have come by its path, against a running engine and the disk.

use crate::support::engine::Engine;
use crate::support::{Need, dof, folder, has, ingest, one, open, rows, sample, str_of};
use rusqlite::Connection;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

fn whose(case: &Path, path: &str) -> Vec<Value> {
    rows(case, &["whose", "--path", path])
}

/// Containers and host paths of the answer.
fn places(found: &[Value]) -> BTreeSet<(String, String)> {
    let place = |r: &Value| (str_of(r, "container"), str_of(r, "host_path"));
    found.iter().map(place).collect()
}

/// The bytes of a file's path below its tree's root.
fn inner(db: &Connection, file: i64) -> (Vec<u8>, bool) {
    let sql = format!(
        "SELECT CAST(coalesce(d.path_raw, d.path) AS BLOB), CAST(coalesce(f.name_raw, f.name) AS BLOB), d.path_raw IS NOT NULL OR f.name_raw IS NOT NULL
           FROM file f JOIN directory d ON d.id = f.dir_id WHERE f.id = {file}"
    );
    let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?));
    let (dir, name, raw): (Vec<u8>, Vec<u8>, bool) = db.query_row(&sql, [], row).unwrap();
    ([dir, name].join(&b'/'), raw)
}

#[test]
fn the_paths_a_running_host_shows() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("whose").expect("an engine");
    engine.base_image();
    let build = "mkdir /a; echo 1 > /a/changed; echo 1 > /a/gone; echo 1 > '/a/x[1]'; mkdir '/a/*'; echo 1 > '/a/*/f'; echo 1 > /a/x1";
    let start = ["run", "--name", "build", "base:1", "sh", "-c", build];
    engine.docker(&start).text();
    engine.docker(&["commit", "build", "two:1"]).text();
    let change = "echo 22 > /a/changed; rm /a/gone; echo 2 > /a/new; echo 2 > /data/d; sleep 1000";
    let run = ["run", "-d", "--name", "live", "-v", "things:/data", "two:1"];
    engine
        .docker(&[&run[..], &["sh", "-c", change]].concat())
        .text();
    let script = "while [ ! -s /data/d ]; do sleep 0.1; done; find / -xdev -type f -exec stat -c '%s/%Y %n' {} +";
    let shown = engine.docker(&["exec", "live", "sh", "-c", script]).lines();
    let mounts = engine.docker(&["exec", "live", "cat", "/proc/mounts"]);
    let lower = mounts.lines()[0].clone();
    let inspect = engine.api("/containers/live/json");
    engine.kill();
    let (_dir, case) = ingest(&engine.root(), 0);
    let db = open(&case);
    let of = |key: &str| str_of(&inspect["GraphDriver"]["Data"], key);

    // What stood in the mounted view of the container: what the container itself said was there.
    let docker = |path: &str| path.starts_with("/dev/") || path.starts_with("/etc/"); // mounted by Docker
    let truth: BTreeMap<String, String> = shown
        .iter()
        .filter_map(|l| l.split_once(' '))
        .filter(|(_, path)| !docker(path))
        .map(|(what, path)| (path.to_owned(), what.to_owned()))
        .collect();
    assert!(
        truth.contains_key("/a/x[1]") && truth.len() > 6,
        "{truth:?}"
    );
    let merged = whose(&case, &format!("{}/*", of("MergedDir")));
    let what = |r: &Value| -> String {
        let sql = "SELECT size || '/' || (mtime / 1000000000) FROM file WHERE id";
        one(&db, &format!("{sql} = {}", r["file_id"]))
    };
    let ours: BTreeMap<String, String> = merged
        .iter()
        .filter(|r| r["effective"] == 1 && r["type"] == "file")
        .map(|r| (str_of(r, "path"), what(r)))
        .filter(|(path, _)| !docker(path))
        .collect();
    assert_eq!(ours, truth);
    assert!(merged.iter().all(|r| r["container"] == "live"));
    for path in ["/a/changed", "/a/x[1]", "/a/*/f", "/bin/busybox"] {
        let found = whose(&case, &format!("{}{path}", of("MergedDir")));
        let shown = found
            .iter()
            .find(|r| r["effective"] == 1 && r["path"] == path);
        assert_eq!(
            shown.map(what),
            Some(truth[path].clone()),
            "{path} {found:?}"
        );
    }
    let gone = whose(&case, &format!("{}/a/gone", of("MergedDir")));
    assert!(gone.len() == 2 && gone.iter().all(|r| r["effective"] == 0));

    // Layers by their short names, as the mount's own options have them.
    let lower = lower.split("lowerdir=").nth(1).unwrap();
    let lower: Vec<&str> = lower.split(',').next().unwrap().split(':').collect();
    let (root, mut short) = (fs::canonicalize(engine.root()).unwrap(), 0);
    for link in lower.iter().filter_map(|l| l.split("overlay2/l/").nth(1)) {
        let layer = fs::canonicalize(engine.data_root().join("overlay2/l").join(link)).unwrap();
        for entry in fs::read_dir(&layer).unwrap() {
            let name = entry.unwrap().file_name();
            let name = name.to_str().unwrap();
            let on_host = layer.strip_prefix(&root).unwrap().join(name);
            let found = whose(&case, &format!("/var/lib/docker/overlay2/l/{link}/{name}"));
            let on_host = format!("/{}", on_host.display());
            assert!(!found.is_empty(), "{link} {name}");
            assert!(found.iter().all(|r| r["host_path"] == on_host), "{found:?}");
            short += 1;
        }
    }
    assert!(lower.len() > 2 && short > 3, "{lower:?}");

    // Mounted wherever, or typed with a slash more.
    let upper = of("UpperDir").split("overlay2/").nth(1).unwrap().to_owned();
    let file = format!("/var/lib/docker/overlay2/{upper}/a/new");
    let truth = BTreeSet::from([("live".to_owned(), file.clone())]);
    let mount = engine.root().display().to_string();
    for asked in [
        file.clone(),
        format!("{file}/"),
        format!("/{file}"),
        format!("{mount}{file}"),
        format!("{mount}/{file}"),
        format!("/mnt/disk{file}"),
        format!("mnt/disk{file}"),
        file.replace("/var/lib/docker", "/mnt/lv"),
        "/mnt/disk/var/lib/docker/overlay2/*/diff/a/ne?".to_owned(),
    ] {
        assert_eq!(places(&whose(&case, &asked)), truth, "{asked}");
    }
    let listed = rows(&case, &["list-containers", "--container", "live"]);
    let layer = str_of(&listed[0], "CONTAINER LAYER");
    assert_eq!(places(&whose(&case, &format!("{layer}/a/new"))), truth);

    // The folders of a layer and a volume, and what is Docker's own in them: the root, and all who have it.
    let folder = |path: &str| places(&whose(&case, path));
    let diff = format!("/var/lib/docker/overlay2/{upper}");
    let own = BTreeSet::from([("live".to_owned(), diff.clone())]);
    for path in ["", "/", "/link", "/work/work", "/lower"] {
        assert_eq!(folder(&diff.replace("/diff", path)), own, "{path}");
    }
    assert_eq!(folder(&diff), own);
    let base: String = one(
        &db,
        "SELECT l.host_path FROM layer l JOIN image_layer i ON i.layer_id = l.id WHERE i.position = 1 LIMIT 1",
    );
    let both = ["build", "live"].map(|c| (c.to_owned(), base.clone()));
    assert_eq!(folder(&base), BTreeSet::from(both.clone()));
    let found = whose(&case, base.trim_end_matches("/diff"));
    assert_eq!(places(&found), BTreeSet::from(both));
    let images = str_of(&found[0], "image");
    assert!(
        images.contains("base:1") && images.contains("two:1"),
        "{images}"
    );
    let volume = "/var/lib/docker/volumes/things";
    let things = BTreeSet::from([("live".to_owned(), format!("{volume}/_data"))]);
    for path in [volume.to_owned(), format!("{volume}/_data/")] {
        let found = whose(&case, &path);
        assert_eq!(
            (places(&found), str_of(&found[0], "path")),
            (things.clone(), "/data".into())
        );
    }

    // A container's own files of Docker's.
    let log = str_of(&inspect, "LogPath");
    let log = format!(
        "/var/lib/docker/{}",
        log.split("var/lib/docker/").nth(1).unwrap()
    );
    let parent = Path::new(&log).parent().unwrap().display().to_string();
    for path in [log, format!("{parent}/config.v2.json"), parent] {
        let found = whose(&case, &path);
        assert_eq!(places(&found), BTreeSet::from([("live".into(), path)]));
        assert_eq!(found[0]["role"], "record");
    }

    // GLOBs on paths in the container, and names that look like one.
    let names = |path: &str| -> BTreeSet<String> {
        let found = rows(&case, &["whose", "--container", "live", "--path", path]);
        found.iter().map(|r| str_of(r, "path")).collect()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(names("/data/*"), set(&["/data/d"]));
    assert_eq!(names("/a/*w"), set(&["/a/new"]));
    assert_eq!(names("/a/x[1]"), set(&["/a/x[1]", "/a/x1"]));
    assert_eq!(names("/a/*/f"), set(&["/a/*/f"]));
    // So it is with the views: a name that looks like a GLOB is found as it is.
    let viewed = |args: [&str; 3]| -> BTreeSet<String> {
        let found = rows(&case, &[&args[..], &["--path", "/a/x[1]"]].concat());
        found.iter().map(|r| str_of(r, "path")).collect()
    };
    let both = set(&["/a/x[1]", "/a/x1"]);
    assert_eq!(viewed(["container-files", "--container", "live"]), both);
    assert_eq!(viewed(["image-files", "--image", "two:1"]), both);
    assert_eq!(names("/a/gon?"), set(&["/a/gone"]));
}

/// Symbolic links on the way, in an image and in a container, to files of layers and to what is mounted behind one.
#[test]
fn links_on_the_way() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("whose-links").expect("an engine");
    engine.base_image();
    let build = "mkdir -p /usr/sbin /var/www/data /opt/real; echo tool > /usr/sbin/tool; ln -s usr/sbin /sbin; ln -s /var/www/data /data; ln -s /circle /circle
        echo one > /opt/real/f; ln -s /opt/real /opt/way; ln -s tool /usr/sbin/alias; ln -s ../opt/way/ /var/back";
    let start = ["run", "--name", "build", "base:1", "sh", "-c", build];
    engine.docker(&start).text();
    engine.docker(&["commit", "build", "two:1"]).text();
    let change = "rm /opt/way; mkdir /opt/other; ln -s other /opt/way; echo three > /opt/other/f; echo in > /data/in/deep; ln -s data/in /short; sleep 1000";
    let run = [
        "run",
        "-d",
        "--name",
        "live",
        "-v",
        "things:/data/in",
        "two:1",
    ];
    engine
        .docker(&[&run[..], &["sh", "-c", change]].concat())
        .text();
    let still = ["run", "-d", "--name", "still", "two:1", "sleep", "1000"];
    engine.docker(&still).text();
    let paths = [
        "/sbin/tool",
        "/sbin/alias",
        "/opt/way/f",
        "/var/back/f",
        "/data/in/deep",
        "/short/deep",
        "/data/in/../in/deep",
        "/circle/x",
        "/usr/sbin/tool",
        "/data/in",
        "/opt/way",
        "/short",
    ];
    let script = format!(
        "while [ ! -e /short ] && [ ! $1 ]; do sleep 0.1; done; for p in {}; do stat -c \"$p %i %s\" $p 2>/dev/null; done; true",
        paths.join(" ")
    );
    let mut truth = BTreeSet::new();
    for (name, go) in [("live", ""), ("still", "go")] {
        for line in engine
            .docker(&["exec", name, "sh", "-c", &script, "sh", go])
            .lines()
        {
            truth.insert(format!("{name} {line}"));
        }
    }
    engine.kill();
    let (_dir, case) = ingest(&engine.root(), 0);
    let db = open(&case);
    let mut ours = BTreeSet::new();
    for path in paths {
        let found = whose(&case, path);
        for row in found
            .iter()
            .filter(|r| r["effective"] == 1 && r["container"] != "build")
        {
            let inode: i64 = one(
                &db,
                &format!("SELECT inode FROM file WHERE id = {}", row["file_id"]),
            );
            ours.insert(format!(
                "{} {path} {inode} {}",
                str_of(row, "container"),
                row["size"]
            ));
        }
        // One container alone says the same.
        let alone = rows(&case, &["whose", "--container", "live", "--path", path]);
        let live: Vec<Value> = found
            .into_iter()
            .filter(|r| r["container"] == "live")
            .collect();
        assert_eq!(alone, live, "{path}");
    }
    assert!(
        truth.contains("live /usr/sbin/tool") || truth.len() > 10,
        "{truth:?}"
    );
    assert_eq!(ours, truth);
    // So it is where the whole file system of the container was mounted.
    let layer: String = one(
        &db,
        "SELECT l.mount_point FROM layer l JOIN container c ON c.layer_id = l.id WHERE c.name = 'live'",
    );
    for path in ["/sbin/tool", "/opt/way/f", "/usr/sbin/tool"] {
        let of_live = |mut found: Vec<Value>| {
            found.retain(|r| r["container"] == "live" && r["effective"] == 1);
            found
        };
        let inside = of_live(whose(&case, path));
        let merged = of_live(whose(&case, &format!("{layer}{path}")));
        assert!(!inside.is_empty(), "{path}");
        assert_eq!(merged, inside, "{path}");
    }
    let found = whose(&case, "/short/deep");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (str_of(&found[0], "path"), str_of(&found[0], "role")),
        ("/var/www/data/in/deep".into(), "volume".into())
    );
    // What hangs on another path is hidden at that: a file of the image, below the link as it was.
    let hidden = whose(&case, "/opt/real/f");
    assert!(
        hidden.len() == 3 && hidden.iter().all(|r| r["effective"] == 1),
        "{hidden:?}"
    );
}

/// Docker's own files once each, also where only an id is left; volumes that lie elsewhere; paths that are no whole ones.
#[test]
fn records_and_parts_of_paths() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("whose-records").expect("an engine");
    engine.base_image();
    let device = "/srv/bound"; // as the engine sees it, whose root this is
    fs::create_dir_all(engine.root().join(&device[1..])).unwrap();
    let bind = [
        "volume",
        "create",
        "--opt",
        "type=none",
        "--opt",
        "o=bind",
        "--opt",
    ];
    let device_is = format!("device={device}");
    engine
        .docker(&[&bind[..], &[&device_is, "bound"]].concat())
        .text();
    let run = [
        "run",
        "--name",
        "kept",
        "-v",
        "bound:/b",
        "base:1",
        "sh",
        "-c",
        "mkdir /b/d; echo f > /b/d/f; echo n > /new",
    ];
    engine.docker(&run).text();
    engine
        .docker(&["create", "--name", "lost", "base:1", "sh"])
        .text();
    let [kept, lost] =
        ["kept", "lost"].map(|c| str_of(&engine.api(&format!("/containers/{c}/json")), "Id"));
    engine.kill();
    let data = engine.data_root();
    fs::remove_dir_all(data.join("containers").join(&lost)).unwrap();
    let (_dir, case) = ingest(&engine.root(), 0);
    let records = |path: &str| -> Vec<(String, String)> {
        let found = whose(&case, path);
        assert!(found.iter().all(|r| r["role"] == "record"), "{found:?}");
        found
            .iter()
            .map(|r| (str_of(r, "container"), str_of(r, "host_path")))
            .collect()
    };
    let log = format!("/var/lib/docker/containers/{kept}/{kept}-json.log");
    assert_eq!(records(&log), [("kept".to_owned(), log.clone())]);
    let relative = log.trim_start_matches("/var/lib/docker/");
    assert_eq!(records(relative), [("kept".to_owned(), log.clone())]);
    let mounts = "/var/lib/docker/image/overlay2/layerdb/mounts";
    let mount_id = format!("{mounts}/{lost}/mount-id");
    assert_eq!(records(&mount_id), [(lost.clone(), mount_id.clone())]);
    assert_eq!(records(&lost), [(lost.clone(), format!("{mounts}/{lost}"))]);
    let of_kept = records(&kept[..20]);
    assert!(
        of_kept.len() == 2 && of_kept.iter().all(|r| r.0 == "kept"),
        "{of_kept:?}"
    );
    assert_eq!(whose(&case, ""), Vec::<Value>::new());
    // Short names and volumes, without what stands before them.
    let db = open(&case);
    let link: String = one(
        &db,
        "SELECT l.link FROM layer l JOIN container c ON c.layer_id = l.id WHERE c.name = 'kept'",
    );
    let new = fs::canonicalize(data.join("overlay2/l").join(&link))
        .unwrap()
        .join("new");
    let new = format!(
        "/{}",
        new.strip_prefix(fs::canonicalize(engine.root()).unwrap())
            .unwrap()
            .display()
    );
    for path in [
        format!("overlay2/l/{link}/new"),
        format!("/x/overlay2/l/{link}/new"),
        new.clone(),
    ] {
        assert_eq!(
            places(&whose(&case, &path)),
            BTreeSet::from([("kept".into(), new.clone())]),
            "{path}"
        );
    }
    let truth = BTreeSet::from([("kept".to_owned(), format!("{device}/d/f"))]);
    for path in [
        "/var/lib/docker/volumes/bound/_data/d/f",
        "volumes/bound/_data/d/f",
        "/b/d/f",
    ] {
        let found = whose(&case, path);
        assert_eq!(places(&found), truth, "{path}");
        assert_eq!(
            (found.len(), str_of(&found[0], "path")),
            (1, "/b/d/f".into()),
            "{path}"
        );
    }
    let root = BTreeSet::from([("kept".to_owned(), device.to_owned())]);
    for path in [
        "/var/lib/docker/volumes/bound/_data",
        "/var/lib/docker/volumes/bound",
        "volumes/bound/opts.json",
    ] {
        assert_eq!(places(&whose(&case, path)), root, "{path}");
    }
}

/// Bytes that are not UTF-8, and names that are what dof prints of them.
#[test]
fn names_that_look_alike() {
    if !has(&[Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let uploads = mount.join("srv/shop/uploads");
    let names = [&b"twin\xff"[..], b"twin\\xff", b"d\xe9/in", b"d\\xe9/in"];
    for name in names {
        let at = uploads.join(OsStr::from_bytes(name));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, name).unwrap();
    }
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    for name in names {
        for place in [
            "/srv/shop/uploads/",
            "/var/www/html/uploads/",
            "*/",
            "uploads/",
        ] {
            let asked = OsString::from_vec([place.as_bytes(), name].concat());
            let args = [
                "query",
                "whose",
                "--case",
                case.to_str().unwrap(),
                "--format",
                "json",
                "--path",
            ];
            let args = args.map(OsString::from).into_iter().chain([asked]);
            let found: Vec<Value> = serde_json::from_str(&dof(args).with(0).out).unwrap();
            let bytes: BTreeSet<Vec<u8>> = found
                .iter()
                .map(|r| inner(&db, r["file_id"].as_i64().unwrap()).0)
                .collect();
            assert!(bytes.contains(&[b"/", name].concat()), "{place} {found:?}");
        }
    }
    // Each row that is not UTF-8 says what it is, and no other does.
    let mut odd = 0;
    for query in ["whose", "container-files", "image-files"] {
        for r in rows(&case, &[query]) {
            let (bytes, raw) = inner(&db, r["file_id"].as_i64().unwrap());
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(
                str_of(&r, "path_raw"),
                if raw { hex } else { String::new() },
                "{query} {r}"
            );
            odd += usize::from(raw);
        }
    }
    assert!(odd > 6, "{odd}");
    // Copied out by their bytes, by what is printed of them, and by a GLOB; a name that is just so comes first,
    // but hides nothing of what a GLOB means.
    let place = "/var/www/html/uploads";
    let copied = |asked: &[u8]| -> BTreeSet<Vec<u8>> {
        let dir = folder();
        let to = dir.path().join("out");
        let asked = OsString::from_vec([place.as_bytes(), b"/", asked].concat());
        let args = [
            "extract",
            "--container",
            "web",
            "--host",
            mount.to_str().unwrap(),
            "-o",
            to.to_str().unwrap(),
        ];
        dof(args.map(OsString::from).into_iter().chain([asked])).with(0);
        let below = to.join("files").join(&place[1..]);
        let files = walkdir::WalkDir::new(&below)
            .into_iter()
            .flatten()
            .filter(|e| e.file_type().is_file());
        files
            .map(|e| {
                e.path()
                    .strip_prefix(&below)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec()
            })
            .collect()
    };
    let set = |names: &[&[u8]]| names.iter().map(|n| n.to_vec()).collect::<BTreeSet<_>>();
    for name in names {
        assert_eq!(copied(name), set(&[name]));
    }
    assert_eq!(copied(b"twin*"), set(&names[..2]));
    assert_eq!(copied(b"d?xe9"), set(&names[2..]));
    assert_eq!(copied(b"*.ph[p]"), set(&[b"cat.jpg.php"]));
    fs::remove_file(uploads.join("twin\\xff")).unwrap();
    assert_eq!(copied(b"twin\\xff"), set(&[b"twin\xff"]));
    fs::write(uploads.join("tw*"), "").unwrap();
    assert_eq!(copied(b"tw*"), set(&[b"tw*", b"twin\xff"]));
    // A raw byte below a name that only looks like one.
    fs::write(uploads.join(OsStr::from_bytes(b"d\\xe9/mix\xfe")), "").unwrap();
    assert_eq!(copied(b"d\\xe9/mix\\xfe"), set(&[b"d\\xe9/mix\xfe"]));
    let nothing = folder();
    let to = nothing.path().join("out");
    let args = [
        "extract",
        "--container",
        "web",
        "/no/*",
        "--host",
        mount.to_str().unwrap(),
        "-o",
        to.to_str().unwrap(),
    ];
    assert!(dof(args).with(2).err.contains("no /no/* in this container") && !to.exists());
}

/// A bind source is known by the link that it was given with, and by where that leads if another has it by that.
#[test]
fn a_bind_source_behind_a_link() {
    let host = crate::support::made::Host::of("overlay2");
    host.write("srv/real/f", "");
    std::os::unix::fs::symlink("real", host.dir.path().join("srv/link")).unwrap();
    for (name, source) in [("c", "/srv/real"), ("d", "/srv/link")] {
        fs::create_dir_all(host.layer(name)).unwrap();
        host.stack(name, &[name.into()]);
        host.bind(name, &[(source.into(), "/data".into())]);
    }
    let (_dir, case) = ingest(host.dir.path(), 0);
    for path in ["/srv/link/f", "/srv/real/f", "/data/f"] {
        let found = whose(&case, path);
        let at: Vec<_> = found
            .iter()
            .map(|r| str_of(r, "container") + &str_of(r, "path"))
            .collect();
        assert_eq!(at, ["c/data/f", "d/data/f"], "{path}: {found:?}");
    }
}
