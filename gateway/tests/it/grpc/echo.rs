//! A real gRPC server with methods of every kind, and a client; messages are bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, HeaderName};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::background::Background;
use testkit::certs::Pair;
use testkit::ports::{self, Port};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::server::StreamingService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};

pub(crate) type Message = Vec<u8>;
pub(crate) type Client = tonic::client::Grpc<Channel>;
type Messages = BoxStream<'static, Result<Message, Status>>;

/// A server. Dropping it ends it with its connections, and waits for that.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _thread: Background,
    _close: ports::Close,
    _port: Port,
}

impl Server {
    /// Starts a server without TLS, or with a certificate.
    pub(crate) fn start(pair: Option<&Pair>) -> Self {
        let port = ports::reserve();
        let address = port.address();
        let listener = ports::bind(|| std::net::TcpListener::bind(address));
        listener.set_nonblocking(true).unwrap();
        let (close, acceptor) = (ports::Close::after(&listener), pair.map(acceptor));
        let thread = Background::run(|| accept(TcpListener::from_std(listener).unwrap(), acceptor));
        Self { address, _thread: thread, _close: close, _port: port }
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            match acceptor {
                Some(acceptor) => serve(acceptor.accept(stream).await.unwrap()).await,
                None => serve(stream).await,
            }
        });
    }
}

fn acceptor(pair: &Pair) -> TlsAcceptor {
    node::install_tls_provider();
    let chain = vec![CertificateDer::from_pem_file(&pair.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Serves until the connection ends, for any reason.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let server = http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(Echo)).await.ok();
}

/// Creates a client of the server at an address; over TLS with a server name, if it shows this certificate.
pub(crate) async fn client(to: SocketAddr, tls: Option<(&str, &Pair)>) -> Client {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{to}")).unwrap();
    if let Some((name, pair)) = tls {
        let trusted = Certificate::from_pem(std::fs::read_to_string(&pair.cert).unwrap());
        endpoint =
            endpoint.tls_config(ClientTlsConfig::new().ca_certificate(trusted).domain_name(name)).unwrap();
    }
    let mut client = Client::new(endpoint.connect().await.unwrap()).max_decoding_message_size(64 << 20);
    client.ready().await.unwrap();
    client
}

#[derive(Clone)]
struct Echo;

impl Service<http::Request<Incoming>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let shown = shown(request.headers());
            let codec = tonic::server::Grpc::new(Raw).max_decoding_message_size(64 << 20);
            let mut response = { codec }.streaming(Method(method), request).await;
            response.headers_mut().extend(shown);
            response.headers_mut().insert("seen-authority", authority.parse().unwrap());
            Ok(response)
        })
    }
}

/// The fields of an answer, for the test: `seen-x` shows the field `x` of the request, and `answer-x` asks for `x`.
fn shown(received: &HeaderMap) -> HeaderMap {
    let fields = received.iter().map(|(name, value)| {
        let name = name.as_str();
        let shown = name.strip_prefix("answer-").map_or_else(|| format!("seen-{name}"), str::to_owned);
        (shown.parse::<HeaderName>().unwrap(), value.clone())
    });
    fields.collect()
}

/// A method by its name. On the wire all kinds are streams both ways.
struct Method(String);

impl StreamingService<Message> for Method {
    type Response = Message;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        let name = self.0.clone();
        Box::pin(async move { answer(&name, request.into_inner()).await.map(Response::new) })
    }
}

async fn answer(method: &str, mut asked: Streaming<Message>) -> Result<Messages, Status> {
    Ok(match method {
        // One answer for each message, as it comes.
        "Each" => asked.boxed(),
        "Join" => {
            let mut all = Vec::new();
            while let Some(message) = asked.message().await? {
                all.extend(message);
            }
            stream::iter([Ok(all)]).boxed()
        }
        "Repeat" => {
            let count = asked.message().await?.unwrap_or_default().len();
            stream::iter((0..count).map(|number| Ok(vec![b'x'; number]))).boxed()
        }
        // In the trailers, after a message.
        "Fail" => stream::iter([Ok(vec![1]), Err(Status::failed_precondition("not now"))]).boxed(),
        "Silent" => stream::pending().boxed(),
        _ => return Err(Status::permission_denied("not you")),
    })
}

/// A codec that leaves messages unchanged.
#[derive(Clone, Copy)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Message;
    type Decode = Message;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
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
