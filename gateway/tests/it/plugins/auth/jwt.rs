use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use testkit::http::Request;

use super::*;
use crate::plugins::Plugged;

const BEARER: &str = "Bearer";
const INVALID: &str = "Bearer error=\"invalid_token\"";
/// Keys and tokens that another library has made.
const VECTORS: &str = include_str!("../../../../src/plugin/jwt/key/vectors.json");

fn start(config: &Value) -> Plugged {
    let plugged = Plugged::start(&[json!({ "name": "jwt", "config": config })]);
    plugged.put_consumer(1);
    put(&plugged, 1, &json!({ "key": "a", "secret": "secret" }));
    plugged
}

fn put(plugged: &Plugged, number: u128, body: &Value) {
    put_credential(plugged, kind::JWT_SECRET, number, body);
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token of these parts, signed by HMAC-SHA256.
fn signed(secret: &[u8], header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token with these claims.
fn token(claims: &Value) -> String {
    signed(b"secret", &json!({ "alg": "HS256", "typ": "JWT" }), claims)
}

fn bearer(token: &str) -> Request {
    get("/", &[("authorization", &format!("Bearer {token}"))])
}

fn of_a() -> String {
    token(&json!({ "iss": "a" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens() {
    let plugged = start(&json!({ "cookie_names": ["session"] }));
    let good = of_a();
    let other = token(&json!({ "iss": "a", "n": 1 }));
    let with_header = |header: Value| signed(b"secret", &header, &json!({ "iss": "a" }));
    let unsigned = |header: Value| format!("{}.{}.", encode(&header), encode(&json!({ "iss": "a" })));
    let large = "a".repeat(16 * 1024 + 1);
    // What is remembered of a token must be the same.
    for _ in 0..2 {
        for case in [
            refused(get("/", &[]), "Unauthorized", BEARER),
            refused(get("/?jwt=", &[]), "Unauthorized", BEARER),
            refused(get("/?jwt", &[]), "Unrecognizable token", INVALID),
            refused(get("/", &[("authorization", &good)]), "Unauthorized", BEARER),
            passes(bearer(&good)),
            passes(get(&format!("/?jwt={good}"), &[])),
            passes(get("/", &[("cookie", &format!("a=b; session={good}"))])),
            passes(get(&format!("/?jwt={good}"), &[("authorization", &format!("Bearer {good}"))])),
            refused(
                get(&format!("/?jwt={other}"), &[("authorization", &format!("Bearer {good}"))]),
                "Multiple tokens provided",
                INVALID,
            ),
            refused(bearer("a"), "Bad token; invalid JSON", INVALID),
            refused(bearer("a.b.c"), "Bad token; invalid JSON", INVALID),
            refused(bearer(&unsigned(json!({}))), "Bad token; invalid alg", INVALID),
            refused(bearer(&unsigned(json!({ "alg": "none" }))), "Bad token; invalid alg", INVALID),
            refused(bearer(&unsigned(json!({ "alg": "HS256" }))), "Invalid signature", INVALID),
            refused(
                bearer(&with_header(json!({ "alg": "HS256", "crit": ["b64"] }))),
                "Bad token; invalid crit",
                INVALID,
            ),
            refused(bearer(&with_header(json!({ "alg": "HS512" }))), "Invalid algorithm", INVALID),
            refused(bearer(&with_header(json!({ "alg": "RS256" }))), "Invalid algorithm", INVALID),
            refused(bearer(&format!("{good}!")), "Bad token; invalid signature", INVALID),
            refused(bearer(&good[..good.len() - 3]), "Invalid signature", INVALID),
            refused(
                bearer(&signed(b"other", &json!({ "alg": "HS256" }), &json!({ "iss": "a" }))),
                "Invalid signature",
                INVALID,
            ),
            refused(bearer(&token(&json!([]))), "Bad token; invalid claims", INVALID),
            refused(bearer(&token(&json!({}))), "No mandatory 'iss' in claims", INVALID),
            refused(bearer(&token(&json!({ "iss": null }))), "No mandatory 'iss' in claims", INVALID),
            refused(bearer(&token(&json!({ "iss": "" }))), "Invalid 'iss' in claims", INVALID),
            refused(bearer(&token(&json!({ "iss": 7 }))), "Invalid 'iss' in claims", INVALID),
            refused(bearer(&token(&json!({ "iss": ["a"] }))), "Invalid 'iss' in claims", INVALID),
            refused(bearer(&token(&json!({ "iss": "b" }))), "No credentials found for given 'iss'", INVALID),
            refused(bearer(&large), "Bad token; too long", INVALID),
            passes(bearer(&signed(b"secret", &json!({ "alg": "HS256", "iss": "a" }), &json!({})))),
        ] {
            case.run(&plugged).await;
        }
    }
    let received = {
        plugged.send(&bearer(&good)).await.expect(200);
        plugged.origin.last()
    };
    assert_eq!(received.header("x-credential-identifier"), Some("a"));
    assert_eq!(received.header("x-consumer-username"), Some("c1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_is_found_in_a_header_with_hyphens_for_underscores() {
    let plugged = start(&json!({ "header_names": ["x_tok"] }));
    let good = format!("Bearer {}", of_a());
    for case in [
        passes(get("/", &[("x_tok", &good)])),
        passes(get("/", &[("X-Tok", &good)])),
        refused(get("/", &[("x_tok", "Bearer a"), ("x-tok", &good)]), "Bad token; invalid JSON", INVALID),
        refused(get("/", &[("xtok", &good)]), "Unauthorized", BEARER),
    ] {
        case.run(&plugged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_of_tokens() {
    let claims = |exp: i64, nbf: i64| token(&json!({ "iss": "a", "exp": now() + exp, "nbf": now() + nbf }));
    let answer = async |plugged: &Plugged, token: &str| {
        let response = plugged.send(&bearer(token)).await;
        (response.status, if response.status == 401 { response.json() } else { Value::Null })
    };
    let expired = || (401, json!({ "exp": "token expired" }));
    let (exp, nbf) = (json!("must be a number"), json!("token not valid yet"));
    // Without a list, Kong lets expired tokens pass. Gibbon looks at what a token has.
    let plugged = start(&json!({}));
    assert_eq!(answer(&plugged, &of_a()).await.0, 200);
    assert_eq!(answer(&plugged, &claims(60, -60)).await.0, 200);
    assert_eq!(answer(&plugged, &claims(-1, -60)).await, expired());
    assert_eq!(answer(&plugged, &claims(60, 60)).await, (401, json!({ "nbf": nbf })));
    let plugged = start(&json!({ "claims_to_verify": [] }));
    assert_eq!(answer(&plugged, &claims(-1, 60)).await.0, 200);
    let plugged = start(&json!({ "claims_to_verify": ["exp", "nbf"] }));
    assert_eq!(answer(&plugged, &claims(60, -60)).await.0, 200);
    assert_eq!(answer(&plugged, &of_a()).await, (401, json!({ "exp": exp, "nbf": exp })));
    let config = json!({ "claims_to_verify": ["exp"], "maximum_expiration": 300, "realm": "r" });
    let plugged = start(&config);
    assert_eq!(answer(&plugged, &claims(290, 0)).await.0, 200);
    let too_long = json!({ "exp": "exceeds maximum allowed expiration" });
    assert_eq!(answer(&plugged, &claims(400, 0)).await, (401, too_long));
    let response = plugged.send(&bearer(&claims(-1, 0))).await.expect(401);
    assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"r\" error=\"invalid_token\""));
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_algorithm() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let plugged = start(&json!({}));
    for (algorithm, key) in [
        ("HS256", "secret"),
        ("HS384", "secret"),
        ("HS512", "secret"),
        ("RS256", "rsa"),
        ("RS384", "rsa"),
        ("RS512", "rsa"),
        ("PS256", "rsa"),
        ("PS384", "rsa"),
        ("PS512", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("ES512", "p521"),
        ("EdDSA", "ed25519"),
    ] {
        let field = if key == "secret" { "secret" } else { "rsa_public_key" };
        put(&plugged, 1, &json!({ "key": "a", "algorithm": algorithm, field: vectors["keys"][key] }));
        let token = vectors["tokens"][algorithm].as_str().unwrap();
        for _ in 0..2 {
            passes(bearer(token)).run(&plugged).await;
        }
        // The signature of this one is that of the same token without the last character changed.
        let changed = format!("{}{}", &token[..token.len() - 8], "AAAAAAAA");
        refused(bearer(&changed), "Invalid signature", INVALID).run(&plugged).await;
    }
    // Signed with the public key as the secret.
    put(&plugged, 1, &json!({ "key": "a", "algorithm": "RS256", "rsa_public_key": vectors["keys"]["rsa"] }));
    let confused = vectors["tokens"]["confused"].as_str().unwrap();
    refused(bearer(confused), "Invalid algorithm", INVALID).run(&plugged).await;
    for (body, token) in [
        (json!({ "key": "a", "secret": null }), of_a()),
        (json!({ "key": "a", "algorithm": "ES256" }), vectors["tokens"]["ES256"].as_str().unwrap().into()),
        (
            json!({ "key": "a", "algorithm": "ES256", "rsa_public_key": vectors["keys"]["rsa"] }),
            vectors["tokens"]["ES256"].as_str().unwrap().into(),
        ),
    ] {
        put(&plugged, 1, &body);
        refused(bearer(&token), "Invalid key/secret", INVALID).run(&plugged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_found_by_another_claim_and_secrets_may_be_base64() {
    let plugged = start(&json!({ "key_claim_name": "kid", "secret_is_base64": true }));
    put(&plugged, 1, &json!({ "key": "k", "secret": "c2VjcmV0" }));
    let header = json!({ "alg": "HS256", "kid": "k" });
    passes(bearer(&signed(b"secret", &header, &json!({})))).run(&plugged).await;
    refused(bearer(&signed(b"c2VjcmV0", &header, &json!({}))), "Invalid signature", INVALID)
        .run(&plugged)
        .await;
    refused(bearer(&of_a()), "No mandatory 'kid' in claims", INVALID).run(&plugged).await;
    put(&plugged, 1, &json!({ "key": "k", "secret": "!" }));
    refused(bearer(&signed(b"secret", &header, &json!({}))), "Invalid key/secret", INVALID)
        .run(&plugged)
        .await;
}

/// What was remembered of a token must not outlive its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_secrets_are_seen_at_once() {
    let plugged = start(&json!({}));
    passes(bearer(&of_a())).run(&plugged).await;
    put(&plugged, 1, &json!({ "key": "a", "secret": "other" }));
    refused(bearer(&of_a()), "Invalid signature", INVALID).run(&plugged).await;
    remove(&plugged, kind::JWT_SECRET, credential_id(1));
    refused(bearer(&of_a()), "No credentials found for given 'iss'", INVALID).run(&plugged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_can_be_let_through() {
    let plugged = start(&json!({ "run_on_preflight": false }));
    passes(Request::new("OPTIONS", "/")).run(&plugged).await;
    refused(get("/", &[]), "Unauthorized", BEARER).run(&plugged).await;
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    plugged.send(&get("/", &twice)).await.expect(400);
}
