//! Damaged, hostile and mistaken input: the documented error and exit code, and whatever is readable is kept.

use crate::support::made::{Host, config};
use crate::support::{Need, dof, folder, has, ingest, one, open};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn a_missing_mount_and_a_mount_without_docker_are_usage_errors() {
    let dir = folder();
    let nowhere = dir.path().join("nowhere");
    let elsewhere = folder();
    let case = elsewhere.path().join("case.db");
    let ran = dof([Path::new("ingest"), &nowhere, &case]).with(2);
    assert!(
        ran.err.contains("nowhere") && ran.err.contains("not there"),
        "{}",
        ran.err
    );
    let ran = dof([Path::new("ingest"), dir.path(), &case]).with(2);
    assert!(
        ran.err.contains("no container engine found") && ran.err.contains("/var/lib/docker"),
        "{}",
        ran.err
    );
    dof([Path::new("list-containers"), dir.path()]).with(2);
    for place in [&dir, &elsewhere] {
        assert!(
            fs::read_dir(place.path()).unwrap().next().is_none(),
            "a failed ingest leaves nothing behind"
        );
    }
}

#[test]
fn what_is_no_case_is_refused_and_left_alone() {
    let host = Host::new();
    let dir = folder();
    let file = dir.path().join("notes.txt");
    fs::write(
        &file,
        "not a database, but somebody's notes, longer than a header of SQLite would be: 0123456789",
    )
    .unwrap();
    let ran = dof([Path::new("ingest"), &host.mount(), &file]).with(2);
    assert!(ran.err.contains("not a dof case"), "{}", ran.err);
    dof([Path::new("list-images"), &file]).with(2);
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("not a database"),
        "untouched"
    );
    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    dof([Path::new("status"), &other]).with(2);
    dof([Path::new("ingest"), &host.mount(), &other]).with(2);
    let ran = dof([Path::new("status"), &dir.path().join("none.db")]).with(2);
    assert!(ran.err.contains("no such case"), "{}", ran.err);
    let ran = dof([
        Path::new("ingest"),
        &host.mount(),
        &dir.path().join("no/where.db"),
    ])
    .with(3);
    assert!(ran.err.contains("there is no directory"), "{}", ran.err);
}

#[test]
fn cases_of_another_version_are_refused_with_a_hint() {
    let host = Host::new();
    let (_dir, case) = ingest(&host.mount(), 0);
    for (version, hint) in [
        (dof::case::VERSION + 1, "newer dof"),
        (dof::case::VERSION - 1, "ingest the host again"),
    ] {
        rusqlite::Connection::open(&case)
            .unwrap()
            .pragma_update(None, "user_version", version)
            .unwrap();
        for command in ["status", "ingest"] {
            let ran = if command == "ingest" {
                dof([Path::new(command), &host.mount(), &case])
            } else {
                dof([Path::new(command), &case])
            }
            .with(2);
            assert!(ran.err.contains(hint), "{}", ran.err);
        }
    }
}

#[test]
fn a_damaged_case_is_an_io_error() {
    let (_host, mount) = crate::support::sample();
    let (_dir, case) = ingest(&mount, 0);
    let mut bytes = fs::read(&case).unwrap();
    let len = bytes.len();
    bytes[len / 4..].fill(0x5a);
    fs::write(&case, bytes).unwrap();
    dof(["query", "files", "--case", case.to_str().unwrap()]).with(3);
}

#[test]
fn truncated_and_wrong_metadata_lists_all_the_same() {
    let host = Host::new();
    let whole = config("cut");
    host.container('a', &whole[..whole.find("\"Driver\"").unwrap() + 4]);
    host.container('b', "");
    host.container('c', "\0\0\0\0\0\0\0\0");
    host.container('d', r#"{"Name":7,"State":{"Running":"yes","Pid":"1","ExitCode":3},"Config":{"Env":"A=1","Cmd":{"x":1}},"Created":"yesterday"}"#);
    host.container('e', config("whole"));
    fs::create_dir(host.root().join("containers").join("f".repeat(64))).unwrap();
    host.write(
        "var/lib/docker/image/overlay2/repositories.json",
        "{\"Repositories\":{\"a\":{\"a:1\":\"sha256:",
    );
    host.write(
        &format!(
            "var/lib/docker/image/overlay2/imagedb/content/sha256/{}",
            "9".repeat(64)
        ),
        "{",
    );
    let (_dir, case) = ingest(&host.mount(), 1);
    let db = open(&case);
    assert_eq!(one::<i64>(&db, "SELECT count(*) FROM container"), 6);
    assert_eq!(
        one::<String>(
            &db,
            "SELECT group_concat(status) FROM (SELECT status FROM container ORDER BY full_id)"
        ),
        "exited,unknown,unknown,created,exited,unknown"
    );
    assert_eq!(
        one::<String>(&db, "SELECT name FROM container WHERE full_id LIKE 'a%'"),
        "cut",
        "what stands before the cut is kept"
    );
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT exit_code FROM container WHERE full_id LIKE 'd%'"
        ),
        3,
        "the right ones among wrong types"
    );
    assert_eq!(one::<i64>(&db, "SELECT count(*) FROM image"), 1);
    for (letter, wanted) in [
        ('a', "not valid JSON"),
        ('b', "empty file"),
        ('c', "NUL"),
        ('d', "State.Running is not a boolean"),
        ('d', "the engine does not load this container"),
        ('f', "without config.v2.json"),
    ] {
        let n: i64 = one(
            &db,
            &format!(
                "SELECT count(*) FROM problem WHERE path LIKE '%/{}%' AND what LIKE '%{wanted}%'",
                letter.to_string().repeat(64)
            ),
        );
        assert!(n > 0, "{letter}: {wanted}");
    }
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM problem WHERE path LIKE '%/eeee%'"
        ),
        0
    );
    let ran = dof([Path::new("list-containers"), &host.mount()]).with(1);
    assert!(
        ran.err.contains("/var/lib/docker/containers/bbbb") && ran.err.contains("empty file"),
        "{}",
        ran.err
    );
    assert_eq!(ran.out.matches("    ID: ").count(), 6);
}

#[test]
fn a_half_written_log_keeps_every_whole_line_and_the_bytes_of_the_rest() {
    let host = Host::new();
    let id = host.container('a', config("a"));
    host.log(&id, "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00.000000001Z\"}\n\0\0\0\0\nrubbish\n{\"log\":\"two\\n\",\"stream\":\"stderr\",\"time\":\"2024-01-01T00:00:01Z\"}\n{\"log\":\"thr");
    let (_dir, case) = ingest(&host.mount(), 1);
    let db = open(&case);
    assert_eq!(
        one::<String>(
            &db,
            "SELECT group_concat(coalesce(stream, '-') || ':' || line, ' ') FROM (SELECT * FROM log_entry ORDER BY id)"
        ),
        "stdout:one -:rubbish stderr:two -:{\"log\":\"thr"
    );
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM problem WHERE offset IS NOT NULL"),
        3
    );
    assert_eq!(
        one::<i64>(
            &db,
            "SELECT count(*) FROM problem WHERE what LIKE '%half-written%'"
        ),
        1
    );
    assert_eq!(
        one::<i64>(&db, "SELECT ts FROM log_entry ORDER BY id LIMIT 1"),
        1_704_067_200_000_000_001
    );
}

/// Lines that lie across the borders of the ranges that are read in parallel, and lines longer than a range.
#[test]
fn a_big_log_is_cut_between_lines_wherever_it_is_cut() {
    let host = Host::new();
    let id = host.container('a', config("a"));
    let mut text = String::new();
    let mut want = 0i64;
    let mut total = 0i64;
    for i in 0..90_000usize {
        let len = if i % 30_000 == 777 {
            5_000_000
        } else {
            i % 211
        };
        text.push_str(&format!(
            "{{\"log\":\"{}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00.{:09}Z\"}}\n",
            "x".repeat(len),
            i + 1
        ));
        want += 1;
        total += len as i64;
    }
    host.log(&id, &text);
    let (_dir, case) = ingest(&host.mount(), 0);
    let db = open(&case);
    assert_eq!(one::<i64>(&db, "SELECT count(*) FROM log_entry"), want);
    assert_eq!(
        one::<i64>(&db, "SELECT sum(length(line)) FROM log_entry"),
        total
    );
    let in_order = "SELECT count(*) FROM (SELECT ts, lag(ts) OVER (ORDER BY id) AS before, offset, lag(offset) OVER (ORDER BY id) AS at FROM log_entry) WHERE before >= ts OR at >= offset";
    assert_eq!(one::<i64>(&db, in_order), 0);
}

#[test]
fn what_a_missing_hostconfig_would_say_is_unknown() {
    let host = Host::new();
    let id = host.container('a', config("a"));
    fs::remove_file(host.root().join(format!("containers/{id}/hostconfig.json"))).unwrap();
    let ran = dof([Path::new("list-containers"), &host.mount()]).with(1);
    assert!(
        ran.out.contains("    Restart Policy: <unknown>\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains("hostconfig.json: not there"),
        "{}",
        ran.err
    );
}

#[test]
fn links_and_paths_of_the_evidence_do_not_lead_out() {
    let host = Host::new();
    let outside = folder();
    let secret = "the analyst's own secret";
    fs::write(
        outside.path().join("canary"),
        format!(
            "{{\"log\":\"{secret}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00Z\"}}\n"
        ),
    )
    .unwrap();
    let canary = outside.path().join("canary");
    let evil = format!(
        r#"{{"Name":"/evil","State":{{}},"Driver":"overlay2","LogPath":"{c}","MountPoints":{{"/x":{{"Source":"{o}","Destination":"/x","RW":true,"Type":"bind"}},"/y":{{"Source":"../../../../../../{o}","Destination":"/y","Type":"bind"}},"/z":{{"Name":"../../../../{o}","Destination":"/z","Type":"volume","Driver":"local"}}}}}}"#,
        c = canary.display(),
        o = outside.path().display()
    );
    let id = host.container('a', &evil);
    host.write(
        &format!("var/lib/docker/containers/{id}/hostconfig.json"),
        r#"{"LogConfig":{"Type":"json-file"}}"#,
    );
    symlink(
        &canary,
        host.root().join(format!("containers/{id}/{id}-json.log")),
    )
    .unwrap();
    symlink(&canary, host.mount().join("etc/machine-id")).unwrap();
    // A layer store that points out.
    let chain = "1".repeat(64);
    let store = format!("var/lib/docker/image/overlay2/layerdb/sha256/{chain}");
    host.write(&format!("{store}/diff"), "sha256:1");
    host.write(
        &format!("{store}/cache-id"),
        format!("../../../../../..{}", outside.path().display()),
    );
    let mounts = format!("var/lib/docker/image/overlay2/layerdb/mounts/{id}");
    host.write(&format!("{mounts}/mount-id"), "../..");
    symlink(outside.path(), host.root().join("overlay2/out")).unwrap();
    fs::create_dir_all(host.root().join("overlay2/in")).unwrap();
    symlink(outside.path(), host.root().join("overlay2/in/diff")).unwrap();
    let (_dir, case) = ingest(&host.mount(), 1);
    let db = open(&case);
    assert_eq!(one::<i64>(&db, "SELECT count(*) FROM log_entry"), 0);
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM file WHERE name = 'canary'"),
        0
    );
    let bytes = fs::read(&case).unwrap();
    assert!(
        memchr::memmem::find(&bytes, secret.as_bytes()).is_none(),
        "nothing of the canary is in the case"
    );
    assert_eq!(
        one::<i64>(&db, "SELECT count(*) FROM container WHERE name = 'evil'"),
        1
    );
}

#[test]
fn fifos_and_devices_in_place_of_files_do_not_block() {
    let host = Host::new();
    let id = host.container('a', config("a"));
    for at in [
        format!("var/lib/docker/containers/{id}/hostconfig.json"),
        "etc/machine-id".into(),
        format!("var/lib/docker/containers/{id}/{id}-json.log"),
    ] {
        let path = host.mount().join(at);
        let _ = fs::remove_file(&path);
        crate::support::run("mkfifo", &[path.to_str().unwrap()])
            .expect("mkfifo")
            .with(0);
    }
    let (_dir, case) = ingest(&host.mount(), 1);
    assert_eq!(
        one::<i64>(
            &open(&case),
            "SELECT count(*) FROM problem WHERE what LIKE '%FIFO where a file was expected%'"
        ),
        3
    );
}

#[test]
fn an_unreadable_file_is_a_problem_and_no_more() {
    if !has(&[Need::Root]) {
        return;
    }
    // Root reads everything, so the same binary runs as nobody.
    let host = Host::new();
    let id = host.container('a', config("a"));
    host.container('b', config("b"));
    use std::os::unix::fs::PermissionsExt;
    let config = host.root().join(format!("containers/{id}/config.v2.json"));
    fs::set_permissions(&config, fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(host.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder();
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let dof = copy.path().join("dof");
    // Not by this process: what another test starts meanwhile would hold the file open for writing, and it would not run.
    crate::support::run("cp", &[env!("CARGO_BIN_EXE_dof"), dof.to_str().unwrap()])
        .expect("cp")
        .with(0);
    let mount = host.mount();
    let ran = crate::support::run(
        "setpriv",
        &[
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            dof.to_str().unwrap(),
            "list-containers",
            mount.to_str().unwrap(),
        ],
    )
    .expect("setpriv");
    let ran = ran.with(1);
    assert!(
        ran.err.contains(&id) && ran.err.to_lowercase().contains("permission denied"),
        "{}",
        ran.err
    );
    assert_eq!(ran.out.matches("    ID: ").count(), 2, "{}", ran.out);
}

#[test]
fn names_out_of_the_evidence_cannot_forge_lines_or_colours() {
    let host = Host::new();
    let name = "x\\n    State: running\\u001b[31m\\u202e,\\\"";
    host.container('a', config(name));
    let listing = dof([Path::new("list-containers"), &host.mount()])
        .with(0)
        .out;
    assert_eq!(listing.matches("\n    State: ").count(), 1, "{listing}");
    assert!(
        !listing.contains('\x1b') && !listing.contains('\u{202e}'),
        "{listing}"
    );
    let csv = dof([
        Path::new("list-containers"),
        &host.mount(),
        Path::new("--format"),
        Path::new("csv"),
    ])
    .with(0)
    .out;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let records: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(
        &records[0][0], "/x\n    State: running\u{1b}[31m\u{202e},\"",
        "CSV keeps the text"
    );
}

/// A log that a power cut left with a torn end or NULs comes out as it stands; removed ones, and gaps in rotated ones, are said.
#[test]
fn damaged_and_missing_logs() {
    let line = |n: u32| {
        format!(
            "{{\"log\":\"line {n}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:0{n}.000000001Z\"}}\n"
        )
    };
    let started =
        r#"{"Name":"/a","State":{"StartedAt":"2024-01-01T00:00:00Z"},"Driver":"overlay2"}"#;
    let show = |host: &Host| {
        let mount = host.mount();
        let out = crate::support::dof_command()
            .args(["show-container-log", "--container", "a"])
            .arg(mount)
            .output()
            .unwrap();
        (
            out.status.code().unwrap(),
            out.stdout,
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    for end in [
        "",
        "{\"log\":\"torn",
        "{\"log\":\"torn{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:09Z\"}\n",
        "\0\0\0\0\0\0",
    ] {
        let host = Host::new();
        let id = host.container('a', started);
        host.write(
            &format!("var/lib/docker/containers/{id}/hostconfig.json"),
            r#"{"LogConfig":{"Type":"json-file"}}"#,
        );
        for middle in ["", "\0\0\0\0", "\n"] {
            let whole = [line(1), middle.into(), line(2), end.into()].concat();
            host.log(&id, &whole);
            let (_, out, err) = show(&host);
            assert_eq!(
                String::from_utf8_lossy(&out),
                whole,
                "{end:?} {middle:?}: {err}"
            );
        }
    }
    let host = Host::new();
    let id = host.container('a', started);
    host.write(
        &format!("var/lib/docker/containers/{id}/hostconfig.json"),
        r#"{"LogConfig":{"Type":"json-file"}}"#,
    );
    let (code, out, err) = show(&host);
    assert_eq!((code, out.as_slice()), (1, &b""[..]));
    assert!(
        err.contains("the log is not there, though the container has run"),
        "{err}"
    );
    for n in [0, 2] {
        let name = if n == 0 {
            format!("{id}-json.log")
        } else {
            format!("{id}-json.log.{n}")
        };
        host.write(
            &format!("var/lib/docker/containers/{id}/{name}"),
            line(5 - n),
        );
    }
    let (code, out, err) = show(&host);
    assert_eq!((code, out), (1, [line(3), line(5)].concat().into_bytes()));
    assert!(
        err.contains("json.log.1: this log file is not there"),
        "{err}"
    );
}
