//! The published form of the configuration, and the protocol that carries it from a control plane to
//! its data planes.

mod key;
mod normalize;
mod pattern;
mod route;
mod service;
mod validate;
mod violations;

pub use key::{Key, Kind};
pub use normalize::normalize_path;
pub use pattern::{HeaderPattern, PatternError, compile_path};
pub use route::{Endpoint, PathHandling, Route};
pub use service::{Protocol, Service};
pub use violations::{FieldErrors, Violations};
