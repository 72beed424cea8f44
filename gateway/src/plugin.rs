//! Plugins: what a configuration adds to the way of a request.
//!
//! A plugin is three files: its configuration in `model`, its behaviour here, and a line in the list of
//! `model`. When a configuration is applied, each instance is compiled once, and the instances are arranged
//! into a chain for each route. Whatever outlives a change of the configuration (counters, queues, caches) is
//! in [`Shared`], by the id of the instance or by content, so that a push resets nothing.

pub mod acl;
mod answer;
mod arguments;
mod auth;
pub mod basic_auth;
mod bot_detection;
mod chain;
mod chosen;
mod content;
mod correlation_id;
mod cors;
mod directory;
mod edits;
mod ended;
mod exchange;
pub mod file_log;
pub mod forward_auth;
pub mod hmac_auth;
pub mod http_log;
mod instance;
mod ip_restriction;
pub mod jwt;
pub mod key_auth;
mod key_prefetch;
mod list;
mod log;
pub mod opentelemetry;
mod phase;
mod phases;
pub mod prometheus;
pub mod proxy_cache;
pub mod rate_limiting;
mod redirect;
mod reply;
mod reports;
pub mod request_size_limiting;
mod request_termination;
mod request_transformer;
pub mod response_ratelimiting;
mod response_transformer;
mod running;
mod shared;
mod states;
pub mod statsd;
pub mod syslog;
mod table;
pub mod tcp_log;
mod terms;
pub mod udp_log;
mod user_mark;

use std::borrow::Cow;
use std::fmt::Debug;
use std::pin::Pin;

use http::HeaderName;

pub use self::answer::{Answer, AnswerFields, Tap};
pub use self::chain::{Chain, OfConsumer};
pub use self::directory::{Credential, Directory};
pub use self::ended::Ended;
pub use self::exchange::{Authenticated, Exchange, Surroundings};
pub use self::instance::Instance;
pub use self::key_prefetch::KeyPrefetch;
pub use self::phase::Phases;
pub use self::phases::{access, answer, ended, preflight, whole_body};
pub use self::reply::{Reply, ReplyBody};
pub use self::reports::Reports;
pub use self::running::Running;
pub use self::shared::Shared;
pub use self::table::{InstanceChange, Plugins};
pub use self::terms::{InstanceTerms, Scope};
use crate::counting::counters::Subject;
use crate::error::RequestFailure;
use crate::redaction::Redaction;

/// What a plugin does with requests. One value is one instance of the configuration, compiled.
///
/// An instance holds no state that requests change. The phases of one request run in this order; those of the
/// answer also run for an answer of the gateway itself.
pub trait Plugin: Debug + Send + Sync + Sized + 'static {
    /// Its configuration.
    type Config: model::PluginConfig;

    /// The phases in which it does something.
    const PHASES: Phases;

    /// Compiles a configuration that keeps its rules. Opens nothing, and looks at no clock.
    ///
    /// # Errors
    /// When the data plane cannot use it.
    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable>;

    /// Looks at a request before it is forwarded, and may change it, or answer it.
    fn access<'a>(&'a self, _exchange: &'a mut Exchange<'_>) -> Step<'a> {
        Step::Done(Ok(()))
    }

    /// Prepares for its turn once the sender is known: begins to fetch what it will read. Returns the subject that it
    /// will count, if that depends on the sender alone. Must not look at fields: those about the sender are still
    /// the client's.
    fn prepare(&self, _exchange: &Exchange<'_>) -> Option<Subject> {
        None
    }

    /// Looks at the header of an answer, and may change it.
    fn answer(&self, _exchange: &mut Exchange<'_>, _answer: &mut Answer) {}

    /// Changes the whole body of an answer, after [`Answer::want_body`].
    ///
    /// # Errors
    /// The failure that is the answer in its place.
    fn body(
        &self,
        _exchange: &mut Exchange<'_>,
        _answer: &mut Answer,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, RequestFailure> {
        Ok(body)
    }

    /// Sees a request that has been answered, or that has failed. Must not wait.
    fn log(&self, _ended: &Ended<'_>) {}

    /// The names under which it looks for credentials: no log shows their values.
    fn secrets(&self) -> Option<&Redaction> {
        None
    }

    /// The header in which it looks for an API key first.
    fn key_header(&self) -> Option<&HeaderName> {
        None
    }
}

/// What a plugin does with a request before it is forwarded.
pub enum Step<'a> {
    /// It is done.
    Done(Outcome),
    /// It waits for something, within a time of its own.
    Wait(Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>),
}

/// Whether a request goes on, or with what it is answered.
pub type Outcome = Result<(), Box<Reply>>;

impl Step<'_> {
    /// The request goes on.
    pub const GO_ON: Self = Self::Done(Ok(()));
}

impl<'a> Step<'a> {
    /// Answers the request.
    pub fn reply(reply: Reply) -> Self {
        Self::Done(Err(Box::new(reply)))
    }

    /// Waits for a future, within a time of its own.
    pub fn wait(future: impl Future<Output = Outcome> + Send + 'a) -> Self {
        Self::Wait(Box::pin(future))
    }
}

impl Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done(outcome) => f.debug_tuple("Done").field(outcome).finish(),
            Self::Wait(_) => f.write_str("Wait"),
        }
    }
}

/// Why the data plane cannot use the configuration of a plugin: a field, and what is wrong with it.
#[derive(Debug)]
pub struct Unusable {
    /// The field of the configuration.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: Cow<'static, str>,
}

/// A [`Plugin`] without its types.
trait Behaviour: Debug + Send + Sync {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a>;
    fn prepare(&self, exchange: &Exchange<'_>) -> Option<Subject>;
    fn answer(&self, exchange: &mut Exchange<'_>, answer: &mut Answer);
    fn body(
        &self,
        exchange: &mut Exchange<'_>,
        answer: &mut Answer,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, RequestFailure>;
    fn log(&self, ended: &Ended<'_>);
    fn secrets(&self) -> Option<&Redaction>;
    fn key_header(&self) -> Option<&HeaderName>;
}

impl<P: Plugin> Behaviour for P {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        Plugin::access(self, exchange)
    }

    fn prepare(&self, exchange: &Exchange<'_>) -> Option<Subject> {
        Plugin::prepare(self, exchange)
    }

    fn answer(&self, exchange: &mut Exchange<'_>, answer: &mut Answer) {
        Plugin::answer(self, exchange, answer);
    }

    fn body(
        &self,
        exchange: &mut Exchange<'_>,
        answer: &mut Answer,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, RequestFailure> {
        Plugin::body(self, exchange, answer, body)
    }

    fn log(&self, ended: &Ended<'_>) {
        Plugin::log(self, ended);
    }

    fn secrets(&self) -> Option<&Redaction> {
        Plugin::secrets(self)
    }

    fn key_header(&self) -> Option<&HeaderName> {
        Plugin::key_header(self)
    }
}
