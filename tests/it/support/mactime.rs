//! Sleuth Kit's mactime, over body files.

use super::folder;
use std::collections::BTreeSet;
use std::process::Command;

/// What mactime prints of a body file.
pub fn mactime(body: &[u8], options: &[&str]) -> Vec<u8> {
    let dir = folder();
    let path = dir.path().join("body");
    std::fs::write(&path, body).unwrap();
    let (flags, dates) =
        options.split_at(options.iter().take_while(|o| o.starts_with('-')).count());
    let out = Command::new("mactime")
        .args(flags)
        .arg("-b")
        .arg(&path)
        .args(dates)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .output()
        .expect("mactime");
    assert!(out.status.success());
    out.stdout
}

/// What mactime prints of a body file: time and name of each row, as bytes.
pub fn mactime_rows(body: &[u8]) -> BTreeSet<(String, Vec<u8>)> {
    let out = mactime(body, &["-d", "-y"]);
    // Date,Size,Type,Mode,UID,GID,Meta,"File Name": only the name is quoted, and it may hold anything but a newline.
    let row = |line: &[u8]| {
        let mut fields = line.splitn(8, |&b| b == b',');
        let time = String::from_utf8_lossy(fields.next()?).into_owned();
        let name = fields.nth(6)?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        // Quotes come doubled, and a time before 1971 is none to mactime.
        let name = undouble(name);
        (!time.starts_with("0000")).then_some((time, name))
    };
    let lines = out.split(|&b| b == b'\n').skip(1);
    lines.filter_map(row).collect()
}

/// `""` to `"`.
fn undouble(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = name.iter().peekable();
    while let Some(&b) = bytes.next() {
        out.push(b);
        if b == b'"' {
            bytes.next_if(|&&n| n == b'"');
        }
    }
    out
}
