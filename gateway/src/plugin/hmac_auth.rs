//! hmac-auth: a request must be signed with the secret of a consumer.

mod date;
mod parameters;
mod signature;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use http::header::{HOST, HeaderName};
use model::plugins::hmac_auth::HmacAlgorithm;

use self::parameters::Parameters;
use self::signature::Signed;
use super::auth::{self, Anonymous, Denied, scheme};
use super::{Authenticated, Exchange, InstanceTerms, Outcome, Phases, Plugin, Step, Unusable};
use crate::section::HmacAuthCredential;

/// The most bytes of a body whose digest is verified. Only a request with a right signature has its body read.
const LONGEST_BODY: usize = 8 * 1024 * 1024;
const DIGEST: HeaderName = HeaderName::from_static("digest");

const NO_DATE: &str =
    "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication";
const UNUSABLE: &str = "HMAC signature cannot be verified";
const WRONG: &str = "HMAC signature does not match";

/// Lets requests that a consumer has signed pass.
#[derive(Debug)]
pub struct HmacAuth {
    hides: bool,
    skew: Duration,
    verifies_body: bool,
    /// The headers that must be signed.
    enforced: Vec<Box<str>>,
    algorithms: Vec<HmacAlgorithm>,
    anonymous: Anonymous,
    challenge: HeaderValue,
}

impl Plugin for HmacAuth {
    type Config = model::plugins::HmacAuth;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        Ok(Self {
            hides: config.hide_credentials,
            skew: config.clock_skew.seconds(),
            verifies_body: config.validate_request_body,
            enforced: config.enforce_headers.iter().map(|name| name.as_str().into()).collect(),
            algorithms: config.algorithms.clone(),
            anonymous: Anonymous::new(config.anonymous.as_deref()),
            challenge: auth::challenge("hmac", config.realm.as_deref())?,
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        if self.anonymous.passes(exchange) {
            return Step::GO_ON;
        }
        match self.signer(exchange) {
            Ok(signer) if self.verifies_body => Step::wait(self.verify_body(exchange, signer)),
            found => Step::Done(self.conclude(exchange, found)),
        }
    }
}

impl HmacAuth {
    /// The credential with whose secret the header is signed.
    fn signer(&self, exchange: &Exchange<'_>) -> Result<Arc<HmacAuthCredential>, Denied> {
        let headers = exchange.headers();
        if scheme::is_ambiguous(headers) {
            return Err(Denied::ambiguous());
        }
        if !scheme::FIELDS.iter().any(|name| headers.contains_key(name)) {
            return Err(self.refused("Unauthorized"));
        }
        if !date::is_current(headers, SystemTime::now(), self.skew) {
            return Err(self.refused(NO_DATE));
        }
        let given = Parameters::of(headers).filter(|given| self.accepts(given));
        let given = given.ok_or_else(|| self.refused(UNUSABLE))?;
        let credential = exchange.directory().hmac_auth(given.username);
        let credential = credential.filter(|credential| !credential.secret.is_empty());
        let credential = credential.ok_or_else(|| self.refused(UNUSABLE))?;
        let text = signed_text(exchange, &given);
        let secret = credential.secret.expose().as_bytes();
        if signature::is_valid(given.algorithm, secret, &text, given.signature) {
            Ok(Arc::clone(credential))
        } else {
            Err(self.refused(WRONG))
        }
    }

    fn accepts(&self, given: &Parameters<'_>) -> bool {
        let is_signed = |name: &str| given.headers().any(|signed| signed == name);
        self.algorithms.contains(&given.algorithm) && self.enforced.iter().all(|name| is_signed(name))
    }

    async fn verify_body(&self, exchange: &mut Exchange<'_>, signer: Arc<HmacAuthCredential>) -> Outcome {
        let body = exchange.body(LONGEST_BODY).await?;
        let digest = exchange.headers().get(DIGEST).map(HeaderValue::as_bytes);
        let is_verified = signature::is_digest_of(&body, digest);
        self.conclude(exchange, if is_verified { Ok(signer) } else { Err(self.refused(WRONG)) })
    }

    fn conclude(
        &self,
        exchange: &mut Exchange<'_>,
        found: Result<Arc<HmacAuthCredential>, Denied>,
    ) -> Outcome {
        if self.hides {
            scheme::FIELDS.iter().for_each(|name| exchange.remove_header(name));
        }
        let owner = found.and_then(|signer| self.owner(exchange, &signer));
        self.anonymous.conclude(exchange, owner)
    }

    fn owner(&self, exchange: &Exchange<'_>, signer: &HmacAuthCredential) -> Result<Authenticated, Denied> {
        let owner = auth::owner(exchange, (signer.id, signer.consumer()), Some(&signer.username));
        owner.ok_or_else(|| self.refused(UNUSABLE))
    }

    fn refused(&self, text: &'static str) -> Denied {
        auth::unauthorized(text, &self.challenge)
    }
}

fn signed_text(exchange: &Exchange<'_>, given: &Parameters<'_>) -> Vec<u8> {
    let authority = exchange.sent_authority();
    let host = exchange.headers().get(HOST).and_then(|host| host.to_str().ok()).or(authority.as_deref());
    let signed = Signed {
        method: exchange.method(),
        target: exchange.sent_target(),
        version: exchange.version(),
        host: host.unwrap_or_else(|| exchange.host()),
        headers: exchange.headers(),
    };
    signed.text(given.headers())
}
