//! The rules of ARCHITECTURE.md, as tests: what may depend on what, what may know what, what lies where.
//!
//! Each rule is a function from what it reads (cargo's metadata, a source text) to what breaks it, so that
//! a made-up breach shows that it would be found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod circles;
mod deploy;
mod graph;
mod imports;
mod layers;
mod ports;
mod prose;
mod registry;
mod source;
mod text;
mod tree;

use std::path::{Path, PathBuf};

/// The top of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

/// Fails with one breach a line, and the rule that they break.
#[track_caller]
fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}
