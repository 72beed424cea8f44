//! The parts that the benches share: a fleet of simulated data planes, installations of a given size, a server in a
//! process of its own, and the resource usage of a process. Each bench is a target of its own.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "support/fleet.rs"]
pub mod fleet;
#[path = "support/publisher.rs"]
pub mod publisher;
#[path = "support/responder.rs"]
pub mod responder;
#[path = "support/samples.rs"]
pub mod samples;
#[path = "support/stage.rs"]
pub mod stage;
#[path = "support/usage.rs"]
pub mod usage;
