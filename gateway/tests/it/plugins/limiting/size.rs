//! Limits of the size of bodies.

use testkit::http::Connection;

use super::*;

const TOO_LARGE: &str = "Request size limit exceeded";

fn sized(config: Value) -> Value {
    json!({ "name": "request-size-limiting", "config": config })
}

/// A body in chunks of 1,000 bytes.
fn chunked(bytes: usize) -> Vec<u8> {
    let mut text = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        .to_vec();
    for _ in 0..bytes / 1000 {
        text.extend(b"3e8\r\n");
        text.extend([b'x'; 1000]);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\n\r\n");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stated_length_is_checked_before_the_body_is_read() {
    let plugged = Plugged::start(&[]);
    for (size, unit, most) in [(1000, "bytes", 1000), (2, "kilobytes", 2048), (1, "megabytes", 1 << 20)] {
        plugged.put_plugins(&[sized(json!({ "allowed_payload_size": size, "size_unit": unit }))]);
        plugged.send(&Request::new("POST", "/").body(vec![b'x'; most])).await.expect(200);
        assert_eq!(plugged.received()[0].body.len(), most);
        let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n", most + 1);
        for (more, status) in [("\r\n", 413), ("Expect: 100-Continue\r\n\r\n", 417)] {
            let response = plugged.gateway.client.raw(format!("{head}{more}").as_bytes()).await.unwrap();
            assert_eq!(response.expect(status).json()["message"], TOO_LARGE);
        }
        plugged.get("/").await.expect(200);
        plugged.received();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_without_a_length_is_measured_on_its_way() {
    let plugged = Plugged::start(&[sized(json!({ "allowed_payload_size": 10_000, "size_unit": "bytes" }))]);
    let client = &plugged.gateway.client;
    assert_eq!(client.raw(&chunked(10_000)).await.unwrap().status, 200);
    let response = client.raw(&chunked(11_000)).await.unwrap().expect(413);
    assert_eq!(response.json()["message"], TOO_LARGE);
    // The connection of such a request ends: what follows is the rest of its body.
    let mut connection = Connection::open(plugged.gateway.address()).await.unwrap();
    connection.write(&chunked(1_000_000)).await.ok();
    connection.read_response(false).await.unwrap().expect(413);
    connection.read_to_end().await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_that_another_plugin_has_read_is_measured() {
    let sized = sized(json!({ "allowed_payload_size": 10_000, "size_unit": "bytes" }));
    let reading = json!({ "name": "key-auth", "config": { "key_in_body": true, "anonymous": "c1" } });
    let plugged = Plugged::start(&[reading, sized]);
    plugged.put_consumer(1);
    let client = &plugged.gateway.client;
    assert_eq!(client.raw(&chunked(10_000)).await.unwrap().status, 200);
    assert_eq!(plugged.received()[0].body.len(), 10_000);
    let response = client.raw(&chunked(11_000)).await.unwrap().expect(413);
    assert_eq!(response.json()["message"], TOO_LARGE);
    assert_eq!(plugged.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn length_can_be_required() {
    let plugged = Plugged::start(&[sized(json!({ "require_content_length": true }))]);
    let response = plugged.get("/").await.expect(411);
    assert_eq!(response.json()["message"], "A valid Content-Length header is required");
    plugged.send(&Request::new("POST", "/").body("x")).await.expect(200);
    plugged.send(&Request::new("POST", "/").header("Content-Length", "0")).await.expect(200);
    plugged.gateway.client.raw(&chunked(1000)).await.unwrap().expect(200);
}
