//! No text out of the evidence speaks for dof: every command and every query over a host whose every name is hostile.

use crate::support::made::Host;
use crate::support::{dof, dof_command, folder, ingest, is_root, run};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Colours, the title of a window, the cursor; a line of its own; text read backwards; separators of formats.
const EVIL: &str =
    "e\u{1b}[31m\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\u{2066}\r\n    State: forged\t|\",'\u{7f}\u{8}";

/// What must not reach a terminal.
fn speaks(text: &str) -> Option<char> {
    text.chars().find(|&c| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    })
}

/// A host with one container, image, volume and network, all of these names.
fn host() -> Host {
    let evil = serde_json::to_string(EVIL).unwrap();
    let at = serde_json::to_string(&format!("/{EVIL}")).unwrap();
    let host = Host::new();
    let image = "1".repeat(64);
    let config = format!(
        r#"{{"ID":{evil},"Name":{at},"Driver":"overlay2","Path":{evil},"Args":[{evil}],"Created":{evil},"Image":"sha256:{image}",
        "State":{{"Running":true,"Pid":1,"StartedAt":"2024-01-01T00:00:00Z","Error":{evil},"Health":{{"Status":{evil}}}}},
        "LogPath":{at},"Config":{{"Image":{evil},"Hostname":{evil},"User":{evil},"Env":[{evil},"A=b"],"Cmd":[{evil}],"Entrypoint":[{evil}],
        "Labels":{{{evil}:{evil}}},"WorkingDir":{at},"ExposedPorts":{{{evil}:{{}}}}}},
        "NetworkSettings":{{"Networks":{{{evil}:{{"NetworkID":{evil},"IPAddress":{evil},"Aliases":[{evil}]}}}},"Ports":{{{evil}:[{{"HostIp":{evil},"HostPort":{evil}}}]}}}},
        "MountPoints":{{{at}:{{"Source":{at},"Destination":{at},"Type":"bind"}},"/v":{{"Name":{evil},"Type":"volume","Destination":"/v","Driver":{evil}}}}}}}"#
    );
    let id = host.container('a', config);
    host.write(
        &format!("var/lib/docker/containers/{id}/hostconfig.json"),
        format!(
            r#"{{"LogConfig":{{"Type":"json-file","Config":{{{evil}:{evil}}}}},"RestartPolicy":{{"Name":{evil}}},"NetworkMode":{evil},"PidMode":{evil},"CapAdd":[{evil}],"Binds":[{evil}]}}"#
        ),
    );
    host.log(
        &id,
        format!("{{\"log\":{evil},\"stream\":{evil},\"time\":\"2024-01-01T00:00:00Z\",\"attrs\":{{{evil}:{evil}}}}}\nrubbish {EVIL}\n"),
    );
    // A driver of that name, and one that is not read yet.
    host.container(
        'b',
        format!(r#"{{"Name":"/b","Driver":{evil},"Image":{evil},"State":{evil}}}"#),
    );
    let store = "var/lib/docker/image/overlay2";
    host.write(
        &format!("{store}/imagedb/content/sha256/{image}"),
        format!(
            r#"{{"created":{evil},"os":{evil},"architecture":{evil},"author":{evil},"comment":{evil},"docker_version":{evil},
            "config":{{"Env":[{evil}],"Cmd":[{evil}],"Labels":{{{evil}:{evil}}},"Volumes":{{{evil}:{{}}}}}},
            "history":[{{"created":"2024-01-01T00:00:00Z","created_by":{evil},"comment":{evil},"author":{evil}}}],"rootfs":{{"type":"layers","diff_ids":[{evil}]}}}}"#
        ),
    );
    host.write(
        &format!("{store}/repositories.json"),
        format!(
            r#"{{"Repositories":{{{evil}:{{{evil}:"sha256:{image}","x:1":"sha256:{image}"}}}}}}"#
        ),
    );
    // Layers by these names, and the container's own with files of them.
    let chain = format!("{store}/layerdb/sha256/{}", "2".repeat(64));
    host.write(&format!("{chain}/cache-id"), EVIL);
    host.write(&format!("{chain}/diff"), EVIL);
    host.write(&format!("{chain}/size"), EVIL);
    host.write(&format!("{chain}/tar-split.json.gz"), EVIL);
    let mounts = format!("{store}/layerdb/mounts/{id}");
    host.write(&format!("{mounts}/mount-id"), "own");
    host.write(&format!("{mounts}/init-id"), EVIL);
    host.write(&format!("{mounts}/parent"), EVIL);
    let diff = host.root().join("overlay2/own/diff");
    let name = EVIL.replace('/', "_");
    let names = [name.as_bytes(), b"\xff\x1b[1m\n|", b"C1: \xc2\x9b1m"];
    let volume = host.root().join("volumes").join(&name).join("_data");
    for dir in [&diff, &diff.join(format!("{name}d")), &volume] {
        fs::create_dir_all(dir).unwrap();
        for name in names {
            let _ = fs::write(dir.join(OsStr::from_bytes(name)), EVIL);
        }
        std::os::unix::fs::symlink(EVIL, dir.join("link")).unwrap();
    }
    if is_root() {
        let device = diff.join(format!("device{name}"));
        run("mknod", &[device.to_str().unwrap(), "b", "8", "0"]);
        let _ = rustix::fs::lsetxattr(
            diff.join("link"),
            "trusted.x",
            EVIL.as_bytes(),
            rustix::fs::XattrFlags::empty(),
        );
    }
    // The host itself, and a fault with that in its path.
    host.write("etc/hostname", EVIL);
    host.write("etc/machine-id", EVIL);
    host.write(
        "etc/os-release",
        format!("PRETTY_NAME=\"{EVIL}\"\nVERSION_ID={EVIL}\n"),
    );
    host.write("etc/timezone", EVIL);
    host.write("etc/docker/daemon.json", format!(r#"{{"data-root":{at}}}"#));
    host.write(
        "usr/bin/dockerd",
        format!("\x7fELF github.com/docker/docker/dockerversion.Version={EVIL}"),
    );
    fs::create_dir_all(host.root().join("containers").join(&name)).unwrap();
    run(
        "mkfifo",
        &[host
            .root()
            .join("containers")
            .join(&name)
            .join("config.v2.json")
            .to_str()
            .unwrap()],
    );
    host
}

/// A NUL in a string of Docker's JSON, at which SQLite's functions and shell end a text, hides nothing behind it.
#[test]
fn a_nul_hides_nothing() {
    let host = host();
    let mut changed = 0;
    for entry in walkdir::WalkDir::new(host.root()) {
        let path = entry.unwrap().into_path();
        let Some(json) = fs::symlink_metadata(&path)
            .ok()
            .filter(fs::Metadata::is_file)
            .and_then(|_| fs::read_to_string(&path).ok())
            .filter(|text| text.starts_with('{'))
        else {
            continue;
        };
        let with = json.replace("State: forged", "State: for\\u0000ged");
        changed += usize::from(with != json);
        fs::write(&path, with).unwrap();
    }
    assert!(changed >= 6, "{changed} files");
    let (_dir, case) = ingest(&host.mount(), 1);
    let db = crate::support::open(&case);
    let mut columns = db
        .prepare("SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'")
        .unwrap();
    let columns: Vec<(String, String)> = columns
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut shown = std::collections::BTreeSet::new();
    for (table, column) in &columns {
        let count = |with: &str| -> i64 {
            let sql = format!(
                "SELECT count(*) FROM {table} WHERE typeof(\"{column}\") = 'text' AND instr(CAST(\"{column}\" AS BLOB), {with})"
            );
            crate::support::one(&db, &sql)
        };
        assert_eq!(count("x'00'"), 0, "{table}.{column}");
        if count("CAST('for\\x00ged' AS BLOB)") > 0 {
            shown.insert(format!("{table}.{column}"));
        }
    }
    for place in [
        "container.name",
        "container_env.key",
        "container_label.value",
        "container_mount.destination",
        "container_network.name",
        "image.author",
        "image_history.created_by",
        "log_entry.line",
        "mount_place.place",
    ] {
        assert!(shown.contains(place), "{place} not in {shown:?}");
    }
}

#[test]
fn no_text_out_of_the_evidence_speaks() {
    let host = host();
    let (_dir, case) = ingest(&host.mount(), 1);
    let mount = host.mount();
    let (mount, case) = (mount.to_str().unwrap(), case.to_str().unwrap());
    let scratch = folder();
    let to = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let id = "a".repeat(64);
    let known = to("known\u{1b}[31m");
    fs::write(&known, format!("{}  {EVIL}\n{EVIL}\n", "0".repeat(64))).unwrap();
    let mut all: Vec<Vec<String>> = Vec::new();
    let mut add = |line: &str| {
        for source in [mount, case] {
            let words = line.split(' ').map(|w| match w {
                "M" => source.to_owned(),
                "ID" => id.clone(),
                "EVIL" => EVIL.to_owned(),
                w if w.starts_with("TO") => to(&format!("{w}{}", usize::from(source == case))),
                w => w.to_owned(),
            });
            all.push(words.collect());
            if !line.contains('M') {
                break;
            }
        }
    };
    for line in [
        "status M",
        "list-containers M",
        "list-images M",
        "list-containers --format table M",
        "list-images --format table M",
        "list-containers --format json M",
        "list-images --format jsonl M",
        "show-image-history --image x:1 M",
        "show-image-config --image x:1 M",
        "show-image-config --image EVIL M",
        "show-container-config --container ID M",
        "show-container-config --container EVIL M",
        "show-container-log --container ID --format text M",
        "show-container-log --container b M",
        "macrobber-container-layer --container ID M",
        "macrobber-volumes --container ID M",
        "check M",
        "query nothing-of-this-name --case M",
    ] {
        add(line);
    }
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    for query in fs::read_dir(queries).unwrap() {
        let name = query.unwrap().path();
        let name = name.file_stem().unwrap().to_str().unwrap().to_owned();
        for format in ["table", "jsonl", "bodyfile", "mactime", "mactime-csv"] {
            all.push(
                ["query", &name, "--format", format, "--case", case]
                    .map(str::to_owned)
                    .to_vec(),
            );
        }
    }
    for words in [
        vec!["ingest", mount, &to("case2.db")],
        vec!["verify", mount],
        vec!["verify", "--full", mount],
        vec![
            "export-container",
            "--container",
            &id,
            "-o",
            &to("tar"),
            mount,
        ],
        vec![
            "export-container",
            "--container",
            "b",
            "-o",
            &to("tar2"),
            mount,
        ],
        vec![
            "extract",
            "--container",
            &id,
            "/",
            "-o",
            &to("out"),
            "--host",
            mount,
        ],
        vec![
            "extract",
            "--container",
            &id,
            EVIL,
            "-o",
            &to("out2"),
            "--host",
            mount,
        ],
        vec!["known", "--case", case, &known],
        vec![
            "mount-container",
            "--container",
            &id,
            "--at-mountpoint",
            &to("at"),
            mount,
        ],
        vec!["unmount-container", &to("at")],
        vec![
            "mount-container",
            "--container",
            "b",
            "--at-mountpoint",
            &to("at2"),
            mount,
        ],
    ] {
        all.push(words.into_iter().map(str::to_owned).collect());
    }
    let (mut with_text, mut faults) = (0, Vec::new());
    for args in &all {
        let ran = dof_command().args(args).output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&ran.stdout).into_owned(),
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        );
        // Without a format it is the log as Docker wrote it, for programs.
        let raw = args[0] == "show-container-log" && !args.contains(&"--format".to_owned());
        for (what, text) in [("stdout", &out), ("stderr", &err)] {
            if what == "stdout" && raw {
                continue;
            }
            if let Some(c) = speaks(text) {
                let line = text.lines().find(|l| l.contains(c)).unwrap_or_default();
                faults.push(format!("{args:?}: {what}: {c:?} in {line:?}"));
            }
            let forged = text
                .lines()
                .any(|l| l.trim_end() == "    State: forged" || l.starts_with("    State: forged"));
            if forged {
                faults.push(format!("{args:?}: {what}: a forged line"));
            }
        }
        with_text += usize::from(out.contains("31m") || err.contains("31m"));
    }
    dof(["unmount-container", &to("at")]);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(with_text > 50, "{with_text} of {}", all.len());
}
