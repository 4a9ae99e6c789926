//! Sizes that an attacker chose: whatever stands in place of Docker's files, memory stays below what docs/evidence.md says.

use crate::support::bounds::{MOST, peak};
use crate::support::made::{Host, config};
use crate::support::mounts::Unmount;
use crate::support::{Need, dof, folder, has, ingest, one, open, run, runs_hold};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The peak of an ingest of a host, and its case.
#[track_caller]
fn bounded(
    what: &str,
    host: &Host,
    more: &[&str],
) -> (tempfile::TempDir, rusqlite::Connection, String) {
    let dir = folder();
    let case = dir.path().join("case.db");
    let mount = host.mount();
    let mut args = vec!["ingest", "--jobs", "4"];
    args.extend(more);
    args.extend([mount.to_str().unwrap(), case.to_str().unwrap()]);
    let (said, peak) = peak(&args, &[0, 1]);
    eprintln!("{what}: {} MiB", peak >> 20);
    assert!(peak < MOST, "{what}: {} MiB", peak >> 20);
    let db = open(&case);
    (dir, db, said)
}

/// Every JSON file of a host, with this in its place.
fn everywhere(host: &Host, text: &[u8]) {
    let image = "var/lib/docker/image/overlay2";
    let id = host.container('a', text);
    for at in [
        format!("var/lib/docker/containers/{id}/hostconfig.json"),
        format!("{image}/repositories.json"),
        format!("{image}/imagedb/content/sha256/{}", "1".repeat(64)),
        format!("{image}/imagedb/content/sha256/{}", "2".repeat(64)),
        "etc/docker/daemon.json".to_owned(),
        "var/lib/docker/volumes/v/opts.json".to_owned(),
        "var/lib/docker/swarm/docker-state.json".to_owned(),
    ] {
        host.write(&at, text);
    }
}

#[test]
fn json_deep_and_wide() {
    let size = 8 << 20;
    let list = |item: &str| format!("[{}1]", item.repeat(size / item.len()));
    let labels = |item: &str, n: usize| {
        let all: Vec<String> = (0..n).map(|i| format!("\"{i}\":{item}")).collect();
        format!("{{{}}}", all.join(","))
    };
    for (what, text) in [
        ("brackets", "[".repeat(size)),
        ("objects in objects", "{\"a\":".repeat(size / 5)),
        ("numbers", list("1,")),
        ("lists", list("[],")),
        ("objects", list("{\"\":0},")),
        (
            "one string",
            format!("{{\"Name\":\"/{}\"}}", "x".repeat(size)),
        ),
        (
            "escapes",
            format!("{{\"Name\":\"/{}\"}}", "\\u0001".repeat(size / 6)),
        ),
        (
            "lone surrogates",
            format!("{{\"Name\":\"/{}\"}}", "\\ud800".repeat(size / 600)),
        ),
        (
            "labels",
            format!(
                "{{\"Config\":{{\"Labels\":{0}}},\"config\":{{\"Labels\":{0}}}}}",
                labels("\"x\"", 200_000)
            ),
        ),
        (
            "one label",
            format!(
                "{{\"Config\":{{\"Labels\":{{\"a\":\"{0}\"}}}},\"config\":{{\"Labels\":{{\"a\":\"{0}\"}}}}}}",
                "y".repeat(size / 2)
            ),
        ),
    ] {
        let host = Host::new();
        everywhere(&host, text.as_bytes());
        let (_dir, db, said) = bounded(what, &host, &[]);
        assert_eq!(
            one::<i64>(&db, "SELECT count(*) FROM container"),
            1,
            "{what}"
        );
        assert!(
            said.contains("daemon.json") || said.contains("config.v2.json"),
            "{what}: {said}"
        );
    }
}

/// Files that are each small enough, and more together than memory: all are read, none is held.
#[test]
fn many_records() {
    let host = Host::new();
    let env = format!("{{\"Config\":{{\"Env\":[\"A={}\"]}}}}", "x".repeat(950_000));
    host.write("var/lib/docker/containers/first/config.v2.json", env);
    let first = host.root().join("containers/first/config.v2.json");
    for i in 0..350 {
        let dir = host.root().join(format!("containers/{i:064x}"));
        fs::create_dir_all(&dir).unwrap();
        fs::hard_link(&first, dir.join("config.v2.json")).unwrap();
    }
    let (_dir, db, _) = bounded("many records", &host, &[]);
    let whole = "SELECT count(*) FROM container c JOIN container_env e ON e.container_id = c.id WHERE length(e.value) = 950000";
    assert_eq!(one::<i64>(&db, whole), 351);
    // Straight from the mount too.
    let mount = host.mount();
    let (_, peak) = peak(&["list-containers", mount.to_str().unwrap()], &[1]);
    assert!(peak < MOST, "{} MiB", peak >> 20);
}

/// Larger than anything is read: refused at once.
#[test]
fn terabytes_in_place_of_metadata() {
    let host = Host::new();
    everywhere(&host, b"");
    let mut files: Vec<_> = walkdir::WalkDir::new(host.mount())
        .into_iter()
        .map(|e| e.unwrap())
        .filter(|e| e.file_type().is_file() && e.file_name() != "hostname")
        .map(walkdir::DirEntry::into_path)
        .collect();
    for db in [
        "volumes/metadata.db",
        "network/files/local-kv.db",
        "buildkit/metadata_v2.db",
        "containerd/daemon/io.containerd.metadata.v1.bolt/meta.db",
        "image/overlay2/layerdb/sha256/x/diff",
    ] {
        let path = host.root().join(db);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        files.push(path);
    }
    for path in &files {
        fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    }
    // In a layer and in a volume too, hashed.
    for at in ["overlay2/lost/diff/huge", "volumes/v/_data/huge"] {
        let path = host.root().join(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    }
    let (_dir, db, said) = bounded("terabytes", &host, &["--hash", "sha256"]);
    assert!(said.matches("larger than").count() >= 10, "{said}");
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM file WHERE name = 'huge' AND size = 1 << 40"
        ),
        2
    );
    // As large as is read, and nothing but zeros or holes.
    for path in &files {
        fs::File::create(path).unwrap().set_len(16 << 20).unwrap();
    }
    bounded("zeros", &host, &[]);
}

/// Pages that lead to each other, and pages that hold as much as fits.
#[test]
fn databases() {
    let (_sample, mount) = crate::support::sample();
    for db in ["volumes/metadata.db", "network/files/local-kv.db"] {
        let path = mount.join("var/lib/docker").join(db);
        let bytes = fs::read(&path).unwrap();
        let host = Host::new();
        let at = format!("var/lib/docker/{db}");
        host.write(&at, &bytes);
        fs::OpenOptions::new()
            .write(true)
            .open(host.mount().join(&at))
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        bounded(&format!("{db} to 64 MiB"), &host, &[]);
        // Every page is a copy of each other: branches lead anywhere.
        let page = 4096;
        let mut cyclic = bytes.clone();
        for at in (2 * page..cyclic.len()).step_by(page) {
            let from = (at * 7) % (cyclic.len() / page) * page;
            cyclic.copy_within(from..from + page, at);
        }
        host.write(&at, [&cyclic[..], &bytes[..]].concat().repeat(100));
        bounded(&format!("{db}, a tangle"), &host, &[]);
    }
}

#[test]
fn bombs() {
    let zipped = |block: &[u8], mib: usize| {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        for _ in 0..mib {
            gz.write_all(block).unwrap();
        }
        gz.finish().unwrap()
    };
    let zeros = zipped(&vec![0; 1 << 20], 128);
    let host = Host::new();
    let id = host.container('a', config("a"));
    host.write(
        &format!("var/lib/docker/containers/{id}/hostconfig.json"),
        r#"{"LogConfig":{"Type":"json-file"}}"#,
    );
    host.log(&id, "");
    for (n, bomb) in [&zeros, &zipped(&vec![b'x'; 1 << 20], 64), &zeros.repeat(2)]
        .iter()
        .enumerate()
    {
        host.write(
            &format!("var/lib/docker/containers/{id}/{id}-json.log.{}.gz", n + 1),
            bomb,
        );
    }
    host.write(
        &format!("var/lib/docker/containers/{id}/container-cached.log"),
        zipped(&[0xff; 1 << 20], 64),
    );
    let (_dir, _db, said) = bounded("logs", &host, &[]);
    assert!(said.contains("-json.log.2.gz"), "{said}");
    let (_sample, mount) = crate::support::sample();
    let store = mount.join("var/lib/docker/image/overlay2/layerdb/sha256");
    let mut layers: Vec<_> = fs::read_dir(store)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    layers.sort();
    let huge = format!(
        "{{\"type\":2,\"payload\":\"{}\"}}\n",
        "A".repeat((1 << 20) - 40)
    );
    for (layer, bomb) in layers.iter().zip([
        zeros,
        zipped(&vec![b'\n'; 1 << 20], 32),
        zipped(huge.as_bytes(), 64),
    ]) {
        fs::write(layer.join("tar-split.json.gz"), bomb).unwrap();
    }
    let (_, most) = peak(&["verify", mount.to_str().unwrap()], &[1]);
    assert!(most < MOST, "verify: {} MiB", most >> 20);
}

/// A line of a gigabyte, and a list of 300,000 variables.
#[test]
fn long_lines_and_lists() {
    let host = Host::new();
    let variables: Vec<String> = (0..300_000).map(|i| format!("\"V{i}={i}\"")).collect();
    let text = config("a").replace(
        "\"Image\":\"x\"",
        &format!("\"Image\":\"x\",\"Env\":[{}]", variables.join(",")),
    );
    let id = host.container('a', text);
    let path = host.root().join(format!("containers/{id}/{id}-json.log"));
    let mut log = fs::File::create(&path).unwrap();
    log.write_all(b"{\"log\":\"").unwrap();
    for _ in 0..1024 {
        log.write_all(&[b'x'; 1 << 20]).unwrap();
    }
    log.write_all(b"\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00Z\"}\n{\"log\":\"behind\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:01Z\"}\n").unwrap();
    let (_dir, db, said) = bounded("a line", &host, &[]);
    assert!(said.contains("entry longer than"), "{said}");
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM log_entry WHERE line = 'behind'"),
        1
    );
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM container_env"),
        300_000
    );
}

/// Files that someone writes to meanwhile are read as far as they went.
#[test]
fn files_that_grow() {
    let host = Host::new();
    let id = host.container('a', config("a"));
    host.log(&id, "");
    let line = "{\"log\":\"more\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00Z\"}\n";
    let files = [
        host.root().join(format!("containers/{id}/{id}-json.log")),
        host.root().join(format!("containers/{id}/config.v2.json")),
        host.mount().join("etc/hostname"),
    ];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let open = |p| fs::OpenOptions::new().append(true).open(p).unwrap();
            let mut files = files.each_ref().map(open);
            while !done.load(Ordering::Relaxed) {
                for file in &mut files {
                    file.write_all(line.repeat(100).as_bytes()).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3 {
                bounded("growing", &host, &["--hash", "sha256"]);
            }
        }));
        done.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
}

/// Memory does not grow with the entries of a directory, but for the bits that each takes to be put in order.
#[test]
fn a_directory_of_many_entries() {
    let of = |n: usize| {
        let host = Host::new();
        let dir = host.root().join("overlay2/lost/diff");
        fs::create_dir_all(&dir).unwrap();
        for i in 0..n {
            fs::File::create(dir.join(format!("entry-with-a-longer-name-{i}"))).unwrap();
        }
        let at = folder();
        let case = at.path().join("case.db");
        let mount = host.mount();
        let (_, peak) = peak(
            &["ingest", mount.to_str().unwrap(), case.to_str().unwrap()],
            &[0],
        );
        assert!(one::<i64>(&open(&case), "SELECT count(*) FROM file") > n as i64);
        runs_hold(&open(&case));
        peak
    };
    let (few, many) = (of(10_000), of(100_000));
    eprintln!("{} MiB, {} MiB", few >> 20, many >> 20);
    assert!(many.saturating_sub(few) / 90_000 < 600, "{few} {many}");
}

/// FIFOs, devices, sockets, directories and chains of links in place of every file there is.
#[test]
fn anything_in_place_of_a_file() {
    let (_sample, mount) = crate::support::sample();
    let files = || -> Vec<_> {
        let all = walkdir::WalkDir::new(&mount)
            .sort_by_file_name()
            .into_iter();
        all.map(|e| e.unwrap())
            .filter(|e| {
                e.file_type().is_file()
                    && !e
                        .path()
                        .components()
                        .any(|c| c.as_os_str() == "diff" || c.as_os_str() == "_data")
            })
            .map(walkdir::DirEntry::into_path)
            .collect()
    };
    let all = files();
    assert!(all.len() > 300, "{}", all.len());
    for (i, path) in all.iter().enumerate() {
        fs::remove_file(path).unwrap();
        let p = path.to_str().unwrap();
        match i % 4 {
            0 => drop(run("mkfifo", &[p]).unwrap().with(0)),
            1 if Need::Root.is_met() => drop(run("mknod", &[p, "c", "1", "5"]).unwrap().with(0)),
            1 | 2 => {
                // A chain too long to follow, and a link to itself at its end.
                for n in 0..50 {
                    let from = if n == 0 {
                        path.clone()
                    } else {
                        path.with_extension(format!("l{n}"))
                    };
                    let _ = fs::remove_file(&from);
                    symlink(
                        path.with_extension(format!("l{}", n + 1))
                            .file_name()
                            .unwrap(),
                        from,
                    )
                    .unwrap();
                }
            }
            _ => fs::create_dir(path).unwrap(),
        }
    }
    let dir = folder();
    let case = dir.path().join("case.db");
    let (mount, case) = (mount.to_str().unwrap(), case.to_str().unwrap());
    let (said, most) = peak(&["ingest", "--hash", "sha256", mount, case], &[1]);
    assert!(most < MOST);
    for what in [
        "FIFO where a file",
        "directory where a file",
        "Too many levels of symbolic links",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    assert!(one::<i64>(&open(Path::new(case)), "SELECT count(*) FROM container") > 20);
    for args in [
        ["status", mount],
        ["list-containers", mount],
        ["list-images", mount],
        ["verify", mount],
    ] {
        peak(&args, &[0, 1, 2]);
    }
}

/// Extended attributes by the gigabyte: those that there is room for are kept, and overlay marks among them in any case.
#[test]
fn attributes_of_any_size() {
    // Before, tmpfs had no user attributes.
    if !has(&[Need::Mounts("tmpfs"), Need::Trusted, Need::Kernel(6, 6)]) {
        return;
    }
    let host = Host::new();
    let memory = host.root().join("overlay2/lost/diff/memory");
    fs::create_dir_all(&memory).unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", memory.to_str().unwrap()])
        .unwrap()
        .with(0);
    let _memory = Unmount(memory.clone());
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).is_ok()
    };
    // One more than a megabyte, and a mark.
    let hidden = memory.join("hidden");
    fs::create_dir(&hidden).unwrap();
    let large = [b'x'; 60_000];
    assert!((0..30).all(|i| set(&hidden, &format!("user.a{i:02}"), &large)));
    assert!(set(&hidden, "trusted.overlay.opaque", b"y"));
    // Less than a megabyte each, and 900 MB in all.
    for f in 0..1000 {
        let path = memory.join(format!("file-{f}"));
        fs::write(&path, "").unwrap();
        assert!((0..15).all(|i| set(&path, &format!("user.a{i:02}"), &large)));
    }
    let (_dir, db, said) = bounded("attributes", &host, &[]);
    let overlay = "SELECT overlay FROM file WHERE name = 'hidden'";
    assert_eq!(one::<String>(&db, overlay), "opaque");
    let files = "SELECT count(*) FROM file WHERE name GLOB 'file-*'";
    assert_eq!(one::<i64>(&db, files), 1000);
    // A file's are kept all or none, and what is not is a problem.
    let kept = "SELECT count(*) FROM (SELECT count(*) AS n, sum(length(value)) AS size FROM file_xattr GROUP BY file_id) WHERE n = 15 AND size = 900000";
    let kept: i64 = one(&db, kept);
    let told = "SELECT count(*) FROM problem WHERE what LIKE 'extended attributes %'";
    assert_eq!(kept + one::<i64>(&db, told), 1001);
    assert!(kept > 10, "{kept}");
    assert!(
        said.contains("memory/hidden: extended attributes cannot be read"),
        "{said}"
    );
}

/// Whatever is mounted within the mount is entered as a part of the disk, but for file systems that are no disk's.
#[test]
fn mounts_within() {
    if !has(&[Need::Mounts("tmpfs"), Need::Mounts("proc")]) {
        return;
    }
    let host = Host::new();
    let id = host.container('a', config("a"));
    let at = |name: &str| {
        let path = host.root().join("overlay2/lost/diff").join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (proc, memory, own) = (at("proc"), at("memory"), at("own"));
    run("mount", &["-t", "proc", "proc", proc.to_str().unwrap()])
        .unwrap()
        .with(0);
    let _proc = Unmount(proc.clone());
    run("mount", &["-t", "tmpfs", "tmpfs", memory.to_str().unwrap()])
        .unwrap()
        .with(0);
    let _memory = Unmount(memory.clone());
    fs::write(memory.join("inside"), "x").unwrap();
    // The whole host once more, within itself.
    run(
        "mount",
        &[
            "--bind",
            host.mount().to_str().unwrap(),
            own.to_str().unwrap(),
        ],
    )
    .unwrap()
    .with(0);
    let _own = Unmount(own.clone());
    let (_dir, case) = ingest(&host.mount(), 0);
    let db = open(&case);
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM file WHERE name = 'inside'"),
        1
    );
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM file WHERE name IN ('cmdline', 'meminfo')"
        ),
        0
    );
    assert_eq!(
        one::<i64>(
            &db,
            &format!("SELECT count(*) FROM container WHERE full_id = '{id}'")
        ),
        1
    );
    assert!(one::<i64>(&db, "SELECT count(*) FROM file") < 1000);
    dof([Path::new("check"), &case]).with(0);
}
