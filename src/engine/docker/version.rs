//! The engine's version, read from the bytes of its binaries. Nothing of the evidence is ever run.

use crate::engine::Survey;
use crate::evidence::{Error, EvidencePath};
use crate::parse::version::{Binary, Finder};
use crate::problem::Severity;
use crate::record;
use std::io::Read;

/// Where packages, static archives and the snap put the binaries, in order of preference.
const FOLDERS: &[&str] = &[
    "usr/bin",
    "usr/sbin",
    "usr/local/bin",
    "usr/local/sbin",
    "bin",
    "sbin",
    "opt/bin",
    "snap/docker/current/bin",
];
/// Largest binary that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// Fills in the versions of client and daemon.
pub fn survey(survey: &mut Survey<'_>, row: &mut record::Engine) {
    if let Some((path, version)) = find(survey, &["docker"], Binary::Client) {
        row.client_path = Some(path);
        row.client_version = version;
    }
    if let Some((path, version)) = find(
        survey,
        &["dockerd", "docker-daemon", "dockerd-ce"],
        Binary::Daemon,
    ) {
        row.daemon_path = Some(path);
        row.daemon_version = version;
    }
}

/// The first binary of one of these names, and its version where it says one.
fn find(survey: &mut Survey<'_>, names: &[&str], kind: Binary) -> Option<(String, Option<String>)> {
    let mut there = None;
    for folder in FOLDERS {
        for name in names {
            let path = EvidencePath::new(folder).join(name);
            match read(survey, &path, kind) {
                Ok(Some(version)) => return Some((path.host(), Some(version))),
                Ok(None) => there = there.or(Some((path.host(), None))),
                Err(Error::Missing) => {}
                Err(e) => survey.problem(
                    Severity::Warning,
                    &path,
                    format!("cannot be read: {e}"),
                    "everything but the version",
                ),
            }
        }
    }
    there
}

fn read(survey: &Survey<'_>, path: &EvidencePath, kind: Binary) -> Result<Option<String>, Error> {
    let mut file = survey.evidence.open_file(path)?;
    if file.meta.size > LARGEST {
        return Err(Error::TooLarge(LARGEST));
    }
    let mut finder = Finder::new(kind);
    let mut buf = vec![0; 1 << 20];
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(finder.finish()),
            n => finder.feed(&buf[..n]),
        }
    }
}
