//! Queries on one case (`host.rs`), to the last row: prepared, run and rendered, as a command does it but for starting.

use crate::host;
use divan::Bencher;
use divan::counter::ItemsCount;
use dof::case::Case;
use dof::query;
use dof::render::{Bodyfile, Dialect, Format, Render};
use std::io::sink;

/// Measures a query of the catalogue with these arguments.
fn bench(
    bencher: Bencher,
    name: &str,
    arguments: &[(&str, &str)],
    render: fn() -> Box<dyn Render>,
) {
    let case = Case::open(&host::case()).expect("the case");
    let query = query::find(name).expect("a query");
    let arguments: Vec<(String, String)> = arguments
        .iter()
        .map(|&(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    let run = || {
        query
            .run(case.db(), &arguments, render().as_mut())
            .expect("it runs")
    };
    let rows = run();
    assert!(rows > 0, "there is something to find");
    bencher.counter(ItemsCount::new(rows)).bench_local(run);
}

fn csv() -> Box<dyn Render> {
    Format::Csv.renderer(Box::new(sink()))
}

fn body_lines() -> Box<dyn Render> {
    Box::new(Bodyfile::new(sink(), Dialect::Mactime))
}

#[divan::bench]
fn timeline_of_a_day(bencher: Bencher) {
    let day = [("since", "2019-05-27"), ("until", "2019-05-28")];
    bench(bencher, "timeline", &day, csv);
}

#[divan::bench(sample_count = 20)]
fn timeline_whole(bencher: Bencher) {
    bench(bencher, "timeline", &[], csv);
}

#[divan::bench(sample_count = 20)]
fn timeline_whole_as_bodyfile(bencher: Bencher) {
    bench(bencher, "bodyfile", &[], body_lines);
}

#[divan::bench]
fn list_containers(bencher: Bencher) {
    bench(bencher, "list-containers", &[], csv);
}

#[divan::bench]
fn whose(bencher: Bencher) {
    bench(bencher, "whose", &[("path", "/tmp/trojan")], csv);
}

#[divan::bench]
fn logs_of_a_container(bencher: Bencher) {
    bench(bencher, "logs", &[("container", "web")], csv);
}

#[divan::bench]
fn logs_match(bencher: Bencher) {
    bench(bencher, "logs", &[("match", "xmrig OR stratum")], csv);
}

#[divan::bench(sample_count = 20)]
fn drift(bencher: Bencher) {
    bench(bencher, "drift", &[("container", "apache")], csv);
}

#[divan::bench(sample_count = 20)]
fn container_files(bencher: Bencher) {
    bench(bencher, "container-files", &[("container", "apache")], csv);
}
