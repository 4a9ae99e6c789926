//! Embeds `queries/*.sql`: an added file appears in the catalogue, the help and the tests without a line of Rust.

use std::{env, fs, path::Path, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=queries");
    let mut files: Vec<_> = fs::read_dir("queries")
        .expect("queries/ is part of the source")
        .map(|e| e.expect("readable").path())
        .filter(|p| p.extension().is_some_and(|e| e == "sql"))
        .collect();
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let path = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join(&file);
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file
            .file_stem()
            .and_then(|s| s.to_str())
            .expect("plain names");
        code.push_str(&format!("    ({name:?}, include_str!({path:?})),\n"));
    }
    code.push_str("]\n");
    fs::write(
        Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("queries.rs"),
        code,
    )
    .expect("writable");
}
