//! The seam between the cache and the name servers.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{Endpoint, Query, RecordKind};

/// Looks names up.
#[async_trait]
pub trait LookUp: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a host.
    ///
    /// # Errors
    /// When it has none, or when no name server answers.
    async fn look_up(&self, query: &Query) -> Result<Found, LookUpError>;
}

/// The addresses of a host.
#[derive(Clone, Debug)]
pub struct Found {
    /// Not empty, unless names are missing.
    pub endpoints: Vec<Endpoint>,
    /// Where they come from.
    pub kind: RecordKind,
    /// How long they are valid.
    pub ttl: Duration,
    /// Names in `SRV` records whose addresses could not be looked up.
    pub missing: Vec<Missing>,
}

/// A name in an `SRV` record whose look-up failed, though it may well have addresses.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The name, port and weight of its endpoints.
    pub name: Box<str>,
    /// The port of the record; `None`: it names none.
    pub port: Option<u16>,
    /// The weight of the record.
    pub weight: Option<u16>,
    /// Why the look-up failed.
    pub error: LookUpError,
}

/// Why a look-up failed. The texts are those of Kong where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    /// No name server answered in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// A name server denies that the name exists.
    #[error("dns server error: 3 name error")]
    NoName,
    /// The name has no addresses.
    #[error("dns client error: 101 empty record received")]
    Empty,
    /// The response code of a name server (RFC 1035, section 4.1.1).
    #[error("dns server error: {0} {text}", text = code_text(*.0))]
    Server(u16),
    /// The failure of a connection, of an answer, or of this machine's configuration.
    #[error("{0}")]
    Failed(String),
}

impl LookUpError {
    /// Whether a name server has answered that there are no addresses.
    pub fn is_negative(&self) -> bool {
        matches!(self, Self::NoName | Self::Empty)
    }

    /// The label of the metric.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::NoName | Self::Empty => "no_address",
            Self::Server(_) | Self::Failed(_) => "failed",
        }
    }
}

fn code_text(code: u16) -> &'static str {
    match code {
        1 => "format error",
        2 => "server failure",
        4 => "not implemented",
        5 => "refused",
        _ => "unknown",
    }
}
