//! The layer between the operating system's sockets and Pingora's proxy. It has the listeners (bound or
//! inherited), the cap on connections and the deadline of the whole header. It also checks the bytes of
//! HTTP/1 before they are parsed.

mod absolute;
mod bound;
mod chunks;
mod connection_limiter;
mod deadline;
mod handshake;
mod head;
mod http2_limits;
pub mod inherited;
mod tickets;
mod tls_listeners;

pub use bound::{BindError, Bound, Listening};
pub use connection_limiter::{ConnectionLimiter, Limits};
pub use deadline::{HeaderDeadline, HeaderLimits};
pub use handshake::{Handshake, ServerName};
pub use http2_limits::Http2Limits;
pub use inherited::Inherited;
pub use tickets::Tickets;
pub use tls_listeners::TlsListeners;
