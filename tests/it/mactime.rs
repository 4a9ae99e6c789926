//! Sleuth Kit's mactime reads our body lines and prints every file at every time it has, whatever its name.

use crate::support::mactime::mactime_rows;
use crate::support::{Need, dof, dof_command, has, ingest, open, sample};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;

#[test]
fn every_name_at_every_time() {
    if !has(&[Need::Program("mactime")]) {
        return;
    }
    let (_host, mount) = sample();
    let volume = mount.join("srv/shop/uploads");
    for name in [
        &b"a|b"[..],
        b"100%41",
        b"%0a",
        b"back\\|slash",
        b"x -> y",
        b"-dash",
        b"new\nline",
        b"new\\x0aline",
        b"both\\\n",
        b"esc\x1b[31m",
        b"caf\xe9",
        "ünï".as_bytes(),
        b"#hash",
        b" blank ",
    ] {
        std::fs::write(volume.join(std::ffi::OsStr::from_bytes(name)), b"x").unwrap();
    }
    std::fs::write(volume.join("n".repeat(255)), b"x").unwrap();
    std::os::unix::fs::symlink("/etc/pass|wd", volume.join("link")).unwrap();
    // A path twice as long as a system call takes.
    let long = format!("{}{}", "n".repeat(150), "|");
    let script = format!(
        "cd '{}'; for i in $(seq 60); do mkdir '{long}'; cd '{long}'; done; echo x > deepest",
        volume.display()
    );
    crate::support::run("bash", &["-ec", &script])
        .unwrap()
        .with(0);
    let (_dir, case) = ingest(&mount, 0);
    let mut body = Vec::new();
    for command in ["macrobber-container-layer", "macrobber-volumes"] {
        for container in ["apache", "web"] {
            let out = dof_command()
                .args([command, "--container", container])
                .arg(&case)
                .output()
                .unwrap();
            assert!(out.status.success());
            body.extend(out.stdout);
        }
    }
    let printed = mactime_rows(&body);

    let db = open(&case);
    let mut stmt = db
        .prepare(
            "SELECT CAST(tc.container_path || coalesce(d.path_raw, d.path) || '/' || coalesce(f.name_raw, f.name) AS BLOB), CAST(coalesce(f.link, '') AS BLOB), f.overlay = 'whiteout', e.ts, f.name = '', c.id, iif(tc.via = 'own', '', tc.container_path)
               FROM container c JOIN tree_container tc ON tc.container_id = c.id AND tc.via IN ('own', 'mount') JOIN tree t ON t.id = tc.tree_id AND (tc.via = 'own' OR t.kind <> 'layer')
               JOIN directory d ON d.tree_id = t.id JOIN file f ON f.dir_id = d.id JOIN event e ON e.file_id = f.id WHERE c.name IN ('apache', 'web') AND e.ts >= 1000000000",
        )
        .unwrap();
    let mut rows = stmt.query([]).unwrap();
    let mut mounts = db
        .prepare("SELECT container_id, destination FROM container_mount")
        .unwrap();
    let mounts: Vec<(i64, String)> = mounts
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut wanted = BTreeSet::new();
    while let Some(r) = rows.next().unwrap() {
        let mut path: Vec<u8> = r.get(0).unwrap();
        if r.get(4).unwrap() && path.len() > 1 {
            path.pop();
        }
        // What is mounted over it hides it.
        let (container, tree): (i64, String) = (r.get(5).unwrap(), r.get(6).unwrap());
        let below = |place: &str| {
            path == place.as_bytes() || path.starts_with(format!("{place}/").as_bytes())
        };
        if mounts
            .iter()
            .any(|(c, place)| *c == container && place.len() > tree.len() && below(place))
        {
            path.extend(b" (hidden)");
        }
        let link: Vec<u8> = r.get(1).unwrap();
        if !link.is_empty() {
            path.extend([b" -> ", link.as_slice()].concat());
        }
        if r.get::<_, Option<bool>>(2).unwrap() == Some(true) {
            path.extend(b" (deleted)");
        }
        let ambiguous = path.iter().any(u8::is_ascii_control)
            || memchr::memmem::find(&path, b"\\x0a").is_some();
        let shown: Vec<u8> = path
            .iter()
            .flat_map(|&b| match b {
                b'\\' if ambiguous => vec![b, b],
                0..0x20 | 0x7f => format!("\\x{b:02x}").into_bytes(),
                b => vec![b],
            })
            .collect();
        let time = chrono::DateTime::from_timestamp(
            r.get::<_, i64>(3).unwrap().div_euclid(1_000_000_000),
            0,
        )
        .unwrap();
        wanted.insert((time.format("%Y-%m-%dT%H:%M:%SZ").to_string(), shown));
    }
    let show = |s: &(String, Vec<u8>)| format!("{} {}", s.0, String::from_utf8_lossy(&s.1));
    let missing: Vec<_> = wanted.difference(&printed).take(5).map(show).collect();
    let extra: Vec<_> = printed.difference(&wanted).take(5).map(show).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "not printed: {missing:#?}; not expected: {extra:#?}"
    );
    assert!(wanted.len() > 100);
}

#[test]
fn whiteouts_and_links_in_a_body_line() {
    let (_host, mount) = sample();
    let out = dof([
        "macrobber-container-layer",
        "--container",
        "apache",
        mount.to_str().unwrap(),
    ])
    .with(0)
    .out;
    let line = |needle: &str| {
        out.lines()
            .find(|l| l.contains(needle))
            .unwrap_or_else(|| panic!("{needle} in {out}"))
            .to_owned()
    };
    // Owners are the user's own where the sample was unpacked without root.
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let trojan = format!("|r/rrwxr-xr-x|{uid}|{gid}|42|1558966331|1558966331|");
    assert!(
        line("/tmp/trojan|").starts_with("0|/tmp/trojan|")
            && line("/tmp/trojan|").contains(&trojan)
    );
    assert!(line("/var/www/html/readme.html").contains("/var/www/html/readme.html (deleted)|"));
    assert!(line("/tmp/links/absolute").contains("/tmp/links/absolute -> /etc/passwd|"));
    assert!(out.lines().all(|l| l.split('|').count() == 11));
}
