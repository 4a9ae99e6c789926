//! The stock sqlite3 shell, as an investigator has it.

use super::{folder, run};
use std::fs;
use std::path::Path;

/// Rows as sqlite3 prints them in JSON: both sides through a JSON parser, so that only values count.
pub fn sqlite3(case: &Path, file: &Path, bind: &[(&str, &str)]) -> serde_json::Value {
    let mut script = String::from(".mode json\n.parameter init\n");
    for (name, value) in bind {
        let value = value.replace('"', "\\\"");
        script.push_str(&format!(".parameter set :{name} \"'{value}'\"\n"));
    }
    script.push_str(&format!(".read {}\n", file.display()));
    let dir = folder();
    let path = dir.path().join("script");
    fs::write(&path, script).unwrap();
    let ran = run(
        "sqlite3",
        &[
            "-readonly",
            case.to_str().unwrap(),
            &format!(".read {}", path.display()),
        ],
    )
    .expect("sqlite3");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", file.display());
    // sqlite3 prints nothing at all where there are no rows.
    if ran.out.trim().is_empty() {
        serde_json::json!([])
    } else {
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }
}

/// A whole case as text, without what an ingest says of itself.
pub fn dump(case: &Path) -> String {
    let ran = run("sqlite3", &["-readonly", case.to_str().unwrap(), ".dump"])
        .expect("sqlite3")
        .with(0);
    let lines = ran.out.lines().filter(|l| {
        !l.starts_with("INSERT INTO host VALUES") && !l.starts_with("INSERT INTO seal VALUES")
    });
    lines.collect::<Vec<_>>().join("\n")
}
