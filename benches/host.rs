//! The case that the queries are asked: the sample host with many more files and log lines, ingested once.

use dof::case::Target;
use dof::ingest::{Options, Progress, ingest};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Seconds since the epoch of the first day with files and log lines: 2019-01-01.
const FIRST_DAY: u64 = 1_546_300_800;
/// How many days they are spread over.
const DAYS: u64 = 400;
/// Files in a directory.
const IN_DIRECTORY: usize = 50;

static MADE: Mutex<Option<TempDir>> = Mutex::new(None);

/// The case; made when it is first asked for.
pub fn case() -> PathBuf {
    let mut made = MADE.lock().expect("nobody failed");
    let dir = made.get_or_insert_with(|| make(crate::size()));
    dir.path().join("case.db")
}

/// Removes what [`case`] made.
pub fn remove() {
    MADE.lock().expect("nobody failed").take();
}

/// A folder with the case in it: `rows` files more in the layer of the container apache, `rows` lines more in the log of web.
fn make(rows: usize) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let host = dof::demo::unpack(&dir.path().join("demo")).expect("the sample unpacks");
    let sample = Target::temporary().expect("memory");
    let options = Options {
        logs: true,
        ..Options::default()
    };
    let (sample, _) =
        ingest(&host, sample, &options, &Progress::silent()).expect("the sample is a host");
    let one = |sql| {
        let path: String = sample
            .db()
            .query_row(sql, [], |r| r.get(0))
            .expect("one row");
        host.join(path.trim_start_matches('/'))
    };
    add_files(
        &one(
            "SELECT l.host_path FROM container c JOIN layer l ON l.id = c.layer_id WHERE c.name = 'apache'",
        ),
        rows,
    );
    add_lines(
        &one(
            "SELECT f.path FROM log_file f JOIN container c ON c.id = f.container_id WHERE c.name = 'web' ORDER BY f.position DESC LIMIT 1",
        ),
        rows,
    );
    let options = Options {
        files: true,
        ..options
    };
    let target = Target::create(&dir.path().join("case.db")).expect("a place for the case");
    ingest(&host, target, &options, &Progress::silent()).expect("the case is made");
    dir
}

/// The time of row `i` of `rows`, since the epoch.
fn time(i: usize, rows: usize) -> Duration {
    let nanoseconds = DAYS * 86_400 * 1_000_000_000 / rows as u64 * i as u64;
    Duration::from_secs(FIRST_DAY) + Duration::from_nanos(nanoseconds)
}

fn add_files(layer: &Path, rows: usize) {
    for i in 0..rows {
        let parent = layer.join(format!("srv/cache/{:05}", i / IN_DIRECTORY));
        if i % IN_DIRECTORY == 0 {
            fs::create_dir_all(&parent).expect("a directory");
        }
        let file = File::create(parent.join(format!("session-{i:07}.json"))).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH + time(i, rows))
            .expect("its time");
    }
}

fn add_lines(log: &Path, rows: usize) {
    let mut log = BufWriter::new(OpenOptions::new().append(true).open(log).expect("the log"));
    for i in 0..rows {
        let text = match i % 1000 {
            0 => "connecting to \\u001b[31mstratum\\u001b[0m+tcp://203.0.113.9:3333",
            _ => "203.0.113.66 - - \\\"GET /index.html?q=caf\u{e9} HTTP/1.1\\\" 200 4921",
        };
        let time = dof::parse::time::rfc3339_nano(time(i, rows).as_nanos() as i64);
        writeln!(
            log,
            r#"{{"log":"{i} {text}\n","stream":"stdout","time":"{time}"}}"#
        )
        .expect("a line");
    }
    log.flush().expect("the log");
}
