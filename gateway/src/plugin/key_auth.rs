//! key-auth: a request needs the API key of a consumer, in a header, a query argument or its body.

mod body;
mod search;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};

use self::body::BodyForm;
use self::search::{Found, KeyName, Places};
use super::auth::{self, Anonymous, Denied};
use super::content::TooManyEntries;
use super::{
    Authenticated, Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Step, Unusable, arguments,
};
use crate::error::RequestFailure;
use crate::message::Framing;
use crate::redaction::Redaction;

/// The most bytes of a body in which a key is looked for.
const LONGEST_BODY: usize = 1024 * 1024;

/// Lets requests with the API key of a consumer pass.
#[derive(Debug)]
pub struct KeyAuth {
    names: Vec<KeyName>,
    in_header: bool,
    in_query: bool,
    in_body: bool,
    in_bearer: bool,
    hides: bool,
    runs_on_preflight: bool,
    anonymous: Anonymous,
    challenge: HeaderValue,
    secrets: Redaction,
}

impl Plugin for KeyAuth {
    type Config = model::plugins::KeyAuth;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, _: &InstanceTerms) -> Result<Self, Unusable> {
        let unusable =
            || Unusable { field: "key_names", message: "has a name that no header can have".into() };
        let names = config.key_names.iter().map(|name| KeyName::new(name).ok_or_else(unusable));
        let names: Vec<KeyName> = names.collect::<Result<_, _>>()?;
        Ok(Self {
            secrets: search::secrets(&names),
            names,
            in_header: config.key_in_header,
            in_query: config.key_in_query,
            in_body: config.key_in_body,
            in_bearer: config.key_in_bearer,
            hides: config.hide_credentials,
            runs_on_preflight: config.run_on_preflight,
            anonymous: Anonymous::new(config.anonymous.as_deref()),
            challenge: auth::challenge("Key", config.realm.as_deref())?,
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        if !self.runs_on_preflight && exchange.method() == Method::OPTIONS || self.anonymous.passes(exchange)
        {
            return Step::GO_ON;
        }
        match self.form_of_body(exchange) {
            Some(form) => Step::wait(self.authenticate_with_body(exchange, form)),
            None => Step::Done(self.authenticate(exchange, None)),
        }
    }

    fn secrets(&self) -> Option<&Redaction> {
        Some(&self.secrets)
    }

    fn key_header(&self) -> Option<&HeaderName> {
        Some(self.names.first()?.header.configured()).filter(|_| self.in_header)
    }
}

impl KeyAuth {
    /// The form of the body, if it must be read to find the key.
    fn form_of_body(&self, exchange: &Exchange<'_>) -> Option<BodyForm> {
        if !self.in_body || exchange.framing() == Framing::Empty {
            return None;
        }
        // The places of the first name come before its place in the body, where a copy may have to be hidden.
        let found = || self.places(exchange, None).search(&self.names);
        if !self.hides && matches!(found(), Found::Key(0, _) | Found::Duplicate(0)) {
            return None;
        }
        BodyForm::of(exchange.headers().get(CONTENT_TYPE)?.as_bytes())
    }

    async fn authenticate_with_body(&self, exchange: &mut Exchange<'_>, form: BodyForm) -> Outcome {
        let body = exchange.body(LONGEST_BODY).await?;
        self.authenticate(exchange, Some((&form, &body)))
    }

    fn authenticate(&self, exchange: &mut Exchange<'_>, body: Option<(&BodyForm, &Bytes)>) -> Outcome {
        let (name, found) = self.find(exchange, body);
        if let (true, Some(name)) = (self.hides, name) {
            self.hide(exchange, name, body)?;
        }
        self.anonymous.conclude(exchange, found)
    }

    /// The index of the name under which a key was found, and whose it is. The index behind the last one stands
    /// for the header Authorization.
    fn find(
        &self,
        exchange: &Exchange<'_>,
        body: Option<(&BodyForm, &Bytes)>,
    ) -> (Option<usize>, Result<Authenticated, Denied>) {
        let refused = |text| Err(auth::unauthorized(text, &self.challenge));
        let (name, key) = match self.places(exchange, body).search(&self.names) {
            Found::Key(name, key) => (name, key),
            Found::Duplicate(name) => return (Some(name), refused("Duplicate API key found")),
            Found::Nothing if self.in_bearer => match search::bearer(exchange.headers()) {
                Some(key) => (self.names.len(), key.into()),
                None => return (None, refused("No API key found in request")),
            },
            Found::Nothing => return (None, refused("No API key found in request")),
        };
        if key.is_empty() {
            return (Some(name), refused("No API key found in request"));
        }
        let directory = exchange.directory();
        let owner = directory
            .key_auth(&key, auth::now)
            .and_then(|key| Some(auth::authenticated(key.id, directory.owner_of(key)?, None)));
        (Some(name), owner.map_or_else(|| refused("Unauthorized"), Ok))
    }

    fn places<'a>(&self, exchange: &'a Exchange<'_>, body: Option<(&'a BodyForm, &'a Bytes)>) -> Places<'a> {
        Places {
            headers: self.in_header.then(|| exchange.headers()),
            query: exchange.query().filter(|_| self.in_query),
            body: body.map(|(form, bytes)| (form, &**bytes)),
        }
    }

    /// Removes the key from wherever it is under this name.
    fn hide(&self, exchange: &mut Exchange<'_>, name: usize, body: Option<(&BodyForm, &Bytes)>) -> Outcome {
        let Some(name) = self.names.get(name) else {
            exchange.remove_header(&AUTHORIZATION);
            return Ok(());
        };
        name.header.spellings().for_each(|header| exchange.remove_header(header));
        if let Some(rest) = exchange.query().and_then(|query| arguments::without(query, &name.text)) {
            exchange.set_query(Some(rest).filter(|rest| !rest.is_empty()));
        }
        let Some((form, body)) = body else { return Ok(()) };
        // What is too large to be changed must not go on with the key.
        let too_large = |TooManyEntries| Box::new(Reply::failure(RequestFailure::BodyTooLarge));
        if let Some(rest) = form.without(body, &name.text).map_err(too_large)? {
            exchange.set_body(rest.into());
        }
        Ok(())
    }
}
