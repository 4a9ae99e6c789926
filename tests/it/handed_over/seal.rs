//! The seal: what it says, and that a case that was changed is not sealed anew.

use super::handed;
use crate::support::strace::strace;
use crate::support::trees::state;
use crate::support::{Need, dof, dof_command, has, one, open, run};
use rusqlite::Connection;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What dof opens of a case's folder, as the kernel saw it.
#[test]
fn a_case_is_opened_for_reading_only() {
    if !has(&[Need::Strace]) {
        return;
    }
    let it = handed();
    let folder = it.dir.path().to_str().unwrap().to_owned();
    for wal in [false, true] {
        if wal {
            it.change("PRAGMA journal_mode = WAL");
        }
        for words in it.reading() {
            let options = ["-e", "trace=%file,ftruncate,pwrite64,fchmod"];
            let dof = env!("CARGO_BIN_EXE_dof").to_owned();
            let (_, calls) = strace(&options, &[&[dof], &words[..]].concat());
            let calls = calls.iter().map(|call| &call.line);
            let mut opened = 0;
            for call in calls.filter(|l| l.contains(&folder)) {
                let reads = [
                    "open(",
                    "openat(",
                    "stat",
                    "newfstatat(",
                    "statx(",
                    "access(",
                    "faccessat",
                    "readlink",
                    "lstat(",
                    "execve(",
                    "getcwd(",
                ];
                assert!(
                    reads.iter().any(|c| call.starts_with(c)),
                    "{words:?}: {call}"
                );
                if call.starts_with("open") {
                    opened += 1;
                    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
                    assert!(
                        !writes.iter().any(|w| call.contains(w)),
                        "{words:?}: {call}"
                    );
                }
            }
            assert!(opened > 0, "{words:?}");
        }
    }
}

/// Whoever writes to a case first holds it against its seal.
#[test]
fn a_tampered_case_is_not_sealed_anew() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    for (sql, says) in [
        (
            "UPDATE container SET privileged = 0, name = 'x' WHERE name = 'apache'",
            "container: not as it was sealed, though it has 31 rows as then",
        ),
        (
            "DELETE FROM log_entry WHERE id = 3",
            "log_entry: 388 rows when sealed, 387 rows now",
        ),
        ("UPDATE seal SET digest = NULL", "the words of its seal"),
        ("DELETE FROM seal", "it has no seal"),
        ("CREATE TABLE notes (text)", "table notes: not dof's"),
    ] {
        fs::write(&it.case, &sealed).unwrap();
        it.change(sql);
        it.refused(&it.writing(), says);
    }
    fs::write(&it.case, &sealed).unwrap();
    it.change("DELETE FROM log_entry WHERE id = 3");
    let mut words = it.writing().swap_remove(1);
    words.push("--accept-changes".into());
    dof(&words).with(0);
    // From then on it is said.
    for _ in 0..2 {
        let check = it.check().with(0).out;
        let line = check
            .lines()
            .find(|l| l.starts_with("Changes by others were accepted at 20"));
        let line = line.unwrap_or_else(|| panic!("{check}"));
        let uid = format!("by uid {} ", rustix::process::getuid().as_raw());
        assert!(
            line.contains("log_entry: 388 rows when sealed, 387 rows now") && line.contains(&uid),
            "{line}"
        );
        dof(it.words("ingest HOST CASE")).with(0);
    }
    let recorded = "SELECT what FROM accepted_change";
    assert!(one::<String>(&open(&it.case), recorded).contains("log_entry: 388"));
    it.change("DELETE FROM accepted_change");
    it.refused(
        &it.writing(),
        "accepted_change: 1 rows when sealed, 0 rows now",
    );
}

/// Each word of the seal counts.
#[test]
fn the_words_of_the_seal() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    let columns = [
        "serial",
        "sealed_at",
        "dof_version",
        "arguments",
        "objects",
        "own",
    ];
    for column in columns {
        fs::write(&it.case, &sealed).unwrap();
        it.change(&match column {
            "serial" | "sealed_at" => format!("UPDATE seal SET {column} = {column} + 1"),
            column => format!(
                "UPDATE seal SET {column} = replace({column}, substr({column}, -3, 1), 'x') || ' '"
            ),
        });
        let found = it.check().with(1).out;
        assert!(
            found.contains("the words of its seal are not those that were sealed"),
            "{column}: {found}"
        );
        it.refused(&it.writing(), "words of its seal");
    }
    // Rows are counted, though someone who knows how the seal is made says otherwise.
    fs::write(&it.case, &sealed).unwrap();
    let db = Connection::open(&it.case).unwrap();
    db.execute_batch(
        "DELETE FROM problem; UPDATE seal SET objects = json_set(objects, '$.problem.rows', 0)",
    )
    .unwrap();
    let words: String = db
        .query_row("SELECT serial || char(10) || sealed_at || char(10) || dof_version || char(10) || arguments || char(10) || objects || char(10) || own || char(10) FROM seal", [], |r| r.get(0))
        .unwrap();
    db.execute(
        "UPDATE seal SET digest = ?",
        [dof::engine::sha256_hex(words.as_bytes())],
    )
    .unwrap();
    db.close().unwrap();
    assert!(
        it.check()
            .with(1)
            .out
            .contains("problem: not as it was sealed, though it has 0 rows")
    );
}

/// The digest, made as `schema/seal.sql` words it, with stock programs alone.
#[test]
fn the_digest_with_sqlite3_and_sha256sum() {
    if !has(&[
        Need::Program("sqlite3"),
        Need::Program("sha256sum"),
        Need::Program("xxd"),
        Need::Program("bash"),
    ]) {
        return;
    }
    let it = handed();
    let script = r#"
        set -euo pipefail
        sql() { sqlite3 -batch -noheader "$1" "$2"; }
        size=$(sql "$1" 'PRAGMA page_size')
        sql "$1" 'SELECT key FROM seal, json_each(objects) ORDER BY key' | while read -r name; do
            sum=$(sql "$1" "SELECT pageno FROM dbstat WHERE name = '$name' ORDER BY pageno" | while read -r page; do
                printf '%08x' "$page"
                dd if="$1" bs="$size" skip=$((page - 1)) count=1 status=none | sha256sum | cut -c1-64
            done | xxd -r -p | sha256sum | cut -c1-64)
            echo "$name $sum"
        done
        sql "$1" 'SELECT serial, sealed_at, dof_version, arguments, objects, own FROM seal' >/dev/null
        for c in serial sealed_at dof_version arguments objects own; do sql "$1" "SELECT $c FROM seal"; done | sha256sum | cut -c1-64
    "#;
    let out = run("bash", &["-c", script, "-", it.case.to_str().unwrap()])
        .unwrap()
        .with(0)
        .out;
    let mut lines: Vec<&str> = out.lines().collect();
    let digest = lines.pop().unwrap();
    let check = it.check().with(0).out;
    assert_eq!(check.lines().next(), Some(&*format!("SHA-256 {digest}")));
    let objects = one::<String>(
        &open(&it.case),
        "SELECT group_concat(line, char(10)) FROM (SELECT key || ' ' || (value ->> 'sha256') AS line FROM seal, json_each(objects) ORDER BY key)",
    );
    assert_eq!(lines.join("\n"), objects);
    assert!(lines.len() > 40, "{} objects", lines.len());
}

/// Somebody reads the case: an ingest into it waits before its work, and says for whom.
#[test]
fn an_ingest_into_a_case_that_is_read() {
    let it = handed();
    let reader = open(&it.case);
    reader.execute_batch("BEGIN").unwrap();
    one::<i64>(&reader, "SELECT count(*) FROM file");
    let begun = Instant::now();
    let child = dof_command()
        .args(it.words("ingest HOST CASE"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    reader.execute_batch("COMMIT").unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let me = format!("(process {})", std::process::id());
    assert!(
        said.contains("is being read by ") && said.contains(&me),
        "{said}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(2));
    // One who goes on reading is named in the end, and nothing was read of the host for it. (To look at the case's bytes drops
    // this process's locks.)
    let before = state(it.dir.path());
    reader.execute_batch("BEGIN").unwrap();
    one::<i64>(&reader, "SELECT count(*) FROM file");
    let refused = dof(it.words("ingest HOST CASE")).with(3).err;
    assert!(
        refused.contains(&me) && refused.contains("nothing was written"),
        "{refused}"
    );
    assert_eq!(state(it.dir.path()), before);
}
