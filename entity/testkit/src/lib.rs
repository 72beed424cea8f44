//! Support for the integration tests of both programs. It is not shipped, and no shipped code depends on it.
//!
//! Fakes are real servers on loopback, ports are reserved, waits have deadlines, and everything that a test
//! starts ends with it. Helpers panic where a test could only fail, and say what was attempted.
//!
//! - [`ports`]: ports that no other test, and no outgoing connection, uses;
//! - [`process`]: our two programs as processes, built when they are stale, killed when dropped;
//! - [`plane`]: a whole installation: control plane, data planes, an origin;
//! - [`http`]: a client that sends exactly the bytes of the test;
//! - [`origin`]: a server that answers, stalls, truncates or resets as scripted, and records requests;
//! - [`dns`]: a name server that changes its records, lies, fails, is slow or silent as scripted;
//! - [`relay`]: a TCP relay that can be slow, stall, or cut its connections;
//! - [`mod@unreachable`]: a UDP server that is silent, an address that neither accepts nor refuses;
//! - [`network`]: two sides with a link between them that can be cut;
//! - [`postgres`]: a private PostgreSQL, one database per test;
//! - [`pause`]: stops a process, and returns when it is stopped;
//! - [`redis`]: a private redis that can be killed and made silent;
//! - [`certs`]: key pairs, also expired or not yet valid ones;
//! - [`background`]: a thread with a runtime of its own, for a server that ends before the test goes on;
//! - [`tracer`]: makes system calls of a running program fail;
//! - [`turns`]: counts the turns of a loop under a paused clock;
//! - [`wait`]: polling with a deadline.

pub mod background;
pub mod certs;
pub mod curl;
pub mod dns;
pub mod http;
pub mod network;
pub mod origin;
pub mod pause;
pub mod plane;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod relay;
pub mod tracer;
pub mod turns;
pub mod unreachable;
pub mod wait;
