//! What stands after `make run`: the story by hand, its end, and what a Prometheus sees of it.
//!
//! On the programs in `GIBBON_TEST_BIN_DIR`, else on those of this build.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;
mod metrics;
mod prometheus;
mod story;
