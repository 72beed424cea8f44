//! basic-auth: a request needs the username and the password of a consumer.

mod login;
mod logins;
mod password;

use http::HeaderValue;

use self::login::Login;
use self::logins::{Logins, Named, Recalled};
use self::password::Stored;
use super::auth::remembered::Proof;
use super::auth::{self, Anonymous, Denied, scheme};
use super::{Authenticated, Exchange, InstanceTerms, Outcome, Phases, Plugin, Step, Unusable};

/// Lets requests with the username and the password of a consumer pass.
#[derive(Debug)]
pub struct BasicAuth {
    hides: bool,
    anonymous: Anonymous,
    challenge: HeaderValue,
}

impl Plugin for BasicAuth {
    type Config = model::plugins::BasicAuth;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        Ok(Self {
            hides: config.hide_credentials,
            anonymous: Anonymous::new(config.anonymous.as_deref()),
            challenge: auth::challenge("Basic", Some(&config.realm))?,
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        if self.anonymous.passes(exchange) {
            return Step::GO_ON;
        }
        if scheme::is_ambiguous(exchange.headers()) {
            return Step::Done(self.anonymous.conclude(exchange, Err(Denied::ambiguous())));
        }
        let login = login(exchange);
        // Also what is no login: it may be one for somebody else.
        if self.hides {
            scheme::FIELDS.iter().for_each(|name| exchange.remove_header(name));
        }
        let Some(login) = login else {
            return Step::Done(self.anonymous.conclude(exchange, Err(self.refused())));
        };
        let logins = exchange.shared().state::<Logins>();
        match logins.recall(&login, named(exchange, &login).as_ref().map(Candidate::named)) {
            Recalled::Right => Step::Done(self.conclude(exchange, &login, true)),
            Recalled::Wrong => Step::Done(self.conclude(exchange, &login, false)),
            Recalled::Unknown(proof) => Step::wait(self.check(exchange, login, proof)),
        }
    }
}

impl BasicAuth {
    async fn check(&self, exchange: &mut Exchange<'_>, login: Login, proof: Proof) -> Outcome {
        let stored = named(exchange, &login).map(|candidate| candidate.stored());
        let logins = exchange.shared().state::<Logins>();
        match logins.check(&login, stored, proof, exchange.client_address()).await {
            Ok(is_right) => self.conclude(exchange, &login, is_right),
            Err(_) => self.anonymous.conclude(exchange, Err(Denied::busy())),
        }
    }

    fn conclude(&self, exchange: &mut Exchange<'_>, login: &Login, is_right: bool) -> Outcome {
        let owner =
            named(exchange, login).filter(|_| is_right).and_then(|candidate| candidate.owner(exchange));
        self.anonymous.conclude(exchange, owner.ok_or_else(|| self.refused()))
    }

    fn refused(&self) -> Denied {
        auth::unauthorized("Unauthorized", &self.challenge)
    }
}

/// The login of a request: the first one of a user that there is, or else the first one. The header of a proxy on
/// the way may hold a login that is for that proxy.
fn login(exchange: &Exchange<'_>) -> Option<Login> {
    let mut given = Login::all(exchange.headers());
    let first = given.next()?;
    let is_known = |login: &Login| named(exchange, login).is_some();
    if is_known(&first) { Some(first) } else { Some(given.find(is_known).unwrap_or(first)) }
}

/// The credential with the username of a login.
struct Candidate<'a>(&'a crate::section::BasicAuthCredential);

fn named<'a>(exchange: &'a Exchange<'_>, login: &Login) -> Option<Candidate<'a>> {
    let username = str::from_utf8(login.username()).ok()?;
    exchange.directory().basic_auth(username).map(|credential| Candidate(credential))
}

impl Candidate<'_> {
    fn named(&self) -> Named<'_> {
        Named { id: self.0.id, consumer: self.0.consumer(), password: self.0.password.expose() }
    }

    fn stored(&self) -> Stored {
        Stored { consumer: self.0.consumer(), password: self.0.password.expose().to_owned() }
    }

    fn owner(&self, exchange: &Exchange<'_>) -> Option<Authenticated> {
        auth::owner(exchange, (self.0.id, self.0.consumer()), Some(&self.0.username))
    }
}
