//! Every response that the gateway makes itself: status, fields, and the body in each form.

use std::time::Duration;

use gateway::table::Change;
use model::{Protocol, Route, Service};
use testkit::http::{Request, Response};
use testkit::origin::{Answer, Origin};
use testkit::ports;
use uuid::Uuid;

use super::SHORT;
use crate::support::{Gateway, at, route, service};

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Html,
    Xml,
    Text,
}

type Fields = &'static [(&'static str, &'static str)];

use Form::{Html, Json, Text, Xml};

const INVALID: &str = "An invalid response was received from the upstream server";
const HEADER: &str = "Request header or cookie too large";

/// Method, target, status, reason in the metrics, message, and the form for a client without a preference.
const ANSWERS: [(&str, &str, u16, &str, &str, Form); 12] = [
    ("GET", "/nowhere", 404, "no_route", "no Route matched with those values", Json),
    ("GET", "/secure", 426, "https_required", "Please use HTTPS protocol", Json),
    ("GET", "/alone", 503, "no_service", "no Service found with those values", Json),
    ("GET", "/unnamed", 503, "name_resolution", "name resolution failed", Json),
    ("GET", "/dead", 502, "upstream_connect", INVALID, Text),
    ("GET", "/broken", 502, "upstream_invalid", INVALID, Text),
    ("GET", "/plain", 502, "upstream_tls", INVALID, Text),
    ("GET", "/slow", 504, "upstream_timeout", "The upstream server is timing out", Text),
    ("GET", "/a%00b", 400, "bad_request", "Bad request", Text),
    ("CONNECT", "h:443", 405, "method_not_allowed", "Method not allowed", Text),
    ("GET", "/long", 414, "uri_too_long", "URI too long", Text),
    ("GET", "/fields", 431, "header_too_large", HEADER, Text),
];

/// The client's fields, and the resulting form; `None`: that of the failure.
const CLIENTS: [(Fields, Option<Form>); 11] = [
    (&[], None),
    (&[("Accept", "application/json")], Some(Json)),
    (&[("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")], Some(Html)),
    (&[("Accept", "text/html;q=0.2, application/xml;q=0.7, text/plain;q=0.5")], Some(Xml)),
    (&[("Accept", "text/plain")], Some(Text)),
    (&[("Accept", "application/json;q=0.1"), ("accept", "text/xml")], Some(Xml)),
    (&[("Accept", "image/png, text/html;q=0")], None),
    (&[("Accept", "*/*"), ("Content-Type", "text/html")], Some(Json)),
    (&[("Content-Type", "application/json; charset=utf-8")], Some(Json)),
    (&[("Content-Type", "application/xml")], Some(Xml)),
    (&[("Content-Type", "application/octet-stream")], None),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_in_every_form() {
    let (gateway, origin, nobody) = (Gateway::start(), Origin::start(), ports::reserve());
    origin.answer_with(|received| match &*received.target {
        "/broken" => Answer::raw("nonsense\r\n\r\n"),
        _ => Answer::echo().delay(Duration::from_secs(10)),
    });
    let own = |path: &str| Service { path: Some(path.into()), ..service(0, &origin) };
    failing(&gateway, 1, "/unnamed", Service { host: "no-such-name.invalid".into(), ..own("/") });
    failing(&gateway, 2, "/dead", at(0, nobody.address()));
    failing(&gateway, 3, "/broken", own("/broken"));
    failing(&gateway, 4, "/plain", Service { protocol: Protocol::Https, ..own("/") });
    failing(&gateway, 5, "/slow", Service { read_timeout: SHORT / 10, ..own("/slow") });
    let secure = Route { protocols: vec![Protocol::Https], ..route(6, "/secure") };
    gateway.apply(vec![Change::put(secure), Change::put(route(7, "/alone"))]);

    for (method, target, status, reason, message, form) in ANSWERS {
        for (fields, asked) in CLIENTS {
            let response = gateway.client.send(&request(method, target, fields)).await.unwrap();
            assert_is(&response, status, message, asked.unwrap_or(form));
        }
        let counted = format!("gibbon_http_errors_total{{reason=\"{reason}\"}}");
        gateway.wait_metric(&counted, CLIENTS.len() as f64).await;
        if method == "GET" {
            let head = gateway.client.send(&request("HEAD", target, &[])).await.unwrap().expect(status);
            assert_eq!(head.body.len(), 0, "{target}");
            assert_ne!(head.header("content-length"), Some("0"), "{target}");
        }
    }
}

/// With `https_redirect_status_code`; to the host that the client asked for, at the protocol's own port.
#[tokio::test(flavor = "multi_thread")]
async fn plaintext_for_an_https_route_is_sent_to_https() {
    let origin = Origin::start();
    for (trusted_ips, forwarded_host, host) in
        [("", "front.example", "shop.example"), ("127.0.0.1", "front.example:8443", "front.example")]
    {
        let gateway = Gateway::with(&[("proxy.trusted_ips", trusted_ips)]);
        let https = Route { protocols: vec![Protocol::Https], ..route(1, "/") };
        for status in [301, 302, 307, 308] {
            gateway.serve(service(1, &origin), Route { https_redirect_status_code: status, ..https.clone() });
            let request = Request::new("GET", "/a/../%61?b=%2e/").header("Host", "Shop.Example:8000");
            let request = request.header("X-Forwarded-Host", forwarded_host);
            let response = gateway.client.send(&request).await.unwrap().expect(status);
            assert_eq!(response.header("location"), Some(&*format!("https://{host}/a/../%61?b=%2e/")));
            assert_eq!((response.body.len(), response.header("upgrade")), (0, None));
            assert_eq!(response.header("connection"), Some("keep-alive"));
            let request = request.header("X-Forwarded-Proto", "https");
            let proxied = if trusted_ips.is_empty() { status } else { 200 };
            gateway.client.send(&request).await.unwrap().expect(proxied);
        }
        gateway.serve(service(1, &origin), https);
        let response = gateway.get("/").await.expect(426);
        assert_eq!(response.header("upgrade"), Some("TLS/1.2, HTTP/1.1"));
        let options: Vec<_> = response.header_values("connection").collect();
        assert_eq!(options, ["Upgrade", "keep-alive"], "who sends Upgrade names it (RFC 9110, section 7.8)");
    }
}

/// Puts a service that cannot be reached, without retries, and a route to it.
fn failing(gateway: &Gateway, id: u128, path: &str, service: Service) {
    let service = Service { id: Uuid::from_u128(id), retries: 0, ..service };
    let route = Route { service: Some(service.id), ..route(id, path) };
    gateway.apply(vec![Change::put(service), Change::put(route)]);
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request {
    let request = match target {
        "/long" => Request::new(method, &format!("/{}", "x".repeat(9000))),
        "/fields" => (0..100).fold(Request::new(method, target), |all, n| all.header(&format!("X-{n}"), "1")),
        "h:443" => Request::new(method, target).header("Host", target),
        _ => Request::new(method, target),
    };
    fields.iter().fold(request, |request, (name, value)| request.header(name, value))
}

#[track_caller]
fn assert_is(response: &Response, status: u16, message: &str, form: Form) {
    let text = response.text();
    assert_eq!(response.status, status, "{text}");
    let id = response.header("x-kong-request-id").unwrap();
    let (content_type, body) = match form {
        Json => {
            ("application/json", format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{id}\"\n}}"))
        }
        Html => (
            "text/html",
            format!(
                "<!doctype html>\n<title>Error</title>\n<h1>Error</h1>\n<p>{message}</p>\n\
                 <p>request_id: {id}</p>\n"
            ),
        ),
        Xml => (
            "application/xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>{message}</message>\n  \
                 <requestid>{id}</requestid>\n</error>\n"
            ),
        ),
        Text => ("text/plain", format!("{message}\nrequest_id: {id}\n")),
    };
    assert_eq!(text, body);
    assert_eq!(response.header("content-type"), Some(&*format!("{content_type}; charset=utf-8")));
    assert!(response.header("server").unwrap().starts_with("gibbon/"));
    let (latency, other) = match status {
        502 | 504 => ("x-kong-upstream-latency", "x-kong-response-latency"),
        _ => ("x-kong-response-latency", "x-kong-upstream-latency"),
    };
    assert!(response.header(latency).unwrap().parse::<u64>().is_ok());
    assert_eq!(response.header(other), None);
    assert_eq!(response.header("allow").is_some(), status == 405);
}
