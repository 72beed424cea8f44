//! Tokens of an issuer that publishes its keys, such as a provider of OpenID Connect. They name no credential of
//! the configuration.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use model::Word;
use serde_json::{Map, Value};
use tracing::warn;
use uuid::Uuid;

use super::claims::{self, Rule, TimeRules};
use super::key_set::KeySet;
use super::key_sets::{KeySets, Source};
use super::signatures::{Signatures, is_costly};
use super::token::Token;
use super::{Refusals, is_symmetric, rule};
use crate::outbound::{Call, CallTimeouts, Destination, Outbound};
use crate::plugin::auth::{self, Denied};
use crate::plugin::{Authenticated, Credential, Exchange, Unusable};

/// The longest time of a fetch of keys.
const LONGEST_FETCH: Duration = Duration::from_secs(5);
/// The most bytes of a key set.
const LONGEST_SET: usize = 1024 * 1024;
const ACCEPTED: [(HeaderName, HeaderValue); 1] = [(ACCEPT, HeaderValue::from_static("application/json"))];

/// An issuer that publishes its keys.
#[derive(Debug)]
pub(super) struct Issuer {
    /// The instance, for the log.
    plugin: Uuid,
    address: Box<str>,
    destination: Arc<Destination>,
    /// What the claim `iss` must be.
    name: Option<Box<str>>,
    audiences: Vec<String>,
    /// The claim with the name of the consumer.
    consumer_claim: Option<Box<str>>,
    times: TimeRules,
    /// Its keys, which outlive the configuration.
    source: OnceLock<Arc<Source>>,
}

impl Issuer {
    /// The issuer of a configuration; `None` when it names none.
    pub(super) fn new(config: &model::plugins::Jwt, plugin: Uuid) -> Result<Option<Self>, Unusable> {
        let Some(address) = &config.jwks_uri else { return Ok(None) };
        let destination = Destination::parse(address, true)
            .map_err(|error| Unusable { field: "jwks_uri", message: error.to_string().into() })?;
        let verified = config.claims_to_verify.as_deref();
        let exp = match verified {
            None => Rule::Required,
            listed => rule(listed, model::plugins::jwt::Claim::Exp, Rule::IfPresent),
        };
        let times = TimeRules {
            exp,
            nbf: rule(verified, model::plugins::jwt::Claim::Nbf, Rule::IfPresent),
            maximum_expiration: Some(config.maximum_expiration.get()).filter(|longest| *longest > 0.0),
        };
        Ok(Some(Self {
            plugin,
            address: address.as_str().into(),
            destination: Arc::new(destination),
            name: config.issuer.as_deref().map(Into::into),
            audiences: config.audiences.clone(),
            consumer_claim: config.consumer_claim.as_deref().map(Into::into),
            times,
            source: OnceLock::new(),
        }))
    }

    /// Whose a token is. It has been parsed before.
    pub(super) async fn authenticate(
        &self,
        exchange: &Exchange<'_>,
        text: &[u8],
        refusals: &Refusals,
    ) -> Result<Authenticated, Denied> {
        let token = Token::parse(text).map_err(|bad| refusals.invalid(bad.message()))?;
        self.check(&token, refusals)?;
        self.verify(exchange, (text, &token), refusals).await?;
        self.owner(exchange, &token.claims, refusals)
    }

    /// Checks what costs nothing, before keys are fetched for a token that may come from anyone.
    fn check(&self, token: &Token<'_>, refusals: &Refusals) -> Result<(), Denied> {
        let issuer = token.claims.get("iss").and_then(Value::as_str);
        if self.name.as_deref().is_some_and(|name| issuer != Some(name)) {
            return Err(refusals.invalid("No credentials found for given 'iss'"));
        }
        if is_symmetric(token.algorithm) {
            return Err(refusals.invalid("Invalid algorithm"));
        }
        if !self.audiences.is_empty() && !claims::is_for(&token.claims, &self.audiences) {
            return Err(refusals.broken(&vec![("aud", "is not an accepted audience")]));
        }
        self.times.check(&token.claims, auth::now_as_claim()).map_err(|broken| refusals.broken(&broken))
    }

    async fn verify(
        &self,
        exchange: &Exchange<'_>,
        (text, token): (&[u8], &Token<'_>),
        refusals: &Refusals,
    ) -> Result<(), Denied> {
        let shared = exchange.shared();
        let key_sets = shared.state::<KeySets>();
        let source = self.source.get_or_init(|| key_sets.source(&self.address));
        let id = token.header.get("kid").and_then(Value::as_str);
        let fetch = || fetch(Arc::clone(shared.outbound()), Arc::clone(&self.destination), self.plugin);
        let keys = key_sets.keys(source, id, fetch).await.map_err(|_| Denied::busy())?;
        let signatures = shared.state::<Signatures>();
        let mut refused = refusals.invalid("No credentials found for given 'kid'");
        for key in keys.candidates(id, token.algorithm) {
            let [one, other] = key.parts();
            let proof =
                signatures.proof(&[b"key set", text, token.algorithm.as_str().as_bytes(), one, other]);
            let verified = if signatures.knows(&proof) {
                Ok(())
            } else if is_costly(token.algorithm) {
                let (key, client) = (Arc::clone(key), exchange.client_address());
                let verified = signatures.verify_in_turn(proof, text.to_vec(), client, || Some(key)).await;
                verified.map_err(|_| Denied::busy())?
            } else {
                signatures.verify(proof, token, Some(&**key))
            };
            match verified {
                Ok(()) => return Ok(()),
                Err(why) => refused = refusals.unverified(why),
            }
        }
        Err(refused)
    }

    fn owner(
        &self,
        exchange: &Exchange<'_>,
        claims: &Map<String, Value>,
        refusals: &Refusals,
    ) -> Result<Authenticated, Denied> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let consumer = match self.consumer_claim.as_deref() {
            None => None,
            Some(claim) => {
                let named = text(claim)
                    .ok_or_else(|| refusals.invalid(format!("No mandatory '{claim}' in claims")))?;
                let found = exchange.directory().consumer_named(named).cloned();
                let missing = || refusals.invalid(format!("Could not find consumer for '{claim}={named}'"));
                Some(found.ok_or_else(missing)?)
            }
        };
        let subject = text("sub").unwrap_or_default();
        let credential = Credential {
            id: id_of(text("iss").unwrap_or_default(), subject),
            identifier: Some(subject.into()),
            consumer: consumer.as_ref().map(|consumer| consumer.id),
        };
        Ok(Authenticated { consumer, credential: Some(credential) })
    }
}

/// The id of a credential that stands in no configuration: the same for each token of a subject.
fn id_of(issuer: &str, subject: &str) -> Uuid {
    let hash = blake3::hash(format!("{}:{issuer}{subject}", issuer.len()).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    Uuid::from_bytes(bytes)
}

/// Fetches a key set.
async fn fetch(outbound: Arc<Outbound>, destination: Arc<Destination>, plugin: Uuid) -> Option<KeySet> {
    let call = Call {
        plugin,
        method: Method::GET,
        destination: &destination,
        fields: &ACCEPTED,
        body: Bytes::new(),
        timeouts: CallTimeouts::all(LONGEST_FETCH),
        max_answer: Some(LONGEST_SET),
        may_repeat: true,
    };
    let problem = match outbound.send(call).await {
        Ok(answer) if answer.status == StatusCode::OK => match KeySet::parse(&answer.body) {
            Ok(keys) => return Some(keys),
            Err(error) => error.to_string(),
        },
        Ok(answer) => format!("the answer is {}", answer.status),
        Err(failure) => failure.to_string(),
    };
    warn!(%plugin, %problem, "cannot fetch the key set of jwks_uri");
    None
}
