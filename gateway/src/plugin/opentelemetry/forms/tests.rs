//! Tables of what is read and written.

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SHORT: &str = "00000000000000008448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let parse = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(parse).collect()
}

/// The trace, the span and the flag, as text.
fn read(form: Form, fields: &[(&str, &str)]) -> Option<(String, Option<String>, Option<bool>)> {
    let (_, Received { trace, span, is_sampled }) = form.read(&headers(fields))?;
    Some((trace.to_string(), span.map(|span| span.to_string()), is_sampled))
}

#[test]
fn every_form_is_read() {
    let decimal = "13235353014750950193";
    let low = u64::from_str_radix(&TRACE[16..], 16).unwrap().to_string();
    let w3c = format!("00-{TRACE}-{SPAN}-01");
    let single = format!("{TRACE}-{SPAN}-0-{SPAN}");
    let (jaeger, encoded) = (format!("{TRACE}:{SPAN}:0:1"), format!("{TRACE}%3A{SPAN}%3A0%3A0"));
    let aws = format!("Sampled=1;Root=1-{}-{};Parent={SPAN};Self=x", &TRACE[..8], &TRACE[8..]);
    let gcp = format!("{TRACE}/{decimal};o=1");
    /// The form, the fields, the trace, and whether it is sampled.
    type Case<'c> = (Form, &'c [(&'c str, &'c str)], &'c str, Option<bool>);
    let cases: [Case<'_>; 12] = [
        (Form::W3c, &[("traceparent", &w3c)], TRACE, Some(true)),
        (Form::B3, &[("b3", &single)], TRACE, Some(false)),
        (
            Form::B3,
            &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")],
            TRACE,
            Some(true),
        ),
        (Form::B3, &[("x-b3-traceid", &TRACE[16..]), ("x-b3-spanid", SPAN)], SHORT, None),
        (Form::B3, &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-flags", "1")], TRACE, Some(true)),
        (Form::Jaeger, &[("uber-trace-id", &jaeger)], TRACE, Some(true)),
        (Form::Jaeger, &[("uber-trace-id", &encoded)], TRACE, Some(false)),
        (
            Form::Ot,
            &[("ot-tracer-traceid", TRACE), ("ot-tracer-spanid", SPAN), ("ot-tracer-sampled", "true")],
            TRACE,
            Some(true),
        ),
        (
            Form::Datadog,
            &[
                ("x-datadog-trace-id", &low),
                ("x-datadog-parent-id", decimal),
                ("x-datadog-sampling-priority", "-1"),
            ],
            SHORT,
            Some(false),
        ),
        (Form::Aws, &[("x-amzn-trace-id", &aws)], TRACE, Some(true)),
        (Form::Gcp, &[("x-cloud-trace-context", &gcp)], TRACE, Some(true)),
        (
            Form::Instana,
            &[("x-instana-t", TRACE), ("x-instana-s", SPAN), ("x-instana-l", "1,correlationType=web")],
            TRACE,
            Some(true),
        ),
    ];
    for (form, fields, trace, is_sampled) in cases {
        let expected = Some((trace.to_owned(), Some(SPAN.to_owned()), is_sampled));
        assert_eq!(read(form, fields), expected, "{fields:?}");
    }
}

#[test]
fn what_is_malformed_is_not_there() {
    let zeros = format!("00-{}-{SPAN}-01", "0".repeat(32));
    let upper = format!("00-{}-{SPAN}-01", TRACE.to_uppercase());
    let more = format!("00-{TRACE}-{SPAN}-01-x");
    let wrong: [(Form, &str, &str); 16] = [
        (Form::W3c, "traceparent", ""),
        (Form::W3c, "traceparent", "00-1-2-01"),
        (Form::W3c, "traceparent", &zeros),
        (Form::W3c, "traceparent", &upper),
        (Form::W3c, "traceparent", &more),
        (Form::W3c, "traceparent", &more.replacen("00", "ff", 1)),
        (Form::B3, "b3", "0"),
        (Form::B3, "b3", "d"),
        (Form::B3, "x-b3-traceid", "123"),
        (Form::Jaeger, "uber-trace-id", "1:2:3"),
        (Form::Jaeger, "uber-trace-id", "1:2:3:4:5"),
        (Form::Jaeger, "uber-trace-id", "1:2:3:\u{7f}x"),
        (Form::Datadog, "x-datadog-trace-id", "-1"),
        (Form::Aws, "x-amzn-trace-id", "Root=1-2-3"),
        (Form::Gcp, "x-cloud-trace-context", "1/2;o=1"),
        (Form::Instana, "x-instana-t", "g"),
    ];
    for (form, name, value) in wrong {
        let Ok(value) = HeaderValue::from_str(value) else { continue };
        let fields = HeaderMap::from_iter([(name.parse().unwrap(), value)]);
        assert_eq!(form.read(&fields), None, "{name}: {fields:?}");
    }
    let later = more.replacen("00", "01", 1);
    assert!(read(Form::W3c, &[("traceparent", &later)]).is_some());
}

#[test]
fn what_is_written_is_read_again() {
    let all = [
        Form::W3c,
        Form::B3,
        Form::B3Single,
        Form::Jaeger,
        Form::Ot,
        Form::Aws,
        Form::Gcp,
        Form::Instana,
        Form::Datadog,
    ];
    for (form, is_sampled) in all.into_iter().flat_map(|form| [(form, true), (form, false)]) {
        let low = TraceId::parse(SHORT).unwrap();
        let trace = if form == Form::Datadog { low } else { TraceId::parse(TRACE).unwrap() };
        let [span, parent] = [SPAN, "1"].map(|text| SpanId::parse(text).unwrap());
        let sent = Sent { trace, span, parent, is_sampled };
        let fields: HeaderMap = form.write(&sent).into_iter().collect();
        let received = Received { trace, span: Some(span), is_sampled: Some(is_sampled) };
        assert_eq!(form.read(&fields), Some((form, received)), "{fields:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_value_of_a_client_is_a_fault(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        parts in "[0-9a-f%:;=/,-]{0,80}",
    ) {
        use Form::{Aws, B3, Datadog, Gcp, Instana, Jaeger, Ot, W3c};
        let names = [
            "traceparent",
            "b3",
            "x-b3-traceid",
            "x-b3-spanid",
            "x-b3-sampled",
            "uber-trace-id",
            "ot-tracer-traceid",
            "x-datadog-trace-id",
            "x-datadog-sampling-priority",
            "x-amzn-trace-id",
            "x-cloud-trace-context",
            "x-instana-t",
            "x-instana-l",
        ];
        for value in [&bytes[..], parts.as_bytes(), format!("Root=1-{parts}").as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            let all = names.into_iter().map(|name| (HeaderName::from_static(name), value.clone()));
            let headers: HeaderMap = all.collect();
            for form in [W3c, B3, Jaeger, Ot, Datadog, Aws, Gcp, Instana] {
                if let Some((_, received)) = form.read(&headers) {
                    proptest::prop_assert!(received.trace.0 != [0; 16]);
                }
            }
        }
    }
}
