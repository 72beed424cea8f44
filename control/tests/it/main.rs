#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! The control plane from the outside, alone and with a real data plane.

mod access;
mod admin;
mod aio_kong;
mod applied;
mod deck;
mod explained;
mod faults;
mod idle;
mod peers;
mod pki;
mod program;
mod publish;
mod pushed;
mod several;
mod skew;
mod status;
mod store;
mod story;
mod tls;
mod trust;
mod upstream_health;
