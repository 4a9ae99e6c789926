//! The command line as people meet it: layouts, formats, defaults, help, exit codes, pipes.

use crate::support::{Need, dof, dof_command, has, ingest, run, sample};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

#[test]
fn the_classic_layouts() {
    let (_host, mount) = sample();
    let shown = mount.display().to_string();
    let status = dof([Path::new("status"), &mount]).with(0).out;
    let lines: Vec<&str> = status.lines().collect();
    assert_eq!(lines.len(), 6, "{status}");
    assert_eq!(lines[1], "This host is not part of a Docker Swarm");
    for (line, end) in lines[2..].iter().zip([
        " containers running on this machine",
        " total containers found on this machine",
        " images found on this machine",
        " images belong to no repository",
    ]) {
        assert!(
            line.strip_suffix(end)
                .is_some_and(|n| n.parse::<u32>().is_ok()),
            "{line}"
        );
    }

    let listing = dof([Path::new("list-containers"), &mount]).with(0).out;
    let labels = [
        "ID",
        "State",
        "Restart Policy",
        "Created",
        "Image",
        "Image ID",
        "Entrypoint",
        "Command",
        "Storage Driver",
        "Container Layer",
        "Ports",
    ];
    let mut states = Vec::new();
    for block in listing.trim_end().split("\n\n") {
        let lines: Vec<&str> = block.lines().collect();
        assert!(lines[0].starts_with('/'), "{block}");
        for (line, label) in lines[1..].iter().zip(labels) {
            assert!(line.starts_with(&format!("    {label}: ")), "{line}");
        }
        for line in &lines[12..] {
            assert!(line.starts_with("    Volume: "), "{line}");
        }
        states.push(lines[2].trim_start_matches("    State: ").to_owned());
        assert!(
            lines[10].starts_with(&format!(
                "    Container Layer: {shown}/var/lib/docker/overlay2/"
            )),
            "{}",
            lines[10]
        );
    }
    let running = states.iter().take_while(|s| *s == "running").count();
    assert!(
        running > 0 && !states[running..].contains(&"running".to_owned()),
        "running ones first: {states:?}"
    );
    assert!(listing.contains("->0.0.0.0:"), "published ports");
    assert!(
        listing.contains("    Volume: Host folder '/"),
        "bind mounts"
    );

    let images = dof([Path::new("list-images"), &mount]).with(0).out;
    assert!(
        images.starts_with("Images in Repository: <none>\n    Id: "),
        "{images}"
    );
    assert!(images.contains("\n\n\nImages in Repository: "), "{images}");
}

/// Entrypoint and command as Python writes a list, None for null, against what the engine said.
#[test]
fn entrypoints_and_commands_read_as_they_always_did() {
    let (_host, mount) = sample();
    let out = dof([
        "list-containers",
        mount.to_str().unwrap(),
        "--format",
        "jsonl",
    ])
    .with(0)
    .out;
    let oracle: Vec<serde_json::Value> = serde_json::from_slice(
        &std::fs::read(crate::support::sample_oracle().join("containers.json")).unwrap(),
    )
    .unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for row in out
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
    {
        let c = oracle.iter().find(|c| c["Id"] == row["ID"]).unwrap();
        for (column, key) in [("ENTRYPOINT", "Entrypoint"), ("COMMAND", "Cmd")] {
            let shown = row[column].as_str().unwrap();
            match &c["Config"][key] {
                serde_json::Value::Null => assert_eq!(shown, "None"),
                list => {
                    let words: Vec<&str> = list
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter_map(|w| w.as_str())
                        .collect();
                    if words
                        .iter()
                        .all(|w| !w.contains(['\'', '"', '\\', '\n', '\t']))
                    {
                        let quoted: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
                        assert_eq!(shown, format!("[{}]", quoted.join(", ")));
                    }
                }
            }
            seen.insert(shown.to_owned());
        }
    }
    assert!(seen.len() > 3 && seen.contains("None"), "{seen:?}");
}

#[test]
fn csv_of_list_containers_has_its_columns() {
    let (_host, mount) = sample();
    let out = dof([
        "list-containers",
        mount.to_str().unwrap(),
        "--format",
        "csv",
    ])
    .with(0)
    .out;
    let mut reader = csv::Reader::from_reader(out.as_bytes());
    let header: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    let first = [
        "NAME",
        "ID",
        "STATE",
        "RESTART POLICY",
        "CREATED",
        "IMAGE",
        "IMAGE ID",
        "ENTRYPOINT",
        "COMMAND",
        "STORAGE DRIVER",
        "CONTAINER LAYER",
        "PORTS",
    ];
    assert_eq!(header[..first.len()], first);
    assert!(reader.records().all(|r| r.unwrap().len() == header.len()));
    // awk on the classic text goes on working.
    let awk = run(
        "sh",
        &[
            "-c",
            &format!(
                "{} list-containers {} | awk '/State:/ {{n++}} END {{print n}}'",
                env!("CARGO_BIN_EXE_dof"),
                mount.display()
            ),
        ],
    )
    .unwrap();
    let lines = csv::Reader::from_reader(out.as_bytes()).records().count();
    assert_eq!(awk.out.trim(), lines.to_string());
}

#[test]
fn sources_are_found_as_documented() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let want = dof([Path::new("list-images"), &case]).with(0).out;
    let get = |c: &mut std::process::Command| {
        let out = c.output().unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(
        get(dof_command()
            .arg("list-images")
            .env("DOF_IMAGE_MOUNTPOINT", &mount)),
        want
    );
    assert_eq!(
        get(dof_command()
            .arg("list-images")
            .env("DOF_CASE", &case)
            .current_dir("/")),
        want
    );
    assert_eq!(
        get(dof_command().arg("list-images").current_dir(dir.path())),
        want,
        "case.db of the working directory"
    );
    let rows = get(dof_command()
        .args(["query", "containers", "--format", "jsonl"])
        .current_dir(dir.path()));
    assert_eq!(
        get(dof_command()
            .args(["query", "containers", "--format", "jsonl", "--case"])
            .arg(&mount)),
        rows,
        "a mount as a case"
    );
}

#[test]
fn a_data_root_elsewhere_is_found_or_named() {
    let (_host, mount) = sample();
    let want = dof([
        "query",
        "containers",
        "--format",
        "jsonl",
        "--case",
        mount.to_str().unwrap(),
    ])
    .with(0)
    .out;
    std::fs::create_dir_all(mount.join("srv")).unwrap();
    std::fs::rename(mount.join("var/lib/docker"), mount.join("srv/docker")).unwrap();
    let config = mount.join("etc/docker/daemon.json");
    assert!(
        std::fs::read_to_string(&config)
            .unwrap()
            .contains("/var/lib/docker")
    );
    let ran = dof([Path::new("status"), &mount]).with(2);
    assert!(ran.err.contains("no container engine found"), "{}", ran.err);
    std::fs::remove_file(&config).unwrap();
    let named = dof([
        "list-containers",
        mount.to_str().unwrap(),
        "--docker-home",
        "/srv/docker",
        "--format",
        "csv",
    ])
    .with(0)
    .out;
    let count = |csv: &str| csv::Reader::from_reader(csv.as_bytes()).records().count();
    assert_eq!(count(&named), want.lines().count());
    for (file, text) in [
        ("etc/docker/daemon.json", "{\"data-root\": \"/srv/docker\"}"),
        (
            "etc/systemd/system/docker.service.d/root.conf",
            "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --data-root /srv/docker\n",
        ),
        ("etc/default/docker", "DOCKER_OPTS=\"-g /srv/docker\"\n"),
    ] {
        let path = mount.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let old = std::fs::read(&path).ok();
        std::fs::write(&path, text).unwrap();
        let found = dof([
            "list-containers",
            mount.to_str().unwrap(),
            "--format",
            "csv",
        ])
        .with(0)
        .out;
        assert_eq!(count(&found), want.lines().count(), "{file}");
        match old {
            Some(old) => std::fs::write(&path, old).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
    }
}

#[test]
fn the_catalogue_and_its_help() {
    let list = dof(["query", "--list"]).with(0).out;
    for q in dof::query::catalogue() {
        assert!(
            list.lines()
                .any(|l| l.starts_with(&format!("{} ", q.name)) && l.contains(&q.title)),
            "{}",
            q.name
        );
        let help = dof(["query", &q.name, "--help"]).with(0).out;
        for p in &q.parameters {
            assert!(
                help.contains(&format!("--{}", p.name)),
                "{}: {}",
                q.name,
                p.name
            );
        }
        assert!(help.contains(q.example.as_deref().unwrap()), "{}", q.name);
    }
}

/// The commands that `dof --help` lists.
fn commands(help: &str) -> Vec<String> {
    let commands: Vec<String> = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next().map(str::to_owned))
        .filter(|c| c != "help")
        .collect();
    assert!(commands.len() >= 15, "{help}");
    commands
}

#[test]
fn every_command_has_an_example_in_its_help() {
    let help = dof(["--help"]).with(0).out;
    assert!(help.contains("Exit codes: 0 done"), "{help}");
    let commands = commands(&help);
    for command in &commands {
        let help = dof([command, "--help"]).with(0).out;
        assert!(help.contains("Example:\n  dof "), "{command}: {help}");
    }
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let case = case.to_str().unwrap();
    for (args, wanted) in [
        (
            vec!["query", "timeline", "--case", case, "--since", "yesterday"],
            "not a date",
        ),
        (
            vec!["query", "timeline", "--case", case, "--container", "nobody"],
            "no container nobody",
        ),
        (
            vec![
                "query",
                "image-history",
                "--case",
                case,
                "--image",
                "nothing:1",
            ],
            "no image nothing:1",
        ),
        (
            vec!["query", "nothing", "--case", case],
            "no query called nothing",
        ),
        (
            vec!["query", "timeline", "--case", case, "--colour", "red"],
            "--colour",
        ),
        (vec!["query"], "query --list"),
        (vec!["list-nothing"], "list-nothing"),
        (
            vec!["ingest", mount.to_str().unwrap(), case, "--jobs", "0"],
            "--jobs",
        ),
    ] {
        let ran = dof(&args).with(2);
        assert!(
            ran.err.contains(wanted) && ran.out.is_empty(),
            "{args:?}: {}",
            ran.err
        );
    }
    let unknown = dof(["query", "env", "--case", case, "--container", "nobody"])
        .with(2)
        .err;
    assert!(
        unknown.lines().count() > 10,
        "candidates are listed: {unknown}"
    );
}

#[test]
fn containers_by_name_id_and_prefix() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = crate::support::open(&case);
    let (name, id): (String, String) = db
        .query_row(
            "SELECT name, full_id FROM container ORDER BY id LIMIT 1",
            [],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .unwrap();
    for asked in [
        name.clone(),
        format!("/{name}"),
        id.clone(),
        id[..12].to_owned(),
    ] {
        let out = dof([
            "query",
            "containers",
            "--case",
            case.to_str().unwrap(),
            "--container",
            &asked,
            "--format",
            "jsonl",
        ])
        .with(0)
        .out;
        assert_eq!(out.lines().count(), 1, "{asked}");
        assert!(out.contains(&id));
    }
}

#[test]
fn a_query_of_ones_own() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let mine = dir.path().join("mine.sql");
    std::fs::write(&mine, "-- How many?\n-- :state  a state\nSELECT count(*) AS n FROM container WHERE :state IS NULL OR status = :state\n").unwrap();
    let all = dof([
        "query",
        mine.to_str().unwrap(),
        "--case",
        case.to_str().unwrap(),
        "--format",
        "csv",
    ])
    .with(0)
    .out;
    let running = dof([
        "query",
        mine.to_str().unwrap(),
        "--case",
        case.to_str().unwrap(),
        "--format",
        "csv",
        "--state",
        "running",
    ])
    .with(0)
    .out;
    assert_ne!(all, running);
    std::fs::write(&mine, "DELETE FROM container").unwrap();
    dof([
        "query",
        mine.to_str().unwrap(),
        "--case",
        case.to_str().unwrap(),
    ])
    .with(2);
}

/// A reader that goes away is no error.
#[test]
fn a_closed_pipe_is_success() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let mut child = dof_command()
        .args(["query", "timeline", "--format", "csv", "--case"])
        .arg(&case)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0u8; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(
        out.status.success(),
        "{:?} {}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(
        out.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn output_to_a_file_and_no_files_no_logs() {
    let (_host, mount) = sample();
    let dir = crate::support::folder();
    let case = dir.path().join("thin.db");
    dof([
        Path::new("ingest"),
        &mount,
        &case,
        Path::new("--no-files"),
        Path::new("--no-logs"),
    ])
    .with(0);
    let db = crate::support::open(&case);
    assert_eq!(
        crate::support::one::<i64>(
            &db,
            "SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM log_entry)"
        ),
        0
    );
    assert!(crate::support::one::<i64>(&db, "SELECT count(*) FROM container") > 0);
    let file = dir.path().join("out.csv");
    let ran = dof([
        Path::new("list-images"),
        &case,
        Path::new("--format"),
        Path::new("csv"),
        Path::new("-o"),
        &file,
    ])
    .with(0);
    assert!(ran.out.is_empty());
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("REPOSITORY,")
    );
}

/// The main job of README, from an empty folder.
#[test]
fn the_demo() {
    let dir = crate::support::folder();
    for _ in 0..2 {
        let out = dof_command()
            .arg("demo")
            .current_dir(dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(
            text.contains("/tmp/trojan") && text.contains("2019-05-27T14:12:11.123456789Z"),
            "{text}"
        );
    }
    let full = crate::support::folder();
    std::fs::write(full.path().join("mine"), "").unwrap();
    dof([Path::new("demo"), full.path()]).with(3);
    let case = crate::support::open(&dir.path().join("dof-demo/case.db"));
    assert!(crate::support::one::<i64>(&case, "SELECT count(*) FROM file") > 0);
}

/// Every command has a manual page, and the shells accept the completions.
#[test]
fn every_command_explains_itself() {
    let dir = crate::support::folder();
    let to = dir.path().to_str().unwrap();
    dof(["man", "--to", to]).with(0);
    for command in commands(&dof(["--help"]).with(0).out) {
        let page = std::fs::read_to_string(format!("{to}/dof-{command}.1")).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
    let script = dir.path().join("dof.bash");
    std::fs::write(&script, dof(["completions", "bash"]).with(0).out).unwrap();
    let asked = format!(
        "source {}; COMP_WORDS=(dof mount-c); COMP_CWORD=1; _dof dof mount-c dof; echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let completed = crate::support::run("bash", &["-c", &asked]).unwrap();
    assert_eq!(completed.out.trim(), "mount-container", "{}", completed.err);
    assert_eq!(dof(["man", "no-such"]).code, 2);
}

/// `-o` makes new files only, and only when there is something to write.
#[test]
fn output_overwrites_nothing() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let to = dir.path().join("out");
    let (case, out) = (case.to_str().unwrap(), to.to_str().unwrap());
    let images = |more: &[&str], to: &str| {
        dof([&["query", "images", "--case", case, "-o", to], more].concat())
    };
    // What is refused leaves nothing behind.
    dof([
        "query", "timeline", "--case", case, "--since", "never", "-o", out,
    ])
    .with(2);
    assert!(!to.exists());
    images(&["--format", "csv"], out).with(0);
    let was = std::fs::read(&to).unwrap();
    assert!(was.starts_with(b"id,"), "{was:?}");
    let before = std::fs::read(case).unwrap();
    for there in [out, case, dir.path().to_str().unwrap()] {
        let ran = images(&[], there).with(2);
        assert!(ran.err.contains("nothing is overwritten"), "{}", ran.err);
    }
    assert!(std::fs::read(&to).unwrap() == was && std::fs::read(case).unwrap() == before);
    // No rows are a file without any; a device is none that could be overwritten.
    let none = dir.path().join("none");
    let args = ["query", "known", "--case", case, "--format", "jsonl", "-o"];
    dof([&args[..], &[none.to_str().unwrap()]].concat()).with(0);
    assert_eq!(std::fs::read(&none).unwrap(), b"");
    images(&[], "/dev/null").with(0);
    assert_eq!(images(&[], "/dev/full").code, 3);
    assert_eq!(images(&[], "/no/such/folder").code, 3);
}

/// Where nobody can read standard error, what is done and its exit code are the same.
#[test]
fn lines_nobody_reads() {
    if !has(&[Need::Trusted]) {
        return;
    }
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let mount = mount.to_str().unwrap();
    let new = dir.path().join("new.db");
    let (case, new) = (case.to_str().unwrap(), new.to_str().unwrap());
    let loot = dir.path().join("loot");
    let list = dir.path().join("list");
    std::fs::write(&list, format!("{}  x\n", "a".repeat(64))).unwrap();
    let runs: &[(&[&str], i32)] = &[
        (&["ingest", mount, new], 0),
        (&["known", list.to_str().unwrap(), case], 0),
        (&["query", "known", "--case", case], 0),
        (&["query", "no-such", "--case", case], 2),
        (&["query", "logs", "--match", "a or b", "--case", case], 0),
        (&["status", "/no/such"], 2),
        (&["--no-such"], 2),
        (
            &[
                "extract",
                "--container",
                "apache",
                "/tmp/trojan",
                "--host",
                mount,
                "-o",
                loot.to_str().unwrap(),
            ],
            0,
        ),
        (&["verify", mount], 1),
    ];
    for (args, code) in runs {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let out = dof_command().args(*args).stderr(full).output().unwrap();
        assert_eq!(out.status.code(), Some(*code), "{args:?}");
    }
    assert!(loot.join("SHA256SUMS").exists());
    // A pipe whose reader has gone.
    let args = ["ingest", mount, new].map(|a| format!("'{a}'")).join(" ");
    let script = format!(
        "{{ '{}' {args} 2>&1; echo $? >&3; }} 3>&1 >/dev/null | cat",
        env!("CARGO_BIN_EXE_dof")
    );
    assert_eq!(run("bash", &["-c", &script]).unwrap().out.trim(), "0");
    let script = format!(
        "exec 4> >(exec true); sleep 0.3; '{}' {args} 2>&4; echo $?",
        env!("CARGO_BIN_EXE_dof")
    );
    assert_eq!(run("bash", &["-c", &script]).unwrap().out.trim(), "0");
}

/// Nothing found, and never looked, are told apart.
#[test]
fn what_was_never_looked_for() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let other = crate::support::other_host(&mount, dir.path());
    let path = case.to_str().unwrap();
    let says = |words: &[&str]| {
        let ran = dof([&["query"], words, &["--case", path]].concat()).with(0);
        ran.err.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let list = "dof: no list of known hashes was added to this case (dof known LIST)";
    let hash = |host: &str| {
        format!(
            "dof: no file of {host} has a hash: nothing was looked for (dof ingest --hash sha256)"
        )
    };
    let verified = |host: &str| {
        format!(
            "dof: {host} was not verified, or nothing of it could be (dof verify --case CASE MOUNT)"
        )
    };
    assert_eq!(says(&["known"]), [list.to_owned(), hash("shop01")]);
    assert_eq!(says(&["duplicates"]), [hash("shop01")]);
    assert_eq!(says(&["files", "--sha256", "00"]), [hash("shop01")]);
    assert_eq!(says(&["verify"]), [verified("shop01")]);
    for quiet in ["files", "images", "timeline", "hosts"] {
        assert!(says(&[quiet]).is_empty(), "{quiet}");
    }
    // Looked for in one of two hosts, and then in both.
    let mount = mount.to_str().unwrap();
    dof(["ingest", "--hash", "sha256", mount, path]).with(0);
    dof(["ingest", other.to_str().unwrap(), path]).with(0);
    let bad = dir.path().join("bad");
    std::fs::write(&bad, format!("{}\n", "a".repeat(64))).unwrap();
    dof(["known", bad.to_str().unwrap(), path]).with(0);
    dof(["verify", "--case", path, mount]);
    assert_eq!(says(&["known"]), [hash("other")]);
    assert_eq!(says(&["duplicates"]), [hash("other")]);
    assert_eq!(says(&["verify"]), [verified("other")]);
    dof(["ingest", "--hash", "sha256", other.to_str().unwrap(), path]).with(0);
    dof(["verify", "--case", path, other.to_str().unwrap()]);
    assert!(says(&["known"]).is_empty() && says(&["verify"]).is_empty());
    // An image that both have: the hosts tell the lines apart.
    let ran = dof(["show-image-config", "--image", "shop/web", path]).with(2);
    let lines: Vec<&str> = ran.err.lines().skip(1).collect();
    let mut distinct = lines.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), lines.len(), "{}", ran.err);
    assert!(
        ran.err.contains("  on shop01 (") && ran.err.contains("  on other ("),
        "{}",
        ran.err
    );
}
