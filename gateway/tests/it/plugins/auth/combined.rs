//! Several authentication plugins on one route.

use serde_json::{Value, json};

use super::*;
use crate::plugins::Plugged;
use testkit::origin::Received;

/// What a request with these credentials becomes: the status, and which consumer the upstream learns of.
type Outcome = (u16, Option<&'static str>);

/// A gateway where consumer 1 has a key, consumer 2 a login, and consumer 3 is the anonymous one.
fn start() -> Plugged {
    let plugged = Plugged::start(&[]);
    for number in 1..=3 {
        plugged.put_consumer(number);
    }
    put_key(&plugged, 1, "secret", None);
    let sum = format!("p{}", consumer_id(2));
    let sum = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, sum.as_bytes());
    let password = sum.as_ref().iter().fold("{SHA1}".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let login = json!({ "username": "u", "password": password });
    put_credential(&plugged, kind::BASICAUTH_CREDENTIAL, 2, &login);
    plugged
}

fn both(key_anonymous: Option<&str>, basic_anonymous: Option<&str>) -> [Value; 2] {
    [
        json!({ "name": "key-auth", "config": { "anonymous": key_anonymous, "hide_credentials": true } }),
        json!({ "name": "basic-auth", "config": { "anonymous": basic_anonymous, "hide_credentials": true } }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_or_all_of_them_must_succeed() {
    let plugged = start();
    const KEY: (&str, &str) = ("apikey", "secret");
    const LOGIN: (&str, &str) = ("authorization", "Basic dTpw");
    let any = Some("c3");
    // Without credentials, with the key, with the login, with both. key-auth runs first.
    let table: [(_, _, [Outcome; 4]); 4] = [
        (None, None, [(401, None), (401, None), (401, None), (200, Some("c2"))]),
        (any, any, [(200, Some("c3")), (200, Some("c1")), (200, Some("c2")), (200, Some("c1"))]),
        (any, None, [(401, None), (401, None), (200, Some("c2")), (200, Some("c2"))]),
        (None, any, [(401, None), (200, Some("c1")), (401, None), (200, Some("c1"))]),
    ];
    for (key_anonymous, basic_anonymous, outcomes) in table {
        plugged.put_plugins(&both(key_anonymous, basic_anonymous));
        for (fields, (status, consumer)) in [&[][..], &[KEY], &[LOGIN], &[KEY, LOGIN]].iter().zip(outcomes) {
            plugged.origin.forget();
            let about = format!("{key_anonymous:?} {basic_anonymous:?} {fields:?}");
            let response = plugged.send(&get("/", fields)).await;
            assert_eq!(response.status, status, "{about}");
            let received = plugged.received();
            let seen = received.first().and_then(|received| received.header("x-consumer-username"));
            assert_eq!(seen, consumer, "{about}");
            let anonymous = received.first().and_then(|received| received.header("x-anonymous-consumer"));
            assert_eq!(anonymous, (consumer == Some("c3")).then_some("true"), "{about}");
            // The first one's consumer is told no more.
            let told = received.first().map_or(0, |received| received.header_values("x-consumer-id").count());
            assert_eq!(told, usize::from(consumer.is_some()), "{about}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_counts_the_consumer_that_was_found_last() {
    let plugged = start();
    let limit = json!({ "name": "rate-limiting", "config": { "year": 2 } });
    let [key, login] = both(None, None);
    let fields = [("apikey", "secret"), ("authorization", "Basic dTpw")];
    plugged.put_plugins(&[key.clone(), login, limit]);
    for status in [200, 200, 429] {
        plugged.send(&get("/", &fields)).await.expect(status);
    }
    plugged.remove_plugin(1);
    plugged.send(&get("/", &fields)).await.expect(429);
    plugged.remove_plugin(2);
    plugged.put_plugins(&[key]);
    plugged.send(&get("/", &fields)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugin_that_passes_leaves_its_credentials() {
    let plugged = start();
    plugged.put_plugins(&both(Some("c3"), Some("c3")));
    let fields = [("apikey", "secret"), ("authorization", "Basic dTpw")];
    plugged.send(&get("/", &fields)).await.expect(200);
    let received = plugged.origin.last();
    assert_eq!((received.header("apikey"), received.header("authorization")), (None, Some("Basic dTpw")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_consumer_is_named_by_id_or_username() {
    let plugged = start();
    for (named, status) in [
        (consumer_id(3).to_string(), 200),
        ("c3".to_owned(), 200),
        ("custom-3".to_owned(), 500),
        (consumer_id(4).to_string(), 500),
    ] {
        plugged.put_plugins(&[json!({ "name": "key-auth", "config": { "anonymous": named } })]);
        let response = plugged.get("/").await.expect(status);
        if status == 500 {
            assert_eq!(response.json()["message"], "An unexpected error occurred", "{named}");
        }
        // Those with a key do not need it.
        plugged.send(&get("/", &[("apikey", "secret")])).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_consumer_has_no_credential() {
    let plugged = start();
    plugged.put_plugins(&[json!({ "name": "key-auth", "config": { "anonymous": "c3" } })]);
    let forged = [("apikey", "wrong"), ("x-credential-identifier", "root"), ("x-consumer-groups", "admin")];
    plugged.send(&get("/", &forged)).await.expect(200);
    let received = plugged.origin.last();
    for (name, value) in [
        ("x-consumer-username", Some("c3")),
        ("x-anonymous-consumer", Some("true")),
        ("x-credential-identifier", None),
        ("x-consumer-groups", None),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
}

/// Keys, passwords and tokens are in no metric and in no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_shown_nowhere() {
    let plugged = start();
    plugged.put_plugins(&both(None, None));
    for fields in [
        &[("apikey", "s3cr3t-key")][..],
        &[("apikey", "secret"), ("authorization", "Basic czNjcjN0LXVzZXI6czNjcjN0LXdvcmQ=")],
        &[("apikey", "s3cr3t-key"), ("apikey", "s3cr3t-other")],
    ] {
        let response = plugged.send(&get("/?apikey=s3cr3t-argument", fields)).await.expect(401);
        assert!(!format!("{response:?}").contains("s3cr3t"), "{response:?}");
    }
    let metrics =
        prometheus::TextEncoder::new().encode_to_string(&plugged.gateway.registry.gather()).unwrap();
    assert!(!metrics.contains("s3cr3t") && !metrics.contains("c1"), "{metrics}");
}

/// A client may neither say who it is, in whatever spelling, nor have removed what the gateway says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_has_no_say_in_who_it_is() {
    const NAMES: &str = "X-Consumer-Username, x-consumer-id, X-Credential-Identifier";
    let plugged = start();
    let forged = |request: Request| {
        let nominated = request.header("Connection", &format!("keep-alive, {NAMES}"));
        nominated.header("X_Consumer_Username", "root").header("X-Consumer-Groups", "admin")
    };
    plugged.send(&forged(Request::new("GET", "/"))).await.expect(200);
    let received = plugged.received().remove(0);
    let claims = |received: &Received| {
        let names = received.headers.iter().map(|(name, _)| name.to_ascii_lowercase().replace('_', "-"));
        names.filter(|name| name.starts_with("x-consumer-") || name == "x-credential-identifier").count()
    };
    assert_eq!(claims(&received), 0, "{received:?}");

    plugged.put_plugins(&[json!({ "name": "key-auth" })]);
    plugged.send(&forged(Request::new("GET", "/").header("apikey", "secret"))).await.expect(200);
    let received = plugged.received().remove(0);
    assert_eq!(received.header("x-consumer-username"), Some("c1"));
    assert_eq!(received.header("x-consumer-id"), Some(&*consumer_id(1).to_string()));
    assert!(received.header("x-credential-identifier").is_some());
    assert_eq!((claims(&received), received.header("x_consumer_username")), (4, None), "{received:?}");
}
