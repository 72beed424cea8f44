use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use testkit::http::Request;

use super::*;
use crate::plugins::Plugged;

const UNUSABLE: &str = "HMAC signature cannot be verified";
const WRONG: &str = "HMAC signature does not match";
const NO_DATE: &str =
    "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication";

fn start(config: &Value) -> Plugged {
    let plugged = Plugged::start(&[json!({ "name": "hmac-auth", "config": config })]);
    plugged.put_consumer(1);
    put_credential(&plugged, kind::HMACAUTH_CREDENTIAL, 1, &json!({ "username": "u", "secret": "secret" }));
    plugged
}

/// A date that differs from now by so many seconds.
fn date(seconds: i64) -> String {
    let now = SystemTime::now();
    let moved = Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(if seconds < 0 { now - moved } else { now + moved })
}

fn signature(algorithm: hmac::Algorithm, text: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(algorithm, b"secret"), text.as_bytes()))
}

fn credentials(algorithm: &str, headers: &str, signature: &str) -> String {
    format!(
        "hmac username=\"u\", algorithm=\"{algorithm}\", headers=\"{headers}\", signature=\"{signature}\""
    )
}

/// A request that is signed as it should be, with these names in the list.
fn signed(method: &str, target: &str, date: &str, names: &str) -> Request {
    let lines = names.split(' ').map(|name| match name {
        "request-line" => format!("{method} {target} HTTP/1.1"),
        "@request-target" => format!("@request-target: {} {target}", method.to_lowercase()),
        "date" => format!("date: {date}"),
        other => format!("{other}:"),
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let credentials = credentials("hmac-sha256", names, &signature(hmac::HMAC_SHA256, &text));
    Request::new(method, target).header("date", date).header("authorization", &credentials)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures() {
    let plugged = start(&json!({ "enforce_headers": ["date", "request-line"] }));
    let now = date(0);
    let names = "date request-line";
    let good = || signed("GET", "/a%20b?c=d&c", &now, names);
    let replaced = |from: &str, to: &str| {
        let text = format!("date: {now}\nGET / HTTP/1.1");
        let whole = credentials("hmac-sha256", names, &signature(hmac::HMAC_SHA256, &text));
        get("/", &[("date", &now), ("authorization", &whole.replacen(from, to, 1))])
    };
    for case in [
        passes(good()),
        passes(replaced("", "")),
        passes(replaced("hmac", "Hmac")),
        passes(signed("DELETE", "/", &now, "request-line date x-none @request-target")),
        passes(signed("GET", "/", &date(-290), names)),
        passes(signed("GET", "/", &date(290), names)),
        refused(get("/", &[]), "Unauthorized", "hmac"),
        refused(get("/", &[("authorization", "hmac x")]), NO_DATE, "hmac"),
        refused(signed("GET", "/", &date(-310), names), NO_DATE, "hmac"),
        refused(signed("GET", "/", &date(310), names), NO_DATE, "hmac"),
        refused(signed("GET", "/", "yesterday", names), NO_DATE, "hmac"),
        refused(signed("GET", "/", &now, "date"), UNUSABLE, "hmac"),
        refused(get("/", &[("date", &now), ("authorization", "hmac x")]), UNUSABLE, "hmac"),
        refused(replaced("hmac", "Basic"), UNUSABLE, "hmac"),
        refused(replaced("\"u\"", "\"nobody\""), UNUSABLE, "hmac"),
        refused(replaced("hmac-sha256", "hmac-md5"), UNUSABLE, "hmac"),
        refused(replaced("date request-line", ""), UNUSABLE, "hmac"),
        // However many names there are, no long text is made of them.
        refused(signed("GET", "/", &now, &format!("{names}{}", " a".repeat(15_000))), UNUSABLE, "hmac"),
        refused(replaced("hmac-sha256", "hmac-sha512"), WRONG, "hmac"),
        refused(replaced("signature=\"", "signature=\"A"), WRONG, "hmac"),
        refused(replaced("date request-line", "request-line date"), WRONG, "hmac"),
    ] {
        case.run(&plugged).await;
    }
}

/// An overheard signature is no good for another request, and the same request not for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signature_of_one_request_is_not_that_of_another() {
    let plugged = start(&json!({ "enforce_headers": ["date", "@request-target"], "realm": "r" }));
    let now = date(0);
    let signed = signed("GET", "/a", &now, "date @request-target");
    passes(Request::new("GET", "/a")).run_with(&plugged, &signed).await;
    let overheard = signed.encode("a");
    let overheard = String::from_utf8(overheard).unwrap();
    let authorization = overheard.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
    let fields = [("date", &*now), ("authorization", authorization)];
    for other in [get("/b", &fields), get("/a?", &fields), with(Request::new("POST", "/a"), &fields)] {
        refused(other, WRONG, "hmac realm=\"r\"").run(&plugged).await;
    }
    let later = date(1);
    let fields = [("date", &*later), ("authorization", authorization)];
    refused(get("/a", &fields), WRONG, "hmac realm=\"r\"").run(&plugged).await;
}

impl Case {
    async fn run_with(self, plugged: &Plugged, request: &Request) {
        Self { request: request.clone(), ..self }.run(plugged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_verified_by_their_digest() {
    let plugged = start(&json!({ "validate_request_body": true, "hide_credentials": true }));
    let now = date(0);
    let post = |body: &str| signed("POST", "/", &now, "date").body(body.to_owned());
    let digest = |body: &str| {
        let sum = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
        format!("SHA-256={}", STANDARD.encode(sum))
    };
    for case in [
        passes(post("a").header("digest", &digest("a"))),
        passes(signed("GET", "/", &now, "date")),
        refused(post("a").header("digest", &digest("b")), WRONG, "hmac"),
        refused(post("a"), WRONG, "hmac"),
        refused(signed("GET", "/", &now, "date").header("digest", &digest("a")), WRONG, "hmac"),
    ] {
        case.run(&plugged).await;
    }
    plugged.send(&post("a").header("digest", &digest("a"))).await.expect(200);
    let received = plugged.origin.last();
    assert_eq!((received.body.as_slice(), received.header("authorization")), (b"a".as_slice(), None));
    assert_eq!(received.header("x-credential-identifier"), Some("u"));
    // No one who cannot sign makes the gateway read a body.
    plugged.origin.forget();
    let large = "a".repeat(9 << 20);
    plugged.send(&post(&large).header("digest", &digest(&large))).await.expect(413);
    assert_eq!(plugged.origin.count(), 0);
}
