//! All benches, one binary: `cargo bench [-- FILTER]`. `DOF_BENCH_ROWS` sets how many files, log lines or other rows each works
//! on; `cargo bench -- --test` runs each once. Against other programs, as whole processes: the script `compare` beside this file.

mod host;
mod parsers;
mod queries;
mod writer;

/// How many rows a bench works on.
fn size() -> usize {
    let asked = std::env::var("DOF_BENCH_ROWS").ok();
    asked.map_or(20_000, |n| n.parse().expect("DOF_BENCH_ROWS is a number"))
}

fn main() {
    divan::main();
    host::remove();
}
