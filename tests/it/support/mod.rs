//! What tests share, a file a subject. A helper that two files need lives here.

mod case;
pub mod engine;
pub mod fuse;
mod hosts;
pub mod made;
pub mod mounts;
mod needs;
mod run;
pub mod trees;
pub mod truth;

pub use case::{ingest, one, open, recover, rows, runs_hold, str_of};
use hosts::settle;
pub use hosts::{evidence, other_host, sample, sample_oracle};
pub use needs::{Need, has, is_root};
pub use run::{Ran, dof, dof_command, folder, must, run, shell, text};
