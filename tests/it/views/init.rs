//! What somebody put into a container's init layer, where only the engine writes: it is told of, and what the engine makes is not.

use super::{drift, equal};
use crate::support::engine::Engine;
use crate::support::{Need, dof, has, ingest, one, open, rows, str_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Images that the engine has to make room in: one that has none of its places, and one that has them all as something else,
/// with attributes that copies do not keep.
const IMAGES: [(&str, &str); 2] = [
    ("bare:1", "mkdir -p bin"),
    (
        "full:1",
        "mkdir -p bin proc sys run/shm usr/etc etc/keep dev; chmod 2750 etc; chmod 700 proc
         echo x > etc/hosts; echo x > etc/mtab; ln -s /run/resolv etc/resolv.conf; echo x > etc/hostname
         ln -s /run/shm dev/shm; ln -s proc dev/pts; mknod dev/console c 5 1; mkfifo etc/fifo
         echo x > noted; setfattr -n user.note -v x noted; setfattr -n user.note -v x etc; setfattr -n user.note -v x etc/keep
         cp noted cap; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 cap; ln cap etc/cap",
    ),
];

/// A container's changes as the engine says them.
fn said(engine: &Engine, name: &str) -> BTreeMap<String, String> {
    let changes = engine.api(&format!("/containers/{name}/changes"));
    let changes = changes.as_array().cloned().unwrap_or_default();
    let kind = |c: &Value| ["C", "A", "D"][c["Kind"].as_u64().unwrap() as usize].to_owned();
    changes
        .iter()
        .map(|c| (str_of(c, "Path"), kind(c)))
        .collect()
}

/// An engine on this driver with containers that ran, and is stopped; no container's init layer has been touched.
fn stopped(driver: &str) -> Engine {
    let mut engine = Engine::start_on("init", driver, |_| {}).expect("an engine");
    for (image, script) in IMAGES {
        let tree = engine.scratch().join(image.replace(':', "-"));
        fs::create_dir(&tree).unwrap();
        let script = format!(
            "{script}\ncp /bin/busybox bin/busybox; for a in sh touch; do ln -s busybox bin/$a; done"
        );
        crate::support::shell(&tree, &script);
        let tar = Command::new("sh")
            .args(["-c", "tar --xattrs --xattrs-include='*' -c *"])
            .current_dir(&tree)
            .output()
            .unwrap();
        engine
            .docker_in(&["import", "-", image], &tar.stdout)
            .text();
        for name in ["quiet", "victim"] {
            let name = format!("{name}-{}", &image[..4]);
            engine
                .docker(&[
                    "run",
                    "--name",
                    &name,
                    "--network",
                    "none",
                    image,
                    "sh",
                    "-c",
                    "touch /new /bin/busybox",
                ])
                .text();
        }
    }
    engine.kill();
    engine.install_binaries().expect("binaries");
    engine
}

/// Where the files of a container's init layer lie.
fn init_layer(host: &Path, case: &Path, name: &str) -> PathBuf {
    let sql = format!(
        "SELECT l.host_path FROM container c JOIN container_layer s ON s.container_id = c.id
           JOIN layer l ON l.id = s.layer_id AND l.role = 'init' WHERE c.name = '{name}'"
    );
    host.join(&one::<String>(&open(case), &sql)[1..])
}

/// Path, change, differs and gained of what was put into init layers, by container.
fn put_in(rows: &[Value]) -> BTreeSet<String> {
    let columns =
        |r: &Value| ["container", "path", "change", "differs", "gained"].map(|c| str_of(r, c));
    let put_in = rows.iter().filter(|r| r["made_in"] == "init");
    put_in.map(|r| columns(r).join(" ")).collect()
}

fn own(rows: &[Value], name: &str) -> BTreeMap<String, String> {
    let own = |r: &&Value| r["made_in"] == "own" && r["container"] == name;
    drift(&rows.iter().filter(own).cloned().collect::<Vec<_>>())
}

/// What `dof verify` says of init layers: container, change and path.
fn verified(host: &Path, code: i32) -> (BTreeSet<String>, String) {
    let ran = dof(["verify", "--format", "jsonl", host.to_str().unwrap()]).with(code);
    let rows = ran.out.lines().map(|l| serde_json::from_str(l).unwrap());
    let of_init = rows.filter(|r: &Value| r["subject"] == "init layer");
    let told = of_init.map(|r| ["container", "outcome", "change", "path"].map(|c| str_of(&r, c)));
    (told.map(|t| t.join(" ")).collect(), ran.err)
}

/// What is put into the init layers of an engine on this driver is in `drift`, and nothing else.
fn holds(driver: &str, is_seen: bool) {
    let mut engine = stopped(driver);
    let (_dir, case) = ingest(&engine.root(), 0);
    assert_eq!(
        put_in(&rows(&case, &["drift"])),
        BTreeSet::new(),
        "the engine's own"
    );
    let names = ["quiet-bare", "quiet-full", "victim-bare", "victim-full"];
    let untouched = names.map(|name| format!("{name} as shipped  "));
    let (told, err) = verified(&engine.root(), 0);
    match is_seen {
        true => assert_eq!(told, untouched.clone().into()),
        false => assert!(
            told.is_empty() && err.contains("not compared: 4 init layers"),
            "{err}"
        ),
    }

    for name in ["victim-bare", "victim-full"] {
        let init = init_layer(&engine.root(), &case, name);
        let mode = |path: &str, mode| {
            fs::set_permissions(init.join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::write(init.join("etc/ld.so.preload"), "/tmp/evil.so\n").unwrap();
        mode("etc/ld.so.preload", 0o644);
        fs::write(init.join("etc/hosts"), "192.0.2.1 registry\n").unwrap();
        mode(".dockerenv", 0o4755);
        if name == "victim-bare" {
            mode("proc", 0o777);
        }
    }
    let (_dir, case) = ingest(&engine.root(), 1);
    let found = rows(&case, &["drift"]);
    let want = [
        "victim-bare /.dockerenv A  setuid",
        "victim-bare /etc/hosts A  ",
        "victim-bare /etc/ld.so.preload A  ",
        "victim-bare /proc A  ",
        "victim-full /.dockerenv A  setuid",
        "victim-full /etc/hosts C mode,size,mtime ",
        "victim-full /etc/ld.so.preload A  ",
    ];
    assert_eq!(put_in(&found), want.map(str::to_owned).into());
    let db = open(&case);
    let mut stmt = db
        .prepare("SELECT path, what FROM problem WHERE severity = 'warning' ORDER BY what")
        .unwrap();
    let told = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    let told: Vec<(String, String)> = told.collect::<Result<_, _>>().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    for ((path, what), name) in told.iter().zip(["victim-full", "victim-bare"]) {
        assert_eq!(
            engine.root().join(&path[1..]),
            init_layer(&engine.root(), &case, name)
        );
        assert!(
            what.contains(name) && what.contains(" entries in the init layer"),
            "{what}"
        );
    }

    if is_seen {
        let changed = ["bare", "full"].map(|name| {
            [
                "changed /.dockerenv",
                "changed /etc/hosts",
                "added /etc/ld.so.preload",
            ]
            .map(|what| format!("victim-{name} changed {what}"))
        });
        let untouched = untouched.into_iter().filter(|t| t.starts_with("quiet"));
        let want = changed.into_iter().flatten().chain(untouched).collect();
        assert_eq!(verified(&engine.root(), 1).0, want);
    }

    engine.restart().expect("it starts again");
    for name in ["quiet-bare", "victim-bare", "victim-full"] {
        let is_victim = name.starts_with("victim");
        let truth = said(&engine, name);
        equal(&own(&found, name), &truth, &format!("docker diff {name}"));
        let shown = engine.docker(&["cp", &format!("{name}:/etc/ld.so.preload"), "-"]);
        assert_eq!(shown.ok, is_victim && is_seen, "{shown:?}");
        assert_eq!(
            truth.get("/etc/ld.so.preload").map(String::as_str),
            (is_victim && !is_seen).then_some("D")
        );
        assert!(truth.contains_key("/new"), "{truth:?}");
    }
}

#[test]
fn what_was_put_into_an_init_layer() {
    if has(&[Need::Engine, Need::Program("setfattr")]) {
        holds("overlay2", true);
    }
}

#[test]
fn what_was_put_into_a_copy_that_is_an_init_layer() {
    if has(&[Need::Engine, Need::Program("setfattr")]) {
        holds("vfs", false);
    }
}
