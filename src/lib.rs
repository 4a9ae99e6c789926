//! Docker forensics: a dead Docker host's disk into one SQLite case database, and answers from it.
//!
//! Data flows one way:
//!
//! ```text
//! mounted host -> evidence -> engine -> parse -> ingest -> case -> query -> render -> stdout
//! ```
//!
//! - [`evidence`]: the only module that touches the host's files; every path is resolved inside the mounted root.
//! - [`engine`]: where a container engine keeps things; metadata becomes rows, trees and logs become work.
//! - [`overlay`]: the rules by which layers hide each other and are compared, one home for them.
//! - [`parse`]: bytes to typed values, pure and total; one file a format.
//! - [`record`], [`batch`], [`problem`]: what travels: rows of metadata, rows by the million, and what went wrong.
//! - [`ingest`]: survey, then a parallel sweep in a fixed order into one writer.
//! - [`case`]: the SQLite file; `schema/` is its structure and its manual.
//! - [`query`]: the catalogue of `queries/*.sql`, their parameters, and running them.
//! - [`render`]: rows to table, CSV, JSON, JSON Lines, or the classic commands' text.
//! - [`rootfs`]: a container's file system: mounted by the kernel, or merged here and written as a tar archive.
//! - [`disk`]: disk images: what volumes are in them, mounted read-only by the kernel and tools of the analyst's.
//! - [`mounts`]: the analyst's own table of mounts, and undoing what dof mounted.
//! - [`verify`]: image layers against the record of what they were shipped as.
//! - [`cli`]: arguments; one thin file a command.
//! - [`text`]: hostile text made fit to read; [`stderr`]: lines on standard error.
//! - [`tools`]: the analyst's own tools, run where they do what is not done again here.

pub mod batch;
pub mod case;
pub mod cli;
pub mod demo;
pub mod disk;

pub mod engine;
pub mod evidence;
pub mod ingest;
pub mod mounts;
pub mod overlay;
pub mod parse;
pub mod problem;
pub mod query;

pub mod record;
pub mod render;
pub mod rootfs;
pub mod stderr;

pub mod text;
pub mod tools;
pub mod verify;
