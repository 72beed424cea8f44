//! The upstream's side of a request: chooses an address that the policy allows, and connects to it, or reuses
//! a connection. Then it sends the request and reads the answer.

mod answer;
mod authority;
mod balanced;
pub mod balancer;
mod balancing;
mod deadline;
mod dial;
mod exchange;
mod failure;
mod group;
pub mod health;
mod host;
mod http1;
mod http2;
mod instant;
mod io;
mod policy;
mod pool;
mod protocol;
mod terms;
#[cfg(test)]
mod testing;
mod timeouts;
mod tls;
mod unverified;
mod verifier;

pub use answer::{AnswerLimits, RequestKind, Response};
pub use authority::{Authority, Unusable};
pub use balanced::Balanced;
pub use balancing::Balancing;
pub use exchange::Upstream;
pub use failure::{Direction, UpstreamFailure};
pub use group::{
    Affinity, CookieTerms, Group, GroupTarget, GroupTerms, HashInput, Operation, Probing, Retry,
    ServiceTerms, Speaks, TargetTerms,
};
pub use host::Host;
pub use http1::Http1;
pub use http2::Http2;
pub use instant::instant_of;
pub use policy::{DENIED, Policy, Rules};
pub use pool::{Pool, PoolLimits};
pub use protocol::Protocol;
pub use terms::{InvalidName, Terms};
pub use timeouts::Timeouts;
pub use tls::UpstreamTls;
