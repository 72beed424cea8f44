//! opentelemetry: what is sent, read by the official classes of OTLP. Every field that is sent is compared: a
//! wrong number, type or word of any of them fails.

use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use model::Service;
use serde_json::{Map, Value, json};
use testkit::http::Request;
use testkit::ports;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{SOON, SPAN, TRACE};
use crate::plugins::Plugged;
use crate::support::{at, route, service};

/// The collector in `collector.py`. Ends when it is dropped.
struct Collector {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    /// The spans that have come.
    spans: Vec<Value>,
    /// The records that have come.
    records: Vec<Value>,
    _input: ChildStdin,
    _process: Child,
}

impl Collector {
    async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/plugins/traces/collector.py");
        let mut command = Command::new("otlp-python");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("opentelemetry-proto is installed; `make tools` does it");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = timeout(SOON, lines.next_line()).await.unwrap().unwrap().expect("it listens");
        let (port, input) = (port.parse().unwrap(), process.stdin.take().unwrap());
        Self { port, lines, spans: Vec::new(), records: Vec::new(), _input: input, _process: process }
    }

    fn plugin(&self) -> Value {
        let url = |path: &str| format!("http://127.0.0.1:{}/v1/{path}", self.port);
        let config = json!({
            "traces_endpoint": url("traces"), "logs_endpoint": url("logs"), "sampling_rate": 1,
            "resource_attributes": { "team": "a" }, "queue": { "max_coalescing_delay": 0.1 },
        });
        json!({ "name": "opentelemetry", "config": config })
    }

    /// The spans and the record of one request, in the order in which they were sent.
    async fn read(&mut self, spans: usize) -> (Vec<Value>, Value) {
        while self.spans.len() < spans || self.records.is_empty() {
            let line = timeout(SOON, self.lines.next_line()).await.expect("it is sent in time");
            self.take(&serde_json::from_str(&line.unwrap().expect("the collector runs")).unwrap());
        }
        assert_eq!((self.spans.len(), self.records.len()), (spans, 1), "{:?}", self.spans);
        (std::mem::take(&mut self.spans), self.records.remove(0))
    }

    /// Takes a request apart. All entries of a request are of one resource and of one scope.
    fn take(&mut self, line: &Value) {
        let is_of_spans = line["path"] == "/v1/traces";
        let (resources, scopes, entries, to) = match is_of_spans {
            true => ("resource_spans", "scope_spans", "spans", &mut self.spans),
            false => ("resource_logs", "scope_logs", "log_records", &mut self.records),
        };
        assert_eq!(line["content_type"], "application/x-protobuf");
        let mut message = line["message"].clone();
        let Value::Array(taken) = message[resources][0][scopes][0][entries].take() else {
            panic!("no entries: {line}");
        };
        to.extend(taken);
        let resource = &mut message[resources][0]["resource"];
        resource["attributes"] = by_key(resource["attributes"].take());
        let instance = resource["attributes"]["service.instance.id"].take();
        assert_eq!(instance["string_value"].as_str().map(str::len), Some(36), "{line}");
        let scope = json!({ "name": "kong-internal", "version": "0.1.0" });
        let attributes = json!({
            "service.name": text("kong"), "service.version": text(gateway::VERSION), "team": text("a"),
            "service.instance.id": null,
        });
        let scopes_of = json!([{ "scope": scope, entries: null }]);
        let expected =
            json!({ resources: [{ "resource": { "attributes": attributes }, scopes: scopes_of }] });
        assert_eq!(message, expected);
    }
}

/// An entry without what differs from request to request.
struct Entry {
    id: String,
    from: u64,
    to: u64,
    /// All other fields; the attributes by their keys.
    rest: Value,
}

impl Entry {
    fn of(mut entry: Value, from: &str, to: &str) -> Self {
        entry["attributes"] = by_key(entry["attributes"].take());
        let fields = entry.as_object_mut().unwrap();
        let mut take = |name: &str| fields.remove(name).unwrap_or_else(|| panic!("no {name}: {fields:?}"));
        let (id, from, to) = (take("span_id"), take(from), take(to));
        let id = id.as_str().unwrap().to_owned();
        assert!(id.len() == 16 && id != "0".repeat(16), "{id}");
        Self { id, from: from.as_u64().unwrap(), to: to.as_u64().unwrap(), rest: entry }
    }

    fn span(span: Value) -> Self {
        Self::of(span, "start_time_unix_nano", "end_time_unix_nano")
    }

    fn record(record: Value) -> Self {
        Self::of(record, "time_unix_nano", "observed_time_unix_nano")
    }

    fn is_within(&self, from: u64, to: u64) -> bool {
        from <= self.from && self.from <= self.to && self.to <= to
    }
}

/// Attributes by their keys, each of which is there once.
fn by_key(attributes: Value) -> Value {
    let mut found = Map::new();
    for attribute in attributes.as_array().unwrap() {
        let key = attribute["key"].as_str().unwrap().to_owned();
        assert_eq!(attribute.as_object().unwrap().len(), 2, "{attribute}");
        assert!(found.insert(key, attribute["value"].clone()).is_none(), "{attribute}");
    }
    Value::Object(found)
}

fn text(value: &str) -> Value {
    json!({ "string_value": value })
}

fn integer(value: u16) -> Value {
    json!({ "int_value": value })
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// What the root span of a request has, but for its parent and status.
fn root(trace: &str, method: &str, flavor: &str, id: &str, status: u16) -> Value {
    let attributes = json!({
        "http.method": text(method), "http.url": text("http://127.0.0.1/a"), "http.host": text("127.0.0.1"),
        "http.scheme": text("http"), "http.flavor": text(flavor), "http.client_ip": text("127.0.0.1"),
        "net.peer.ip": text("127.0.0.1"), "kong.request.id": text(id), "http.status_code": integer(status),
        "http.route": text("/"),
    });
    json!({ "trace_id": trace, "name": "kong", "kind": "SPAN_KIND_SERVER", "attributes": attributes })
}

/// What the record of a request has, but for its body and flags.
fn record(trace: &str, id: &str, is_from_upstream: bool) -> Value {
    let attributes =
        json!({ "kong.request.id": text(id), "kong.from_upstream": { "bool_value": is_from_upstream } });
    json!({
        "trace_id": trace, "severity_number": "SEVERITY_NUMBER_INFO", "severity_text": "INFO",
        "attributes": attributes,
    })
}

/// Takes the entry of the log out of a record.
fn taken_body(record: &mut Entry) -> Value {
    let body = record.rest.as_object_mut().unwrap().remove("body").unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    serde_json::from_str(body["string_value"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_request_has_its_spans_and_its_record() {
    let mut collector = Collector::start().await;
    let plugged = Plugged::start(&[collector.plugin()]);
    let by_name = Service { host: "localhost".into(), ..service(1, &plugged.origin) };
    plugged.gateway.serve(by_name, route(1, "/"));
    let begun = now();
    let request = Request::new("GET", "/a?key=1").header("traceparent", &format!("00-{TRACE}-{SPAN}-01"));
    let answer = plugged.send(&request).await.expect(200);
    let id = answer.header("x-kong-request-id").unwrap();
    let (spans, logged) = collector.read(3).await;
    let [mut first, mut look_up, mut attempt] = <[Value; 3]>::try_from(spans).unwrap().map(Entry::span);

    let mut expected = root(TRACE, "GET", "1.1", id, 200);
    expected["parent_span_id"] = json!(SPAN);
    assert_eq!(first.rest.take(), expected);
    assert!(first.is_within(begun, now()), "{} {}", first.from, first.to);
    let expected = json!({
        "trace_id": TRACE, "parent_span_id": first.id, "name": "kong.dns", "kind": "SPAN_KIND_INTERNAL",
        "attributes": { "dns.record.domain": text("localhost") },
    });
    assert_eq!(look_up.rest.take(), expected);
    let expected = json!({
        "trace_id": TRACE, "parent_span_id": first.id, "name": "kong.balancer", "kind": "SPAN_KIND_CLIENT",
        "attributes": {
            "try_count": integer(1), "net.peer.ip": text("127.0.0.1"), "net.peer.name": text("localhost"),
            "net.peer.port": integer(plugged.origin.address().port()),
        },
    });
    assert_eq!(attempt.rest.take(), expected);
    for inner in [&look_up, &attempt] {
        assert!(inner.is_within(first.from, first.to) && inner.id != first.id);
    }
    assert_eq!(plugged.received()[0].header("traceparent"), Some(&*format!("00-{TRACE}-{}-01", attempt.id)));

    let mut logged = Entry::record(logged);
    let entry = taken_body(&mut logged);
    assert_eq!((&entry["request"]["id"], &entry["response"]["status"]), (&json!(id), &json!(200)));
    assert_eq!((&logged.id, logged.from, logged.to), (&first.id, first.from, first.to));
    let mut expected = record(TRACE, id, true);
    expected["flags"] = json!(1);
    assert_eq!(logged.rest, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_request_has_a_status_and_one_that_is_not_sampled_a_record_only() {
    let (mut collector, nobody) = (Collector::start().await, ports::reserve());
    let plugged = Plugged::start(&[collector.plugin()]);
    plugged.gateway.serve(Service { retries: 1, ..at(1, nobody.address()) }, route(1, "/"));
    let url = format!("http://{}/a", plugged.gateway.address());
    let ask = ["--http2-prior-knowledge", "--include", "--data", "x=1", &url];
    let answer = testkit::curl::curl(&ask).await.unwrap();
    assert!(answer.starts_with("HTTP/2 502"), "{answer}");
    let id = answer.lines().find_map(|line| line.strip_prefix("x-kong-request-id: ")).unwrap().trim();
    let (spans, logged) = collector.read(3).await;
    let [mut first, one, other] = <[Value; 3]>::try_from(spans).unwrap().map(Entry::span);

    let trace = first.rest["trace_id"].as_str().unwrap().to_owned();
    assert!(trace.len() == 32 && trace != TRACE, "{trace}");
    let mut expected = root(&trace, "POST", "2.0", id, 502);
    expected["status"] = json!({ "message": "upstream_connect", "code": "STATUS_CODE_ERROR" });
    assert_eq!(first.rest.take(), expected);
    for (attempt, number) in [one, other].into_iter().zip(1..) {
        let expected = json!({
            "trace_id": trace, "parent_span_id": first.id, "name": "kong.balancer",
            "kind": "SPAN_KIND_CLIENT",
            "attributes": {
                "try_count": integer(number), "net.peer.ip": text("127.0.0.1"),
                "net.peer.port": integer(nobody.address().port()), "http.status_code": integer(502),
            },
            "status": { "code": "STATUS_CODE_ERROR" },
        });
        assert!(attempt.is_within(first.from, first.to));
        assert_eq!(attempt.rest, expected);
    }
    let mut logged = Entry::record(logged);
    assert_eq!(taken_body(&mut logged)["response"]["status"], 502);
    let mut expected = record(&trace, id, false);
    expected["flags"] = json!(1);
    assert_eq!(logged.rest, expected);

    // The client has decided: the collector of logs learns of the trace, that of traces does not.
    let request = Request::new("GET", "/a").header("traceparent", &format!("00-{TRACE}-{SPAN}-00"));
    let answer = plugged.send(&request).await.expect(502);
    let (_, logged) = collector.read(0).await;
    let mut logged = Entry::record(logged);
    taken_body(&mut logged);
    assert_eq!(logged.rest, record(TRACE, answer.header("x-kong-request-id").unwrap(), false));
}
