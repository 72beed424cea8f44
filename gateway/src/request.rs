//! What a request asks for in one canonical form, which also decides on the route, and the fields that tell the
//! upstream about the client.

mod canonical;
pub(crate) mod forwarded;
mod target;

pub use canonical::Canonical;
pub use forwarded::Trusted;
pub(crate) use forwarded::{
    client_address, client_host, is_https, is_mistaken_for, remove_all_claims, remove_claims,
};
pub use target::Target;
pub(crate) use target::{Changed, upstream_host, upstream_target};
