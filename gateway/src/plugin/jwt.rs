//! jwt: a request needs a token that is signed with a key of a consumer, or of a key set that its issuer
//! publishes.

mod by_key_set;
mod claims;
mod gather;
mod key;
mod key_set;
mod key_sets;
mod signatures;
mod token;

use std::borrow::Cow;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderValue, Method};
use model::plugins::jwt::Claim;
use model::{JwtAlgorithm as Algorithm, Word};
use serde_json::{Map, Value};

use self::by_key_set::Issuer;
use self::claims::{Broken, Rule, TimeRules};
use self::gather::{Places, Tokens};
use self::key::{Key, Unverified};
use self::signatures::Signatures;
use self::token::Token;
use super::auth::{self, Anonymous, Denied, scheme};
use super::{Authenticated, Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Step, Unusable};
use crate::names;
use crate::section::JwtSecret;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

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
}

/// The challenges of refusals.
#[derive(Debug)]
struct Refusals {
    without_token: HeaderValue,
    with_token: HeaderValue,
}

/// What was found of a request's token.
enum Found {
    /// Whose it is.
    Settled(Result<Authenticated, Denied>),
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
        let unusable = |_| Unusable { field: "header_names", message: "has a name that no header can have".into() };
        let headers = config.header_names.iter().map(|name| HeaderName::try_from(name).map_err(unusable));
        let places = Places {
            arguments: config.uri_param_names.clone(),
            cookies: config.cookie_names.clone(),
            headers: headers.collect::<Result<_, _>>()?,
        };
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
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        if !self.runs_on_preflight && exchange.method() == Method::OPTIONS || self.anonymous.passes(exchange) {
            return Step::GO_ON;
        }
        match (self.find(exchange), &self.issuer) {
            (Found::Settled(found), _) => Step::Done(self.anonymous.conclude(exchange, found)),
            (Found::Foreign(token), Some(issuer)) => Step::wait(self.authenticate_by(issuer, exchange, token)),
            (Found::Foreign(_), None) => {
                let text = format!("No credentials found for given '{}'", self.key_claim);
                Step::Done(self.anonymous.conclude(exchange, Err(self.refusals.invalid(text))))
            }
        }
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
        if self.places.headers.contains(&AUTHORIZATION) && scheme::is_ambiguous(headers) {
            return Found::Settled(Err(Denied::ambiguous()));
        }
        let invalid = |text: Cow<'static, str>| Found::Settled(Err(self.refusals.invalid(text)));
        let text = match self.places.tokens(exchange.query(), headers) {
            Tokens::None => return Found::Settled(Err(self.refusals.without_token())),
            Tokens::Several => return invalid("Multiple tokens provided".into()),
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
            Some(credential) => {
                let verified = self.verify(exchange, &token, &text, credential);
                Found::Settled(verified.and_then(|()| self.owner(exchange, key, credential)))
            }
            None => Found::Foreign(text.into_owned()),
        }
    }

    fn verify(
        &self,
        exchange: &Exchange<'_>,
        token: &Token<'_>,
        text: &[u8],
        credential: &JwtSecret,
    ) -> Result<(), Denied> {
        if token.algorithm != credential.algorithm {
            return Err(self.refusals.invalid("Invalid algorithm"));
        }
        let material = match (is_symmetric(credential.algorithm), &credential.secret) {
            (true, Some(secret)) => secret.expose(),
            (true, None) => "",
            (false, _) => credential.public_key.as_deref().unwrap_or_default(),
        };
        let signatures = exchange.shared().state::<Signatures>();
        let parts = [token.algorithm.as_str().as_bytes(), material.as_bytes(), &[self.secrets_are_base64.into()], text];
        let proof = signatures.key.proof(&parts);
        if !signatures.verified.has(&proof) {
            let verified = self
                .key(credential.algorithm, material)
                .ok_or(Unverified::Key)
                .and_then(|key| key.verify(token.algorithm, token.signed, &token.signature));
            verified.map_err(|why| self.refusals.unverified(why))?;
            signatures.verified.add(proof);
        }
        self.times.check(&token.claims, auth::now() as f64).map_err(|broken| self.refusals.broken(&broken))
    }

    fn key(&self, algorithm: Algorithm, material: &str) -> Option<Key> {
        match (is_symmetric(algorithm), self.secrets_are_base64) {
            (true, true) => Key::of_secret(token::decode_secret(material.as_bytes())?),
            (true, false) => Key::of_secret(material.as_bytes().to_vec()),
            (false, _) => Key::of_pem(material),
        }
    }

    fn owner(&self, exchange: &Exchange<'_>, key: &str, credential: &JwtSecret) -> Result<Authenticated, Denied> {
        auth::owner(exchange, (credential.id, credential.consumer()), &*credential.key).ok_or_else(|| {
            self.refusals.invalid(format!("Could not find consumer for '{}={key}'", self.key_claim))
        })
    }

    async fn authenticate_by(&self, issuer: &Issuer, exchange: &mut Exchange<'_>, token: Vec<u8>) -> Outcome {
        let found = issuer.authenticate(exchange, &token, &self.refusals).await;
        self.anonymous.conclude(exchange, found)
    }
}

impl Refusals {
    fn new(realm: Option<&str>) -> Result<Self, Unusable> {
        let without_token = auth::challenge("Bearer", realm)?;
        // Kong has no comma behind the realm.
        let with_token = [without_token.as_bytes(), b" error=\"invalid_token\""].concat();
        let message = "cannot stand in a header".into();
        let with_token =
            HeaderValue::from_bytes(&with_token).map_err(|_| Unusable { field: "realm", message })?;
        Ok(Self { without_token, with_token })
    }

    /// Of a request without a token.
    fn without_token(&self) -> Denied {
        let challenge = self.without_token.clone();
        Denied::refused(Reply::exit(401, "Unauthorized").with(&names::WWW_AUTHENTICATE, challenge))
    }

    /// Of a token that is not valid.
    fn invalid(&self, text: impl Into<Cow<'static, str>>) -> Denied {
        Denied::refused(Reply::exit(401, text).with(&names::WWW_AUTHENTICATE, self.with_token.clone()))
    }

    fn unverified(&self, why: Unverified) -> Denied {
        self.invalid(match why {
            Unverified::Key => "Invalid key/secret",
            Unverified::Signature => "Invalid signature",
        })
    }

    /// Of a token with claims that do not hold.
    fn broken(&self, broken: &Broken) -> Denied {
        let mut text = Map::new();
        for (claim, reason) in broken {
            text.entry(*claim).or_insert_with(|| (*reason).into());
        }
        let reply = Reply::raw(401, Some(JSON), Value::Object(text).to_string());
        Denied::refused(reply.with(&names::WWW_AUTHENTICATE, self.with_token.clone()))
    }
}
