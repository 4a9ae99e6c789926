//! A case that somebody hands over: files beside it, rows, views and seals that are not of dof's making. Whatever dof is asked,
//! the folder stays as it was, byte for byte and to the nanosecond.

use crate::support::{
    Need, Ran, dof, dof_command, folder, has, ingest, one, open, other_host, run, sample,
};
use rusqlite::Connection;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A folder: names, kinds, contents, and times to the nanosecond, but for when things were read.
fn state(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.unwrap();
        let m = entry.metadata().unwrap();
        let content = match entry.file_type().is_file() {
            true => dof::engine::sha256_hex(&fs::read(entry.path()).unwrap()),
            false => String::new(),
        };
        all.push(format!(
            "{} {:o} {} {} {} {}.{} {}.{} {content}",
            entry.path().display(),
            m.mode(),
            m.nlink(),
            m.ino(),
            m.size(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec()
        ));
    }
    all
}

/// A sealed case of the sample in a folder of its own, and what its host is.
struct Handed {
    _host: tempfile::TempDir,
    mount: PathBuf,
    dir: tempfile::TempDir,
    case: PathBuf,
}

fn handed() -> Handed {
    let (host, mount) = sample();
    let (dir, case) = ingest(&mount, 0);
    Handed {
        _host: host,
        mount,
        dir,
        case,
    }
}

impl Handed {
    /// Changes it as somebody with SQLite would.
    fn change(&self, sql: &str) {
        let db = Connection::open(&self.case).unwrap();
        db.execute_batch(sql).unwrap();
        db.close().unwrap();
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.case.clone().into_os_string();
        path.push(end);
        path.into()
    }

    /// Every command that reads a case.
    fn reading(&self) -> Vec<Vec<String>> {
        [
            "status CASE",
            "check CASE",
            "list-containers CASE",
            "list-images CASE",
            "show-image-history --image shop/web:1.0 CASE",
            "show-image-config --image shop/web:1.0 CASE",
            "show-container-config --container apache CASE",
            "show-container-log --container web CASE",
            "macrobber-container-layer --container apache CASE",
            "macrobber-volumes --container toolbox CASE",
            "verify CASE",
            "query hosts --case CASE",
            "query timeline --case CASE",
            "query logs --match php --case CASE",
        ]
        .iter()
        .map(|line| self.words(line))
        .collect()
    }

    /// Every command that writes to one.
    fn writing(&self) -> Vec<Vec<String>> {
        let list = self.mount.with_file_name("list.sha256");
        fs::write(&list, format!("{}  x\n", "0".repeat(64))).unwrap();
        [
            "ingest HOST CASE",
            "known LIST CASE",
            "verify --case CASE HOST",
        ]
        .iter()
        .map(|line| {
            let list = list.to_str().unwrap();
            self.words(line)
                .into_iter()
                .map(|w| w.replace("LIST", list))
                .collect()
        })
        .collect()
    }

    fn words(&self, line: &str) -> Vec<String> {
        line.split(' ')
            .map(|w| match w {
                "CASE" => self.case.to_str().unwrap().to_owned(),
                "HOST" => self.mount.to_str().unwrap().to_owned(),
                w => w.to_owned(),
            })
            .collect()
    }

    /// Runs all these commands, each of which must end with 3, name `word`, and change nothing.
    fn refused(&self, commands: &[Vec<String>], word: &str) {
        let before = state(self.dir.path());
        for words in commands {
            let ran = dof(words);
            assert_eq!(ran.code, 3, "{words:?}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains(word), "{words:?}: {}", ran.err);
            assert_eq!(state(self.dir.path()), before, "{words:?}");
        }
    }

    fn check(&self) -> Ran {
        dof([Path::new("check"), &self.case])
    }
}

/// The end of a journal that names a super-journal (sqlite.org/src/file/src/pager.c, `writeSuperJournal`).
fn super_journal(name: &str) -> Vec<u8> {
    let mut end = 0x4000_0000_u32
        .wrapping_div(32768)
        .wrapping_add(1)
        .to_be_bytes()
        .to_vec();
    end.extend(name.as_bytes());
    end.extend((name.len() as u32).to_be_bytes());
    let sum = name
        .bytes()
        .fold(0u32, |sum, b| sum.wrapping_add(b as i8 as u32));
    end.extend(sum.to_be_bytes());
    end.extend(MAGIC);
    end
}

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// The header of a journal without pages, for a case of this size.
fn journal_header(case: &Path) -> Vec<u8> {
    let pages = fs::metadata(case).unwrap().len() / 32768;
    let mut header = MAGIC.to_vec();
    for number in [0, 7, pages as u32, 512, 32768] {
        header.extend(number.to_be_bytes());
    }
    header.resize(512, 0);
    header
}

/// What a journal of a killed transaction looks like: the journal of one that was under way, in which `sql` was done.
fn journal_of(case: &Path, sql: &str, to: &Path) {
    let db = Connection::open(case).unwrap();
    db.execute_batch(&format!("PRAGMA journal_mode = DELETE; BEGIN; {sql}"))
        .unwrap();
    db.cache_flush().unwrap();
    let mut from = case.as_os_str().to_owned();
    from.push("-journal");
    fs::copy(from, to).unwrap();
    db.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_journal_that_names_a_file_to_delete() {
    let it = handed();
    let canaries = folder();
    let canary = canaries.path().join("precious");
    let plant = |case: &Path| {
        fs::write(&canary, "precious").unwrap();
        let mut journal = journal_header(case);
        journal.extend(super_journal(canary.to_str().unwrap()));
        let mut beside = case.as_os_str().to_owned();
        beside.push("-journal");
        fs::write(beside, journal).unwrap();
    };
    // The attack is one: SQLite opens a copy for writing and deletes the file.
    let copy = canaries.path().join("copy.db");
    fs::copy(&it.case, &copy).unwrap();
    plant(&copy);
    let db = Connection::open(&copy).unwrap();
    one::<i64>(&db, "SELECT count(*) FROM sqlite_schema");
    assert!(!canary.exists(), "SQLite follows the journal");
    plant(&it.case);
    it.refused(&it.reading(), "dof check --recover");
    it.refused(&it.writing(), "super-journal");
    it.refused(&[it.words("check --recover CASE")], "super-journal");
    it.refused(
        &[it.words("known --accept-changes /etc/hostname CASE")],
        "super-journal",
    );
    assert_eq!(fs::read_to_string(&canary).unwrap(), "precious");
}

#[test]
fn a_journal_that_rewrites_the_case() {
    let it = handed();
    let other = folder();
    // Pages of a case in which a container was made to look harmless.
    let twin = other.path().join("twin.db");
    fs::copy(&it.case, &twin).unwrap();
    let db = Connection::open(&twin).unwrap();
    db.execute_batch("UPDATE container SET name = 'harmless'")
        .unwrap();
    db.close().unwrap();
    journal_of(
        &twin,
        "UPDATE container SET name = 'other'",
        &it.beside("-journal"),
    );
    it.refused(&it.reading(), "dof check --recover");
    it.refused(
        &it.writing(),
        "does not lead back to a case as dof sealed it",
    );
    it.refused(
        &[it.words("check --recover CASE")],
        "container: not as it was sealed",
    );
    // Others that no dof writes.
    let mut bytes = fs::read(it.beside("-journal")).unwrap();
    bytes[24..28].copy_from_slice(&4096u32.to_be_bytes());
    fs::write(it.beside("-journal"), &bytes).unwrap();
    it.refused(
        &[it.words("check --recover CASE")],
        "not as large as the case's",
    );
    fs::write(it.beside("-journal"), "something else").unwrap();
    it.refused(
        &[it.words("check --recover CASE")],
        "does not begin as a journal",
    );
    it.refused(&it.reading(), "dof check --recover");
}

/// The journal of a transaction that was cut off leads back to the sealed case.
#[test]
fn a_journal_of_dofs_own_is_rolled_back() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    let cut_off = || {
        fs::write(&it.case, &sealed).unwrap();
        let other = folder();
        let twin = other.path().join("twin.db");
        fs::copy(&it.case, &twin).unwrap();
        let journal = it.beside("-journal");
        let db = Connection::open(&twin).unwrap();
        db.execute_batch(
            "BEGIN; DELETE FROM file WHERE id % 3 = 0; UPDATE container SET name = 'x'",
        )
        .unwrap();
        db.cache_flush().unwrap();
        fs::copy(&twin, &it.case).unwrap();
        fs::copy(other.path().join("twin.db-journal"), &journal).unwrap();
    };
    cut_off();
    it.refused(&it.reading(), "dof check --recover");
    let done = dof(it.words("check --recover CASE")).with(0).out;
    assert!(
        done.contains("is undone") && done.contains("as it was sealed"),
        "{done}"
    );
    assert!(!it.beside("-journal").exists());
    it.check().with(0);
    // A command that writes does the same by itself.
    cut_off();
    let done = dof(it.words("ingest HOST CASE")).with(0);
    assert!(done.err.contains("had been cut off"), "{}", done.err);
    it.check().with(0);
    assert_eq!(
        dof(it.words("check --recover CASE"))
            .with(0)
            .out
            .lines()
            .next()
            .unwrap()
            .split(": ")
            .nth(1),
        Some("nothing was cut off")
    );
}

/// SQLite makes files to read a case in WAL mode; dof does not.
#[test]
fn wal_mode() {
    let it = handed();
    let expected = dof(it.words("query timeline --format csv --case CASE"))
        .with(0)
        .out;
    it.change(
        "PRAGMA journal_mode = WAL; CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')",
    );
    for wal in [false, true] {
        if wal {
            fs::write(it.beside("-wal"), "").unwrap();
        }
        let before = state(it.dir.path());
        for words in it.reading() {
            let ran = dof(&words);
            assert!(
                ran.code < 2 || words[0] == "verify",
                "{words:?}: {}",
                ran.err
            );
            assert_eq!(state(it.dir.path()), before, "{words:?}");
        }
        assert_eq!(
            dof(it.words("query timeline --format csv --case CASE"))
                .with(0)
                .out,
            expected
        );
    }
    fs::remove_file(it.beside("-wal")).unwrap();
    // A program that was killed left its last changes there.
    let db = Connection::open(&it.case).unwrap();
    db.execute_batch("INSERT INTO notes VALUES ('later')")
        .unwrap();
    let (case, wal) = (
        fs::read(&it.case).unwrap(),
        fs::read(it.beside("-wal")).unwrap(),
    );
    db.close().unwrap();
    fs::write(&it.case, case).unwrap();
    fs::write(it.beside("-wal"), &wal).unwrap();
    it.refused(&it.reading(), "dof check --recover");
    it.refused(&it.writing(), "dof check --recover");
    let done = dof(it.words("check --recover CASE")).with(0).out;
    assert!(done.contains("-wal file is now in the case"), "{done}");
    assert_eq!(one::<i64>(&open(&it.case), "SELECT count(*) FROM notes"), 2);
    fs::write(it.beside("-wal"), [&wal[..8], &[0; 100]].concat()).unwrap();
    it.refused(&[it.words("check --recover CASE")], "not of this case");
}

/// Links, FIFOs and further names of a file in place of what SQLite writes beside a case.
#[test]
fn neighbours_that_are_no_plain_files() {
    let it = handed();
    let canaries = folder();
    let canary = canaries.path().join("precious");
    fs::write(&canary, "precious").unwrap();
    let all: Vec<_> = it.reading().into_iter().chain(it.writing()).collect();
    for end in ["-journal", "-wal", "-shm"] {
        for kind in ["link", "dangling link", "hard link", "fifo", "folder"] {
            let path = it.beside(end);
            match kind {
                "link" => symlink(&canary, &path).unwrap(),
                "dangling link" => symlink(canaries.path().join("new"), &path).unwrap(),
                "hard link" => fs::hard_link(&canary, &path).unwrap(),
                "fifo" => drop(run("mkfifo", &[path.to_str().unwrap()]).unwrap().with(0)),
                _ => fs::create_dir(&path).unwrap(),
            }
            it.refused(&all, end);
            match kind {
                "folder" => fs::remove_dir(&path).unwrap(),
                _ => fs::remove_file(&path).unwrap(),
            }
            assert_eq!(fs::read_to_string(&canary).unwrap(), "precious");
            assert_eq!(fs::read_dir(canaries.path()).unwrap().count(), 1);
        }
    }
    // And in place of the case itself.
    let fifo = it.dir.path().join("fifo.db");
    run("mkfifo", &[fifo.to_str().unwrap()]).unwrap().with(0);
    dof([Path::new("status"), &fifo]).with(2);
}

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
            let trace = it.mount.with_file_name("trace");
            let mut all = vec![
                "-f",
                "-qq",
                "-e",
                "trace=%file,ftruncate,pwrite64,fchmod",
                "-o",
                trace.to_str().unwrap(),
                env!("CARGO_BIN_EXE_dof"),
            ];
            all.extend(words.iter().map(String::as_str));
            run("strace", &all).unwrap();
            let trace = fs::read_to_string(&trace).unwrap();
            let here = trace.lines().filter(|l| l.contains(&folder));
            let mut opened = 0;
            for line in here {
                let call = line.split_once(' ').unwrap().1.trim_start();
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
                    "{words:?}: {line}"
                );
                if call.starts_with("open") {
                    opened += 1;
                    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
                    assert!(
                        !writes.iter().any(|w| call.contains(w)),
                        "{words:?}: {line}"
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

/// Objects that would change what dof says or writes.
#[test]
fn objects_that_are_not_dofs() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    for (sql, says) in [
        (
            "CREATE TRIGGER t1 BEFORE INSERT ON log_entry BEGIN SELECT RAISE(IGNORE); END",
            "trigger t1",
        ),
        (
            "CREATE TRIGGER t2 BEFORE INSERT ON file BEGIN SELECT RAISE(IGNORE); END",
            "trigger t2",
        ),
        (
            "CREATE TRIGGER t3 BEFORE INSERT ON problem BEGIN SELECT RAISE(IGNORE); END",
            "trigger t3",
        ),
        (
            "CREATE TABLE mine (x); CREATE TRIGGER t4 AFTER INSERT ON mine BEGIN DELETE FROM file; END",
            "trigger t4",
        ),
        (
            "DROP VIEW file_path; CREATE VIEW file_path AS SELECT 1",
            "view file_path: not as dof makes it",
        ),
        ("DROP VIEW file_path", "view file_path: not there"),
        (
            "DROP INDEX log_entry_ts_listed",
            "index log_entry_ts_listed: not there",
        ),
        (
            "DROP INDEX log_entry_ts_listed; CREATE INDEX log_entry_ts_listed ON log_entry(id)",
            "index log_entry_ts_listed: not as dof makes it",
        ),
        (
            "CREATE UNIQUE INDEX u ON log_entry(id, ts)",
            "index u: on dof's table log_entry",
        ),
        ("CREATE INDEX u ON FILE(name)", "index u: on dof's table"),
        (
            "CREATE TABLE json_each (key, value, type)",
            "table json_each: has the name of a function",
        ),
        (
            "CREATE VIEW Json_Tree AS SELECT 1 AS key",
            "has the name of a function",
        ),
        (
            "CREATE TABLE pragma_table_info (name)",
            "has the name of a function",
        ),
        (
            "ALTER TABLE container ADD COLUMN extra TEXT",
            "table container: not as dof makes it",
        ),
        (
            "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT 'view', 'harmless', 'harmless', 0, 'CREATE VIEW json_each AS SELECT 1'",
            "malformed database schema (harmless)",
        ),
        // An endless one in place of what `status` asks.
        (
            "DROP VIEW docker_containers; CREATE VIEW docker_containers AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) AS id FROM n",
            "view docker_containers: not as dof makes it",
        ),
    ] {
        fs::write(&it.case, &sealed).unwrap();
        it.change(sql);
        let all: Vec<_> = it
            .reading()
            .into_iter()
            .filter(|w| w[0] != "check")
            .chain(it.writing())
            .collect();
        it.refused(&all, says);
        let mut words = it.writing().swap_remove(1);
        words.push("--accept-changes".into());
        it.refused(&[words], says);
        let check = it.check();
        let said = format!("{}{}", check.out, check.err);
        assert!(check.code != 0 && said.contains(says), "{sql}: {said}");
    }
    // Who wants to look at it all the same may.
    fs::write(&it.case, &sealed).unwrap();
    it.change("CREATE TRIGGER t1 BEFORE INSERT ON log_entry BEGIN SELECT RAISE(IGNORE); END");
    let before = state(it.dir.path());
    let looked = dof(it.words("list-containers --untrusted CASE")).with(0);
    assert!(
        looked.err.contains("trigger t1") && looked.out.contains("/apache"),
        "{}",
        looked.err
    );
    dof(it.words("query hosts --untrusted --case CASE")).with(0);
    assert_eq!(state(it.dir.path()), before);
    // A header that makes SQLite read texts otherwise.
    let mut bytes = sealed.clone();
    bytes[59] = 2;
    fs::write(&it.case, &bytes).unwrap();
    it.refused(&it.reading(), "header of the file");
}

/// What a case is for: tables, views and statistics of an investigator's own.
#[test]
fn tables_of_ones_own_are_no_fault() {
    let it = handed();
    let expected = dof(it.words("query timeline --format csv --case CASE"))
        .with(0)
        .out;
    let clean = it.check().with(0).out;
    it.change(
        "CREATE TABLE notes (path TEXT PRIMARY KEY, what TEXT); CREATE INDEX notes_what ON notes(what);
         CREATE TABLE \"Odd [name]\" (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO \"Odd [name]\" DEFAULT VALUES;
         INSERT OR IGNORE INTO notes SELECT path, 'seen' FROM file_path LIMIT 1000;
         CREATE VIEW suspicious AS SELECT * FROM file_path JOIN notes USING (path);
         CREATE VIRTUAL TABLE words USING fts5(line, content='log_entry', content_rowid='id');
         INSERT INTO words(words) VALUES ('rebuild'); ANALYZE;",
    );
    let check = it.check().with(0).out;
    assert_eq!(
        check.lines().next(),
        clean.lines().next(),
        "the seal is unbroken"
    );
    for own in [
        "table notes",
        "index notes_what",
        "table Odd [name]",
        "view suspicious",
        "table words",
        "table sqlite_stat1",
    ] {
        assert!(
            check
                .lines()
                .any(|l| l == format!("Not dof's: {own}, made since it was sealed")),
            "{own}: {check}"
        );
    }
    assert_eq!(
        dof(it.words("query timeline --format csv --case CASE"))
            .with(0)
            .out,
        expected
    );
    let own = it.dir.path().join("own.sql");
    fs::write(&own, "SELECT count(*) AS n FROM suspicious").unwrap();
    let mine = dof([
        "query",
        own.to_str().unwrap(),
        "--format",
        "jsonl",
        "--case",
        it.case.to_str().unwrap(),
    ])
    .with(0)
    .out;
    assert!(!mine.contains("\"n\":0"), "{mine}");
    fs::remove_file(own).unwrap();
    it.refused(&it.writing(), "table notes: not dof's");
    // Once accepted they are part of what is known; another host leaves them alone.
    let mut words = it.writing().swap_remove(1);
    words.push("--accept-changes".into());
    dof(&words).with(0);
    let other = other_host(&it.mount, it.mount.parent().unwrap());
    dof([Path::new("ingest"), &other, &it.case]).with(0);
    assert!(one::<i64>(&open(&it.case), "SELECT count(*) FROM notes") > 100);
    assert!(
        it.check()
            .with(0)
            .out
            .lines()
            .any(|l| l == "Not dof's: table notes")
    );
}

/// Headers that make SQLite take pages of evidence for something else, and rows of the schema that lead a table to others.
#[test]
fn headers_and_rows_that_mislead_sqlite() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    let all: Vec<_> = it.reading().into_iter().chain(it.writing()).collect();
    // The largest root page and the incremental mode of auto-vacuum.
    for at in [55, 67] {
        let mut bytes = sealed.clone();
        bytes[at] = 2;
        fs::write(&it.case, &bytes).unwrap();
        it.refused(&all, "header of the file");
    }
    // The table itself, to SQLite: it is WITHOUT ROWID.
    fs::write(&it.case, &sealed).unwrap();
    it.change(
        "CREATE TABLE notes (container_id INTEGER NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, PRIMARY KEY (container_id, position)) STRICT, WITHOUT ROWID;
         INSERT INTO notes SELECT container_id, position, 'HARMLESS', '' FROM container_env;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET type = 'index', name = 'sqlite_autoindex_container_env_1', tbl_name = 'notes', sql = NULL WHERE name = 'notes'",
    );
    let says = "index sqlite_autoindex_container_env_1: its text makes something else";
    it.refused(
        &[it.words("query env --case CASE"), it.words("status CASE")],
        says,
    );
    it.refused(&it.writing(), says);
    assert!(it.check().with(1).out.contains(says));
    // A second seal.
    fs::write(&it.case, &sealed).unwrap();
    it.change("PRAGMA ignore_check_constraints = ON; INSERT INTO seal SELECT -7, serial, sealed_at, dof_version, arguments, objects, own, digest FROM seal");
    it.refused(&it.writing(), "it has 2 seals");
    assert!(it.check().with(1).out.contains("it has 2 seals"));
}

/// Journals that are like dof's own, and change what the seal does not see.
#[test]
fn journals_that_change_what_is_not_sealed() {
    let it = handed();
    let sealed = fs::read(&it.case).unwrap();
    // More pages than the case has.
    let mut header = journal_header(&it.case);
    header[16..20].copy_from_slice(&30_000_000u32.to_be_bytes());
    fs::write(it.beside("-journal"), &header).unwrap();
    it.refused(&[it.words("check --recover CASE")], "more pages before");
    it.refused(&it.writing(), "more pages before");
    fs::remove_file(it.beside("-journal")).unwrap();
    // A table of the investigator's own.
    it.change("CREATE TABLE notes (what TEXT); INSERT INTO notes VALUES ('my finding')");
    let other = folder();
    let twin = other.path().join("twin.db");
    fs::copy(&it.case, &twin).unwrap();
    let db = Connection::open(&twin).unwrap();
    db.execute_batch("UPDATE notes SET what = 'nothing found'")
        .unwrap();
    db.close().unwrap();
    journal_of(&twin, "UPDATE notes SET what = 'x'", &it.beside("-journal"));
    it.refused(
        &[it.words("check --recover CASE")],
        "not dof's would change",
    );
    // A case with a view, which the journal of one without takes away.
    fs::write(&it.case, &sealed).unwrap();
    fs::copy(&it.case, &twin).unwrap();
    journal_of(
        &twin,
        "CREATE VIEW mine AS SELECT 1",
        &it.beside("-journal"),
    );
    fs::remove_file(&twin).unwrap();
    let journal = fs::read(it.beside("-journal")).unwrap();
    fs::remove_file(it.beside("-journal")).unwrap();
    it.change("CREATE VIEW mine AS SELECT 'my finding'");
    fs::write(it.beside("-journal"), journal).unwrap();
    it.refused(
        &[it.words("check --recover CASE")],
        "not dof's would change",
    );
    // A journal that is in order, and a -wal that is not dof's.
    fs::write(&it.case, &sealed).unwrap();
    fs::copy(&it.case, &twin).unwrap();
    journal_of(
        &twin,
        "UPDATE container SET name = 'x'",
        &it.beside("-journal"),
    );
    let db = Connection::open(&twin).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; DELETE FROM log_entry")
        .unwrap();
    fs::copy(other.path().join("twin.db-wal"), it.beside("-wal")).unwrap();
    it.refused(&it.reading(), "dof check --recover");
    it.refused(&it.writing(), "there is a journal too");
    it.refused(
        &[it.words("check --recover CASE")],
        "there is a journal too",
    );
    fs::remove_file(it.beside("-wal")).unwrap();
    dof(it.words("check --recover CASE")).with(0);
    // dof itself writes nothing there.
    let listing = ["query", "hosts", "--case", it.case.to_str().unwrap(), "-o"];
    for end in ["-journal", "-wal", "-shm"] {
        let at = it.beside(end);
        let refused = dof(listing.iter().map(Path::new).chain([at.as_path()]))
            .with(2)
            .err;
        assert!(refused.contains("a part of the case"), "{refused}");
        assert!(!at.exists());
    }
}

/// A list of free pages that names pages in use: SQLite would write there, and not even a rollback would bring them back.
#[test]
fn free_pages_that_are_in_use() {
    let it = handed();
    it.change("CREATE TABLE notes (what TEXT); INSERT INTO notes VALUES ('my finding')");
    let sealed = fs::read(&it.case).unwrap();
    for table in [
        "file",
        "container",
        "log_entry",
        "seal",
        "accepted_change",
        "notes",
    ] {
        fs::write(&it.case, &sealed).unwrap();
        let root = one::<u32>(
            &open(&it.case),
            &format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'"),
        );
        let mut bytes = sealed.clone();
        let pages = (bytes.len() / 32768) as u32 + 1;
        // A trunk without a next one, and one page on it.
        let mut trunk: Vec<u8> = [0, 1, root].iter().flat_map(|n| n.to_be_bytes()).collect();
        trunk.resize(32768, 0);
        bytes.extend(trunk);
        for (at, number) in [(28, pages), (32, pages), (36, 2)] {
            bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        fs::write(&it.case, &bytes).unwrap();
        let says = "its pages are used more than once";
        it.refused(&it.writing(), says);
        assert!(it.check().with(1).out.contains(says), "{table}");
    }
    // One of those is shared by two tables.
    fs::write(&it.case, &sealed).unwrap();
    it.change("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'container') WHERE name = 'notes'");
    it.refused(&it.writing(), "its pages are used more than once");
}

/// Statistics whose pages are shared: SQLite reads them as soon as it opens the case. It stops.
#[test]
fn statistics_without_an_end() {
    let it = handed();
    it.change("ANALYZE");
    let root = one::<u32>(
        &open(&it.case),
        "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_stat1'",
    );
    let mut bytes = fs::read(&it.case).unwrap();
    let pages = (bytes.len() / 32768) as u32;
    let old = bytes[(root as usize - 1) * 32768..][..32768].to_vec();
    bytes[(root as usize - 1) * 32768..][..32768].copy_from_slice(&interior(pages + 1));
    bytes.extend([interior(pages + 2), interior(pages + 3), old].concat());
    bytes[28..32].copy_from_slice(&(pages + 3).to_be_bytes());
    fs::write(&it.case, bytes).unwrap();
    let begun = Instant::now();
    // They are not needed for an answer.
    let before = state(it.dir.path());
    let status = dof(it.words("status CASE"));
    assert!([0, 3].contains(&status.code), "{}", status.err);
    assert_eq!(state(it.dir.path()), before);
    it.refused(&[it.words("ingest HOST CASE")], "");
    assert!(begun.elapsed() < Duration::from_secs(90));
}

/// A page of a table's tree, of which each of many cells leads to `child` (sqlite.org/fileformat2.html, section 1.6).
fn interior(child: u32) -> Vec<u8> {
    let (size, cells) = (32768, 4000u16);
    let mut page = vec![0x05, 0, 0];
    let cell = size as u16 - 8;
    page.extend([cells, cell].iter().flat_map(|n| n.to_be_bytes()));
    page.push(0);
    page.extend(child.to_be_bytes());
    (0..cells).for_each(|_| page.extend(cell.to_be_bytes()));
    page.resize(usize::from(cell), 0);
    page.extend(child.to_be_bytes());
    page.push(1);
    page.resize(size, 0);
    page
}

/// A table whose pages are shared within its tree has more of them than could ever be read.
#[test]
fn pages_that_are_used_many_times() {
    let it = handed();
    let root = one::<u32>(
        &open(&it.case),
        "SELECT rootpage FROM sqlite_schema WHERE name = 'volume'",
    );
    let mut bytes = fs::read(&it.case).unwrap();
    let pages = (bytes.len() / 32768) as u32;
    let empty = bytes[(root as usize - 1) * 32768..][..32768].to_vec();
    bytes[(root as usize - 1) * 32768..][..32768].copy_from_slice(&interior(pages + 1));
    bytes.extend([interior(pages + 2), interior(pages + 3), empty].concat());
    bytes[28..32].copy_from_slice(&(pages + 3).to_be_bytes());
    fs::write(&it.case, bytes).unwrap();
    let begun = Instant::now();
    let check = it.check().with(1).out;
    assert!(
        check.contains("its pages are used more than once"),
        "{check}"
    );
    it.refused(&it.writing(), "its pages are used more than once");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// What is left of a case that is gone would be taken for a part of a new one.
#[test]
fn a_new_case_beside_an_old_journal() {
    let (_host, mount) = sample();
    let dir = folder();
    let case = dir.path().join("case.db");
    for end in ["-journal", "-wal"] {
        let left = dir.path().join(format!("case.db{end}"));
        fs::write(&left, [&MAGIC[..], &[1; 600]].concat()).unwrap();
        let refused = dof([Path::new("ingest"), &mount, &case]).with(3).err;
        assert!(
            refused.contains(end) && refused.contains("move it away"),
            "{refused}"
        );
        assert!(!case.exists());
        fs::remove_file(left).unwrap();
    }
}

/// A case that shrinks while it is read gives an error, not a signal.
#[test]
fn a_case_that_shrinks() {
    let it = handed();
    let query = it.mount.with_file_name("slow.sql");
    // Pages of `file` are asked for when the pipe has room again.
    fs::write(&query, "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000000) SELECT x FROM n UNION ALL SELECT max(length(name)) FROM file").unwrap();
    let mut child = dof_command()
        .args([
            "query",
            query.to_str().unwrap(),
            "--format",
            "csv",
            "--case",
        ])
        .arg(&it.case)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    fs::File::options()
        .write(true)
        .open(&it.case)
        .unwrap()
        .set_len(40_000)
        .unwrap();
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{:?} {said}", ended.status);
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
