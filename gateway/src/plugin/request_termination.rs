//! request-termination: answers requests in place of the upstream.

mod description;

use http::HeaderValue;
use model::plugins::RequestTermination as Config;

use super::content::Arguments;
use super::{Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Step, Unusable};
use crate::message::NamedHeader;

/// The most bytes of a body that an answer describes.
const BODY: usize = 1 << 20;

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct RequestTermination {
    status: u16,
    /// The name of a header, and of an argument in the case in which it was configured.
    trigger: Option<(NamedHeader, String)>,
    answer: Content,
}

/// What the answer holds.
#[derive(Debug)]
enum Content {
    /// A description of the request, with this message.
    Description(Option<String>),
    /// A body, with its media type.
    Body(Option<HeaderValue>, String),
    /// A message of the configuration.
    Message(String),
    /// What the gateway says of the status.
    Status,
}

impl Plugin for RequestTermination {
    type Config = Config;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        let content_type =
            config.content_type.as_deref().map(str::as_bytes).map(HeaderValue::from_bytes).transpose();
        let content_type = content_type
            .map_err(|_| Unusable { field: "content_type", message: "not the value of a header".into() })?;
        let no_name = Unusable { field: "trigger", message: "not the name of a header".into() };
        let trigger = config.trigger.as_ref().map(|name| Some((NamedHeader::new(name)?, name.clone())));
        let trigger = trigger.map(|trigger| trigger.ok_or(no_name)).transpose()?;
        let answer = match (config.echo, &config.body, &config.message) {
            (true, ..) => Content::Description(config.message.clone()),
            (false, Some(body), _) => Content::Body(content_type, body.clone()),
            (false, None, Some(message)) => Content::Message(message.clone()),
            (false, None, None) => Content::Status,
        };
        Ok(Self { status: config.status_code, trigger, answer })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let has = |(header, argument): &(NamedHeader, String)| {
            header.first(exchange.headers()).is_some() || has_argument(exchange, argument)
        };
        if !self.trigger.as_ref().is_none_or(has) {
            return Step::GO_ON;
        }
        match &self.answer {
            Content::Description(message) => Step::wait(self.describe(exchange, message.as_deref())),
            // gRPC has the text in a field, and no body.
            Content::Body(_, text) if exchange.is_grpc() => {
                Step::reply(Reply::exit(self.status, text.clone()))
            }
            Content::Body(content_type, body) => {
                Step::reply(Reply::raw(self.status, content_type.clone(), body.clone()))
            }
            Content::Message(message) => Step::reply(Reply::exit(self.status, message.clone())),
            Content::Status if exchange.is_grpc() => {
                let text = text_of(self.status).or_else(|| error_text(self.status));
                Step::reply(Reply::exit(self.status, text.unwrap_or_default()))
            }
            Content::Status => Step::reply(of_status(self.status)),
        }
    }
}

impl RequestTermination {
    async fn describe(&self, exchange: &mut Exchange<'_>, message: Option<&str>) -> Outcome {
        let body = exchange.body(BODY).await?;
        let message = message.or_else(|| text_of(self.status));
        let description = description::of(exchange, &body, message);
        let content_type = HeaderValue::from_static("application/json; charset=utf-8");
        Err(Box::new(Reply::raw(self.status, Some(content_type), description.to_string())))
    }
}

/// Whether the query has an argument of this name.
fn has_argument(exchange: &Exchange<'_>, name: &str) -> bool {
    let arguments = exchange.query().map(Arguments::parse);
    arguments.and_then(Result::ok).is_some_and(|arguments| arguments.contains(name.as_bytes()))
}

/// The answer to a request with a status alone. Where Kong's server sends a page of HTML, there is a message.
fn of_status(status: u16) -> Reply {
    match (text_of(status), error_text(status)) {
        (Some(text), _) => Reply::exit(status, text),
        // Kong's server answers these as its own errors.
        (None, Some(text)) if matches!(status, 400 | 408 | 411..=414 | 417 | 504) => {
            Reply::error(status, text)
        }
        (None, Some(text)) => Reply::exit(status, text),
        (None, None) if status == 494 => Reply::error(400, "Request header or cookie too large"),
        (None, None) => Reply::empty(status),
    }
}

/// What Kong's plugin says of a status.
fn text_of(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "Unauthorized",
        404 => "Not found",
        405 => "Method not allowed",
        500 => "An unexpected error occurred",
        502 => "Bad Gateway",
        503 => "Service unavailable",
        _ => return None,
    })
}

/// What Kong says of an error of its own with a status.
fn error_text(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "Bad request",
        402 => "Payment required",
        403 => "Forbidden",
        406 => "Not acceptable",
        407 => "Proxy authentication required",
        408 => "Request timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length required",
        412 => "Precondition failed",
        413 => "Payload too large",
        414 => "URI too long",
        415 => "Unsupported media type",
        416 => "Range not satisfiable",
        417 => "Expectation failed",
        418 => "I'm a teapot",
        421 => "Misdirected request",
        422 => "Unprocessable entity",
        423 => "Locked",
        424 => "Failed dependency",
        425 => "Too early",
        426 => "Upgrade required",
        428 => "Precondition required",
        429 => "Too many requests",
        431 => "Request header fields too large",
        451 => "Unavailable for legal reasons",
        504 => "The upstream server is timing out",
        _ => return None,
    })
}
