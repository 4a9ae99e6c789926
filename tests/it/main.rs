//! All integration tests, one binary. A test that needs root, Docker, other tools or the recorded evidence says so when
//! it is skipped, and `DOF_TEST_ALL=1` (as CI sets it) turns skipping into failing.

#![allow(missing_docs, clippy::disallowed_methods)]

mod bad_input;
mod cli;
mod conventions;
mod determinism;
mod engine;
mod export;
mod files;
mod live;
mod mactime;
mod mount;
mod oracle;
mod queries;
mod show;
mod support;
mod truth;
mod views;
