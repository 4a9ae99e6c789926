//! What tests share, a file a subject. A helper that two files need lives here.

pub mod bounds;
mod case;
pub mod engine;
pub mod fuse;
mod hosts;
pub mod mactime;
pub mod made;
pub mod mounts;
mod needs;
pub mod oracle;
pub mod plans;
mod run;
pub mod sqlite3;
pub mod stacks;
pub mod strace;
pub mod trees;
pub mod truth;

pub use case::{hashed, ingest, know_regexp, one, open, recover, rows, runs_hold, str_of};
use hosts::settle;
pub use hosts::{evidence, other_host, sample, sample_oracle};
pub use needs::{Need, has, is_root};
pub use run::{Ran, acquire, dof, dof_command, folder, must, run, shell, text, untar};
