//! What stands between the operating system's sockets and Pingora's proxy: listeners bound by us or handed
//! over, the cap on connections, the deadline of the whole header, and a look at the bytes of HTTP/1 before they
//! are parsed.

mod absolute;
mod bound;
mod chunks;
mod connection_limiter;
mod deadline;
mod handshake;
mod head;
pub mod inherited;
mod tickets;

pub use bound::{BindError, Bound, Listening};
pub use connection_limiter::{ConnectionLimiter, Http2Limits, Limits, TlsListeners};
pub use deadline::{HeaderDeadline, HeaderLimits};
pub use handshake::{Handshake, ServerName};
pub use inherited::Inherited;
pub use tickets::Tickets;
