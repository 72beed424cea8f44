//! forward-auth: asks a service of the operator whether a request may go on, as Traefik's forwardAuth and nginx's
//! `auth_request` do.
//!
//! With a status of 2xx the request goes on, with headers of the service's answer that the configuration lists.
//! Any other status below 500 is the answer to the client. The service fails when there is no whole answer in time,
//! or one of 5xx: then the request is answered 503, unless the configuration lets it go on.

mod question;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use model::plugins::forward_auth::ForwardAuthMethod;
use tracing::warn;
use uuid::Uuid;

use self::question::Asked;
use super::auth::groups::AuthenticatedGroups;
use super::user_mark::UserMark;
use super::{Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Step, Unusable};
use crate::error::RequestFailure;
use crate::names::{self, Name};
use crate::outbound::{Call, CallAnswer, CallTimeouts, Destination};
use crate::request;

/// The most bytes of an answer's body.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The headers of a refusing answer that the client gets.
static OF_REFUSAL: [&Name; 5] = [
    &names::WWW_AUTHENTICATE,
    &names::LOCATION,
    &names::SET_COOKIE,
    &names::CACHE_CONTROL,
    &names::RETRY_AFTER,
];

/// Asks a service whether requests may go on.
#[derive(Debug)]
pub struct ForwardAuth {
    id: Uuid,
    destination: Destination,
    method: Method,
    timeout: Duration,
    /// The headers that the service is sent; `None`: all.
    sent: Option<Vec<HeaderName>>,
    /// The headers of its answer that the upstream is sent.
    passed_on: Vec<HeaderName>,
    fails_open: bool,
    /// Whether the last question failed: the log has the first one of several failures in a row.
    is_failing: AtomicBool,
}

impl Plugin for ForwardAuth {
    type Config = model::plugins::ForwardAuth;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let destination = Destination::parse(&config.url, true)
            .map_err(|error| Unusable { field: "url", message: error.to_string().into() })?;
        let method = match config.method {
            ForwardAuthMethod::Get => Method::GET,
            ForwardAuthMethod::Head => Method::HEAD,
            ForwardAuthMethod::Post => Method::POST,
        };
        Ok(Self {
            id: terms.id,
            destination,
            method,
            timeout: Duration::from_millis(config.timeout.into()),
            sent: config
                .request_headers
                .as_deref()
                .map(|names| headers("request_headers", names))
                .transpose()?,
            passed_on: headers("response_headers", &config.response_headers)?,
            fails_open: config.fail_open,
            is_failing: AtomicBool::new(false),
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(self.ask(exchange))
    }
}

fn headers(field: &'static str, names: &[String]) -> Result<Vec<HeaderName>, Unusable> {
    let unusable = |_| Unusable { field, message: "has a name that no header can have".into() };
    let names: Result<Vec<_>, _> =
        names.iter().map(|name| HeaderName::try_from(name).map_err(unusable)).collect();
    Ok(names?.into_iter().filter(question::may_pass).collect())
}

impl ForwardAuth {
    async fn ask(&self, exchange: &mut Exchange<'_>) -> Outcome {
        let answer = self.call(exchange).await?;
        self.remove_claims(exchange);
        match answer {
            Some(answer) if answer.status.is_success() => {
                self.pass_on(&answer.fields, exchange);
                Ok(())
            }
            Some(answer) => Err(Box::new(refusal(answer))),
            None if self.fails_open => Ok(()),
            None => Err(Box::new(Reply::message(503, "The authorization service is unavailable"))),
        }
    }

    /// Removes what the client sends under the names of the service, or looks like it to an upstream.
    fn remove_claims(&self, exchange: &mut Exchange<'_>) {
        let is_claim = |name: &&HeaderName| {
            let name = name.as_str().as_bytes();
            self.passed_on.iter().any(|of| request::is_mistaken_for(name, of.as_str().as_bytes()))
        };
        let claims: Vec<HeaderName> = exchange.headers().keys().filter(is_claim).cloned().collect();
        claims.iter().for_each(|name| exchange.remove_header(name));
    }

    /// Passes the headers of the service's answer on, and keeps its groups for the plugins that decide by them.
    fn pass_on(&self, fields: &HeaderMap, exchange: &mut Exchange<'_>) {
        let of = |name| fields.get_all(name).iter().map(move |value| (name, value));
        let passed_on = || self.passed_on.iter().flat_map(of);
        for (name, value) in passed_on() {
            exchange.append_header(name.clone(), value.clone());
        }
        // The service knows the user, whom no consumer stands for.
        UserMark::add(exchange, passed_on().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let groups = &names::AUTHENTICATED_GROUPS.lower;
        if self.passed_on.contains(groups)
            && let Some(groups) = AuthenticatedGroups::read(fields.get_all(groups).iter())
        {
            exchange.keep(groups);
        }
    }

    /// The answer of the service; `None` when it fails.
    async fn call(&self, exchange: &Exchange<'_>) -> Result<Option<CallAnswer>, Box<Reply>> {
        let authority = exchange.sent_authority();
        let asked = Asked {
            method: exchange.method(),
            scheme: if exchange.is_https() { "https" } else { "http" },
            host: authority.as_deref().unwrap_or_else(|| exchange.host()),
            target: exchange.sent_target(),
            client: exchange.client_address(),
            headers: exchange.headers(),
        };
        let Some(fields) = question::fields(&asked, self.sent.as_deref()) else {
            return Err(Box::new(Reply::failure(RequestFailure::BadRequest)));
        };
        let call = Call {
            plugin: self.id,
            method: self.method.clone(),
            destination: &self.destination,
            fields: &fields,
            body: Bytes::new(),
            timeouts: CallTimeouts::all(self.timeout),
            max_answer: Some(LONGEST_ANSWER),
            may_repeat: true,
        };
        let problem = match exchange.shared().outbound().send(call).await {
            Ok(answer) if !answer.status.is_server_error() => {
                self.is_failing.store(false, Ordering::Relaxed);
                return Ok(Some(answer));
            }
            Ok(answer) => format!("the answer is {}", answer.status),
            Err(failure) => failure.to_string(),
        };
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            warn!(plugin = %self.id, %problem, "the service of forward-auth fails");
        }
        Ok(None)
    }
}

fn refusal(answer: CallAnswer) -> Reply {
    let CallAnswer { status, mut fields, body } = answer;
    let content_type: Option<HeaderValue> = fields.remove(CONTENT_TYPE);
    let mut reply = Reply::raw(status.as_u16(), content_type, body);
    for name in OF_REFUSAL {
        for value in fields.get_all(&name.lower) {
            reply = reply.with(name, value.clone());
        }
    }
    reply
}
