//! The layer between the operating system's sockets and the connections of clients: the listeners, bound or
//! inherited, and TLS.

mod bound;
mod handshake;
mod http2_limits;
pub mod inherited;
mod tickets;
mod tls_listeners;

pub use bound::{BindError, Bound, Listening};
pub use handshake::{Handshake, ServerName};
pub use http2_limits::Http2Limits;
pub use inherited::Inherited;
pub use tickets::Tickets;
pub use tls_listeners::TlsListeners;
