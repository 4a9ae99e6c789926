//! `dof verify` against real layers: as the engine unpacked them nothing is found; of each thing done to them after, exactly
//! that is.

mod hosts;
mod made;
mod shipped;
mod tampered;

use crate::support::dof;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;

/// What `dof verify` says of a host, as rows.
#[track_caller]
fn verified(host: &Path, code: i32, options: &[&str]) -> Vec<Value> {
    let mut args = vec!["verify", "--format", "jsonl"];
    args.extend(options);
    args.push(host.to_str().unwrap());
    let ran = dof(&args).with(code);
    ran.out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// What differs: change, path and attribute of every row that tells of something; not that an image has such a layer.
fn differences(rows: &[Value]) -> BTreeSet<(String, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    rows.iter()
        .filter(|r| r["change"] != Value::Null || r["outcome"] != "as shipped")
        .filter(|r| {
            r["subject"] != "image" || r["change"] != "changed" || r["attribute"] != "layer"
        })
        .map(|r| (text(&r["change"]), text(&r["path"]), text(&r["attribute"])))
        .collect()
}

fn expected(all: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    let own = |&(a, b, c): &(&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
    all.iter().map(own).collect()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
