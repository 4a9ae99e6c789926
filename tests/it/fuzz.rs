//! Every fuzz target on its seeds and on what random edits make of them, with a stable compiler. `DOF_FUZZ_CASES` says how
//! many a target (default 500; CI sets more).

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fs;
use std::path::Path;

#[path = "../../fuzz/targets.rs"]
mod targets;

/// What happens to an input.
#[derive(Clone, Debug)]
enum Edit {
    /// These bytes stand here instead.
    Overwrite(usize, Vec<u8>),
    /// These come in between.
    Insert(usize, Vec<u8>),
    /// So many go.
    Remove(usize, usize),
    /// A stretch comes twice.
    Repeat(usize, usize),
    /// Nothing comes after.
    Cut(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Numbers at the ends of their types find more than random ones.
    let special = prop::sample::select(vec![
        vec![0u8; 8],
        vec![0xff; 8],
        vec![0x7f, 0xff, 0xff, 0xff],
        b"{".to_vec(),
        b"\"\\u0000\\ud800".to_vec(),
        b"\n".to_vec(),
    ]);
    let bytes = prop_oneof![special, prop::collection::vec(any::<u8>(), 1..9)];
    prop_oneof![
        (any::<usize>(), bytes.clone()).prop_map(|(at, b)| Edit::Overwrite(at, b)),
        (any::<usize>(), bytes).prop_map(|(at, b)| Edit::Insert(at, b)),
        (any::<usize>(), 0usize..64).prop_map(|(at, n)| Edit::Remove(at, n)),
        (any::<usize>(), 0usize..512).prop_map(|(at, n)| Edit::Repeat(at, n)),
        any::<usize>().prop_map(Edit::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let place = |at: &usize| at % (bytes.len() + 1);
    match edit {
        Edit::Overwrite(at, with) => {
            let at = place(at);
            let end = (at + with.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        Edit::Insert(at, with) => {
            let at = place(at);
            bytes.splice(at..at, with.iter().copied());
        }
        Edit::Remove(at, n) => {
            let at = place(at);
            bytes.drain(at..(at + n).min(bytes.len()));
        }
        Edit::Repeat(at, n) => {
            let at = place(at);
            let part = bytes[at..(at + n).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        Edit::Cut(at) => bytes.truncate(place(at)),
    }
}

#[test]
fn no_input_breaks_a_parser() {
    let cases = std::env::var("DOF_FUZZ_CASES").map_or(500, |n| n.parse().expect("a number"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, target) in targets::TARGETS {
        let dir = root.join("seeds").join(name);
        let seeds: Vec<Vec<u8>> = fs::read_dir(&dir)
            .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
            .map(|e| fs::read(e.unwrap().path()).unwrap())
            .collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| target(seed));
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        });
        let edits = prop::collection::vec(edit(), 1..12);
        let inputs = (prop::sample::select(seeds), edits).prop_map(|(mut bytes, edits)| {
            edits.iter().for_each(|edit| apply(&mut bytes, edit));
            bytes
        });
        let ran = runner.run(&inputs, |bytes| {
            target(&bytes);
            Ok(())
        });
        ran.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// Each format's parser has a target, each target its file and its seeds.
#[test]
fn nothing_is_left_unfuzzed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("fuzz/targets.rs")).unwrap();
    for entry in fs::read_dir(root.join("src/parse")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let module = name.trim_end_matches(".rs");
        assert!(
            module == "mod" || text.contains(&format!("parse::{module}")),
            "src/parse/{name} has no fuzz target"
        );
    }
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        let file = format!("fuzz_targets/{name}.rs");
        assert!(
            manifest.contains(&file) && root.join("fuzz").join(&file).exists(),
            "{name}"
        );
    }
}
