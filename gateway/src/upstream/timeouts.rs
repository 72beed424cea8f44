//! The timeouts of a service.

use std::time::Duration;

/// The timeouts of a service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    /// Time to establish a connection, TLS included.
    pub connect: Duration,
    /// Time without progress while bytes of the answer are awaited.
    pub read: Duration,
    /// Time without progress while bytes of the request are to be written.
    pub write: Duration,
}
