//! What stands between the operating system's sockets and Pingora's proxy: listeners bound by us or handed
//! over, the cap on connections, the deadline of the whole header.

mod bound;
mod deadline;
mod gate;
mod handshake;
pub mod inherited;

pub use bound::{BindError, Bound, Listening};
pub use deadline::HeaderDeadline;
pub use gate::{Gate, Limits, Secured};
pub use handshake::{Handshake, ServerName};
pub use inherited::Inherited;
