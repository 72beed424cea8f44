//! Probes of a server of gRPC.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::HeaderValue;
use bytes::{Buf, BufMut};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use testkit::certs;
use testkit::origin::Origin;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use super::tls::{acceptor, trust};
use super::*;
use crate::upstream::{Host, Protocol, Terms};

type Message = Vec<u8>;
type Statuses = Arc<HashMap<&'static str, Result<u8, Status>>>;

/// A server with the health protocol, or without it.
struct Grpc {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Grpc {
    async fn start(statuses: Option<Statuses>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, mut tasks) = (listener.local_addr().unwrap(), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (service, tls) = (Health(statuses.clone()), tls.clone());
                connections.spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                run(stream, service).await;
                            }
                        }
                        None => run(stream, service).await,
                    }
                });
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// Serves until the connection ends, for any reason.
async fn run(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: Health) {
    let server = http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await.ok();
}

#[derive(Clone)]
struct Health(Option<Statuses>);

impl Service<::http::Request<Incoming>> for Health {
    type Response = ::http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ::http::Request<Incoming>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let known = service.0.is_some() && request.uri().path() == "/grpc.health.v1.Health/Check";
            if !known || request.headers()["te"] != "trailers" {
                return Ok(Status::unimplemented("").into_http());
            }
            Ok(tonic::server::Grpc::new(Raw).unary(service, request).await)
        })
    }
}

impl UnaryService<Message> for Health {
    type Response = Message;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Message>, Status>> + Send>>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        let statuses = self.0.clone().unwrap();
        Box::pin(async move {
            let message = request.into_inner();
            let service = message.get(2..).map(|name| std::str::from_utf8(name).unwrap()).unwrap_or_default();
            let status = statuses.get(service).cloned().unwrap_or(Err(Status::not_found("")))?;
            Ok(Response::new(vec![8, status]))
        })
    }
}

/// A codec that leaves messages unchanged.
struct Raw;

impl Codec for Raw {
    type Encode = Message;
    type Decode = Message;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, message: Message, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Message;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Message>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

fn check(terms: &Arc<Terms>, service: &str) -> Check {
    let (host, fields) = (HeaderValue::from_static("target.test"), Arc::new([]) as _);
    Check::Grpc(GrpcCheck { terms: terms.clone(), host, service: service.into(), fields })
}

fn statuses() -> Statuses {
    Arc::new(HashMap::from([
        ("", Ok(1)),
        ("good", Ok(1)),
        ("bad", Ok(2)),
        ("new", Ok(0)),
        ("odd", Ok(9)),
        ("angry", Err(Status::permission_denied("not you"))),
    ]))
}

#[tokio::test]
async fn health_of_each_service_is_the_result() {
    let (server, probing) = (Grpc::start(Some(statuses()), None).await, Probing::new());
    let terms = Terms::plain(Protocol::Http2);
    for _ in 0..2 {
        for service in ["", "good"] {
            assert_eq!(probing.run(server.address, check(&terms, service)).await, ProbeOutcome::Success);
        }
        for (service, text) in [
            ("bad", "NOT_SERVING"),
            ("new", "UNKNOWN"),
            ("odd", "unknown status 9"),
            ("other", "does not know the service \"other\""),
            ("angry", "gRPC status 7: not"),
        ] {
            let outcome = probing.run(server.address, check(&terms, service)).await;
            assert!(is_http_failure(&outcome, text), "{service}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn server_without_the_health_protocol_fails_with_a_clear_text() {
    let terms = Terms::plain(Protocol::Http2);
    let (server, probing) = (Grpc::start(None, None).await, Probing::new());
    let outcome = probing.run(server.address, check(&terms, "")).await;
    assert!(is_http_failure(&outcome, "does not implement grpc.health.v1.Health"), "{outcome:?}");
    let origin = Origin::start();
    let outcome = probing.run_within(origin.address(), check(&terms, ""), 2 * SECOND).await;
    assert_ne!(outcome, ProbeOutcome::Success);
}

#[tokio::test]
async fn grpc_over_tls_verifies_the_certificate() {
    node::install_tls_provider();
    let folder = tempfile::tempdir().unwrap();
    let [good, other] = ["good", "other"].map(|name| certs::Authority::new(folder.path(), name));
    let pair = good.issue_server("server", &["target.test"]);
    let [h2, http1] = [&b"h2"[..], b"http/1.1"].map(|protocol| Some(acceptor(&pair, protocol)));
    let [good, other] = [&good, &other].map(|authority| {
        Arc::new(Terms::tls(Protocol::Http2, &Host::new("target.test"), &trust(authority)).unwrap())
    });
    let (server, probing) = (Grpc::start(Some(statuses()), h2).await, Probing::new());
    assert_eq!(probing.run(server.address, check(&good, "good")).await, ProbeOutcome::Success);
    let outcome = probing.run(server.address, check(&other, "good")).await;
    assert!(is_tcp_failure(&outcome, "TLS handshake failed"), "{outcome:?}");
    // Without HTTP/2 in its handshake.
    let server = Grpc::start(Some(statuses()), http1).await;
    let outcome = probing.run(server.address, check(&good, "good")).await;
    assert!(!matches!(outcome, ProbeOutcome::Success | ProbeOutcome::Timeout), "{outcome:?}");
}
