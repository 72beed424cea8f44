//! What the configuration says of an upstream and of its targets, in the form that requests need. Made once, when
//! the entity is applied.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Version};
use uuid::Uuid;

use crate::certified_keys::CertifiedKeys;
use crate::dns::DnsTerms;
use crate::upstream::Host;
use crate::upstream::balancer::{Settings, State, Statuses};

/// What an upstream's entity says.
#[derive(Clone, Debug)]
pub struct GroupTerms {
    /// The upstream's id.
    pub id: Uuid,
    /// The name by which the host of a service gives it, in lower case.
    pub name: Arc<str>,
    /// How a target is chosen, and what its health follows from.
    pub balancing: Settings,
    /// The part of a request that is hashed.
    pub affinity: Affinity,
    /// The cookie that a response sets when the request lacks it.
    pub cookie: Option<CookieTerms>,
    /// The `Host` field of requests, with an optional port; `None`: the target's name.
    pub host_header: Option<Box<str>>,
    /// Whether the name of an SRV record stands for the target's.
    pub use_srv_name: bool,
    /// The active checks; `None` when there are none.
    pub probing: Option<Probing>,
    /// When a request is sent again.
    pub retry: Retry,
    /// How names of targets are resolved.
    pub dns: DnsTerms,
    /// The id of the certificate that targets are shown.
    pub certificate: Option<Uuid>,
    /// That certificate; linked.
    pub shown: Option<Arc<CertifiedKeys>>,
}

/// The part of a request that is hashed.
#[derive(Clone, Debug, Default)]
pub struct Affinity {
    /// First.
    pub on: HashInput,
    /// When the request lacks the first.
    pub fallback: HashInput,
}

/// A part of a request that is hashed.
#[derive(Clone, Debug, Default)]
pub enum HashInput {
    /// Nothing.
    #[default]
    None,
    /// The consumer; else the credential.
    Consumer,
    /// The client's address.
    Address,
    /// All values of a header.
    Header(HeaderName),
    /// The cookie.
    Cookie,
    /// The path.
    Path,
    /// The values of a query argument.
    Argument(Box<str>),
    /// A capture of the route's path, by name or number.
    Capture(Box<str>),
}

/// A cookie that a response sets.
#[derive(Clone, Debug)]
pub struct CookieTerms {
    /// Its name.
    pub name: Box<str>,
    /// The attribute `Path`.
    pub path: Box<str>,
    /// Whether it has the attribute `Secure`; `None`: if the client's connection is TLS.
    pub secure: Option<bool>,
    /// The attribute `SameSite`.
    pub same_site: &'static str,
    /// The attribute `Max-Age`, in seconds.
    pub max_age: Option<u32>,
    /// The attribute `Domain`.
    pub domain: Option<Box<str>>,
}

/// When a request is sent again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// After a connection that could not be established.
    pub on_connect: bool,
    /// After a connection that broke before the answer.
    pub on_reset: bool,
    /// The same, of a request that is idempotent or was not sent to its end.
    pub on_reset_before_sent: bool,
    /// After a timeout before the answer.
    pub on_timeout: bool,
    /// After these statuses.
    pub statuses: Statuses,
    /// Whether a request of any method is sent again once a target may have seen it, and not only an
    /// idempotent one.
    pub any_method: bool,
    /// The longest time of one attempt until the header of its answer.
    pub per_try_timeout: Option<Duration>,
    /// The longest time of all attempts until the header of an answer.
    pub total_timeout: Option<Duration>,
    /// Whether an attempt goes to another target while one is left.
    pub other_target: bool,
}

/// The active checks of an upstream.
#[derive(Clone, Debug)]
pub struct Probing {
    /// What a probe speaks.
    pub speaks: Speaks,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether the target's certificate is verified.
    pub verify: bool,
    /// The server name of the handshake; `None`: that of `host`, or the target's.
    pub sni: Option<Box<str>>,
    /// The longest time of a probe; zero: 60 seconds.
    pub timeout: Duration,
    /// Between two probes of a healthy address; `None`: there are none.
    pub healthy: Option<Duration>,
    /// The same for an unhealthy address.
    pub unhealthy: Option<Duration>,
    /// The random part of these times, in percent.
    pub jitter: u8,
    /// The most probes at a time.
    pub concurrency: usize,
    /// The port; `None`: the target's.
    pub port: Option<u16>,
    /// The `Host` field; `None`: that of requests, without its port.
    pub host: Option<Box<str>>,
    /// Further fields.
    pub fields: Arc<[(HeaderName, HeaderValue)]>,
}

/// What a probe speaks.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// Nothing: it connects.
    Tcp,
    /// HTTP.
    Http {
        /// The version.
        version: Version,
        /// The method.
        method: Method,
        /// The path.
        path: PathAndQuery,
    },
    /// The health protocol of gRPC.
    Grpc {
        /// The service that is asked about; empty: the whole server.
        service: Arc<str>,
    },
}

/// What a target's entity says.
#[derive(Clone, Debug)]
pub struct TargetTerms {
    /// The target's id.
    pub id: Uuid,
    /// The target as it is stored, with its port.
    pub text: Arc<str>,
    /// Its host without the port.
    pub name: Arc<str>,
    /// The same, parsed.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Its share of the requests; 0: none.
    pub weight: u32,
    /// Whether it gets requests only when no other target is available.
    pub failover: bool,
    /// Its zone.
    pub zone: Option<Arc<str>>,
}

/// A target, and what an operator has set for it.
#[derive(Clone, Debug)]
pub struct GroupTarget {
    /// The target.
    pub terms: Arc<TargetTerms>,
    /// The operator's state of it.
    pub state: State,
    /// The operator's words on its health, the newest last.
    pub operations: Vec<Operation>,
}

/// An operator's word on the health of a target.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The address that it is about, with its port; `None`: all of the target's. Also the name that an SRV record
    /// gave, with its port.
    pub address: Option<Arc<str>>,
    /// The data plane that it is for; `None`: all.
    pub data_plane: Option<Uuid>,
    /// Whether it says that the target is healthy.
    pub healthy: bool,
    /// When it was set, in milliseconds since 1970.
    pub set_at: u64,
    /// Until when no check changes the health, in seconds since 1970.
    pub until: Option<i64>,
}

impl Operation {
    /// Whether it is about an address that has this form, or this name.
    pub(super) fn is_about(&self, address: SocketAddr, name: Option<&str>) -> bool {
        let Some(about) = self.address.as_deref() else { return true };
        let named =
            || name.is_some_and(|name| about.strip_prefix(name) == Some(&format!(":{}", address.port())));
        about.parse() == Ok(address) || named()
    }
}
