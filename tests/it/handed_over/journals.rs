//! Journals and other files beside a case.

use super::handed;
use crate::support::trees::state;
use crate::support::{dof, folder, one, open, run, sample};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

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
            "PRAGMA foreign_keys = OFF; BEGIN; DELETE FROM file WHERE id % 3 = 0; UPDATE container SET name = 'x'",
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
