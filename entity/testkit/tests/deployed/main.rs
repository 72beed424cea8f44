//! An installation as `make run` starts it: the walk-through, its end, and the view of a Prometheus.
//!
//! Runs the programs in `GIBBON_TEST_BIN_DIR`, else those of this build.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod installation;
mod kong_dashboard;
mod metrics;
mod prometheus;
mod purge;
mod story;
