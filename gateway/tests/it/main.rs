#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! Tests the data plane from outside: its table against an oracle, its proxy over real sockets, its program
//! as a process.

mod abuse;
mod balancing;
mod canonical;
mod control_plane;
mod descriptors;
mod differential;
mod disk;
mod failures;
mod forwarding;
mod grpc;
mod headers;
mod http2;
mod limits;
mod log_sink;
mod memory;
mod plugins;
mod program;
mod proxying;
mod resolving;
mod sessions;
mod signals;
mod skew;
mod slowhttptest;
mod stopping;
mod support;
mod swap;
mod sync;
mod table;
mod tls;
mod tunnels;
mod upgrade;
mod upstream_policy;
mod upstream_tls;
mod upstreams;
mod varnishtest;
mod worst;
