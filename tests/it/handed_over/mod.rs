//! A case that somebody hands over: files beside it, rows, views and seals that are not of dof's making. Whatever dof is asked,
//! the folder stays as it was, byte for byte and to the nanosecond.

mod journals;
mod objects;
mod pages;
mod seal;

use crate::support::trees::state;
use crate::support::{Ran, dof, ingest, sample};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};

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
