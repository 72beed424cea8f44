//! jwt: a request needs a token that is signed with a key of a consumer, or of a key set that its issuer
//! publishes.

mod by_key_set;
mod claims;
mod gather;
mod key;
mod key_set;
mod key_sets;
mod refusals;
mod signatures;
mod token;

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderName};
use model::plugins::jwt::Claim;
use model::{JwtAlgorithm as Algorithm, Word};
use serde_json::Value;

use self::by_key_set::Issuer;
use self::claims::{Rule, TimeRules};
use self::gather::{Places, Tokens};
use self::key::Key;
use self::refusals::Refusals;
use self::signatures::{Signatures, is_costly};
use self::token::Token;
use super::auth::remembered::Proof;
use super::auth::{self, Anonymous, Denied, scheme};
use super::user_mark::UserMark;
use super::{Authenticated, Exchange, InstanceTerms, Outcome, Phases, Plugin, Step, Unusable};
use crate::message::NamedHeader;
use crate::redaction::Redaction;
use crate::section::JwtSecret;

/// Lets requests with a valid token pass.
#[derive(Debug)]
pub struct Jwt {
    places: Places,
    key_claim: Box<str>,
    secrets_are_base64: bool,
    times: TimeRules,
    /// Who else issues tokens.
    issuer: Option<Issuer>,
    runs_on_preflight: bool,
    anonymous: Anonymous,
    refusals: Refusals,
    secrets: Redaction,
}

/// What was found of a request's token.
enum Found {
    /// Whose it is.
    Settled(Result<Authenticated, Denied>),
    /// It names this credential, and its signature takes long to verify.
    Costly { text: Vec<u8>, credential: Arc<JwtSecret>, proof: Proof },
    /// It names no credential: a key set may verify it.
    Foreign(Vec<u8>),
}

/// The algorithm with this name; there is no `none`.
fn algorithm(name: &str) -> Option<Algorithm> {
    Algorithm::ALL.iter().copied().find(|algorithm| algorithm.as_str() == name)
}

/// Whether both sides have the same secret.
const fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512)
}

impl Plugin for Jwt {
    type Config = model::plugins::Jwt;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let unusable =
            || Unusable { field: "header_names", message: "has a name that no header can have".into() };
        let headers = config.header_names.iter().map(|name| NamedHeader::new(name).ok_or_else(unusable));
        let places = Places {
            arguments: config.uri_param_names.clone(),
            cookies: config.cookie_names.clone(),
            headers: headers.collect::<Result<_, _>>()?,
        };
        let spellings = places.headers.iter().flat_map(NamedHeader::spellings).map(HeaderName::to_string);
        let secrets: Vec<_> = config.uri_param_names.iter().cloned().chain(spellings).collect();
        let verified = config.claims_to_verify.as_deref();
        let maximum_expiration = Some(config.maximum_expiration.get()).filter(|longest| *longest > 0.0);
        let times = TimeRules {
            exp: rule(verified, Claim::Exp, Rule::Ignored),
            nbf: rule(verified, Claim::Nbf, Rule::Ignored),
            maximum_expiration,
        };
        Ok(Self {
            places,
            key_claim: config.key_claim_name.as_str().into(),
            secrets_are_base64: config.secret_is_base64,
            times,
            issuer: Issuer::new(config, terms.id)?,
            runs_on_preflight: config.run_on_preflight,
            anonymous: Anonymous::new(config.anonymous.as_deref()),
            refusals: Refusals::new(config.realm.as_deref())?,
            secrets: Redaction::new(&secrets).with_cookies(&config.cookie_names),
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        if !self.runs_on_preflight && exchange.method() == Method::OPTIONS || self.anonymous.passes(exchange)
        {
            return Step::GO_ON;
        }
        match (self.find(exchange), &self.issuer) {
            (Found::Settled(found), _) => Step::Done(self.anonymous.conclude(exchange, found)),
            (Found::Costly { text, credential, proof }, _) => {
                Step::wait(self.authenticate_in_turn(exchange, text, credential, proof))
            }
            (Found::Foreign(token), Some(issuer)) => {
                Step::wait(self.authenticate_by(issuer, exchange, token))
            }
            (Found::Foreign(_), None) => {
                let text = format!("No credentials found for given '{}'", self.key_claim);
                Step::Done(self.anonymous.conclude(exchange, Err(self.refusals.invalid(text))))
            }
        }
    }

    fn secrets(&self) -> Option<&Redaction> {
        Some(&self.secrets)
    }
}

/// What is verified of a time of a token; `other` of one that the configuration does not list.
fn rule(listed: Option<&[Claim]>, claim: Claim, other: Rule) -> Rule {
    match listed {
        None => Rule::IfPresent,
        Some(listed) if listed.contains(&claim) => Rule::Required,
        Some(_) => other,
    }
}

impl Jwt {
    fn find(&self, exchange: &Exchange<'_>) -> Found {
        let headers = exchange.headers();
        if self.places.has_header(&AUTHORIZATION) && scheme::is_ambiguous(headers) {
            return Found::Settled(Err(Denied::ambiguous()));
        }
        let invalid = |text: Cow<'static, str>| Found::Settled(Err(self.refusals.invalid(text)));
        let text = match self.places.tokens(exchange.query(), headers) {
            Tokens::None => return Found::Settled(Err(self.refusals.without_token())),
            Tokens::Several => return invalid("Multiple tokens provided".into()),
            Tokens::NoText => return invalid("Unrecognizable token".into()),
            Tokens::One(text) => text,
        };
        let token = match Token::parse(&text) {
            Ok(token) => token,
            Err(bad) => return invalid(bad.message().into()),
        };
        let key = match token.field(&self.key_claim) {
            Some(Value::String(key)) if !key.is_empty() => key,
            None if self.issuer.is_none() => {
                return invalid(format!("No mandatory '{}' in claims", self.key_claim).into());
            }
            Some(_) if self.issuer.is_none() => {
                return invalid(format!("Invalid '{}' in claims", self.key_claim).into());
            }
            _ => return Found::Foreign(text.into_owned()),
        };
        match exchange.directory().jwt(key) {
            Some(credential) => self.verify(exchange, &token, &text, credential),
            None => Found::Foreign(text.into_owned()),
        }
    }

    /// Verifies a token that names a credential, unless that takes long.
    fn verify(
        &self,
        exchange: &Exchange<'_>,
        token: &Token<'_>,
        text: &[u8],
        credential: &Arc<JwtSecret>,
    ) -> Found {
        if token.algorithm != credential.algorithm {
            return Found::Settled(Err(self.refusals.invalid("Invalid algorithm")));
        }
        let signatures = exchange.shared().state::<Signatures>();
        let flags = [self.secrets_are_base64.into()];
        let algorithm = token.algorithm.as_str().as_bytes();
        let proof =
            signatures.proof(&[b"credential", text, algorithm, material(credential).as_bytes(), &flags]);
        let verified = if signatures.knows(&proof) {
            Ok(())
        } else if is_costly(token.algorithm) {
            return Found::Costly { text: text.to_vec(), credential: Arc::clone(credential), proof };
        } else {
            signatures.verify(proof, token, key(credential, self.secrets_are_base64).as_ref())
        };
        let verified = verified.map_err(|why| self.refusals.unverified(why));
        Found::Settled(verified.and_then(|()| self.owner(exchange, token, credential)))
    }

    /// The owner of a verified token, if its claims hold.
    fn owner(
        &self,
        exchange: &Exchange<'_>,
        token: &Token<'_>,
        credential: &JwtSecret,
    ) -> Result<Authenticated, Denied> {
        let checked = self.times.check(&token.claims, auth::now_as_claim());
        checked.map_err(|broken| self.refusals.broken(&broken))?;
        let key = &*credential.key;
        auth::owner(exchange, (credential.id, credential.consumer()), Some(key)).ok_or_else(|| {
            self.refusals.invalid(format!("Could not find consumer for '{}={key}'", self.key_claim))
        })
    }

    async fn authenticate_in_turn(
        &self,
        exchange: &mut Exchange<'_>,
        text: Vec<u8>,
        credential: Arc<JwtSecret>,
        proof: Proof,
    ) -> Outcome {
        let (of, is_base64) = (Arc::clone(&credential), self.secrets_are_base64);
        let signatures = exchange.shared().state::<Signatures>();
        let key = move || key(&of, is_base64);
        let verified = signatures.verify_in_turn(proof, text.clone(), exchange.client_address(), key).await;
        let found = match (verified, Token::parse(&text)) {
            (Err(_), _) => Err(Denied::busy()),
            (Ok(Err(why)), _) => Err(self.refusals.unverified(why)),
            (Ok(Ok(())), Ok(token)) => self.owner(exchange, &token, &credential),
            (Ok(Ok(())), Err(bad)) => Err(self.refusals.invalid(bad.message())),
        };
        self.anonymous.conclude(exchange, found)
    }

    async fn authenticate_by(&self, issuer: &Issuer, exchange: &mut Exchange<'_>, token: Vec<u8>) -> Outcome {
        let found = issuer.authenticate(exchange, &token, &self.refusals).await;
        if found.is_ok() {
            // Without a consumer, or with one for many users, the token alone tells them apart.
            UserMark::add(exchange, [("token", &*token)]);
        }
        self.anonymous.conclude(exchange, found)
    }
}

/// The text of a credential's key; empty without one.
fn material(credential: &JwtSecret) -> &str {
    if is_symmetric(credential.algorithm) {
        credential.secret.as_ref().map(|secret| secret.expose()).unwrap_or_default()
    } else {
        credential.public_key.as_deref().unwrap_or_default()
    }
}

/// The key of a credential, if it is usable.
fn key(credential: &JwtSecret, is_base64: bool) -> Option<Key> {
    let material = material(credential);
    match (is_symmetric(credential.algorithm), is_base64) {
        (true, true) => Key::of_secret(token::decode_secret(material.as_bytes())?),
        (true, false) => Key::of_secret(material.as_bytes().to_vec()),
        (false, _) => Key::of_pem(material),
    }
}
