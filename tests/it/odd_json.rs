//! Documents that no engine writes, on a live engine's disk: what the engine then says is what dof says.

use crate::support::engine::Engine;
use crate::support::oracle::ask;
use crate::support::truth::differences;
use crate::support::{Need, dof, has, ingest, one, open, rows, run};
use rusqlite::Connection;
use sha2::Digest;
use std::fs;
use std::path::PathBuf;

const CONFIG: &str = "config.v2.json";
const HOST: &str = "hostconfig.json";

/// What happens to a document.
enum Edit {
    /// Members come behind the others.
    Add(&'static str),
    /// This comes behind the document.
    Behind(&'static str),
    /// The document ends half-way.
    Cut,
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let text = text.trim_end();
        match self {
            Edit::Add(members) => {
                let open = text.strip_suffix('}').unwrap();
                format!("{open},{members}}}\n")
            }
            Edit::Behind(more) => format!("{text}{more}\n"),
            Edit::Cut => text[..text.len() / 2].into(),
        }
    }
}

use Edit::{Add, Behind, Cut};

/// Documents of containers: the name, the file, the edit, and whether the engine loads the container then.
const CONTAINERS: &[(&str, &str, Edit, bool)] = &[
    (
        "lower",
        HOST,
        Add(r#""privileged":true,"binds":["/:/host"]"#),
        true,
    ),
    (
        "null-bool",
        HOST,
        Add(r#""Privileged":true,"PRIVILEGED":null"#),
        true,
    ),
    (
        "folded",
        HOST,
        Add(r#""ſecurityOpt":["label=disable"],"Lin\u212as":["a:b"],"maskedPath\u017f":null"#),
        true,
    ),
    ("upper", HOST, Add(r#""NETWORKMODE":"host""#), true),
    (
        "merged",
        HOST,
        Add(
            r#""LogConfig":{"Config":{"max-size":"1k"}},"logconfig":{"CONFIG":{"MAX-size":"2k","env":null}}"#,
        ),
        true,
    ),
    (
        "one-word",
        HOST,
        Add(r#""CapAdd":"SYS_ADMIN","capdrop":["A",null]"#),
        true,
    ),
    (
        "lists",
        HOST,
        Add(r#""Binds":["/a:/a","/b:/b"],"Binds":["/c:/c"],"Binds":[null,null]"#),
        true,
    ),
    (
        "fraction",
        HOST,
        Add(r#""Memory":1.5e3,"Privileged":true"#),
        false,
    ),
    (
        "wrong-type",
        HOST,
        Add(r#""Memory":"x","Privileged":true"#),
        false,
    ),
    ("behind", HOST, Behind(r#"{"Privileged":true}"#), true),
    ("garbage", HOST, Behind("]x\0"), true),
    ("cut", HOST, Cut, false),
    (
        "null-text",
        HOST,
        Add(r#""PidMode":"host","pidmode":null"#),
        true,
    ),
    (
        "ports",
        HOST,
        Add(
            r#""PortBindings":{"80/tcp":[{"hostip":"0.0.0.0","hostport":"8080"}]},"portbindings":{"81/tcp":[{"HostPort":"1","HostIp":"::"},{"HOSTIP":"1.2.3.4","HostPort":"2","hostport":"3"}],"82/UDP":null}"#,
        ),
        true,
    ),
    (
        "maps",
        HOST,
        Add(r#""Tmpfs":{"/t":"a","/u":"b"},"tmpfs":{"/T":"b","/t":null}"#),
        true,
    ),
    (
        "false-last",
        HOST,
        Add(r#""ReadonlyRootfs":true,"readonlyrootfs":false"#),
        true,
    ),
    (
        "pointers",
        HOST,
        Add(r#""Init":true,"Init":null,"PidsLimit":5,"pidslimit":7,"OomKillDisable":true"#),
        true,
    ),
    (
        "structs",
        HOST,
        Add(
            r#""Devices":[{"PathOnHost":"/dev/a","PathInContainer":"/a","CgroupPermissions":"rwm"},{"PathOnHost":"/x"}],"devices":[{"pathinContainer":"/b"}]"#,
        ),
        true,
    ),
    (
        "mounts-asked",
        HOST,
        Add(
            r#""Mounts":[{"Type":"bind","Source":"/s","Target":"/t","BindOptions":{"Propagation":"shared"}}],"mounts":[{"bindoptions":{"NonRecursive":true},"ReadOnly":true}]"#,
        ),
        true,
    ),
    ("no-small-uint", HOST, Add(r#""BlkioWeight":65536"#), false),
    (
        "escaped-name",
        HOST,
        Add(r#""\u0050rivileged":true,"UTSMode":"a\ud800b""#),
        true,
    ),
    (
        "two-states",
        CONFIG,
        Add(r#""State":{"ExitCode":7,"Error":"evil"},"state":{"exitcode":null,"OOMKILLED":true}"#),
        true,
    ),
    (
        "two-configs",
        CONFIG,
        Add(
            r#""config":{"image":"evil","labels":{"A":"1"},"Labels":{"a":"2"},"Env":[null,"EVIL=1"],"Cmd":"sh"},"Config":{"user":"root","EntryPoint":["/e"]}"#,
        ),
        true,
    ),
    (
        "args",
        CONFIG,
        Add(r#""Args":["x"],"args":null,"Path":"/evil","PATH":"/last""#),
        true,
    ),
    ("no-time", CONFIG, Add(r#""Created":"yesterday""#), false),
    (
        "leap-second",
        CONFIG,
        Add(r#""created":"2020-01-01T00:00:60Z""#),
        false,
    ),
    (
        "loose-time",
        CONFIG,
        Add(r#""Created":"2020-01-01T5:00:00,25Z""#),
        true,
    ),
    (
        "escaped-time",
        CONFIG,
        Add(r#""Created":"2020\u002d01-01T05:00:00Z""#),
        false,
    ),
    (
        "other-id",
        CONFIG,
        Add(r#""id":"0123456789012345678901234567890123456789012345678901234567890123""#),
        false,
    ),
    (
        "host-inside",
        CONFIG,
        Add(r#""HostConfig":{"Privileged":true,"Binds":["/:/x"]}"#),
        true,
    ),
    (
        "mount-points",
        CONFIG,
        Add(
            r#""MountPoints":{"/m":{"Source":"/src","Destination":"/m","RW":true,"Type":"bind"}},"mountpoints":{"/M":{"source":"/src2","destination":"/M","rw":true,"TYPE":"bind"},"/m":{"Destination":"/m","Type":"bind","RW":false}}"#,
        ),
        true,
    ),
    (
        "settings",
        CONFIG,
        Add(
            r#""networksettings":{"SANDBOXID":"s","Networks":{"Evil":{"ipaddress":"10.9.9.9","IPPrefixLen":24,"ipprefixlen":null},"evil":{"NetworkID":"n"}}}"#,
        ),
        true,
    ),
    (
        "counts",
        CONFIG,
        Add(
            r#""State":{"finishedAt":"2020-01-01T00:00:00Z"},"MountLabel":"a","mountlabel":"b","ProcessLabel":null"#,
        ),
        true,
    ),
    ("null-ends", CONFIG, Behind("\0\0\0"), true),
    ("cut-config", CONFIG, Cut, false),
    ("plain", CONFIG, Behind(""), true),
];

/// Lines of a json-file log that the engine shows.
const LINES: &[&str] = &[
    r#"{"log":"as docker writes it\n","stream":"stdout","time":"2026-01-01T00:00:00.000000001Z"}"#,
    r#"{"LOG":"folded away\n","stream":"stdout","time":"2026-01-01T00:00:00.000000002Z"}"#,
    r#"{"log":"first\n","log":"second\n","stream":"stdout","time":"2026-01-01T00:00:00.000000003Z"}"#,
    r#"{"log":"kept\n","log":null,"stream":"stdout","time":"2026-01-01T00:00:00.000000004Z"}"#,
    r#"{"log":"to stderr\n","ſtream":"stderr","time":"2026-01-01T00:00:00.000000005Z"}"#,
    r#"{"log":"one\n","stream":"stdout","time":"2026-01-01T00:00:00.000000006Z"}{"log":"two\n","stream":"stdout","time":"2026-01-01T00:00:00.000000007Z"}"#,
    r#"{"log":"loose\n","stream":"stdout","TIME":"2026-01-01T0:00:01,5Z"}"#,
    r#"{"log":"deep\n","x":[[[[{"log":"no"}]]]],"stream":"stdout","time":"2026-01-01T00:00:02Z"}"#,
    "{\"log\":\"spread\\n\",\n \"stream\":\"stdout\",\n\"time\":\"2026-01-01T00:00:02.5Z\"}",
    r#"{"log":"last\n","stream":"stdout","time":"2026-01-01T00:00:03Z"}"#,
];

struct Host {
    engine: Engine,
    containers: PathBuf,
}

impl Host {
    fn create(&self, name: &str) -> String {
        let args = [
            "create",
            "--name",
            name,
            "--log-driver",
            "json-file",
            "-e",
            "A=1",
            "base:1",
            "sh",
            "-c",
            "true",
        ];
        self.engine.docker(&args).text()
    }

    fn change(&self, id: &str, file: &str, change: impl Fn(&str) -> String) {
        let path = self.containers.join(id).join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(&text)).unwrap();
    }
}

fn problems(db: &Connection, path: &str, words: &str) -> i64 {
    db.query_row(
        "SELECT count(*) FROM problem WHERE path LIKE '%' || ? || '%' AND instr(what, ?)",
        [path, words],
        |r| r.get(0),
    )
    .unwrap()
}

/// The base image's config, changed, under the digest it has then. Its id.
fn image(host: &Host, change: impl Fn(&str) -> String) -> String {
    let store = host
        .engine
        .data_root()
        .join("image/overlay2/imagedb/content/sha256");
    let base = host
        .engine
        .docker(&["images", "-q", "--no-trunc", "base:1"])
        .text();
    let text = fs::read_to_string(store.join(base.strip_prefix("sha256:").unwrap())).unwrap();
    let text = change(&text);
    let id = format!("{:x}", sha2::Sha256::digest(text.as_bytes()));
    fs::write(store.join(&id), text).unwrap();
    format!("sha256:{id}")
}

#[test]
fn odd_documents_say_what_the_engine_says() {
    if !has(&[Need::Engine]) {
        return;
    }
    let engine = Engine::start("odd").unwrap();
    engine.base_image();
    let containers = engine.data_root().join("containers");
    let mut host = Host { engine, containers };
    let ids: Vec<String> = CONTAINERS.iter().map(|c| host.create(c.0)).collect();
    let [twin, other, logs, borrowed] =
        ["twin", "other", "logs", "borrowed"].map(|name| host.create(name));
    let images = [
        image(&host, |t| {
            Add(r#""CONFIG":{"Env":["EVIL=1"],"labels":{"A":"1"},"Labels":{"a":"2"}}"#).apply(t)
        }),
        image(&host, |t| {
            Add(r#""History":[{"created_by":"evil","created":"2020-01-01T00:00:00Z"},{"CREATED_BY":"more","empty_layer":true,"Created":"2020-01-01T00:00:01Z"}],"author":"a","AUTHOR":null"#).apply(t)
        }),
        image(&host, |t| {
            Add(r#""architecture":"x","ARCHITECTURE":"evil","rootFS":{"type":"layers"},"OS.version":"7""#).apply(t)
        }),
    ];
    let refused = [
        image(&host, |t| Behind("{}").apply(t)),
        image(&host, |t| Add(r#""created":"never""#).apply(t)),
        image(&host, |t| Add(r#""ROOTFS":null"#).apply(t)),
    ];
    host.engine.kill();

    for ((_, file, edit, _), id) in CONTAINERS.iter().zip(&ids) {
        host.change(id, file, |text| edit.apply(text));
    }
    host.change(&twin, CONFIG, |text| {
        text.replace("\"/twin\"", "\"/other\"")
    });
    let log = |id: &str| host.containers.join(id).join(format!("{id}-json.log"));
    fs::write(log(&logs), LINES.join("\n") + "\n").unwrap();
    fs::write(log(&borrowed), LINES[0].to_owned() + "\n").unwrap();
    let lead = format!(r#""LogPath":"/var/lib/docker/containers/{logs}/{logs}-json.log""#);
    host.change(&borrowed, CONFIG, |text| {
        let open = text.trim_end().strip_suffix('}').unwrap();
        format!("{open},{lead}}}")
    });
    let named: Vec<String> = images
        .iter()
        .chain(&refused)
        .enumerate()
        .map(|(n, id)| format!(r#""Odd:{n}":"{id}","odd:{n}":"{id}""#))
        .collect();
    let repositories = host
        .engine
        .data_root()
        .join("image/overlay2/repositories.json");
    let text = fs::read_to_string(&repositories).unwrap();
    let more = format!(
        r#","repositories":{{"odd":{{"odd:x":"x"}},"odd":{{{}}}}}}} trailing"#,
        named.join(",").replace("Odd:", "odd:up")
    );
    fs::write(
        &repositories,
        text.trim_end().strip_suffix('}').unwrap().to_owned() + &more,
    )
    .unwrap();
    let daemon = host.engine.root().join("etc/docker/daemon.json");
    let plain = fs::read_to_string(&daemon).unwrap();
    fs::write(
        &daemon,
        Add(r#""data-root":"/var/lib/none","data-root":"/var/lib/docker","data-root":null"#)
            .apply(&plain)
            + "}",
    )
    .unwrap();

    // The engine writes its documents anew when it starts.
    host.engine.install_binaries().unwrap();
    let copy = host.engine.scratch().join("copy");
    let from = host.engine.root();
    run(
        "cp",
        &["-a", from.to_str().unwrap(), copy.to_str().unwrap()],
    )
    .unwrap()
    .with(0);
    host.engine.restart().unwrap();
    let mut truth = ask(&host.engine);
    truth.ctimes = false;
    truth.networks.clear(); // made anew
    host.engine.kill();

    let (_dir, case) = ingest(&copy, 1);
    let db = open(&case);
    let loaded = |id: &str| truth.containers.iter().any(|c| c["Id"] == *id);
    for ((name, file, edit, loads), id) in CONTAINERS.iter().zip(&ids) {
        assert_eq!(loaded(id), *loads, "{name}: whether the engine loads it");
        let said = problems(&db, id, "the engine does not load this container");
        assert_eq!(said, i64::from(!loads), "{name}: whether dof says so");
        if let (Add(_), true) = (edit, loads) {
            let path = format!("{id}/{file}");
            let odd = problems(&db, &path, "Docker writes it once")
                + problems(&db, &path, "in one case only");
            assert!(
                odd > 0 || *name == "host-inside" || *name == "loose-time",
                "{name}: nothing odd is said"
            );
        }
    }
    // LOG, two of log, log and null, ſtream, TIME.
    let log = format!("{logs}-json.log");
    assert_eq!(problems(&db, &log, "more than once or in another case"), 5);
    assert_eq!(problems(&db, &log, "follows on the same line"), 1);
    assert_eq!(problems(&db, &log, "goes on over several lines"), 1);
    // Whichever of two comes first.
    assert!(loaded(&twin) != loaded(&other), "one of two with one name");
    for id in [&twin, &other] {
        assert_eq!(problems(&db, id, "2 containers have the name /other"), 1);
    }
    assert_eq!(problems(&db, &borrowed, "LogPath names"), 1);
    assert_eq!(
        problems(&db, "daemon.json", "data-root is there more than once"),
        3
    );
    for id in &refused {
        let theirs = truth.images.iter().any(|i| i["Id"] == **id);
        assert!(!theirs, "{id}: the engine does not load it");
        let said = problems(&db, &id[7..], "the engine does not load this image");
        assert_eq!(said, 1, "{id}");
    }
    assert!(
        images
            .iter()
            .all(|id| truth.images.iter().any(|i| i["Id"] == **id))
    );

    let mut found = differences(&db, &truth);
    // dof has what the engine does not load, and has the text of a time as it is on the disk.
    let known = [
        "containers: only in the case",
        "images: only in the case",
        "Containers: case",
        "Images: case",
        "/loose-time created: case",
    ];
    found.retain(|line| !known.iter().any(|known| line.starts_with(known)));
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );

    let found = rows(&case, &["logs", "--match", "folded"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        one::<i64>(
            &db,
            &format!(
                "SELECT count(*) FROM log_entry g JOIN log_file f ON f.id = g.log_file_id JOIN container c ON c.id = f.container_id WHERE c.full_id = '{borrowed}'"
            )
        ),
        1
    );
    let copied = copy.to_str().unwrap();
    let shown = dof(["show-container-log", "--container", &logs, copied]).with(1);
    assert_eq!(shown.out, LINES.join("\n") + "\n", "the file as it is");
    // What is put together of two documents agrees with the listings.
    let id = &ids[CONTAINERS
        .iter()
        .position(|c| c.0 == "host-inside")
        .unwrap()];
    let shown = dof([
        "show-container-config",
        "--container",
        id,
        case.to_str().unwrap(),
    ])
    .with(0)
    .out;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["HostConfig"]["Privileged"], false);
    let steps = rows(&case, &["show-image-history", "--image", &images[1]]);
    assert_eq!(steps.len(), 2, "{steps:?}");
}

/// dockerd holds the names of its options against those it knows, before Go's decoder would fold them.
#[test]
fn an_option_in_another_case_is_none() {
    if !has(&[Need::Engine]) {
        return;
    }
    let mut engine = Engine::start("option").unwrap();
    engine.kill();
    let daemon = engine.root().join("etc/docker/daemon.json");
    let plain = fs::read_to_string(&daemon).unwrap();
    fs::write(
        &daemon,
        Add(r#""Data-Root":"/var/lib/docker""#).apply(&plain),
    )
    .unwrap();
    let why = engine.restart().unwrap_err();
    assert!(why.contains("Data-Root"), "{why}");
    let (_dir, case) = ingest(&engine.root(), 1);
    let db = open(&case);
    assert_eq!(
        problems(
            &db,
            "daemon.json",
            "the engine does not start with this file"
        ),
        1
    );
}

/// Nulls where the engine's code follows a pointer.
#[test]
fn what_stops_the_engine_is_said() {
    if !has(&[Need::Engine]) {
        return;
    }
    let engine = Engine::start("fatal").unwrap();
    engine.base_image();
    let containers = engine.data_root().join("containers");
    let mut host = Host { engine, containers };
    let id = host.create("one");
    let other = host.create("two");
    host.engine.kill();
    let fine = ["config.v2.json", "hostconfig.json"].map(|file| {
        let path = host.containers.join(&id).join(file);
        (fs::read_to_string(&path).unwrap(), path)
    });
    for (file, change, fatal) in [
        (CONFIG, r#""Config":null"#, true),
        (CONFIG, r#""State":null"#, true),
        (CONFIG, r#""mountpoints":{"/x":null}"#, true),
        (HOST, "", true),
        (
            CONFIG,
            r#""NetworkSettings":null,"MountPoints":null"#,
            false,
        ),
        (CONFIG, r#""Name":"one""#, false),
    ] {
        host.change(&id, file, |text| match change {
            "" => "null".into(),
            members => {
                let open = text.trim_end().strip_suffix('}').unwrap();
                format!("{open},{members}}}")
            }
        });
        let (_dir, case) = ingest(&host.engine.root(), 1);
        let db = open(&case);
        let started = host.engine.restart();
        assert_eq!(started.is_err(), fatal, "{change}: {started:?}");
        let said = problems(
            &db,
            &id,
            "the engine does not start while this container is there",
        );
        assert_eq!(said, i64::from(fatal), "{change}");
        assert_eq!(problems(&db, &other, ""), 0);
        if change.contains("Name\"") {
            assert!(
                !host.engine.docker(&["inspect", "one"]).ok,
                "docker does not find it"
            );
            assert_eq!(problems(&db, &id, "has no slash before it"), 1);
        }
        host.engine.kill();
        for (text, path) in &fine {
            fs::write(path, text).unwrap();
        }
    }
}
