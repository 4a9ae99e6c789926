//! Every query file gives the same rows in stock sqlite3 and in dof, unbound and bound.

use crate::support::sqlite3::sqlite3;
use crate::support::{Need, dof, has, ingest, open, sample};
use std::fs;
use std::path::{Path, PathBuf};

fn query_files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("queries"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 15, "the catalogue is there");
    files
}

#[test]
fn the_same_rows_in_sqlite3_and_in_dof() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let case_arg = case.to_str().unwrap();
    let container: String = crate::support::one(
        &open(&case),
        "SELECT name FROM container ORDER BY id LIMIT 1",
    );
    let bindings: &[&[(&str, &str)]] = &[
        &[],
        &[("since", "2019-01-01")],
        &[("until", "2019-06-01T00:00:00.5Z")],
        &[("container", &container)],
        &[("kind", "container")],
        &[("logs", "no")],
        &[("path", "/tmp/*")],
        &[("path", "/tmp/trojan")],
        &[("role", "image")],
        &[("image", "shop/web:patched")],
        &[("by", "hour"), ("group", "container")],
        &[("ordinary", "no")],
        &[("what", "build-container")],
    ];
    let (mut compared, mut rows) = (0, 0);
    for file in query_files() {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        for bind in bindings {
            if !bind
                .iter()
                .all(|(p, _)| text.contains(&format!("-- :{p} ")))
            {
                continue;
            }
            // dof asks `whose` for a whole path, `whose-pattern` else.
            let path = bind.iter().find(|(p, _)| *p == "path");
            let is_whole = path.is_some_and(|(_, path)| !path.contains('*'));
            let asked = match name {
                "whose" if !is_whole => file.with_file_name("whose-pattern.sql"),
                _ => file.clone(),
            };
            let theirs = sqlite3(&case, &asked, bind);
            let mut args = vec![
                "query".to_owned(),
                name.to_owned(),
                "--case".into(),
                case_arg.into(),
                "--format".into(),
                "json".into(),
            ];
            args.extend(
                bind.iter()
                    .flat_map(|(p, v)| [format!("--{p}"), (*v).to_owned()]),
            );
            let ours: serde_json::Value = serde_json::from_str(&dof(&args).with(0).out).unwrap();
            assert_eq!(ours, theirs, "{name} {bind:?}");
            compared += 1;
            rows += ours.as_array().unwrap().len();
        }
    }
    assert!(compared > query_files().len(), "bound ones too");
    assert!(rows > 1000, "the sample has something to say: {rows} rows");
}

/// `sqlite3 case.db < queries/NAME.sql`, as README tells people to.
#[test]
fn every_file_runs_from_standard_input() {
    if !has(&[Need::Program("sqlite3")]) {
        return;
    }
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    for file in query_files() {
        let child = std::process::Command::new("sqlite3")
            .arg(&case)
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(
            child.status.success() && child.stderr.is_empty(),
            "{}: {}",
            file.display(),
            String::from_utf8_lossy(&child.stderr)
        );
    }
}

/// Each example of each query's header runs as it stands.
#[test]
fn the_examples_run() {
    let (_host, mount) = sample();
    let (dir, _case) = ingest(&mount, 0);
    for q in dof::query::catalogue() {
        let example = q.example.expect("an example");
        let words: Vec<String> = example
            .split_whitespace()
            .skip(1)
            .map(|w| w.trim_matches('\'').to_owned())
            .collect();
        let ran = crate::support::dof_command()
            .args(&words)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{example}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

/// Queries written for osquery find its tables and columns.
#[test]
fn osquery_tables_are_there() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let db = open(&case);
    // Names and columns as in osquery's specs/posix/docker_*.table.
    for (table, columns) in [
        (
            "docker_containers",
            "id,name,image,image_id,command,created,state,status,pid,path,config_entrypoint,started_at,finished_at,privileged,security_options,env_variables,readonly_rootfs",
        ),
        (
            "docker_container_mounts",
            "id,type,name,source,destination,driver,mode,rw,propagation",
        ),
        ("docker_container_ports", "id,type,port,host_ip,host_port"),
        ("docker_container_envs", "id,key,value"),
        ("docker_container_labels", "id,key,value"),
        (
            "docker_container_networks",
            "id,name,network_id,endpoint_id,gateway,ip_address,ip_prefix_len,ipv6_gateway,ipv6_address,ipv6_prefix_len,mac_address",
        ),
        ("docker_container_fs_changes", "id,path,change_type"),
        ("docker_images", "id,created,size_bytes,tags"),
        (
            "docker_image_history",
            "id,created,size,created_by,tags,comment",
        ),
        ("docker_image_layers", "id,layer_id,layer_order"),
        ("docker_volumes", "name,driver,mount_point,type"),
    ] {
        let stmt = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        assert_eq!(stmt.column_names().join(","), columns, "{table}");
        let n: i64 = crate::support::one(&db, &format!("SELECT count(*) FROM {table}"));
        assert!(n > 0, "{table} is empty");
    }
}

/// A whole case as a body file: a line a file, and no name twice, since mactime keeps one mode, owner and size a name.
#[test]
fn the_timeline_as_a_body_file_names_every_file_once() {
    let (_host, mount) = crate::support::sample();
    let (_dir, case) = crate::support::ingest(&mount, 0);
    let path = case.to_str().unwrap();
    let out = crate::support::dof(["query", "timeline", "--format", "bodyfile", "--case", path])
        .with(0)
        .out;
    let files: i64 = crate::support::one(&crate::support::open(&case), "SELECT count(*) FROM file");
    let names: std::collections::BTreeSet<&str> =
        out.lines().filter_map(|l| l.split('|').nth(1)).collect();
    assert_eq!(
        (out.lines().count() as i64, names.len() as i64),
        (files, files)
    );
    assert!(names.contains("container/apache:/tmp/trojan"));
    // Containers of one name, as two data roots may have them, stay apart.
    let twins = "UPDATE container SET name = 'twin' WHERE name <> 'apache'";
    let db = rusqlite::Connection::open(&case).unwrap();
    assert!(db.execute(twins, []).unwrap() > 1);
    drop(db);
    let out = crate::support::dof(["query", "bodyfile", "--format", "bodyfile", "--case", path])
        .with(0)
        .out;
    let apart: std::collections::BTreeSet<&str> =
        out.lines().filter_map(|l| l.split('|').nth(1)).collect();
    assert_eq!(apart.len() as i64, files);
    let may = [
        "--container",
        "apache",
        "--since",
        "2019-05-01",
        "--until",
        "2019-06-01",
    ];
    let mut asked = vec!["query", "timeline", "--format", "bodyfile", "--case", path];
    asked.extend(may);
    let out = crate::support::dof(asked).with(0).out;
    let names: Vec<&str> = out.lines().filter_map(|l| l.split('|').nth(1)).collect();
    assert_eq!(names, ["container/apache:/tmp/trojan"]);
}

/// What the help of a query offers it can do, and what it cannot it does not offer.
#[test]
fn only_formats_that_a_query_has_are_offered() {
    let (_host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    let path = case.to_str().unwrap();
    let mut of_files = Vec::new();
    for q in dof::query::catalogue() {
        let help = dof(["query", &q.name, "--help"]).with(0).out;
        for format in [
            "table",
            "json",
            "jsonl",
            "csv",
            "bodyfile",
            "mactime",
            "mactime-csv",
        ] {
            let offered = help.contains(&format!("- {format}:")) || {
                let values = help.split_once("[possible values: ").map(|v| v.1);
                let values = values.unwrap_or_default().split(']').next().unwrap();
                values.split(", ").any(|v| v == format)
            };
            let ran = dof(["query", &q.name, "--format", format, "--case", path]);
            assert_eq!(
                ran.code,
                if offered { 0 } else { 2 },
                "{} {format}: {}",
                q.name,
                ran.err
            );
            if offered && format == "bodyfile" {
                // Numbers where numbers belong: the times of some file are not 0.
                assert!(
                    ran.out.lines().any(|l| !l.ends_with("|0|0|0|0")),
                    "{}",
                    q.name
                );
                of_files.push(q.name.clone());
            }
        }
    }
    let want = [
        "bodyfile",
        "macrobber-container-layer",
        "macrobber-volumes",
        "timeline",
    ];
    assert_eq!(of_files, want);
    // One's own query is looked at when it is run.
    let own = dir.path().join("own.sql");
    let own_query = |sql: &str| {
        fs::write(&own, sql).unwrap();
        dof([
            "query",
            own.to_str().unwrap(),
            "--format",
            "bodyfile",
            "--case",
            path,
        ])
    };
    let said = own_query("SELECT 1 AS path_hex, 2 AS path").with(2).err;
    assert!(said.contains("the column inode"), "{said}");
    own_query("SELECT NULL AS path_hex, path, inode, mode, uid, gid, size, atime, mtime, ctime FROM file_path").with(0);
}
