//! Requests that browsers send for a web page, as bytes: none of them reads or writes, unless the origin is
//! allowed.

use testkit::http::{Connection, Request};

use super::{Stage, post};

const EVIL: &str = "https://evil.example";

#[tokio::test]
async fn foreign_page_neither_reads_nor_writes() {
    let stage = Stage::start(&[]).await;
    let own = stage.control.admin().address();
    let form = "name=forged&host=evil.example";
    let simple = |kind: &str| Request::new("POST", "/services").header("Content-Type", kind).body(form);
    let preflight = Request::new("OPTIONS", "/services").header("Access-Control-Request-Method", "POST");
    for request in [
        preflight.header("Origin", EVIL),
        simple("application/x-www-form-urlencoded").header("Origin", EVIL),
        simple("application/x-www-form-urlencoded").header("Origin", "null"),
        simple("text/plain").header("Origin", EVIL),
        simple("application/x-www-form-urlencoded").header("Sec-Fetch-Site", "cross-site"),
        post("forged").header("Origin", "http://127.0.0.1:3000"),
        post("forged").header("Origin", &format!("https://{own}")),
        post("forged").header("Origin", &format!("http://{own}")).header("Origin", EVIL),
        // fetch with no-cors, an image, a link: no Origin.
        Request::new("GET", "/services")
            .header("Sec-Fetch-Site", "cross-site")
            .header("Sec-Fetch-Mode", "no-cors"),
        Request::new("GET", "/services").header("Sec-Fetch-Site", "same-site"),
        // A foreign name with this address: the browser treats all of it as one origin.
        Request::new("GET", "/services")
            .header("Host", "evil.example")
            .header("Sec-Fetch-Site", "same-origin"),
        post("forged").header("Host", &format!("evil.example:{}", own.port())),
        post("forged").header("Host", "evil.example").header("Origin", "http://evil.example"),
        Request::new("GET", "/services").header("Host", "localhost.evil.example"),
        Request::new("GET", "/services").header("Host", "127.0.0.1.evil.example"),
        Request::new("GET", "/services").header("Host", "0.0.0.0:8001"),
        Request::new("GET", "/services").header("Host", "192.0.2.1"),
        Request::new("GET", "/services")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Origin", EVIL),
        Request::new("GET", "http://evil.example/services").header("Host", "evil.example"),
    ] {
        let answer = stage.send(request.clone()).await;
        assert_eq!(answer.status, 403, "{request:?}: {}", answer.text());
        assert!(answer.json()["message"].is_string());
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{answer:?}");
    }
    let left = stage.control.admin().get("/services").await.unwrap().expect(200).json();
    assert_eq!(left["data"], serde_json::json!([]));
    assert!(stage.control.node.metric("gibbon_admin_refused_total{reason=\"foreign_origin\"}").await >= 10.0);
    assert!(stage.control.node.metric("gibbon_admin_refused_total{reason=\"unknown_host\"}").await >= 7.0);
    stage.stop().await;
}

#[tokio::test]
async fn clients_that_are_no_browsers_go_on_as_before() {
    let stage = Stage::start(&[("admin.allowed_hosts", "control.example")]).await;
    let port = stage.control.admin().address().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "127.0.0.1.",
        "127.8.8.8",
        "Control.Example",
        "control.example.",
    ] {
        for host in [host.to_owned(), format!("{host}:{port}"), format!("{host}:1")] {
            stage.send(Request::new("GET", "/services").header("Host", &host)).await.expect(200);
        }
    }
    let typed = Request::new("GET", "/services").header("Sec-Fetch-Site", "none");
    let answer = stage.send(typed).await.expect(200);
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, None));
    stage
        .send(Request::new("GET", &format!("http://localhost:{port}/services")).header("Host", "localhost"))
        .await
        .expect(200);
    stage.send(Request::new("OPTIONS", "/services")).await.expect(204);
    stage.stop().await;
}

#[tokio::test]
async fn request_without_one_clear_host_is_refused() {
    let stage = Stage::start(&[]).await;
    let admin = stage.control.admin();
    for (head, status) in [
        ("GET /services HTTP/1.1\r\n\r\n", 400),
        ("GET /services HTTP/1.0\r\n\r\n", 200),
        ("GET /services HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("GET /services HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        ("GET /services HTTP/1.1\r\nHost: \r\n\r\n", 400),
        ("GET /services HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 400),
        ("GET /services HTTP/1.1\r\nHost: localhost:99999\r\n\r\n", 400),
        ("GET /services HTTP/1.1\r\nHost: l\u{f6}calhost\r\n\r\n", 400),
        ("GET http://evil.example/services HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET http://localhost/services HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
        ("GET http://localhost@evil.example/services HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ] {
        let answer = admin.raw(head.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{head}: {}", answer.text());
    }
    // HTTP/0.9 has neither fields nor a status.
    let mut connection = Connection::open(admin.address()).await.unwrap();
    connection.write(b"GET /services\r\n\r\n").await.unwrap();
    let answer = connection.read_to_end().await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    stage.stop().await;
}

#[tokio::test]
async fn allowed_origin_reads_and_writes_and_no_other() {
    const ADMIN: &str = "https://admin.example";
    let stage = Stage::start(&[("admin.allowed_origins", ADMIN)]).await;
    let preflight = |origin: &str| {
        let request = Request::new("OPTIONS", "/services").header("Origin", origin);
        request
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "content-type")
    };
    let answer = stage
        .send(preflight(ADMIN).header("Access-Control-Request-Private-Network", "true"))
        .await
        .expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ADMIN));
    assert_eq!(answer.header("access-control-allow-private-network"), Some("true"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("Kong-Admin-Token"));
    let page = |request: Request| request.header("Origin", ADMIN).header("Sec-Fetch-Site", "cross-site");
    for (request, status) in
        [(post("a"), 201), (Request::new("GET", "/services"), 200), (Request::new("GET", "/no"), 404)]
    {
        let answer = stage.send(page(request)).await.expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ADMIN));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let other = stage.send(preflight(EVIL)).await.expect(403);
    assert_eq!((other.header("access-control-allow-origin"), other.header("vary")), (None, None));
    let plain = stage.send(Request::new("GET", "/services")).await.expect(200);
    assert_eq!((plain.header("access-control-allow-origin"), plain.header("vary")), (None, Some("Origin")));
    stage.stop().await;
}
