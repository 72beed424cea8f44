//! opentelemetry: contexts of traces on their way, and what a collector receives.

mod official;

use prost::Message;
use serde_json::{Value, json};
use testkit::http::Request;
use testkit::origin::{Answer, Origin, Received};
use testkit::wait;

use super::Plugged;
use super::logs::SOON;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// What a test reads of the messages of OTLP.
mod otlp {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resources: Vec<Resources>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Resources {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Attributes>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scopes: Vec<Scope>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Attributes {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<Attribute>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Attribute {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Value>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Value {
        #[prost(string, tag = "1")]
        pub(super) text: String,
        #[prost(int64, tag = "3")]
        pub(super) number: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Scope {
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(fixed64, tag = "7")]
        pub(super) start: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) end: u64,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<Attribute>,
    }
}

/// The statuses of the requests whose root spans a collector received.
pub(super) fn statuses(received: &[Received]) -> Vec<u16> {
    let requests = received.iter().map(|received| otlp::Request::decode(&*received.body).unwrap());
    let spans = requests.flat_map(|request| request.resources[0].scopes[0].spans.clone());
    let status = |span: otlp::Span| {
        let status = span.attributes.into_iter().find(|one| one.key == "http.status_code").unwrap();
        u16::try_from(status.value.unwrap().number).unwrap()
    };
    spans.filter(|span| span.name == "kong").map(status).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn opentelemetry(endpoint: &str, more: Value) -> Value {
    let mut config = json!({ "traces_endpoint": endpoint, "sampling_rate": 0 });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "name": "opentelemetry", "config": config })
}

fn traced(flag: &str) -> Request {
    Request::new("GET", "/a?key=1").header("traceparent", &format!("00-{TRACE}-{SPAN}-{flag}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sampled_trace_is_continued_and_its_spans_are_sent() {
    let collector = Origin::start();
    let more = json!({
        "resource_attributes": { "service.name": "edge", "team": "a" }, "headers": { "X-Key": "k" },
        "http_response_header_for_traceid": "X-Trace",
    });
    let endpoint = format!("{}/v1/traces", collector.url());
    let plugged = Plugged::start(&[opentelemetry(&endpoint, more)]);
    let response = plugged.send(&traced("01")).await;
    assert_eq!(response.header("x-trace"), Some(TRACE));
    let sent = plugged.received()[0].header("traceparent").unwrap().to_owned();
    let parts: Vec<_> = sent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"));

    wait::until(SOON, "the spans are sent", || collector.count() > 0).await;
    let received = collector.last();
    assert_eq!(
        (&*received.target, received.header("content-type")),
        ("/v1/traces", Some("application/x-protobuf"))
    );
    assert_eq!(received.header("x-key"), Some("k"));
    let request = otlp::Request::decode(&*received.body).unwrap();
    let resources = &request.resources[0];
    let attributes = &resources.resource.as_ref().unwrap().attributes;
    let of =
        |key: &str| attributes.iter().find(|one| one.key == key).map(|one| one.value.clone().unwrap().text);
    assert_eq!((of("service.name").as_deref(), of("team").as_deref()), (Some("edge"), Some("a")));
    assert!(of("service.instance.id").is_some_and(|id| id.len() == 36));
    let spans = &resources.scopes[0].spans;
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert!(names.starts_with(&["kong"]) && names.ends_with(&["kong.balancer"]), "{names:?}");
    let (root, upstream) = (&spans[0], spans.last().unwrap());
    assert_eq!((hex(&root.trace), hex(&root.parent)), (TRACE.to_owned(), SPAN.to_owned()));
    assert_eq!((hex(&upstream.id), &upstream.parent), (parts[2].to_owned(), &root.id));
    assert!(root.start <= upstream.start && upstream.start <= upstream.end && upstream.end <= root.end);
    let status = root.attributes.iter().find(|one| one.key == "http.status_code").unwrap();
    assert_eq!(status.value.as_ref().unwrap().number, 200);
    assert!(!format!("{root:?}").contains("key=1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_of_the_client_is_kept_and_the_rate_decides_otherwise() {
    let collector = Origin::start();
    let plugged = Plugged::start(&[opentelemetry(&collector.url(), json!({ "sampling_rate": 1 }))]);
    plugged.send(&traced("00")).await.expect(200);
    let sent = plugged.received()[0].header("traceparent").unwrap().to_owned();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-00"), "{sent}");
    plugged.get("/").await.expect(200);
    let sent = plugged.received()[0].header("traceparent").unwrap().to_owned();
    assert!(sent.ends_with("-01") && !sent.contains(TRACE), "{sent}");
    wait::until(SOON, "the spans of one are sent", || collector.count() > 0).await;
    let request = otlp::Request::decode(&*collector.last().body).unwrap();
    assert!(request.resources[0].scopes[0].spans.iter().all(|span| hex(&span.trace) != TRACE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_are_read_written_and_cleared_as_configured() {
    let collector = Origin::start();
    for (propagation, fields, expected, absent) in [
        (json!({}), vec![("b3", format!("{TRACE}-{SPAN}-1"))], vec!["b3"], vec!["traceparent"]),
        (
            json!({ "inject": ["preserve", "w3c", "datadog"] }),
            vec![("uber-trace-id", format!("{TRACE}:{SPAN}:0:1"))],
            vec!["uber-trace-id", "traceparent", "x-datadog-trace-id"],
            vec![],
        ),
        (
            json!({ "clear": ["uber-trace-id"], "inject": ["w3c"] }),
            vec![("uber-trace-id", format!("{TRACE}:{SPAN}:0:1"))],
            vec!["traceparent"],
            vec!["uber-trace-id"],
        ),
        (
            json!({ "extract": ["b3"] }),
            vec![("traceparent", format!("00-{TRACE}-{SPAN}-01"))],
            vec!["traceparent"],
            vec![],
        ),
        (json!({ "default_format": "gcp" }), vec![], vec!["x-cloud-trace-context"], vec!["traceparent"]),
    ] {
        let plugged =
            Plugged::start(&[opentelemetry(&collector.url(), json!({ "propagation": propagation }))]);
        let with = |request: Request, (name, value): &(&str, String)| request.header(name, value);
        plugged.send(&fields.iter().fold(Request::new("GET", "/"), with)).await.expect(200);
        let received = &plugged.received()[0];
        for name in expected {
            assert!(received.header(name).is_some(), "{propagation} {name}");
        }
        for name in absent {
            assert!(received.header(name).is_none(), "{propagation} {name}");
        }
        let continues = received.headers.iter().any(|(_, value)| value.contains(TRACE));
        let reads = !fields.is_empty() && propagation.get("extract").is_none();
        assert_eq!(continues, reads, "{propagation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_without_a_trace_holds() {
    let collector = Origin::start();
    for (rate, fields, flag) in [
        (1, [("b3", "0")], "-00"),
        (1, [("x-b3-sampled", "0")], "-00"),
        (0, [("b3", "1")], "-01"),
        (0, [("b3", "d")], "-01"),
        (0, [("x-b3-flags", "1")], "-01"),
        (1, [("b3", "x")], "-01"),
    ] {
        let plugged = Plugged::start(&[opentelemetry(&collector.url(), json!({ "sampling_rate": rate }))]);
        let with = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
        plugged.send(&fields.iter().fold(Request::new("GET", "/"), with)).await.expect(200);
        let sent = plugged.received()[0].header("traceparent").unwrap().to_owned();
        assert!(sent.ends_with(flag), "{fields:?}: {sent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_attempts_have_spans_and_hostile_contexts_are_ignored() {
    let collector = Origin::start();
    let mut plugged = Plugged::start(&[opentelemetry(&collector.url(), json!({ "sampling_rate": 1 }))]);
    plugged.origin.answer(Answer::status(200));
    for hostile in ["", "00", "00-0-0-01", &"f".repeat(5000), "00-\u{fc}-1-01"] {
        plugged.send(&Request::new("GET", "/").header("traceparent", hostile)).await.expect(200);
    }
    plugged.origin.stop();
    plugged.get("/").await.expect(502);
    let spans = || -> Vec<otlp::Span> {
        let requests = collector.requests().into_iter();
        let requests = requests.map(|received| otlp::Request::decode(&*received.body).unwrap());
        requests.flat_map(|request| request.resources[0].scopes[0].spans.clone()).collect()
    };
    wait::until(SOON, "six attempts have spans", || {
        let last = spans().into_iter().rev().take(7).filter(|span| span.name == "kong.balancer").count();
        last == 6
    })
    .await;
}
