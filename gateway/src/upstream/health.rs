//! Active health checks: probes the addresses of upstreams, and tells the results to their owners. Knows nothing
//! of what a result means for a target, and of where addresses come from.
//!
//! Equal probes of several upstreams are one. A plan without sockets and clock decides when each is due; one task
//! runs them, on a thread of its own, so that probes never delay a request.

mod changes;
mod exchange;
mod failure;
mod grpc;
mod http;
mod line;
mod plan;
mod probe;
mod prober;
mod runner;
mod tcp;
mod thread;

pub use probe::{
    Check, GrpcCheck, Heard, HttpCheck, Probe, ProbeLimits, ProbeOutcome, Schedule, WantedProbe, server_name,
};
pub use prober::{ProbeRunner, Prober};
pub use thread::ProbeThread;

#[cfg(test)]
mod tests;
