//! All integration tests, one binary. Each names what it needs at its start (`support::has`) and is skipped with a word where
//! that is not to be had; `DOF_TEST_ALL=1` (as CI sets it) turns skipping into failing.

#![allow(missing_docs, clippy::disallowed_methods)]

mod bad_input;
mod cli;
mod conventions;
mod crash;
mod determinism;
mod disk;
mod engine_tables;
mod evidence;
mod export;
mod extract;
mod extract_target;
mod failing;
mod files;
mod forging;
mod fuzz;
mod go;
mod growth;
mod handed_over;
mod hashes;
mod images;
mod known_lists;
mod live;
mod log_times;
mod lower;
mod mactime;
mod mount;
mod odd_json;
mod oracle;
mod orphans;
mod plans;
mod printing;
mod queries;
mod regexp;
mod schema;
mod search;
mod shared_trees;
mod show;
mod sizes;
mod support;
mod timeline;
mod verify;
mod views;
mod whose;
