//! request-transformer: what the upstream receives.

use std::time::Duration;

use model::Route;
use serde_json::{Value, json};
use testkit::curl::curl;
use testkit::http::{Connection, Request};
use testkit::origin::{Answer, Received};
use tokio::time::timeout;

use super::{Plugged, plugin};
use crate::support::{route, service};

fn transformer(config: Value) -> Value {
    plugin("request-transformer", config)
}

impl Plugged {
    /// What the origin receives of a request that passes a transformer with this configuration.
    async fn transformed(&self, config: &Value, request: &Request) -> Received {
        self.put_plugins(&[transformer(config.clone())]);
        self.send(request).await.expect(200);
        self.received().remove(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_changed_in_one_order() {
    let plugged = Plugged::start(&[]);
    let request = Request::new("GET", "/?q=a%0d%0aX-Evil:%201")
        .header("X-A", "1")
        .header("x-b", "2")
        .header("X-B", "3");
    for (config, name, values) in [
        (json!({ "remove": { "headers": ["x-b"] } }), "x-b", &[][..]),
        (json!({ "remove": { "headers": ["x-b: 7"] } }), "x-b", &[]),
        (json!({ "rename": { "headers": ["x-b:x-a"] } }), "x-a", &["2", "3"]),
        (json!({ "rename": { "headers": ["x-none:x-a"] } }), "x-a", &["1"]),
        (json!({ "replace": { "headers": ["X-B: v"] } }), "x-b", &["v"]),
        (json!({ "replace": { "headers": ["x-none:v"] } }), "x-none", &[]),
        (json!({ "add": { "headers": ["x-a:v"] } }), "x-a", &["1"]),
        (json!({ "add": { "headers": ["X-C:v", "x-c:w:x"] } }), "X-C", &["v", "w:x"]),
        (json!({ "append": { "headers": ["x-a:v", "x-n:w"] } }), "x-a", &["1", "v"]),
        (json!({ "append": { "headers": ["x-n:w"] } }), "x-n", &["w"]),
        (json!({ "add": { "headers": ["X-Forwarded-For:8.8.8.8"] } }), "x-forwarded-for", &["127.0.0.1"]),
        (
            json!({ "add": { "headers": ["x-t:$(headers['x-a'])-$(headers.x_b)-$(headers.none or 'none')"] } }),
            "x-t",
            &["1-2-none"],
        ),
        (json!({ "add": { "headers": ["x-t:$(query_params.q)"] } }), "x-t", &["a%0D%0AX-Evil: 1"]),
        (
            json!({
                "remove": { "headers": ["x-a"] },
                "rename": { "headers": ["x-b:x-a"] },
                "replace": { "headers": ["x-a:$(headers['x-a'])"] },
                "append": { "headers": ["x-a:p"] },
            }),
            "x-a",
            &["1", "p"],
        ),
        (json!({ "replace": { "headers": ["Host: shop.test:81"] } }), "host", &["shop.test:81"]),
    ] {
        let received = plugged.transformed(&config, &request).await;
        assert_eq!(received.header_values(name).collect::<Vec<_>>(), values, "{config}");
        assert!(received.header("x-evil").is_none());
    }
}

/// What frames a message, or is about one connection, stays the gateway's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn framing_is_not_changed() {
    let plugged = Plugged::start(&[]);
    let config = json!({
        "remove": { "headers": ["content-length", "host"] },
        "replace": { "headers": ["content-length:1"] },
        "append": { "headers": ["Content-Length:1", "Transfer-Encoding:chunked", "Host:b.test"] },
        "rename": { "headers": ["x-a:Content-Length", "content-length:x-b"] },
    });
    let request = Request::new("POST", "/").header("x-a", "7").body("body");
    let received = plugged.transformed(&config, &request).await;
    assert_eq!(received.body, b"body");
    assert_eq!(received.header_values("content-length").collect::<Vec<_>>(), ["4"]);
    assert_eq!(received.header_values("host").count(), 1);
    assert!(received.header("transfer-encoding").is_none());
    // A host that is none.
    plugged.put_plugins(&[transformer(json!({ "replace": { "headers": ["host:$(headers['x-a'])"] } }))]);
    plugged.send(&Request::new("GET", "/").header("x-a", "a b/c")).await.expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_changed_and_encoded() {
    let plugged = Plugged::start(&[]);
    for (config, target, received) in [
        (json!({}), "/?b=x+y&a=%7e", "/?b=x+y&a=%7e"),
        (json!({ "remove": { "querystring": ["a"] } }), "/?a=1&b=2&a=3", "/?b=2"),
        (json!({ "remove": { "querystring": ["a"] } }), "/?a=1", "/"),
        (json!({ "remove": { "querystring": ["a:7"] } }), "/?a=1&b=2", "/?b=2"),
        (json!({ "remove": { "querystring": ["c"] } }), "/?a=%7E&&b", "/?a=%7E&&b"),
        (json!({ "rename": { "querystring": ["a:c"] } }), "/?a=1&b=2", "/?c=1&b=2"),
        (json!({ "replace": { "querystring": ["a:x y&z"] } }), "/?a=1&b&a=3", "/?a=x%20y%26z&b"),
        (json!({ "add": { "querystring": ["a:1", "c:3"] } }), "/?a=0", "/?a=0&c=3"),
        (json!({ "add": { "querystring": ["c:$(headers.x or 'none')"] } }), "/", "/?c=none"),
        (json!({ "append": { "querystring": ["a:2"] } }), "/?a=x+y", "/?a=x%20y&a=2"),
        (
            json!({ "add": { "querystring": ["c:$(query_params.a)"] } }),
            "/?a=x%26y%3d1",
            "/?a=x%26y%3D1&c=x%26y%3D1",
        ),
    ] {
        let request = Request::new("GET", target);
        assert_eq!(plugged.transformed(&config, &request).await.target, received, "{config} {target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_rendered_of_captures() {
    let plugged = Plugged::start(&[]);
    let captures = Route { paths: Some(vec!["~/users/(?<id>[^/]+)/(.*)$".into()]), ..route(1, "/") };
    plugged.gateway.serve(service(1, &plugged.origin), captures);
    let target = "/users/a%20b/rest/x?q=1";
    for (uri, received) in [
        ("/fixed", "/fixed?q=1"),
        ("/v2/$(uri_captures['id'])/$(uri_captures[2])", "/v2/a%20b/rest/x?q=1"),
        ("/v2/$(uri_captures.none or 'none')", "/v2/none?q=1"),
        ("/v2?id=$(uri_captures.id)", "/v2?id=a%2520b&q=1"),
        ("/$(query_params.q)", "/1?q=1"),
    ] {
        let config = json!({ "replace": { "uri": uri } });
        assert_eq!(
            plugged.transformed(&config, &Request::new("GET", target)).await.target,
            received,
            "{uri}"
        );
    }
    // A value does not choose among the paths of the upstream.
    plugged.put_plugins(&[transformer(json!({ "replace": { "uri": "/public/$(query_params.p)" } }))]);
    plugged.get("/users/1/x?p=../admin").await.expect(400);
    plugged.get("/users/1/x?p=%252e%252e/admin").await.expect(400);
    assert!(plugged.received().is_empty());
    plugged.get("/users/1/x?p=a%3Fadmin=1").await.expect(200);
    assert_eq!(plugged.received()[0].target, "/public/a%3Fadmin=1?p=a%3Fadmin=1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_changed_and_framed() {
    let plugged = Plugged::start(&[]);
    let config = json!({
        "remove": { "body": ["secret:7"] },
        "add": { "body": ["user:$(headers['x-user'])"] },
        "append": { "body": ["tag:b"] },
    });
    let post = |content_type: &str, body: &str| {
        let request = Request::new("POST", "/").header("X-User", "ada").header("Content-Type", content_type);
        request.body(body.to_owned())
    };
    let (json_type, form) = ("application/json", "application/x-www-form-urlencoded");
    for (content_type, body, received) in [
        (json_type, r#"{"secret":1,"n":1.50,"tag":"a"}"#, r#"{"n":1.50,"tag":["a","b"],"user":"ada"}"#),
        (json_type, "\"text\"", "\"text\""),
        (json_type, "no json", "no json"),
        (form, "secret=1&n=x+y", "n=x%20y&user=ada&tag=b"),
        ("text/plain", "secret=1", "secret=1"),
    ] {
        let got = plugged.transformed(&config, &post(content_type, body)).await;
        assert_eq!(String::from_utf8(got.body.clone()).unwrap(), received, "{content_type}");
        let length = got.body.len().to_string();
        assert_eq!(got.header_values("content-length").collect::<Vec<_>>(), [length.as_str()]);
    }
    // In chunks, and by HTTP/2.
    let url = format!("http://{}/", plugged.gateway.address());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let data = [
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Content-Type: application/json",
            "--data",
            r#"{"secret":1}"#,
        ];
        curl(&[&[version, "--fail", &url][..], &data[if version == "--http1.1" { 0 } else { 2 }..]].concat())
            .await
            .unwrap();
        assert_eq!(plugged.received()[0].body, br#"{"user":"","tag":["b"]}"#);
    }
    // Too long, and not of a type that is changed.
    let long = "x".repeat(2 << 20);
    let refused = plugged.send(&post(form, &long)).await.expect(413);
    assert_eq!(refused.json()["message"], "Request size limit exceeded");
    let wide = json!({ "remove": { "body": ["secret"] }, "max_body_bytes": 4 << 20 });
    assert_eq!(plugged.transformed(&wide, &post(form, &long)).await.body.len(), long.len());
    let many = "a&".repeat(100_000);
    plugged.send(&post(form, &many)).await.expect(413);
    assert!(plugged.received().is_empty());
    plugged.send(&post("text/plain", &long)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_move_to_the_query_with_the_method() {
    let plugged = Plugged::start(&[]);
    let config = json!({ "http_method": "GET", "remove": { "querystring": ["b"] } });
    let request = Request::new("POST", "/?q=1").form(&[("a", "x y"), ("b", "2")]);
    let received = plugged.transformed(&config, &request).await;
    assert_eq!((received.method.as_str(), received.target.as_str()), ("GET", "/?q=1&a=x%20y"));
    let received = plugged.transformed(&json!({ "http_method": "PATCH" }), &request).await;
    assert_eq!((received.method.as_str(), received.target.as_str()), ("PATCH", "/?q=1"));
}

/// The client's own method decides whether its answer has a body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_to_the_clients_method() {
    let plugged = Plugged::start(&[transformer(json!({ "http_method": "GET" }))]);
    plugged.origin.answer(Answer::status(200).body("a body"));
    let mut connection = Connection::open(plugged.gateway.address()).await.unwrap();
    for _ in 0..3 {
        connection.write(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let head = timeout(Duration::from_secs(10), connection.read_response(true))
            .await
            .unwrap()
            .unwrap()
            .expect(200);
        assert_eq!(head.header("content-length"), Some("6"));
        connection.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let body = timeout(Duration::from_secs(10), connection.read_response(false)).await.unwrap().unwrap();
        assert_eq!(body.expect(200).text(), "a body");
    }
    assert!(plugged.received().iter().all(|received| received.method == "GET"));
    plugged.put_plugins(&[transformer(json!({ "http_method": "HEAD" }))]);
    let answer = plugged.get("/").await.expect(200);
    assert_eq!((answer.header("content-length"), answer.body.len()), (Some("0"), 0));
    assert_eq!(plugged.received()[0].method, "HEAD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_authentication_says_of_the_consumer_is_changed() {
    let plugged = Plugged::start(&[]);
    plugged.put_consumer(1);
    plugged.put_keys(&[(1, "key-1")]);
    let config = json!({
        "remove": { "headers": ["x-consumer-id"] },
        "rename": { "headers": ["x-consumer-username:x-user"] },
        "replace": { "headers": ["x-consumer-custom-id:other"] },
        "append": { "headers": ["x-credential-identifier:$(headers['x-consumer-username'])"] },
    });
    let limit = plugin("rate-limiting", json!({ "year": 100 }));
    plugged.put_plugins(&[plugin("key-auth", json!({})), limit, transformer(config)]);
    plugged.send(&Request::new("GET", "/").header("apikey", "key-1")).await.expect(200);
    let received = plugged.received().remove(0);
    for (name, values) in [
        ("x-consumer-id", &[][..]),
        ("x-consumer-username", &[]),
        ("x-user", &["c1"]),
        ("x-consumer-custom-id", &["other"]),
    ] {
        assert_eq!(received.header_values(name).collect::<Vec<_>>(), values, "{name}");
    }
    let identifiers: Vec<_> = received.header_values("x-credential-identifier").collect();
    assert_eq!((identifiers.len(), identifiers[1]), (2, "c1"));
}
