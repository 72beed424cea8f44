use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::http::Request;
use tokio::time::Instant;

use super::*;
use crate::plugins::Plugged;

const CHALLENGE: &str = "Basic realm=\"service\"";
/// Of the password "secret" and the salt "somesalt", by the reference library.
pub(super) const ARGON2: &str =
    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$QQCd8VPOryZiCF3MtwQnPTK7odKCaPcXJGplgNEuj1A";

/// A gateway with basic-auth, the user `u` with the password `secret`, and the user `k` with the same in the form
/// of Kong.
fn start(config: &Value) -> Plugged {
    let plugged = Plugged::start(&[json!({ "name": "basic-auth", "config": config })]);
    plugged.put_consumer(1);
    plugged.put_consumer(2);
    put_login(&plugged, 1, "u", ARGON2);
    put_login(&plugged, 2, "k", &sha1("secret", 2));
    plugged
}

fn put_login(plugged: &Plugged, number: u128, username: &str, password: &str) {
    let body = json!({ "username": username, "password": password });
    put_credential(plugged, kind::BASICAUTH_CREDENTIAL, number, &body);
}

fn sha1(password: &str, consumer: u128) -> String {
    let text = format!("{password}{}", consumer_id(consumer));
    let sum = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    sum.as_ref().iter().fold("{SHA1}".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

fn login(login: &str) -> Request {
    get("/", &[("authorization", &basic(login))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins() {
    let plugged = start(&json!({}));
    // Each twice: what is remembered must be the same.
    for _ in 0..2 {
        for case in [
            passes(login("u:secret")),
            passes(login("k:secret")),
            passes(get("/", &[("authorization", &basic("u:secret").replace("Basic", "bASIC"))])),
            passes(get("/", &[("proxy-authorization", &basic("u:secret"))])),
            passes(with(login("u:secret"), &[("proxy-authorization", &basic("nobody:secret"))])),
            passes(with(login("nobody:secret"), &[("proxy-authorization", &basic("u:secret"))])),
            refused(
                with(login("u:secret"), &[("proxy-authorization", &basic("k:wrong"))]),
                "Unauthorized",
                CHALLENGE,
            ),
            refused(get("/", &[]), "Unauthorized", CHALLENGE),
            refused(login("u:Secret"), "Unauthorized", CHALLENGE),
            refused(login("u:"), "Unauthorized", CHALLENGE),
            refused(login("U:secret"), "Unauthorized", CHALLENGE),
            refused(login("k:wrong"), "Unauthorized", CHALLENGE),
            refused(login(&format!("u:{ARGON2}")), "Unauthorized", CHALLENGE),
            refused(login("nobody:secret"), "Unauthorized", CHALLENGE),
            refused(login(":secret"), "Unauthorized", CHALLENGE),
            refused(login("u"), "Unauthorized", CHALLENGE),
            refused(get("/", &[("authorization", "Basic")]), "Unauthorized", CHALLENGE),
            refused(get("/", &[("authorization", "Bearer dTpzZWNyZXQ=")]), "Unauthorized", CHALLENGE),
        ] {
            case.run(&plugged).await;
        }
    }
    let twice = [("authorization", &*basic("u:secret")), ("authorization", &*basic("u:secret"))];
    plugged.send(&get("/", &twice)).await.expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_learns_the_username() {
    let plugged = start(&json!({ "hide_credentials": true, "realm": "r" }));
    let both = [("authorization", "Basic x"), ("proxy-authorization", &*basic("u:secret"))];
    plugged.send(&get("/", &both)).await.expect(200);
    let received = plugged.origin.last();
    for (name, value) in [
        ("x-consumer-username", Some("c1")),
        ("x-credential-identifier", Some("u")),
        ("authorization", None),
        ("proxy-authorization", None),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    refused(get("/", &[]), "Unauthorized", "Basic realm=\"r\"").run(&plugged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_login_is_hidden_as_well() {
    let plugged = start(&json!({ "hide_credentials": true, "anonymous": "c2" }));
    for odd in ["Basic  dTpzZWNyZXQ=", "Basic dTpzZWNyZXQ=!", "Basic c2VjcmV0", "Bearer secret"] {
        plugged.send(&get("/", &[("authorization", odd), ("proxy-authorization", odd)])).await.expect(200);
        let received = plugged.origin.last();
        assert_eq!(received.header("x-anonymous-consumer"), Some("true"), "{odd}");
        let seen = (received.header("authorization"), received.header("proxy-authorization"));
        assert_eq!(seen, (None, None), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_passwords_and_removed_users_are_seen_at_once() {
    let plugged = start(&json!({}));
    passes(login("u:secret")).run(&plugged).await;
    refused(login("u:other"), "Unauthorized", CHALLENGE).run(&plugged).await;
    put_login(&plugged, 1, "u", &sha1("other", 1));
    refused(login("u:secret"), "Unauthorized", CHALLENGE).run(&plugged).await;
    passes(login("u:other")).run(&plugged).await;
    remove(&plugged, kind::BASICAUTH_CREDENTIAL, credential_id(1));
    refused(login("u:other"), "Unauthorized", CHALLENGE).run(&plugged).await;
}

/// A flood of wrong passwords neither holds up requests of others nor those that are remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_are_answered_503_and_stop_nobody() {
    let plugged = start(&json!({}));
    passes(login("u:secret")).run(&plugged).await;
    let mut guesses = tokio::task::JoinSet::new();
    for number in 0..300 {
        let client = plugged.gateway.client.clone();
        let request = login(&format!("nobody:{number}"));
        guesses.spawn(async move { client.send(&request).await.unwrap() });
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let before = Instant::now();
        plugged.send(&login("u:secret")).await.expect(200);
        slowest = slowest.max(before.elapsed());
    }
    let mut busy = 0;
    while let Some(guess) = guesses.join_next().await {
        let guess = guess.unwrap();
        match guess.status {
            401 => {}
            503 => {
                assert_eq!(guess.header("retry-after"), Some("1"));
                busy += 1;
            }
            status => panic!("{status}"),
        }
    }
    // A client address has a quarter of 256 places.
    assert!(busy > 0);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
