//! Tests calls over real connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use http::header::AUTHORIZATION;
use prometheus::Registry;
use testkit::origin::{Answer, Origin};
use tokio::task::JoinSet;

use super::*;
use crate::dns::{DnsTerms, Endpoint, Families, Found, Limits, LookUp, LookUpError, Query, RecordKind};
use crate::metrics::DnsMetrics;
use crate::upstream::{DENIED, Rules};

const SOON: Duration = Duration::from_secs(10);

/// Knows one name of this machine, and one that leads to credentials of a cloud.
#[derive(Debug, Default)]
struct Hosts(AtomicUsize);

#[async_trait]
impl LookUp for Hosts {
    async fn look_up(&self, query: &Query) -> Result<Found, LookUpError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let address = match &*query.host {
            "here.test" => [127, 0, 0, 1],
            "metadata.test" => [169, 254, 169, 254],
            _ => return Err(LookUpError::NoName),
        };
        let endpoints = vec![Endpoint::of(address.into())];
        Ok(Found { endpoints, kind: RecordKind::A, ttl: SOON, missing: vec![] })
    }
}

/// A client, and the task of its look-ups.
pub(crate) fn client(calls_of_host: usize) -> (Outbound, JoinSet<()>) {
    node::install_tls_provider();
    let terms = DnsTerms {
        min_ttl: Duration::from_secs(1),
        max_ttl: SOON,
        stale: SOON,
        nx_grace: SOON,
        families: Families::V4,
    };
    let metrics = DnsMetrics::new(&Registry::new()).unwrap();
    let limits = Limits { timeout: SOON, waiting: 100 };
    let (names, driver) = Names::new(Hosts::default(), limits, terms, metrics);
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    let deny = DENIED.iter().map(|network| network.parse().unwrap()).collect();
    let policy = Arc::new(Policy::new(Rules { deny, ..Rules::default() }));
    (Outbound::new(names, policy, OutboundLimits { calls_of_host, idle: 16 }), tasks)
}

fn post<'c>(destination: &'c Destination, body: &'static str) -> Call<'c> {
    Call {
        plugin: Uuid::from_u128(1),
        method: Method::POST,
        destination,
        fields: &[],
        body: Bytes::from_static(body.as_bytes()),
        timeouts: CallTimeouts::all(SOON),
        max_answer: Some(1000),
        may_repeat: false,
    }
}

fn to(origin: &Origin, target: &str) -> Destination {
    let port = origin.address().port();
    Destination::parse(&format!("http://here.test:{port}{target}"), true).unwrap()
}

#[tokio::test]
async fn request_arrives_as_it_was_given_and_connections_are_kept() {
    let ((client, _tasks), origin) = (client(8), Origin::start());
    let destination = to(&origin, "/x?y=1");
    let fields = [(AUTHORIZATION, HeaderValue::from_static("Bearer t"))];
    for _ in 0..3 {
        let answer = client.send(Call { fields: &fields, ..post(&destination, "hello") }).await.unwrap();
        assert_eq!(
            (answer.status, answer.fields["content-type"].as_bytes()),
            (StatusCode::OK, &b"application/json"[..])
        );
        assert!(answer.body.starts_with(b"{"));
    }
    let received = origin.last();
    let headers: Vec<_> = received.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let host = format!("host: here.test:{}", origin.address().port());
    let agent = format!("user-agent: gibbon/{}", crate::VERSION);
    assert_eq!(headers, [&*host, "authorization: Bearer t", &*agent, "content-length: 5"]);
    assert_eq!((&*received.method, &*received.target, &*received.body), ("POST", "/x?y=1", &b"hello"[..]));
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn denied_address_is_not_called_whatever_its_name() {
    let (client, _tasks) = client(8);
    for (url, failure) in [
        ("http://metadata.test/latest", CallFailure::Denied),
        ("http://169.254.169.254/", CallFailure::Denied),
        ("http://[::ffff:169.254.169.254]/", CallFailure::Denied),
        ("http://unknown.test/", CallFailure::NameResolution),
    ] {
        let destination = Destination::parse(url, true).unwrap();
        assert_eq!(client.send(post(&destination, "")).await.unwrap_err(), failure, "{url}");
    }
}

#[tokio::test]
async fn redirect_is_an_answer_and_is_not_followed() {
    let ((client, _tasks), origin) = (client(8), Origin::start());
    origin.answer(Answer::status(302).header("Location", "http://169.254.169.254/"));
    let answer = client.send(post(&to(&origin, "/"), "")).await.unwrap();
    assert_eq!((answer.status.as_u16(), origin.count()), (302, 1));
}

#[tokio::test]
async fn large_answer_is_refused_unless_it_is_not_wanted() {
    let ((client, _tasks), origin) = (client(8), Origin::start());
    let destination = to(&origin, "/");
    for answer in [Answer::status(200).size(1001), Answer::status(200).size(1001).chunked()] {
        origin.answer(answer);
        let refused = client.send(post(&destination, "")).await.unwrap_err();
        assert_eq!(refused, CallFailure::AnswerTooLarge);
        let taken = client.send(Call { max_answer: None, ..post(&destination, "") }).await.unwrap();
        assert_eq!((taken.status, taken.body.len()), (StatusCode::OK, 0));
    }
    origin.answer(Answer::status(200).size(1000));
    assert_eq!(client.send(post(&destination, "")).await.unwrap().body.len(), 1000);
}

#[tokio::test]
async fn silent_server_costs_no_more_than_the_timeout() {
    let ((client, _tasks), origin) = (client(8), Origin::start());
    origin.answer(Answer::hang());
    let timeouts = CallTimeouts { total: Duration::from_millis(100), ..CallTimeouts::all(SOON) };
    let failed = client.send(Call { timeouts, ..post(&to(&origin, "/"), "") }).await.unwrap_err();
    assert_eq!(failed, CallFailure::TimedOut);
}

#[tokio::test]
async fn kept_connection_that_has_ended_is_replaced() {
    let ((client, _tasks), origin) = (client(8), Origin::start());
    let destination = to(&origin, "/");
    for (method, may_repeat, repeats) in
        [(Method::GET, false, true), (Method::POST, true, true), (Method::POST, false, false)]
    {
        client.send(post(&destination, "")).await.unwrap();
        origin.answer_once(Answer::close());
        let again = client.send(Call { method, may_repeat, ..post(&destination, "") }).await;
        assert_eq!(again.is_ok(), repeats, "{again:?}");
    }
}

#[tokio::test]
async fn calls_to_one_host_take_turns() {
    let ((client, _tasks), origin) = (client(2), Origin::start());
    origin.answer(Answer::status(200).delay(Duration::from_millis(50)));
    let destination = to(&origin, "/");
    let answers = join_all((0..8).map(|_| client.send(post(&destination, "")))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn fields_of_the_framing_are_the_clients_own() {
    let ((client, _tasks), origin) = (client(2), Origin::start());
    let of = |name: &'static str, value: &'static str| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let fields = [of("host", "evil"), of("content-length", "99"), of("transfer-encoding", "chunked")];
    client.send(Call { fields: &fields, ..post(&to(&origin, "/"), "abc") }).await.unwrap();
    let received = origin.last();
    assert_eq!(received.header_values("content-length").collect::<Vec<_>>(), ["3"]);
    assert!(received.header("transfer-encoding").is_none() && received.header("host") != Some("evil"));
}
