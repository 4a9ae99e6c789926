//! JSON objects found among other bytes, in the pages a database has freed, say: whole ones only.

use memchr::memmem;
use serde_json::Value;

/// Farthest before a member its object is looked for, and longest an object behind it, in bytes.
const REACH: usize = 4096;
const LONGEST: usize = 64 * 1024;
/// Opening braces that are tried, the nearest first.
const TRIED: usize = 16;

/// The objects that have the member `key` themselves (not deeper), in the order of their place; each place once.
pub fn objects(bytes: &[u8], key: &str) -> Vec<Value> {
    let needle = format!("\"{key}\":");
    let mut found = Vec::new();
    let mut end = 0;
    // Bytes that may be read in vain: hostile ones could make every attempt a long one.
    let mut patience = 16 * bytes.len() + (1 << 20);
    for at in memmem::find_iter(bytes, needle.as_bytes()) {
        if at < end {
            continue; // within the object before
        }
        let from = at.saturating_sub(REACH).max(end);
        let starts = memchr::memrchr_iter(b'{', &bytes[from..at]).map(|i| from + i);
        for start in starts.take(TRIED) {
            let within = &bytes[start..bytes.len().min(at + LONGEST)];
            let mut stream = serde_json::Deserializer::from_slice(within).into_iter();
            match stream.next() {
                Some(Ok(value @ Value::Object(_))) if value.get(key).is_some() => {
                    end = start + stream.byte_offset();
                    found.push(value);
                    break;
                }
                Some(Err(e)) if e.is_eof() => patience = patience.saturating_sub(within.len()),
                _ => patience = patience.saturating_sub(REACH),
            }
        }
        if patience == 0 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_objects_among_other_bytes() {
        let bytes = b"\0\xff{\"ID\":\"a\",\"Cid\":\"1\",\"Eps\":[{\"x\":{}}]}\0{\"Cid\":\"cut{\"ID\":\"b\",\"Cid\":\"2\"}{{\"Cid\":3}";
        let cids: Vec<String> = objects(bytes, "Cid")
            .iter()
            .map(|v| v["Cid"].to_string())
            .collect();
        assert_eq!(cids, ["\"1\"", "\"2\"", "3"]);
        assert!(objects(br#"{"outer":{"Cid":1}}"#, "other").is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            objects(&bytes, "Cid");
        }

        /// Deep nesting and many braces end soon.
        #[test]
        fn many_braces(n in 0usize..5000) {
            let bytes = [b"{".repeat(n), b"\"Cid\":".repeat(50)].concat();
            prop_assert!(objects(&bytes, "Cid").is_empty());
        }
    }
}
