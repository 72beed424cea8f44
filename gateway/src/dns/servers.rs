//! Queries to the name servers. Those that are slow or fail are overtaken by the next one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::time::sleep;

use super::look_up::LookUpError;

/// A name server that has not answered for this long is overtaken by the next one.
const OVERTAKE: Duration = Duration::from_millis(200);
/// Concurrent queries to one name server. No fewer than look-ups, or one name without an answer would delay
/// another.
const QUERIES: usize = 1024;

/// The name servers in use, and how they are queried.
pub(super) struct Servers {
    all: Vec<TokioResolver>,
    /// The one that answered last is asked first.
    preferred: AtomicUsize,
    terms: QueryTerms,
}

/// How name servers are queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueryTerms {
    /// Timeout of one query to one name server, over UDP with repetitions or over TCP.
    pub(super) timeout: Duration,
    /// Queries to one name server, should it be silent, at least 1.
    pub(super) attempts: usize,
    pub(super) edns0: bool,
}

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr], terms: QueryTerms) -> Result<Self, LookUpError> {
        let all = addresses.iter().map(|address| server(*address, terms)).collect::<Result<_, _>>();
        Ok(Self {
            all: all.map_err(|error| failure(&error, terms.timeout))?,
            preferred: AtomicUsize::new(0),
            terms,
        })
    }

    /// The records of one type of an absolute name, and its aliases. At least one has the type.
    ///
    /// The first name server that answers decides, also if it denies the name; one that fails is ignored while
    /// another may answer.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Vec<Record>, LookUpError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut waiting = (0..self.all.len()).map(|at| (first + at) % self.all.len());
        let mut asked = FuturesUnordered::new();
        let mut failed = LookUpError::Failed("there is no name server".to_owned());
        asked.extend(waiting.next().map(|at| self.ask_one(at, name, kind)));
        loop {
            let answer = tokio::select! {
                Some(answer) = asked.next() => answer,
                () = sleep(OVERTAKE), if waiting.len() > 0 => {
                    asked.extend(waiting.next().map(|at| self.ask_one(at, name, kind)));
                    continue;
                }
                else => return Err(failed),
            };
            match answer {
                (at, Ok(records)) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(records);
                }
                (_, Err(error)) if error.is_negative() => return Err(error),
                (_, Err(error)) => {
                    failed = error;
                    asked.extend(waiting.next().map(|at| self.ask_one(at, name, kind)));
                }
            }
        }
    }

    async fn ask_one(
        &self,
        at: usize,
        name: &Name,
        kind: RecordType,
    ) -> (usize, Result<Vec<Record>, LookUpError>) {
        let mut result = Err(LookUpError::Timeout(self.terms.timeout));
        for _ in 0..self.terms.attempts {
            let answer = self.all[at].lookup(name.clone(), kind).await;
            result = answer.map_err(|error| failure(&error, self.terms.timeout)).and_then(|answer| {
                let of_kind = answer.answers().iter().any(|record| record.record_type() == kind);
                if of_kind { Ok(answer.answers().to_vec()) } else { Err(LookUpError::Empty) }
            });
            match result {
                Err(LookUpError::Timeout(_) | LookUpError::Failed(_)) => {}
                _ => break,
            }
        }
        (at, result)
    }
}

fn server(address: SocketAddr, terms: QueryTerms) -> Result<TokioResolver, NetError> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    let server = NameServerConfig::new(address.ip(), true, connections.into());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = terms.timeout;
    options.edns0 = terms.edns0;
    // Repetitions, search domains, expired answers and the hosts file are handled here.
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.max_active_requests = QUERIES;
    // Their TTLs count as well.
    options.preserve_intermediates = true;
    builder.build()
}

fn failure(error: &NetError, timeout: Duration) -> LookUpError {
    match error {
        NetError::Timeout => LookUpError::Timeout(timeout),
        NetError::Dns(DnsError::ResponseCode(code)) => of_code(*code),
        NetError::Dns(DnsError::NoRecordsFound(none)) => of_code(none.response_code),
        other => LookUpError::Failed(other.to_string()),
    }
}

fn of_code(code: ResponseCode) -> LookUpError {
    match code {
        ResponseCode::NoError => LookUpError::Empty,
        ResponseCode::NXDomain => LookUpError::NoName,
        other => LookUpError::Server(other.into()),
    }
}

/// The name server of a machine without a configuration, like the C library.
pub(super) fn local() -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 53)
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("terms", &self.terms).finish_non_exhaustive()
    }
}
