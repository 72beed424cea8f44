//! Collectors over real sockets.

use std::net::SocketAddr;
use std::path::Path;

use http::{HeaderValue, Method};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::certs;
use testkit::origin::{Answer, Origin};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::delivery::collector::{Datagrams, HttpCollector, JsonBody, LocalSocket, Stream, StreamTls};
use crate::outbound::{CallFailure, CallTimeouts, Destination};
use crate::upstream::Host;

const SOON: Duration = Duration::from_secs(10);
const ID: Uuid = Uuid::from_u128(1);

fn entries(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from((*text).to_owned())).collect()
}

fn stream(address: SocketAddr, tls: Option<StreamTls>) -> Stream {
    Stream {
        plugin: "tcp-log",
        host: Host::new("here.test"),
        port: address.port(),
        tls,
        timeout: SOON,
        keepalive: SOON,
        separator: b"\n",
        connection: tokio::sync::Mutex::default(),
    }
}

async fn lines(stream: impl AsyncRead + Unpin, count: usize) -> Vec<String> {
    let (mut reader, mut all) = (BufReader::new(stream).lines(), Vec::new());
    while all.len() < count
        && let Some(line) = timeout(SOON, reader.next_line()).await.unwrap().unwrap()
    {
        all.push(line);
    }
    all
}

#[tokio::test]
async fn collector_over_http_gets_bodies_and_says_whether_it_took_them() {
    let ((outbound, _names), origin) = (crate::outbound::tests::client(8), Origin::start());
    let url = format!("http://here.test:{}/in", origin.address().port());
    let collector = HttpCollector {
        plugin: "http-log",
        method: Method::PUT,
        destination: Destination::parse(&url, true).unwrap(),
        fields: [(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))].into(),
        timeouts: CallTimeouts::all(SOON),
        body: Box::new(JsonBody::Array),
    };
    for (status, is_taken) in [(200, true), (204, true), (302, false), (400, false), (500, false)] {
        origin.answer(Answer::status(status));
        let delivered = collector.deliver(ID, &entries(&["1", "2"]), &outbound).await;
        assert_eq!(delivered.is_ok(), is_taken, "{status}");
    }
    let received = origin.last();
    assert_eq!((&*received.method, &*received.target, &*received.body), ("PUT", "/in", &b"[1,2]"[..]));
    assert_eq!(received.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn stream_is_kept_and_made_again_when_it_has_ended() {
    let (outbound, _names) = crate::outbound::tests::client(8);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = stream(listener.local_addr().unwrap(), None);
    for batch in [&["a", "b"][..], &["c"]] {
        collector.deliver(ID, &entries(batch), &outbound).await.unwrap();
    }
    let (first, _) = listener.accept().await.unwrap();
    assert_eq!(lines(first, 3).await, ["a", "b", "c"]);
    // The end of the connection has to arrive.
    let again = async {
        loop {
            collector.deliver(ID, &entries(&["d"]), &outbound).await.ok();
            if let Ok(accepted) = timeout(Duration::from_millis(20), listener.accept()).await {
                return accepted.unwrap().0;
            }
        }
    };
    let second = timeout(SOON, again).await.unwrap();
    assert_eq!(lines(second, 1).await, ["d"]);
}

#[tokio::test]
async fn stream_with_tls_verifies_the_name() {
    let (outbound, _names) = crate::outbound::tests::client(8);
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::valid(folder.path(), "here.test");
    let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for (verify, is_taken) in [(true, false), (false, true)] {
        let collector = stream(address, StreamTls::new(&Host::new("here.test"), verify));
        let batch = entries(&["a"]);
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            match acceptor.accept(stream).await {
                Ok(stream) => lines(stream, 1).await,
                Err(_) => vec![],
            }
        };
        let (delivered, served) = tokio::join!(collector.deliver(ID, &batch, &outbound), served);
        assert_eq!((delivered.is_ok(), served.len()), (is_taken, usize::from(is_taken)));
    }
}

#[tokio::test]
async fn datagrams_arrive_one_for_each_entry() {
    let (outbound, _names) = crate::outbound::tests::client(8);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (host, port) = (Host::new("here.test"), socket.local_addr().unwrap().port());
    let collector = Datagrams { plugin: "udp-log", host, port, timeout: SOON, joined: 0 };
    collector.deliver(ID, &entries(&["one", "two"]), &outbound).await.unwrap();
    let mut space = [0; 100];
    for expected in ["one", "two"] {
        let length = timeout(SOON, socket.recv(&mut space)).await.unwrap().unwrap();
        assert_eq!(&space[..length], expected.as_bytes());
    }
}

#[tokio::test]
async fn denied_address_gets_nothing_by_any_socket() {
    let (outbound, _names) = crate::outbound::tests::client(8);
    let [host, other] = ["metadata.test", "169.254.169.254"].map(Host::new);
    let datagrams = Datagrams { plugin: "udp-log", host, port: 1, timeout: SOON, joined: 0 };
    let stream = Stream { host: other, ..stream(([127, 0, 0, 1], 1).into(), None) };
    let collectors: [&dyn Collector; 2] = [&datagrams, &stream];
    for collector in collectors {
        let failed = collector.deliver(ID, &entries(&["a"]), &outbound).await.unwrap_err();
        assert!(matches!(failed, DeliveryFailure::Call(CallFailure::Denied)), "{failed}");
    }
}

#[tokio::test]
async fn local_socket_may_come_and_go() {
    let (outbound, _names) = crate::outbound::tests::client(8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let collector = LocalSocket { plugin: "syslog", path: path.clone() };
    // No socket takes the first one.
    let long = "x".repeat(8 << 20);
    let deliver = async |text: &str| collector.deliver(ID, &entries(&[&long, text]), &outbound).await;
    let read = |path: &Path| UnixDatagram::bind(path).unwrap();
    assert!(deliver("lost").await.is_err());
    for text in ["first", "second"] {
        let reader = read(&path);
        deliver(text).await.unwrap();
        let mut space = [0; 100];
        let length = timeout(SOON, reader.recv(&mut space)).await.unwrap().unwrap();
        assert_eq!(&space[..length], text.as_bytes());
        drop(reader);
        std::fs::remove_file(&path).unwrap();
    }
}
