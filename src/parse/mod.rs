//! Bytes in, typed values out: one file a format, no I/O, no panic on any input.
//!
//! Each parser names the Docker source file or specification its format comes from. What cannot be parsed
//! is a [`Defect`](crate::problem::Defect) beside the value, so that a damaged file still gives all it holds.

pub mod bolt;
pub mod carve;
pub mod disk_image;
pub mod expression;
pub mod hash_list;
pub mod json;
pub mod json_log;
pub mod local_log;
pub mod lvm;
pub mod node_cert;
pub mod partitions;
pub mod sqlite_file;
pub mod superblock;
pub mod tar_split;
pub mod time;
pub mod unit;
pub mod version;
pub mod vmdk;

/// A little-endian number at a place, if there are bytes enough.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

/// The same, of eight bytes.
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(part.try_into().ok()?))
}
