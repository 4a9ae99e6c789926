//! Parsers, on what real engines wrote: the seeds of the fuzz targets, repeated where the format is one of many rows.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use dof::engine::docker::documents::CONTAINER;
use dof::parse::bolt::{Bolt, Bucket, Item};
use dof::parse::local_log::Step;
use dof::parse::{json, json_log, local_log, tar_split, time};

const JSON_LOG: &[u8] = include_bytes!("../fuzz/seeds/json_log/log-plain");
const LOCAL_LOG: &[u8] = include_bytes!("../fuzz/seeds/local_log/log-local");
const CONFIG: &[u8] = include_bytes!("../fuzz/seeds/json/config.v2.json");
const BOLT: &[u8] = include_bytes!("../fuzz/seeds/bolt/volumes.db");
const TAR_SPLIT: &[u8] = include_bytes!("../fuzz/seeds/tar_split/layer");

/// The lines of a seed over and over.
fn lines(seed: &'static [u8]) -> Vec<&'static [u8]> {
    let whole = seed.split(|&b| b == b'\n').filter(|l| !l.is_empty());
    whole.cycle().take(crate::size()).collect()
}

fn bytes(of: &[&[u8]]) -> BytesCount {
    BytesCount::new(of.iter().map(|l| l.len()).sum::<usize>())
}

#[divan::bench]
fn json_log_lines(bencher: Bencher) {
    let lines = lines(JSON_LOG);
    let bencher = bencher
        .counter(bytes(&lines))
        .counter(ItemsCount::new(lines.len()));
    bencher.bench_local(|| {
        let mut scratch = String::new();
        for line in &lines {
            drop(black_box(json_log::parse(line, &mut scratch)));
        }
    });
}

#[divan::bench]
fn local_log_entries(bencher: Bencher) {
    let mut whole = LOCAL_LOG;
    let mut entries = Vec::new();
    while let Step::Entry { used, .. } = local_log::step(whole, true) {
        entries.push(&whole[..used]);
        whole = &whole[used..];
    }
    let entries: Vec<&[u8]> = entries.into_iter().cycle().take(crate::size()).collect();
    let bencher = bencher
        .counter(bytes(&entries))
        .counter(ItemsCount::new(entries.len()));
    let file = entries.concat();
    bencher.bench_local(|| {
        let mut rest = &file[..];
        while let Step::Entry { used, entry } = local_log::step(rest, true) {
            black_box(entry);
            rest = &rest[used..];
        }
        assert!(rest.is_empty(), "all of it was read");
    });
}

#[divan::bench]
fn container_config(bencher: Bencher) {
    let bencher = bencher.counter(BytesCount::new(CONFIG.len()));
    bencher.bench_local(|| black_box(json::read(black_box(CONFIG), &CONTAINER)));
}

#[divan::bench]
fn bolt_every_bucket(bencher: Bencher) {
    fn walk(bucket: Bucket<'_>) -> usize {
        let items = bucket.entries().value.into_iter();
        let count = items.map(|(name, item)| match item {
            Item::Bucket(inner) => 1 + walk(inner),
            Item::Value(value) => {
                black_box((name, value));
                1
            }
        });
        count.sum()
    }
    let walk = || walk(Bolt::open(black_box(BOLT)).expect("a database").root());
    bencher.counter(ItemsCount::new(walk())).bench_local(walk);
}

#[divan::bench]
fn tar_split_record(bencher: Bencher) {
    let lines = lines(TAR_SPLIT);
    let per_record = TAR_SPLIT
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
        .count();
    let bencher = bencher
        .counter(bytes(&lines))
        .counter(ItemsCount::new(lines.len()));
    bencher.bench_local(|| {
        for record in lines.chunks(per_record) {
            let mut reader = tar_split::Reader::default();
            for line in record {
                drop(black_box(reader.line(line)));
            }
        }
    });
}

/// Moments a second and some apart.
fn moments() -> Vec<i64> {
    (0..crate::size() as i64)
        .map(|i| 1_558_966_331_123_456_789 + i * 1_000_000_007)
        .collect()
}

#[divan::bench]
fn times_read(bencher: Bencher) {
    let texts: Vec<String> = moments().into_iter().map(time::rfc3339_nano).collect();
    let bencher = bencher.counter(ItemsCount::new(texts.len()));
    bencher.bench_local(|| {
        for text in &texts {
            black_box(time::rfc3339(text.as_bytes()));
        }
    });
}

#[divan::bench]
fn times_printed(bencher: Bencher) {
    let times = moments();
    let bencher = bencher.counter(ItemsCount::new(times.len()));
    bencher.bench_local(|| {
        for &ns in &times {
            black_box(time::rfc3339_nine(ns));
        }
    });
}
