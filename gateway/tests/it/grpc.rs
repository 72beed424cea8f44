//! gRPC through the proxy with a real client and a real server, and the responses to other clients on its
//! routes.

pub(crate) mod echo;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use h2::Reason;
use http::uri::PathAndQuery;
use model::{Protocol, Route, Service};
use testkit::curl::curl;
use testkit::origin::Origin;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use crate::support::{Gateway, at, route};
use crate::tls::{Pairs, name, put};
use echo::{Client, Message, Raw, Server};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A service and a route for gRPC, the service with TLS or without.
fn serve(gateway: &Gateway, upstream: SocketAddr, tls: bool) {
    let protocol = if tls { Protocol::Grpcs } else { Protocol::Grpc };
    let service = Service { protocol, ..at(1, upstream) };
    gateway.serve(service, for_grpc(&[Protocol::Grpc, Protocol::Grpcs]));
}

fn for_grpc(protocols: &[Protocol]) -> Route {
    Route { protocols: protocols.to_vec(), strip_path: false, ..route(1, "/test.Echo") }
}

fn method(name: &str) -> PathAndQuery {
    format!("/test.Echo/{name}").parse().unwrap()
}

async fn unary(
    client: &mut Client,
    name: &str,
    message: Message,
) -> Result<tonic::Response<Message>, Status> {
    client.ready().await.unwrap();
    timeout(TIMEOUT, client.unary(Request::new(message), method(name), Raw)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_methods_without_tls() {
    let (gateway, server) = (Gateway::start(), Server::start(None));
    serve(&gateway, server.address, false);
    let mut client = echo::client(gateway.address(), None).await;
    all_kinds(&mut client, &server.address.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_methods_over_tls_on_both_sides() {
    let (gateway, pairs) = (Gateway::start(), Pairs::new());
    let (shown, behind) = (pairs.make("shown", &["rpc.example"]), pairs.make("behind", &["localhost"]));
    let server = Server::start(Some(&behind));
    serve(&gateway, server.address, true);
    gateway.apply(vec![put(1, &shown), name(1, "rpc.example", 1)]);
    let mut client = echo::client(gateway.tls_address, Some(("rpc.example", &shown))).await;
    all_kinds(&mut client, &server.address.to_string()).await;
}

async fn all_kinds(client: &mut Client, authority: &str) {
    let answer = unary(client, "Each", b"one".to_vec()).await.unwrap();
    assert_eq!(answer.metadata().get("seen-te").unwrap(), "trailers");
    assert_eq!(answer.metadata().get("seen-authority").unwrap(), authority);
    assert_eq!(answer.into_inner(), b"one");
    let large = vec![7; 5 << 20];
    assert_eq!(unary(client, "Each", large.clone()).await.unwrap().into_inner(), large);

    client.ready().await.unwrap();
    let parts = stream::iter((0..100).map(|number| vec![number; 1000]));
    let joined = client.client_streaming(Request::new(parts), method("Join"), Raw).await.unwrap();
    assert_eq!(joined.into_inner().len(), 100_000);

    client.ready().await.unwrap();
    let repeated = client.server_streaming(Request::new(vec![0; 50]), method("Repeat"), Raw).await.unwrap();
    let lengths: Vec<_> = repeated.into_inner().map(|message| message.unwrap().len()).collect().await;
    assert_eq!(lengths, (0..50).collect::<Vec<_>>());

    for (name, code, said) in
        [("Fail", Code::FailedPrecondition, "not now"), ("Refuse", Code::PermissionDenied, "not you")]
    {
        let status = unary(client, name, vec![]).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, said));
    }
}

/// Each message is answered before the next one is sent, so the proxy must not wait for more. The deadline of
/// a header does not apply to the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_takes_turns_and_its_time() {
    let (server, pairs) = (Server::start(None), Pairs::new());
    let gateway = Gateway::with(&[("proxy.header_timeout", "300ms")]);
    serve(&gateway, server.address, false);
    let pair = pairs.make("pair", &["rpc.example"]);
    gateway.apply(vec![put(1, &pair), name(1, "rpc.example", 1)]);
    converse(echo::client(gateway.address(), None).await).await;
    converse(echo::client(gateway.tls_address, Some(("rpc.example", &pair))).await).await;
    gateway.wait_metric("gibbon_http_requests_in_flight", 0.0).await;
}

async fn converse(mut client: Client) {
    let (send, mut receive) = tokio::sync::mpsc::channel::<Message>(1);
    let asked = stream::poll_fn(move |context| receive.poll_recv(context));
    let answers = client.streaming(Request::new(asked), method("Each"), Raw);
    send.send(vec![0]).await.unwrap();
    let mut answers = timeout(TIMEOUT, answers).await.unwrap().unwrap().into_inner();
    for number in 0..20 {
        assert_eq!(timeout(TIMEOUT, answers.message()).await.unwrap().unwrap(), Some(vec![number]));
        sleep(Duration::from_millis(50)).await;
        send.send(vec![number + 1]).await.unwrap();
    }
    drop(send);
    assert_eq!(timeout(TIMEOUT, answers.message()).await.unwrap().unwrap(), Some(vec![20]));
    assert_eq!(timeout(TIMEOUT, answers.message()).await.unwrap().unwrap(), None);
    // A client that leaves amid a stream does not disturb the connection.
    client.ready().await.unwrap();
    let left = client.server_streaming(Request::new(vec![]), method("Silent"), Raw).await.unwrap();
    drop(left);
    unary(&mut client, "Each", vec![1]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_gateway_are_told_in_the_words_of_grpc() {
    let (gateway, nobody) = (Gateway::start(), testkit::ports::reserve());
    let mut client = echo::client(gateway.address(), None).await;
    let status = unary(&mut client, "Each", vec![]).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no Route matched with those values"));
    serve(&gateway, nobody.address(), false);
    let status = unary(&mut client, "Each", vec![]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.metadata().contains_key("x-kong-request-id"));

    let server = Server::start(None);
    let service = Service { protocol: Protocol::Grpc, read_timeout: 200, ..at(1, server.address) };
    gateway.serve(service, for_grpc(&[Protocol::Grpc]));
    client.ready().await.unwrap();
    let silent = client.server_streaming(Request::new(vec![]), method("Silent"), Raw);
    // The header of the response has come: only the break can still be reported.
    let mut silent = timeout(TIMEOUT, silent).await.unwrap().unwrap().into_inner();
    timeout(TIMEOUT, silent.message()).await.unwrap().unwrap_err();

    gateway.serve(at(1, server.address), for_grpc(&[Protocol::Grpcs]));
    let status = unary(&mut client, "Each", vec![]).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "gRPC request matched gRPCs route"));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_told_what_a_route_for_grpc_takes() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    serve(&gateway, origin.address(), false);
    let url = format!("http://{}/test.Echo/Each", gateway.address());
    // Without a body: a response that comes before it makes curl 7.88 fail now and then.
    let ask = async |more: &[&str]| curl(&[&["--include", &url], more].concat()).await.unwrap();
    let grpc = "Content-Type: application/grpc";

    let old = ask(&["--http1.1", "--header", grpc]).await;
    assert!(old.starts_with("HTTP/1.1 426") && old.contains("Please use HTTP2 protocol"), "{old}");
    let head = old.to_lowercase();
    assert!(head.contains("\nupgrade: http/2\r") && head.contains("\nconnection: upgrade\r"), "{old}");

    for media_type in ["application/json", "application/grpc-web", "application/grp"] {
        let media_type = format!("Content-Type: {media_type}");
        let other = ask(&["--http2-prior-knowledge", "--header", &media_type]).await;
        assert!(other.starts_with("HTTP/2 415") && other.contains("Non-gRPC request matched"), "{other}");
    }

    gateway.serve(at(1, origin.address()), for_grpc(&[Protocol::Grpcs]));
    let plain = ask(&["--http2-prior-knowledge", "--header", "Content-Type: application/grpc+proto"]).await;
    for line in ["HTTP/2 200", "grpc-status: 1\r", "grpc-message: gRPC request matched gRPCs route\r"] {
        assert!(plain.contains(line), "{plain}");
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"http2_required\"}", 1.0).await;
    gateway.wait_metric("gibbon_http_errors_total{reason=\"not_grpc\"}", 3.0).await;
    gateway.wait_metric("gibbon_http_errors_total{reason=\"grpcs_required\"}", 1.0).await;
}

/// An upstream that refuses the first `refused` streams as not processed.
async fn refuse_first(listener: TcpListener, mut refused: usize) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if refused > 0 {
                refused -= 1;
                respond.send_reset(Reason::REFUSED_STREAM);
                continue;
            }
            let mut body = respond.send_response(http::Response::new(()), false).unwrap();
            connections.spawn(async move {
                let mut asked = request.into_body();
                while let Some(Ok(data)) = asked.data().await {
                    asked.flow_control().release_capacity(data.len()).unwrap();
                    body.send_data(data, false).unwrap();
                }
                body.send_data(bytes::Bytes::new(), true).unwrap();
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_did_not_process_is_sent_again() {
    let (gateway, mut tasks) = (Gateway::start(), JoinSet::new());
    for (refused, retries, status) in [(2, 2, "200 hello"), (2, 1, "502")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Service { protocol: Protocol::Grpc, retries, ..at(1, listener.local_addr().unwrap()) };
        tasks.spawn(refuse_first(listener, refused));
        // From HTTP/1.1 to HTTP/2, which routes for HTTP may use, too.
        gateway.serve(service, route(1, "/"));
        let url = format!("http://{}/", gateway.address());
        let shown = ["--write-out", "\n%{http_code}", "--http1.1", "--data", "hello", &url];
        let (body, code) =
            curl(&shown).await.unwrap().rsplit_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let said = if code == "200" { format!("{code} {body}") } else { code };
        assert_eq!(said, status);
    }
}
