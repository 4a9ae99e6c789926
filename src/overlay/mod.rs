//! The rules of overlays: what a stack of layers shows, and how a container is compared with what it was started from.

pub mod compare;
