//! The writer: batches as the sweep gives them into a new case, without the walk and the parsers.

use divan::Bencher;
use divan::counter::ItemsCount;
use dof::batch::{Batch, DirNote, FileBatch, FileRow, LogBatch, LogHead, Stream};
use dof::case::Target;
use dof::evidence::Meta;
use std::sync::Arc;

/// Files in a directory.
const IN_DIRECTORY: usize = 50;
/// Log lines in a batch.
const IN_BATCH: usize = 1000;
/// A time in 2019.
const TIME: i64 = 1_558_966_331_123_456_789;

fn add(batch: &mut FileBatch, name: &str, mode: u32, i: usize) {
    let at = TIME + (i as i64).wrapping_mul(7_919) % 40_000 * 1_000_000_000;
    batch.rows.push(FileRow {
        name_at: batch.names.len() as u32,
        name_len: name.len() as u32,
        link_len: 0,
        overlay: 0,
        meta: Meta {
            mode,
            uid: 0,
            gid: 0,
            nlink: 1,
            inode: 100_000 + i as u64,
            size: 4096,
            blocks: 8,
            dev: 0x8_0000_0001,
            rdev: 0,
            atime: at,
            mtime: TIME - at % 1_000_000_000,
            ctime: at,
            crtime: Some(at),
            mount_root: false,
        },
    });
    batch.names.extend_from_slice(name.as_bytes());
}

/// A tree of directories with files in them.
fn tree() -> Vec<Batch> {
    let mut root = FileBatch::new(DirNote::new(1, Vec::new(), None), true);
    add(&mut root, "", 0o040_755, 0);
    let mut directories = Vec::new();
    for d in 0..crate::size().div_ceil(IN_DIRECTORY) {
        let name = format!("package-{d}");
        let note = DirNote::new(1, format!("/{name}").into_bytes(), None);
        add(&mut root, &name, 0o040_755, d);
        root.children.push((d + 1, Arc::clone(&note)));
        let mut files = FileBatch::new(note, true);
        for i in 0..IN_DIRECTORY {
            add(
                &mut files,
                &format!("module_{i:02}.cpython-311.pyc"),
                0o100_644,
                d * IN_DIRECTORY + i,
            );
        }
        directories.push(Batch::Files(files));
    }
    directories.insert(0, Batch::Files(root));
    directories
}

fn log() -> Vec<Batch> {
    let line = |batch: &mut LogBatch, i: usize| {
        let head = LogHead {
            offset: i as u64 * 140,
            ts: Some(TIME + i as i64 * 1_000_000),
            stream: Stream::Stdout,
            partial: false,
        };
        let text = format!("203.0.113.66 - - \"GET /index.html?id={i} HTTP/1.1\" 200 4921\n");
        batch.push(head, text.as_bytes(), b"", b"");
    };
    let batches = (0..crate::size()).step_by(IN_BATCH).map(|first| {
        let mut batch = LogBatch {
            file: 1,
            ..LogBatch::default()
        };
        (first..crate::size().min(first + IN_BATCH)).for_each(|i| line(&mut batch, i));
        Batch::Log(batch)
    });
    batches.collect()
}

/// How far a case is made.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Until {
    /// Its rows are inserted.
    Rows,
    /// The time index and all others are there too.
    Indexes,
    /// It is sealed and durable.
    Seal,
}

fn write(target: &mut Target, batches: &[Batch], until: Until) {
    let mut writer = target.writer().expect("a writer");
    for batch in batches {
        writer.batch(batch).expect("rows are written");
    }
    if until >= Until::Indexes {
        writer
            .finish(0, &|_, _, _| false)
            .expect("indexes are written");
    }
}

/// Measures a new case with these batches in it.
fn bench(bencher: Bencher, batches: &[Batch], until: Until) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("case.db");
    let target = || {
        let _ = std::fs::remove_file(&path);
        Target::create(&path).expect("a place for the case")
    };
    let rows = |batch: &Batch| match batch {
        Batch::Files(b) => b.rows.len(),
        Batch::Hashes(b) => b.rows.len(),
        Batch::Log(b) => b.rows.len(),
        Batch::LogsEnd => 0,
    };
    let rows: usize = batches.iter().map(rows).sum();
    let bencher = bencher.counter(ItemsCount::new(rows)).with_inputs(target);
    bencher.bench_local_values(|mut target| {
        write(&mut target, batches, until);
        if until >= Until::Seal {
            drop(target.seal().expect("the case is sealed"));
        }
    });
}

#[divan::bench(sample_count = 20)]
fn files(bencher: Bencher) {
    bench(bencher, &tree(), Until::Rows);
}

#[divan::bench(sample_count = 20)]
fn files_with_time_index(bencher: Bencher) {
    bench(bencher, &tree(), Until::Indexes);
}

#[divan::bench(sample_count = 20)]
fn log_lines(bencher: Bencher) {
    bench(bencher, &log(), Until::Rows);
}

#[divan::bench(sample_count = 20)]
fn whole_case(bencher: Bencher) {
    let mut all = tree();
    all.extend(log());
    bench(bencher, &all, Until::Seal);
}
