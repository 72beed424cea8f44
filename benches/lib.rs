//! What the benches share: a fleet of simulated data planes, installations of a given size, and the reading
//! of what a process has used. The benches themselves are targets of their own.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "support/fleet.rs"]
pub mod fleet;
#[path = "support/samples.rs"]
pub mod samples;
#[path = "support/stage.rs"]
pub mod stage;
#[path = "support/usage.rs"]
pub mod usage;
