use serde_json::{Value, json};
use testkit::http::Request;

use super::*;
use crate::plugins::Plugged;

const NO_KEY: &str = "No API key found in request";
const DUPLICATE: &str = "Duplicate API key found";

/// A gateway with key-auth and the key `secret` of the consumer 1.
fn start(config: &Value) -> Plugged {
    let plugged = Plugged::start(&[json!({ "name": "key-auth", "config": config })]);
    plugged.put_consumer(1);
    put_key(&plugged, 1, "secret", None);
    plugged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_in_headers_and_queries() {
    let plugged = start(&json!({ "key_names": ["apikey", "x_key"] }));
    for case in [
        refused(get("/", &[]), NO_KEY, "Key"),
        refused(get("/", &[("apikey", "")]), NO_KEY, "Key"),
        refused(get("/?apikey=", &[]), NO_KEY, "Key"),
        refused(get("/?apikey", &[]), NO_KEY, "Key"),
        refused(get("/?APIKEY=secret", &[]), NO_KEY, "Key"),
        refused(get("/?apikey[]=secret", &[]), NO_KEY, "Key"),
        refused(get("/", &[("authorization", "Bearer secret")]), NO_KEY, "Key"),
        refused(get("/", &[("apikey", "wrong")]), "Unauthorized", "Key"),
        refused(get("/", &[("apikey", "Secret")]), "Unauthorized", "Key"),
        refused(get("/", &[("apikey", "secre")]), "Unauthorized", "Key"),
        refused(get("/?apikey=secret", &[("apikey", "wrong")]), "Unauthorized", "Key"),
        refused(get("/", &[("apikey", "secret"), ("apikey", "secret")]), DUPLICATE, "Key"),
        refused(get("/?apikey=secret&apikey=secret", &[]), DUPLICATE, "Key"),
        refused(Request::new("OPTIONS", "/"), NO_KEY, "Key"),
        passes(get("/", &[("apikey", "secret")])),
        passes(get("/", &[("APIKEY", "secret")])),
        passes(get("/", &[("x-key", "secret")])),
        passes(get("/", &[("X_Key", "secret")])),
        passes(get("/?a=b&apikey=s%65cret", &[])),
        passes(get("/?apikey=wrong", &[("apikey", "secret")])),
        passes(Request::new("OPTIONS", "/").header("apikey", "secret")),
    ] {
        case.run(&plugged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_learns_the_consumer_and_no_forged_one() {
    let plugged = start(&json!({}));
    let forged = [
        ("apikey", "secret"),
        ("X-Consumer-ID", "1"),
        ("X-Consumer-Username", "root"),
        ("x-consumer-custom-id", "root"),
        ("X-Consumer-Groups", "admin"),
        ("X-Authenticated-Groups", "admin"),
        ("X-Credential-Identifier", "root"),
        ("X-Anonymous-Consumer", "true"),
    ];
    plugged.send(&get("/", &forged)).await.expect(200);
    let received = plugged.origin.last();
    for (name, value) in [
        ("x-consumer-id", Some(consumer_id(1).to_string())),
        ("x-consumer-username", Some("c1".into())),
        ("x-consumer-custom-id", Some("custom-1".into())),
        ("x-credential-identifier", Some(credential_id(1).to_string())),
        ("x-consumer-groups", None),
        ("x-authenticated-groups", None),
        ("x-anonymous-consumer", None),
        ("apikey", Some("secret".into())),
    ] {
        let values: Vec<_> = received.header_values(name).collect();
        assert_eq!(values, value.as_deref().into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_keys_do_not_reach_the_upstream() {
    let plugged = start(&json!({ "hide_credentials": true, "key_in_body": true }));
    passes(get("/?apikey=other&a=b%20c+d&a", &[("apikey", "secret")])).run(&plugged).await;
    plugged.send(&get("/?apikey=other&a=b%20c+d&a", &[("apikey", "secret")])).await.expect(200);
    let received = plugged.origin.last();
    assert_eq!((received.target.as_str(), received.header("apikey")), ("/?a=b%20c+d&a", None));
    plugged.get("/?apikey=secret").await.expect(200);
    assert_eq!(plugged.origin.last().target, "/");
    let form = Request::new("POST", "/").form(&[("a", "1"), ("apikey", "secret"), ("b", "2")]);
    plugged.send(&form).await.expect(200);
    assert_eq!(plugged.origin.last().body, b"a=1&b=2");
    // So do copies beside the key that counted.
    let copies = form.header("apikey", "secret");
    plugged.send(&copies).await.expect(200);
    let received = plugged.origin.last();
    assert_eq!((received.body.as_slice(), received.header("apikey")), (b"a=1&b=2".as_slice(), None));
    let json = |members: &str| {
        let request = Request::new("POST", "/").header("content-type", "application/json");
        request.header("apikey", "secret").body(format!("{{{members}\"apikey\":\"secret\"}}"))
    };
    plugged.send(&json("\"apikey\":\"secret\",\"a\":1,")).await.expect(200);
    assert_eq!(plugged.origin.last().body, b"{\"a\":1}");
    // More members than can be changed.
    plugged.origin.forget();
    let many: String = (0..30_000).map(|number| format!("\"{number}\":1,")).collect();
    plugged.send(&json(&many)).await.expect(413);
    assert_eq!(plugged.origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_refused_request_are_hidden_as_well() {
    let plugged = start(&json!({ "hide_credentials": true, "anonymous": "c1" }));
    plugged.send(&get("/?apikey=a&apikey=b&c", &[("x-a", "1")])).await.expect(200);
    let received = plugged.origin.last();
    assert_eq!((received.target.as_str(), received.header("x-anonymous-consumer")), ("/?c", Some("true")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_in_bodies() {
    let plugged = start(&json!({ "key_in_body": true }));
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\nsecret\r\n--x--\r\n";
    let post = |content_type: &str, body: &str| {
        Request::new("POST", "/").header("content-type", content_type).body(body.to_owned())
    };
    let form = "application/x-www-form-urlencoded";
    for case in [
        passes(post(form, "a=b&apikey=secret")),
        passes(post("application/json", r#"{"apikey":"secret","a":1.50}"#)),
        passes(post("multipart/form-data; boundary=x", multipart)),
        refused(post(form, "apikey=wrong"), "Unauthorized", "Key"),
        refused(post(form, "apikey=secret&apikey=secret"), DUPLICATE, "Key"),
        refused(post("application/json", r#"{"apikey":["secret"]}"#), DUPLICATE, "Key"),
        refused(post("application/json", r#"{"apikey":1}"#), NO_KEY, "Key"),
        refused(post("application/json", r#"{"apikey":"secret""#), NO_KEY, "Key"),
        refused(post("text/plain", "apikey=secret"), NO_KEY, "Key"),
        refused(get("/", &[]), NO_KEY, "Key"),
    ] {
        case.run(&plugged).await;
    }
    // The body arrives as it was sent, whether it was searched or not.
    let body = r#"{ "apikey":"secret","a":1.50}"#;
    plugged.send(&post("application/json", body)).await.expect(200);
    assert_eq!(plugged.origin.last().body, body.as_bytes());
    let large = "a".repeat(2 << 20);
    plugged.send(&post(form, &large).header("apikey", "secret")).await.expect(200);
    assert_eq!(plugged.origin.last().body.len(), large.len());
    plugged.origin.forget();
    plugged.send(&post(form, &large)).await.expect(413);
    assert_eq!(plugged.origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_can_be_switched_off() {
    let off = json!({ "key_in_header": false, "key_in_query": false, "realm": "a \"b\"" });
    let plugged = start(&off);
    let challenge = "Key realm=\"a \"b\"\"";
    refused(get("/?apikey=secret", &[("apikey", "secret")]), NO_KEY, challenge).run(&plugged).await;
    plugged.put_plugins(&[json!({ "name": "key-auth", "config": { "run_on_preflight": false } })]);
    passes(Request::new("OPTIONS", "/")).run(&plugged).await;
    refused(get("/", &[]), NO_KEY, "Key").run(&plugged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bearer_tokens_can_be_keys() {
    let plugged = start(&json!({ "key_in_bearer": true, "hide_credentials": true }));
    passes(get("/", &[("authorization", "Bearer secret")])).run(&plugged).await;
    plugged.send(&get("/", &[("authorization", "bearer secret")])).await.expect(200);
    assert_eq!(plugged.origin.last().header("authorization"), None);
    refused(get("/", &[("authorization", "Bearer wrong")]), "Unauthorized", "Key").run(&plugged).await;
    refused(get("/", &[("authorization", "Basic secret")]), NO_KEY, "Key").run(&plugged).await;
    refused(get("/", &[("authorization", "Bearer secret"), ("apikey", "wrong")]), "Unauthorized", "Key")
        .run(&plugged)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_expired_or_are_gone_are_refused_at_once() {
    let plugged = start(&json!({}));
    let request = || get("/", &[("apikey", "secret")]);
    put_key(&plugged, 1, "secret", Some(now() + 3600));
    passes(request()).run(&plugged).await;
    // Of the second one, less than a second is left.
    for end in [-1, 1] {
        put_key(&plugged, 1, "secret", Some(now() + end));
        refused(request(), "Unauthorized", "Key").run(&plugged).await;
    }
    put_key(&plugged, 1, "other", None);
    refused(request(), "Unauthorized", "Key").run(&plugged).await;
    passes(get("/", &[("apikey", "other")])).run(&plugged).await;
    remove(&plugged, kind::KEYAUTH_CREDENTIAL, credential_id(1));
    refused(get("/", &[("apikey", "other")]), "Unauthorized", "Key").run(&plugged).await;
}
