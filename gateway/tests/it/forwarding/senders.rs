//! What upstreams learn of the consumer: of HTTP/2, in each attempt, and from a trusted peer.

use bytes::Bytes;
use model::{Protocol, Service};
use serde_json::json;
use testkit::http::Request;
use testkit::origin::{Answer, Received};

use super::http2;
use crate::plugins::{Plugged, consumer_id, key_id, plugin};
use crate::support::{at, route};

/// A gateway where consumer 1 has a key and a limit.
fn start() -> Plugged {
    let plugged = Plugged::start(&[]);
    put_consumer(&plugged);
    plugged
}

fn put_consumer(plugged: &Plugged) {
    plugged.put_plugins(&[plugin("key-auth", json!({})), plugin("rate-limiting", json!({ "hour": 9 }))]);
    plugged.put_consumer(1);
    plugged.put_keys(&[(1, "secret")]);
}

/// A request of consumer 1, who claims to be somebody else.
fn request(path: &str) -> Request {
    ["X-Consumer-Username", "X-Consumer-ID", "X-Credential-Identifier"]
        .iter()
        .fold(Request::new("GET", path).header("apikey", "secret"), |request, name| {
            request.header(name, "root")
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_of_http2_learns_of_the_consumer_of_an_http1_client() {
    let (plugged, mut upstream) = (start(), http2::Upstream::start().await);
    let service = Service { protocol: Protocol::Grpc, ..at(2, upstream.address) };
    plugged.gateway.serve(service, route(2, "/two"));
    let serve = async {
        let mut stream = upstream.accept().await;
        stream.begin(200).send_data(Bytes::new(), true).unwrap();
        stream.request.headers().clone()
    };
    let sent = request("/two");
    let (response, received) = tokio::join!(plugged.send(&sent), serve);
    assert_eq!(response.expect(200).header("ratelimit-remaining"), Some("8"));
    for (name, value) in [
        ("x-consumer-id", consumer_id(1).to_string()),
        ("x-consumer-custom-id", "custom-1".into()),
        ("x-consumer-username", "c1".into()),
        ("x-credential-identifier", key_id(1).to_string()),
    ] {
        assert_eq!(received.get_all(name).iter().collect::<Vec<_>>(), [&value], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_is_sent_again_says_the_same_of_the_consumer() {
    let plugged = start();
    // Its connection is kept, and breaks under the next request, which may be sent again for that.
    plugged.send(&request("/")).await.expect(200);
    plugged.origin.forget();
    plugged.origin.answer_once(Answer::close());
    let response = plugged.send(&request("/")).await.expect(200);
    assert_eq!(response.header_values("x-ratelimit-remaining-hour").collect::<Vec<_>>(), ["7"]);
    let attempts = plugged.received();
    assert_eq!(attempts.len(), 2);
    for received in &attempts {
        assert_told(received);
    }
}

/// A trusted peer may say who the consumer is, but not of a request with a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_overrides_what_a_trusted_peer_says_of_the_consumer() {
    let plugged = Plugged::with(&[("proxy.trusted_ips", "127.0.0.1")], &[]);
    plugged.send(&request("/")).await.expect(200);
    assert_eq!(plugged.received()[0].header("x-consumer-username"), Some("root"));
    put_consumer(&plugged);
    plugged.send(&request("/")).await.expect(200);
    assert_told(&plugged.received()[0]);
}

/// The upstream learns of consumer 1, and of nobody else.
#[track_caller]
fn assert_told(received: &Received) {
    let is_about = |name: &str| name.starts_with("X-C") || name.starts_with("x-c");
    let told = received.headers.iter().filter(|(name, _)| is_about(name));
    let told: Vec<_> = told.map(|(name, value)| (&**name, &**value)).collect();
    let (id, credential) = (consumer_id(1).to_string(), key_id(1).to_string());
    let expected = [
        ("X-Consumer-ID", &*id),
        ("X-Consumer-Custom-ID", "custom-1"),
        ("X-Consumer-Username", "c1"),
        ("X-Credential-Identifier", &*credential),
    ];
    assert_eq!(told, expected);
}
