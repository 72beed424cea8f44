//! Tokens of an issuer that publishes its keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use testkit::http::Request;
use testkit::origin::{Answer, Origin};

use super::*;
use crate::plugins::Plugged;

const INVALID: &str = "Bearer error=\"invalid_token\"";

/// A provider that publishes one key.
struct Issuer {
    origin: Origin,
    key: Ed25519KeyPair,
}

impl Issuer {
    fn start() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let issuer =
            Self { origin: Origin::start(), key: Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap() };
        issuer.origin.answer(Answer::status(200).body(issuer.keys("1").to_string()));
        issuer
    }

    fn keys(&self, id: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "x": x }] })
    }

    /// A token with these claims beside a time at which it expires.
    fn token(&self, id: &str, claims: &Value) -> String {
        let mut all = json!({ "iss": "https://issuer.test", "sub": "s1", "exp": now() + 600 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = json!({ "alg": "EdDSA", "kid": id });
        let [header, claims] = [header, all].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// A gateway whose jwt takes tokens of this issuer.
    fn gateway(&self, config: &Value) -> Plugged {
        let mut all = json!({ "jwks_uri": self.origin.url() });
        all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let plugged = Plugged::start(&[json!({ "name": "jwt", "config": all })]);
        plugged.put_consumer(1);
        plugged
    }
}

fn bearer(token: &str) -> Request {
    get("/", &[("authorization", &format!("Bearer {token}"))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_an_issuer() {
    let issuer = Issuer::start();
    let plugged = issuer.gateway(&json!({ "issuer": "https://issuer.test", "audiences": ["api", "b"] }));
    let for_api = |claims: Value| {
        let mut all = json!({ "aud": ["api"] });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        issuer.token("1", &all)
    };
    passes(bearer(&for_api(json!({})))).run(&plugged).await;
    let stranger = Issuer::start().token("1", &json!({ "aud": "api" }));
    for (token, expected) in [
        (stranger, json!({ "message": "Invalid signature" })),
        (for_api(json!({ "iss": "other" })), json!({ "message": "No credentials found for given 'iss'" })),
        (for_api(json!({ "iss": null })), json!({ "message": "No credentials found for given 'iss'" })),
        (for_api(json!({ "aud": "c" })), json!({ "aud": "is not an accepted audience" })),
        (for_api(json!({ "exp": now() - 1 })), json!({ "exp": "token expired" })),
        (for_api(json!({ "exp": null })), json!({ "exp": "must be a number" })),
        (for_api(json!({ "nbf": now() + 60 })), json!({ "nbf": "token not valid yet" })),
        (
            issuer.token("2", &json!({ "aud": "b" })),
            json!({ "message": "No credentials found for given 'kid'" }),
        ),
    ] {
        let response = plugged.send(&bearer(&token)).await.expect(401);
        assert_eq!((response.json(), response.header("www-authenticate")), (expected, Some(INVALID)));
    }
    // A secret that everyone knows signs nothing.
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "kid": "1" }).to_string());
    let claims = json!({ "iss": "https://issuer.test", "aud": "api", "exp": now() + 600 });
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, issuer.key.public_key().as_ref());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())));
    refused(bearer(&token), "Invalid algorithm", INVALID).run(&plugged).await;
    assert_eq!(issuer.origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claim_names_the_consumer() {
    let issuer = Issuer::start();
    let plugged = issuer.gateway(&json!({ "consumer_claim": "client" }));
    plugged.send(&bearer(&issuer.token("1", &json!({ "client": "c1" })))).await.expect(200);
    let received = plugged.origin.last();
    assert_eq!(received.header("x-consumer-username"), Some("c1"));
    assert_eq!(received.header("x-credential-identifier"), Some("s1"));
    refused(bearer(&issuer.token("1", &json!({}))), "No mandatory 'client' in claims", INVALID)
        .run(&plugged)
        .await;
    let unknown = issuer.token("1", &json!({ "client": "c\"2" }));
    refused(bearer(&unknown), "Could not find consumer for 'client=c\"2'", INVALID).run(&plugged).await;
    // Without the claim there is a credential and no consumer.
    let plugged = issuer.gateway(&json!({}));
    plugged.send(&bearer(&issuer.token("1", &json!({})))).await.expect(200);
    let received = plugged.origin.last();
    assert_eq!(received.header("x-consumer-username"), None);
    assert_eq!(received.header("x-credential-identifier"), Some("s1"));
}

/// Tokens tell users of one consumer, or of none, apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_answers_are_those_to_one_token() {
    let issuer = Issuer::start();
    for claim in [Value::Null, json!("client")] {
        let plugged = issuer.gateway(&json!({}));
        let jwt =
            json!({ "jwks_uri": issuer.origin.url(), "header_names": ["x-token"], "consumer_claim": claim });
        plugged.put_plugins(&[
            json!({ "name": "jwt", "config": jwt }),
            json!({ "name": "proxy-cache", "config": { "strategy": "memory" } }),
        ]);
        plugged.origin.answer_with(|received| {
            let subject = received.header("x-credential-identifier").unwrap_or_default();
            Answer::status(200).header("Content-Type", "text/plain").body(subject)
        });
        let tokens = ["s1", "s2"].map(|sub| issuer.token("1", &json!({ "sub": sub, "client": "c1" })));
        for (token, sub, status) in
            [(&tokens[0], "s1", "Miss"), (&tokens[1], "s2", "Miss"), (&tokens[0], "s1", "Hit")]
        {
            let answer =
                plugged.send(&get("/me", &[("x-token", &format!("Bearer {token}"))])).await.expect(200);
            assert_eq!((answer.text().as_str(), answer.header("x-cache-status")), (sub, Some(status)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_the_configuration_count_first() {
    let issuer = Issuer::start();
    let plugged = issuer.gateway(&json!({}));
    let body = json!({ "key": "https://issuer.test", "algorithm": "HS256", "secret": "secret" });
    put_credential(&plugged, kind::JWT_SECRET, 1, &body);
    refused(bearer(&issuer.token("1", &json!({}))), "Invalid algorithm", INVALID).run(&plugged).await;
    assert_eq!(issuer.origin.count(), 0);
}

/// Nothing passes when its signature cannot be verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_key_sets_let_nobody_pass() {
    let issuer = Issuer::start();
    let token = issuer.token("1", &json!({}));
    for answer in [
        Answer::status(500),
        Answer::status(302).header("location", "http://169.254.169.254/"),
        Answer::status(200).body("{}"),
        Answer::status(200).body("a".repeat(2 << 20)),
        Answer::close(),
    ] {
        issuer.origin.answer(answer);
        let plugged = issuer.gateway(&json!({ "anonymous": "c1" }));
        let response = plugged.send(&bearer(&token)).await.expect(503);
        assert_eq!(response.header("retry-after"), Some("1"));
        assert_eq!(plugged.origin.count(), 0);
        // Tokens that need no keys to be refused still are.
        plugged.send(&bearer("a.b.c")).await.expect(200);
        assert_eq!(plugged.origin.last().header("x-anonymous-consumer"), Some("true"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_addresses_are_not_asked_for_keys() {
    let issuer = Issuer::start();
    let token = issuer.token("1", &json!({}));
    let config = json!({ "jwks_uri": "http://169.254.169.254/keys" });
    let plugged = Plugged::start(&[json!({ "name": "jwt", "config": config })]);
    plugged.send(&bearer(&token)).await.expect(503);
    assert_eq!(plugged.origin.count(), 0);
}
