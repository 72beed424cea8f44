//! Authentication for clients of HTTP/2, gRPC and WebSocket.

use http::uri::PathAndQuery;
use model::{Protocol, Route, Service};
use serde_json::json;
use testkit::curl::curl;
use testkit::http::Connection;
use testkit::origin::Answer;
use tonic::Code;
use tonic::metadata::MetadataValue;

use super::*;
use crate::grpc::echo::{self, Raw, Server};
use crate::plugins::Plugged;
use crate::support::{at, route};

fn start() -> Plugged {
    let plugged = Plugged::start(&[json!({ "name": "key-auth", "config": { "hide_credentials": true } })]);
    plugged.put_consumer(1);
    put_key(&plugged, 1, "secret", None);
    plugged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2() {
    let plugged = start();
    let url = format!("http://{}/?a=b", plugged.gateway.address());
    let ask = async |more: &[&str]| {
        curl(&[&["--http2-prior-knowledge", "--include", &url], more].concat()).await.unwrap()
    };
    let refused = ask(&[]).await;
    assert!(refused.starts_with("HTTP/2 401"), "{refused}");
    assert!(
        refused.contains("www-authenticate: Key") && refused.contains("No API key found in request"),
        "{refused}"
    );
    assert_eq!(plugged.origin.count(), 0);
    let passed = ask(&["--header", "apikey: secret", "--header", "x-consumer-id: 1"]).await;
    assert!(passed.starts_with("HTTP/2 200"), "{passed}");
    let received = plugged.origin.last();
    assert_eq!(received.header_values("x-consumer-id").collect::<Vec<_>>(), [consumer_id(1).to_string()]);
    assert_eq!((received.header("apikey"), received.target.as_str()), (None, "/?a=b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc() {
    let (plugged, server) = (start(), Server::start(None));
    let service = Service { protocol: Protocol::Grpc, ..at(1, server.address) };
    let protocols = vec![Protocol::Grpc, Protocol::Grpcs];
    plugged.gateway.serve(service, Route { protocols, strip_path: false, ..route(1, "/test.Echo") });
    let mut client = echo::client(plugged.gateway.address(), None).await;
    let method = || PathAndQuery::from_static("/test.Echo/Each");
    client.ready().await.unwrap();
    let refused = client.unary(tonic::Request::new(b"one".to_vec()), method(), Raw).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "No API key found in request"));
    let mut request = tonic::Request::new(b"one".to_vec());
    request.metadata_mut().insert("apikey", MetadataValue::from_static("secret"));
    client.ready().await.unwrap();
    assert_eq!(client.unary(request, method(), Raw).await.unwrap().into_inner(), b"one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket() {
    let plugged = start();
    plugged.origin.answer(Answer::upgrade("websocket"));
    let ask = async |key: &str| {
        let mut connection = Connection::open(plugged.gateway.address()).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        connection.write(request.as_bytes()).await.unwrap();
        let response = connection.read_response(false).await.unwrap();
        (connection, response)
    };
    let (_, refused) = ask("").await;
    assert_eq!((refused.status, refused.header("upgrade")), (401, None));
    assert_eq!(plugged.origin.count(), 0);
    let (mut tunnel, opened) = ask("apikey: secret\r\n").await;
    assert_eq!(opened.status, 101);
    tunnel.write(b"hello").await.unwrap();
    assert_eq!(&tunnel.read_exact(5).await.unwrap()[..], b"hello");
}
