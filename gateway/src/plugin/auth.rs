//! What the authentication plugins share: whose turn it is, the anonymous consumer, and how they remember.

pub(super) mod checks;
pub(super) mod groups;
pub(super) mod remembered;
pub(super) mod scheme;
pub(super) mod turn;

use std::borrow::Cow;

use http::HeaderValue;
use uuid::Uuid;

use self::turn::{Known, OnRefusal, Turn};
use super::{Authenticated, Credential, Exchange, Outcome, Reply, Unusable};
use crate::names;
use crate::section::Consumer;

/// Why a plugin does not accept a request.
#[derive(Debug)]
pub(super) enum Denied {
    /// Its credentials are missing or wrong. The anonymous consumer may take their place.
    Refused(Box<Reply>),
    /// They could not be checked.
    Failed(Box<Reply>),
}

impl Denied {
    /// Credentials that are missing or wrong.
    pub(super) fn refused(reply: Reply) -> Self {
        Self::Refused(Box::new(reply))
    }

    /// A header with credentials that stands there twice.
    pub(super) fn ambiguous() -> Self {
        Self::Failed(Box::new(Reply::message(400, "Bad request")))
    }

    /// Credentials that cannot be checked at the moment.
    pub(super) fn busy() -> Self {
        let reply = Reply::message(503, "credentials cannot be checked at the moment");
        Self::Failed(Box::new(reply.with(&names::RETRY_AFTER, HeaderValue::from_static("1"))))
    }
}

impl From<Box<Reply>> for Denied {
    fn from(reply: Box<Reply>) -> Self {
        Self::Failed(reply)
    }
}

/// The consumer of requests without valid credentials, if there is one: its id or its username.
#[derive(Debug)]
pub(super) struct Anonymous(Option<Box<str>>);

impl Anonymous {
    /// The one of a configuration.
    pub(super) fn new(named: Option<&str>) -> Self {
        Self(named.map(Into::into))
    }

    /// Whether a request passes without its credentials being looked at: another plugin found some.
    pub(super) fn passes(&self, exchange: &Exchange<'_>) -> bool {
        let known = match (exchange.credential(), exchange.consumer()) {
            (Some(_), _) => Known::Credential,
            (None, Some(_)) => Known::Anonymous,
            (None, None) => Known::Nobody,
        };
        turn::turn(known, self.0.is_some()) == Turn::Pass
    }

    /// Draws the conclusion for a request from what a plugin found.
    pub(super) fn conclude(
        &self,
        exchange: &mut Exchange<'_>,
        found: Result<Authenticated, Denied>,
    ) -> Outcome {
        match (found, &self.0, turn::on_refusal(self.0.is_some())) {
            (Ok(who), ..) => {
                exchange.authenticate(who);
                Ok(())
            }
            (Err(Denied::Refused(_)), Some(named), OnRefusal::GoOn) => go_on_as(exchange, named),
            (Err(Denied::Refused(reply) | Denied::Failed(reply)), ..) => Err(reply),
        }
    }
}

fn go_on_as(exchange: &mut Exchange<'_>, named: &str) -> Outcome {
    let Some(consumer) = exchange.directory().consumer_named(named).cloned() else {
        return Err(Box::new(Reply::message(500, "An unexpected error occurred")));
    };
    exchange.authenticate(Authenticated { consumer: Some(consumer), credential: None });
    Ok(())
}

/// The owner of a credential, which the upstream knows by `identifier`, or by its id; `None` when the consumer is
/// gone.
pub(super) fn owner(
    exchange: &Exchange<'_>,
    (id, consumer): (Uuid, Uuid),
    identifier: Option<&str>,
) -> Option<Authenticated> {
    let consumer = exchange.directory().consumer(&consumer)?;
    Some(authenticated(id, consumer, identifier))
}

/// The owner of the credential `id`, which the upstream knows by `identifier`, or by its id.
pub(super) fn authenticated(id: Uuid, consumer: &Consumer, identifier: Option<&str>) -> Authenticated {
    let credential = Credential { id, identifier: identifier.map(Into::into), consumer: Some(consumer.id) };
    Authenticated { consumer: Some(consumer.clone()), credential: Some(credential) }
}

/// The challenge of a plugin's 401.
pub(super) fn challenge(scheme: &str, realm: Option<&str>) -> Result<HeaderValue, Unusable> {
    let message = Cow::Borrowed("cannot stand in a header");
    HeaderValue::try_from(scheme::challenge(scheme, realm)).map_err(|_| Unusable { field: "realm", message })
}

/// A 401 with a message.
pub(super) fn unauthorized(text: &'static str, challenge: &HeaderValue) -> Denied {
    Denied::refused(Reply::message(401, text).with(&names::WWW_AUTHENTICATE, challenge.clone()))
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The same as a number of JSON.
#[expect(clippy::cast_precision_loss, reason = "seconds are exact for 285 million years")]
pub(super) fn now_as_claim() -> f64 {
    now() as f64
}
