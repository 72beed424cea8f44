//! opentelemetry: continues traces, and sends spans to a collector of OpenTelemetry.
//!
//! A client's decision to sample a trace, or not, is kept. Kong clears the flag while the tracing of the node is off;
//! there is no such switch here.

mod context;
mod forms;
mod otlp;
mod propagation;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use model::plugins::queue::Queue;
use model::plugins::redact;

use self::context::{Sent, SpanId, TraceId};
use self::otlp::{Batches, KeyValue};
use self::propagation::Propagation;
use super::edits::is_reserved;
use super::http_log::typed;
use super::log::{Entries, LogMember, Reporter, add_member, queue_terms};
use super::{Ended, Exchange, InstanceTerms, Phases, Plugin, Step, Unusable};
use crate::delivery::collector::HttpCollector;
use crate::message::FieldName;
use crate::outbound::{CallTimeouts, Destination};

/// The share of traces that are sampled where nothing else decides; Kong's setting for a node.
const RATE: f64 = 0.01;

/// opentelemetry, compiled.
#[derive(Debug)]
pub struct Opentelemetry {
    propagation: Propagation,
    rate: f64,
    answer_header: Option<FieldName>,
    traces: Option<Reported>,
    logs: Option<Reported>,
    entries: Entries,
}

/// The way to one collector.
#[derive(Debug)]
struct Reported {
    reporter: Reporter,
    batches: Arc<Batches>,
}

/// The trace that a request belongs to.
#[derive(Clone, Copy, Debug)]
struct Traced {
    trace: TraceId,
    /// The client's span.
    parent: Option<SpanId>,
    /// The gateway's span of the request.
    root: SpanId,
    /// The gateway's span that the upstream's is within: that of the last attempt.
    upstream: SpanId,
    is_sampled: bool,
}

impl Plugin for Opentelemetry {
    type Config = model::plugins::Opentelemetry;

    const PHASES: Phases = Phases::ACCESS.with(Phases::LOG);

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        let answer_header = config.http_response_header_for_traceid.as_deref();
        // A second length would divide the answers of a connection in another way.
        let answer_header = answer_header.filter(|name| !is_reserved(name));
        Ok(Self {
            propagation: Propagation::new(config),
            rate: config.sampling_rate.map_or(RATE, model::Number::get),
            answer_header: answer_header.and_then(FieldName::new),
            traces: reported(config, terms, "traces_endpoint", config.traces_endpoint.as_deref())?,
            logs: reported(config, terms, "logs_endpoint", config.logs_endpoint.as_deref())?,
            entries: Entries::new(None, &redact::usual()),
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let found = self.propagation.read(exchange.headers());
        let traced = self.begin(found.map(|(_, received)| received), exchange.headers());
        let sent = Sent {
            trace: traced.trace,
            span: traced.upstream,
            parent: traced.root,
            is_sampled: traced.is_sampled,
        };
        let form = found.map(|(form, _)| form);
        self.propagation.cleared().for_each(|name| exchange.remove_header(name));
        for form in self.propagation.written(form) {
            form.stale_fields().iter().for_each(|name| exchange.remove_header(name));
            form.write(&sent).into_iter().for_each(|(name, value)| exchange.set_header(name, value));
        }
        if let Some(name) = &self.answer_header
            && let Ok(value) = HeaderValue::try_from(traced.trace.to_string())
        {
            exchange.set_answer_header(name.clone(), value);
        }
        let names =
            self.propagation.written(form).map(|form| format!("\"{}\":\"{}\"", form.name(), traced.trace));
        let json = format!("{{{}}}", names.collect::<Vec<_>>().join(","));
        add_member(exchange, LogMember { name: "trace_id", json });
        exchange.keep(traced);
        Step::GO_ON
    }

    fn log(&self, ended: &Ended<'_>) {
        // A plugin before this one has answered, or there is no route.
        let begin = || {
            let read = self.propagation.read(ended.headers());
            self.begin(read.map(|(_, received)| received), ended.headers())
        };
        let traced = ended.kept::<Traced>().copied().unwrap_or_else(begin);
        if let Some(traces) = self.traces.as_ref().filter(|_| traced.is_sampled) {
            for span in spans::of(&traced, ended) {
                traces.report(ended, &span);
            }
        }
        if let Some(logs) = &self.logs {
            let entry = String::from_utf8_lossy(&self.entries.entry(ended)).into_owned();
            logs.report(ended, &spans::record(&traced, ended, entry));
        }
    }
}

impl Opentelemetry {
    fn begin(&self, received: Option<context::Received>, headers: &HeaderMap) -> Traced {
        let trace = received.map_or_else(TraceId::random, |received| received.trace);
        let decided = match received {
            Some(received) => received.is_sampled,
            None => self.propagation.decision(headers),
        };
        Traced {
            trace,
            parent: received.and_then(|received| received.span),
            root: SpanId::random(),
            upstream: SpanId::random(),
            is_sampled: decided.unwrap_or_else(|| trace.is_within(self.rate)),
        }
    }
}

impl Reported {
    fn report(&self, ended: &Ended<'_>, message: &impl prost::Message) {
        self.batches.set_instance(ended.reports().instance);
        self.reporter.report(ended, otlp::entry(message));
    }
}

/// The way to a collector, if there is one.
fn reported(
    config: &model::plugins::Opentelemetry,
    terms: &InstanceTerms,
    field: &'static str,
    url: Option<&str>,
) -> Result<Option<Reported>, Unusable> {
    let Some(url) = url else { return Ok(None) };
    let destination = Destination::parse(url, config.ssl_verify);
    let destination = destination.map_err(|error| Unusable { field, message: error.to_string().into() })?;
    let mut fields = vec![(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))];
    fields.extend(typed(config.headers.as_ref()).filter(|(name, _)| *name != CONTENT_TYPE));
    let of = |milliseconds: u32| Duration::from_millis(milliseconds.max(1).into());
    let (connect, send, read) =
        (of(config.connect_timeout), of(config.send_timeout), of(config.read_timeout));
    let batches = Arc::new(Batches::new(attributes(config)));
    let collector = HttpCollector {
        plugin: terms.name,
        method: Method::POST,
        destination,
        fields: fields.into(),
        timeouts: CallTimeouts { connect, send, read, total: connect + send + read },
        body: Box::new(batches.clone()),
    };
    let queue = queue_terms(&Queue::from(config.queue.clone()), config.batch());
    let reporter = Reporter::new(terms, &(field, config), queue, Arc::new(collector));
    Ok(Some(Reported { reporter, batches }))
}

/// The attributes of the resource that spans are of.
fn attributes(config: &model::plugins::Opentelemetry) -> Vec<KeyValue> {
    let given = config.resource_attributes.iter().flatten();
    let given: Vec<_> = given.map(|(name, value)| KeyValue::text(name, value)).collect();
    let usual = [("service.name", "kong"), ("service.version", crate::VERSION)];
    let usual = usual.into_iter().filter(|(name, _)| given.iter().all(|given| given.key != *name));
    usual.map(|(name, value)| KeyValue::text(name, value)).chain(given.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_that_frames_an_answer_never_holds_the_trace() {
        let header = |name: &str| {
            let config = model::plugins::Opentelemetry {
                traces_endpoint: Some("http://a.test".to_owned()),
                http_response_header_for_traceid: Some(name.to_owned()),
                ..Default::default()
            };
            Opentelemetry::compile(&config, &InstanceTerms::default()).unwrap().answer_header.is_some()
        };
        assert!(header("X-Trace"));
        assert!(!header("content-Length") && !header("Transfer-Encoding"));
    }
}
