//! The forms in which requests carry the context of a trace: how each is read and written.
//!
//! Whatever a client sends, a form that cannot be read counts as one that is not there.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::{Received, Sent, SpanId, TraceId, decimal};

/// A form of the context of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// W3C Trace Context, level 1.
    W3c,
    /// Zipkin's headers.
    B3,
    /// Zipkin's one header.
    B3Single,
    Jaeger,
    /// OpenTracing.
    Ot,
    Datadog,
    /// Amazon X-Ray.
    Aws,
    /// Google Cloud.
    Gcp,
    Instana,
}

/// A header to be set.
pub(super) type Field = (HeaderName, HeaderValue);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const JAEGER: HeaderName = HeaderName::from_static("uber-trace-id");
const OT_TRACE: HeaderName = HeaderName::from_static("ot-tracer-traceid");
const OT_SPAN: HeaderName = HeaderName::from_static("ot-tracer-spanid");
const OT_SAMPLED: HeaderName = HeaderName::from_static("ot-tracer-sampled");
const DATADOG_TRACE: HeaderName = HeaderName::from_static("x-datadog-trace-id");
const DATADOG_PARENT: HeaderName = HeaderName::from_static("x-datadog-parent-id");
const DATADOG_PRIORITY: HeaderName = HeaderName::from_static("x-datadog-sampling-priority");
const AWS: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const GCP: HeaderName = HeaderName::from_static("x-cloud-trace-context");
const INSTANA_TRACE: HeaderName = HeaderName::from_static("x-instana-t");
const INSTANA_SPAN: HeaderName = HeaderName::from_static("x-instana-s");
const INSTANA_LEVEL: HeaderName = HeaderName::from_static("x-instana-l");

impl Form {
    /// Reads the context from the fields of a request, and says in which form it was: Zipkin's may be one header.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<(Self, Received)> {
        let read = match self {
            Self::W3c => read_w3c(text(headers, &TRACEPARENT)?),
            Self::B3 | Self::B3Single => {
                let single = text(headers, &B3).and_then(read_b3_single);
                return match single {
                    Some(received) => Some((Self::B3Single, received)),
                    None => Some((Self::B3, read_b3(headers)?)),
                };
            }
            Self::Jaeger => read_jaeger(text(headers, &JAEGER)?),
            Self::Ot => Some(Received {
                trace: TraceId::parse(text(headers, &OT_TRACE)?)?,
                span: text(headers, &OT_SPAN).and_then(SpanId::parse),
                is_sampled: text(headers, &OT_SAMPLED).and_then(boolean),
            }),
            Self::Datadog => read_datadog(headers),
            Self::Aws => read_aws(text(headers, &AWS)?),
            Self::Gcp => read_gcp(text(headers, &GCP)?),
            Self::Instana => Some(Received {
                trace: TraceId::parse(text(headers, &INSTANA_TRACE)?)?,
                span: text(headers, &INSTANA_SPAN).and_then(SpanId::parse),
                is_sampled: text(headers, &INSTANA_LEVEL).and_then(|level| boolean(level.get(..1)?)),
            }),
        };
        Some((self, read?))
    }

    /// Whether a request that tells of no trace says that its own is sampled: Zipkin's forms can.
    pub(super) fn decision(self, headers: &HeaderMap) -> Option<bool> {
        if !matches!(self, Self::B3 | Self::B3Single) {
            return None;
        }
        text(headers, &B3).and_then(boolean).or_else(|| b3_decision(headers))
    }

    /// The fields that carry the context.
    pub(super) fn write(self, sent: &Sent) -> Vec<Field> {
        let Sent { trace, span, parent, is_sampled } = sent;
        let flag = u8::from(*is_sampled);
        let fields = match self {
            Self::W3c => vec![(TRACEPARENT, format!("00-{trace}-{span}-0{flag}"))],
            Self::B3 => vec![
                (B3_TRACE, trace.to_string()),
                (B3_SPAN, span.to_string()),
                (B3_PARENT, parent.to_string()),
                (B3_SAMPLED, flag.to_string()),
            ],
            Self::B3Single => vec![(B3, format!("{trace}-{span}-{flag}-{parent}"))],
            Self::Jaeger => vec![(JAEGER, format!("{trace}:{span}:{parent}:0{flag}"))],
            Self::Ot => vec![
                (OT_TRACE, trace.to_string()),
                (OT_SPAN, span.to_string()),
                (OT_SAMPLED, flag.to_string()),
            ],
            Self::Datadog => vec![
                (DATADOG_TRACE, trace.low().to_string()),
                (DATADOG_PARENT, span.number().to_string()),
                (DATADOG_PRIORITY, flag.to_string()),
            ],
            Self::Aws => {
                let digits = trace.to_string();
                let (time, rest) = digits.split_at(8);
                vec![(AWS, format!("Root=1-{time}-{rest};Parent={span};Sampled={flag}"))]
            }
            Self::Gcp => vec![(GCP, format!("{trace}/{};o={flag}", span.number()))],
            Self::Instana => vec![
                (INSTANA_TRACE, trace.to_string()),
                (INSTANA_SPAN, span.to_string()),
                (INSTANA_LEVEL, flag.to_string()),
            ],
        };
        // Digits and a few signs.
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
            .collect()
    }

    /// The fields of the form that a request may have and that are not written.
    pub(super) fn stale_fields(self) -> &'static [HeaderName] {
        static OF_B3: [HeaderName; 1] = [B3_FLAGS];
        if self == Self::B3 { &OF_B3 } else { &[] }
    }

    /// The name in entries of logs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::B3 | Self::B3Single => "b3",
            Self::Jaeger => "jaeger",
            Self::Ot => "ot",
            Self::Datadog => "datadog",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Instana => "instana",
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `00-TRACE-SPAN-FLAGS`. Later versions may have more parts behind these.
fn read_w3c(text: &str) -> Option<Received> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_lower_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = [version.len(), trace.len(), span.len(), flags.len()] == [2, 32, 16, 2];
    if !lengths || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    if ![version, trace, span, flags].into_iter().all(is_lower_hex) {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(Received {
        trace: TraceId::parse(trace)?,
        span: Some(SpanId::parse(span)?),
        is_sampled: Some(flags & 1 == 1),
    })
}

/// `TRACE-SPAN-SAMPLED-PARENT`, of which the last two may be missing.
fn read_b3_single(text: &str) -> Option<Received> {
    let mut parts = text.split('-');
    let trace = b3_trace(parts.next()?)?;
    let span = SpanId::parse(parts.next()?)?;
    let is_sampled = parts.next().and_then(boolean);
    Some(Received { trace, span: Some(span), is_sampled })
}

fn read_b3(headers: &HeaderMap) -> Option<Received> {
    let trace = b3_trace(text(headers, &B3_TRACE)?)?;
    let span = text(headers, &B3_SPAN).and_then(SpanId::parse);
    Some(Received { trace, span, is_sampled: b3_decision(headers) })
}

fn b3_decision(headers: &HeaderMap) -> Option<bool> {
    let is_debug = text(headers, &B3_FLAGS) == Some("1");
    if is_debug { Some(true) } else { text(headers, &B3_SAMPLED).and_then(boolean) }
}

fn b3_trace(text: &str) -> Option<TraceId> {
    TraceId::parse(text).filter(|_| matches!(text.len(), 16 | 32))
}

/// `TRACE:SPAN:PARENT:FLAGS`, without the zeros before the digits.
fn read_jaeger(text: &str) -> Option<Received> {
    // Clients may encode the colons.
    let decoded = text.replace("%3A", ":").replace("%3a", ":");
    let mut parts = decoded.split(':');
    let (trace, span, _, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let flags = u8::from_str_radix(flags, 16).ok().filter(|_| parts.next().is_none())?;
    Some(Received {
        trace: TraceId::parse(trace)?,
        span: SpanId::parse(span),
        is_sampled: Some(flags & 1 == 1),
    })
}

fn read_datadog(headers: &HeaderMap) -> Option<Received> {
    let trace = decimal(text(headers, &DATADOG_TRACE)?)?;
    let priority = text(headers, &DATADOG_PRIORITY).and_then(|text| text.parse::<i32>().ok());
    Some(Received {
        trace: TraceId::of(u128::from(trace).to_be_bytes())?,
        span: text(headers, &DATADOG_PARENT).and_then(SpanId::parse_decimal),
        is_sampled: priority.map(|priority| priority > 0),
    })
}

/// `Root=1-TIME-REST;Parent=SPAN;Sampled=1`, in any order.
fn read_aws(text: &str) -> Option<Received> {
    let (mut trace, mut span, mut is_sampled) = (None, None, None);
    for (name, value) in text.split(';').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "Root" => {
                let (time, rest) = value.strip_prefix("1-")?.split_once('-')?;
                let is_whole = time.len() == 8 && rest.len() == 24;
                trace = TraceId::parse(&[time, rest].concat()).filter(|_| is_whole);
            }
            "Parent" => span = SpanId::parse(value),
            "Sampled" => is_sampled = boolean(value),
            _ => {}
        }
    }
    Some(Received { trace: trace?, span, is_sampled })
}

/// `TRACE/SPAN;o=1`, of which the end may be missing. The span is a decimal number.
fn read_gcp(text: &str) -> Option<Received> {
    let (context, options) = text.split_once(";o=").map_or((text, None), |(context, o)| (context, Some(o)));
    let (trace, span) = context.split_once('/').map_or((context, None), |(trace, span)| (trace, Some(span)));
    Some(Received {
        trace: TraceId::parse(trace).filter(|_| trace.len() == 32)?,
        span: span.and_then(SpanId::parse_decimal),
        is_sampled: options.and_then(boolean),
    })
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
