mod roles;

use std::io;

use rustls::crypto::ring::default_provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use testkit::certs;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::*;
use crate::identity::{Identity, Pins, client_config, server_config};

const SHORT: Limits = Limits {
    message: 1024,
    connect: Duration::from_secs(2),
    handshake: Duration::from_secs(2),
    keepalive: Duration::from_secs(30),
};

/// A folder with a pair, and the pins that trust it.
struct Cluster {
    folder: TempDir,
    pair: certs::Pair,
    pins: Pins,
}

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = certs::valid(folder.path(), "cluster");
        let pins = Pins::from(&load(&pair));
        Self { folder, pair, pins }
    }

    fn identity(&self) -> Identity {
        load(&self.pair)
    }

    fn server(&self) -> Arc<ServerConfig> {
        server_config(&self.identity(), &self.pins).unwrap()
    }

    fn client(&self) -> Arc<ClientConfig> {
        client_config(&self.identity(), &self.pins).unwrap()
    }
}

fn load(pair: &certs::Pair) -> Identity {
    Identity::load(&pair.cert, &pair.key).unwrap()
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Connects both ends, and returns the result that each saw.
async fn meet(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> (Result<(Link, Peer), LinkError>, Result<Link, LinkError>) {
    let (listener, address) = listen().await;
    let serve = async { accept_with(&SHORT, listener.accept().await.unwrap().0, server).await };
    tokio::join!(serve, connect_with(&SHORT, &address, client))
}

async fn pair_of_links() -> (Link, Link) {
    let cluster = Cluster::new();
    let (server, client) = meet(cluster.server(), cluster.client()).await;
    (server.unwrap().0, client.unwrap())
}

/// The reason that each end gives for refusing the other.
async fn refusal(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> (&'static str, String) {
    let (server, client) = meet(server, client).await;
    (server.unwrap_err().reason(), client.unwrap_err().to_string())
}

#[tokio::test]
async fn messages_go_both_ways_and_are_counted() {
    let cluster = Cluster::new();
    let (server, client) = meet(cluster.server(), cluster.client()).await;
    let ((mut server, peer), mut client) = (server.unwrap(), client.unwrap());
    assert_eq!(peer.certificate.fingerprint, cluster.identity().fingerprint());
    assert_eq!(peer.certificate.not_after, cluster.identity().not_after());
    assert_eq!((peer.address.ip().is_loopback(), peer.uri.path()), (true, PATH));

    let (received, sent) = client.transferred();
    client.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap(), "hello");
    server.send(Bytes::from_static(b"welcome")).await.unwrap();
    assert_eq!(client.recv().await.unwrap().unwrap(), "welcome");
    // Two bytes of header, and four of mask from a client (RFC 6455 section 5.2).
    assert_eq!(client.transferred(), (received + 2 + 7, sent + 2 + 4 + 5));
    assert_eq!(server.transferred(), (client.transferred().1, client.transferred().0));
}

#[tokio::test]
async fn a_close_carries_code_and_reason() {
    for long in [false, true] {
        let reason = if long { "é".repeat(100) } else { "replaced".to_owned() };
        let (mut server, mut client) = pair_of_links().await;
        let ((), received) = tokio::join!(server.close(4002, &reason), client.recv());
        assert_eq!(received.unwrap(), None);
        let expected = if long { "é".repeat(61) } else { reason };
        assert_eq!(*client.closing(), Closing::Code(4002, expected));
        assert!(client.closed_because().ends_with(" (4002)"));
        assert!(client.send(Bytes::new()).await.is_err());
    }
}

#[tokio::test]
async fn a_lost_peer_is_an_error() {
    let (mut server, client) = pair_of_links().await;
    drop(client);
    assert_eq!(server.recv().await.unwrap_err().reason(), "lost");
    assert_eq!(*server.closing(), Closing::Open);
}

#[tokio::test]
async fn a_text_and_a_long_message_break_the_protocol() {
    let (mut server, mut client) = pair_of_links().await;
    client.socket.send(Message::Text(Utf8Bytes::from_static("hello"))).await.unwrap();
    assert_eq!(server.recv().await.unwrap_err().reason(), "protocol");

    let (mut server, mut client) = pair_of_links().await;
    client.send(Bytes::from(vec![0; SHORT.message])).await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap().len(), SHORT.message);
    client.send(Bytes::from(vec![0; SHORT.message + 1])).await.unwrap();
    assert_eq!(server.recv().await.unwrap_err().reason(), "protocol");
}

#[tokio::test]
async fn an_overlap_of_pins_lets_old_and_new_pairs_meet() {
    let cluster = Cluster::new();
    let new = certs::valid(cluster.folder.path(), "new");
    let both = cluster.pins.clone().and_file(&new.cert).unwrap();
    let server = server_config(&load(&new), &both).unwrap();
    let client = client_config(&cluster.identity(), &both).unwrap();
    let (server, client) = meet(server, client).await;
    assert_eq!(server.unwrap().1.certificate.fingerprint, cluster.identity().fingerprint());
    client.unwrap();
}

#[tokio::test]
async fn bad_certificates_are_refused_by_both_sides() {
    let cluster = Cluster::new();
    let folder = cluster.folder.path();
    for (pair, reason, word) in [
        (certs::valid(folder, "other"), "unknown_certificate", "same pair"),
        (certs::expired(folder, "expired"), "expired_certificate", "expired"),
        (certs::not_yet_valid(folder, "future"), "certificate_not_yet_valid", "not valid yet"),
    ] {
        let bad = load(&pair);
        // In the cases of bad dates, the dates are wrong and not the pin.
        let pins = if reason == "unknown_certificate" { cluster.pins.clone() } else { Pins::from(&bad) };
        let all = cluster.pins.clone().and_file(&pair.cert).unwrap();

        let strict = server_config(&cluster.identity(), &pins).unwrap();
        let (seen, told) = refusal(strict, client_config(&bad, &all).unwrap()).await;
        assert_eq!(seen, reason);
        assert!(told.contains("refuses this node's certificate") && told.contains(word), "{told}");

        let server = server_config(&bad, &all).unwrap();
        let strict = client_config(&cluster.identity(), &pins).unwrap();
        let (_, client) = meet(server, strict).await;
        assert_eq!(client.unwrap_err().reason(), reason);
    }
}

/// A client that trusts anybody, offers this version, and presents the resolver's certificate.
fn rogue(
    cluster: &Cluster,
    version: &'static rustls::SupportedProtocolVersion,
    present: Option<CertifiedKey>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(crate::identity::verifier_for_tests(&cluster.pins));
    Arc::new(match present {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    })
}

#[tokio::test]
async fn no_certificate_no_entry() {
    let cluster = Cluster::new();
    let client = rogue(&cluster, &rustls::version::TLS13, None);
    let (seen, told) = refusal(cluster.server(), client).await;
    assert_eq!((seen, told.as_str()), ("no_certificate", "the peer asks for a certificate"));
}

#[tokio::test]
async fn an_older_tls_is_refused() {
    let cluster = Cluster::new();
    let client = rogue(&cluster, &rustls::version::TLS12, None);
    assert_eq!(refusal(cluster.server(), client).await.0, "tls_version");
}

#[tokio::test]
async fn who_shows_the_pinned_certificate_must_hold_its_key() {
    let cluster = Cluster::new();
    let other = certs::valid(cluster.folder.path(), "other");
    let chain = vec![CertificateDer::from_pem_file(&cluster.pair.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&other.key).unwrap();
    let signer = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let stolen = CertifiedKey::new(chain, signer);

    let client = rogue(&cluster, &rustls::version::TLS13, Some(stolen.clone()));
    assert_eq!(refusal(cluster.server(), client).await.0, "unknown_certificate");

    let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)));
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (_, client) = meet(Arc::new(server), cluster.client()).await;
    assert_eq!(client.unwrap_err().reason(), "unknown_certificate");
}

#[tokio::test]
async fn who_is_refused_gets_no_byte() {
    let cluster = Cluster::new();
    let (listener, address) = listen().await;
    let serve = async { accept_with(&SHORT, listener.accept().await.unwrap().0, cluster.server()).await };
    let ask = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(rogue(&cluster, &rustls::version::TLS13, None));
        // In TLS 1.3 the client's side is done before the server has checked its certificate.
        let mut tls = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), tcp).await.unwrap();
        let mut received = Vec::new();
        tls.write_all(format!("GET {PATH} HTTP/1.1\r\n\r\n").as_bytes()).await.ok();
        (tls.read_to_end(&mut received).await.map_err(|error: io::Error| error.kind()), received)
    };
    let (served, (result, received)) = tokio::join!(serve, ask);
    assert!(served.is_err() && result.is_err());
    assert_eq!(received, b"");
}

#[tokio::test]
async fn every_connection_is_a_full_handshake() {
    let cluster = Cluster::new();
    let (server, client) = (cluster.server(), cluster.client());
    for _ in 0..3 {
        let (listener, address) = listen().await;
        let serve =
            async { TlsAcceptor::from(server.clone()).accept(listener.accept().await.unwrap().0).await };
        let connect = async {
            let tcp = TcpStream::connect(&address).await.unwrap();
            let name = ServerName::try_from(SERVER_NAME).unwrap();
            TlsConnector::from(client.clone()).connect(name, tcp).await
        };
        let (accepted, connected) = tokio::join!(serve, connect);
        drop(accepted.unwrap());
        let tls = connected.unwrap();
        assert_eq!(tls.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn another_path_is_not_found() {
    let cluster = Cluster::new();
    let (listener, address) = listen().await;
    let serve = async { accept_with(&SHORT, listener.accept().await.unwrap().0, cluster.server()).await };
    let ask = async {
        let tcp = TcpStream::connect(&address).await.unwrap();
        let connector = TlsConnector::from(cluster.client());
        let tls = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), tcp).await.unwrap();
        client_async_with_config(format!("wss://{address}/v1/other"), tls, None).await.map(|_| ())
    };
    let (served, asked) = tokio::join!(serve, ask);
    assert_eq!(served.unwrap_err().reason(), "path");
    assert_eq!(asked.map_err(LinkError::from_websocket).unwrap_err().to_string(), REFUSED_404);
}

const REFUSED_404: &str = "the upgrade to a WebSocket was refused with status 404";

#[tokio::test]
async fn a_peer_that_stalls_is_left() {
    let cluster = Cluster::new();
    let limits = Limits { handshake: Duration::from_millis(50), ..SHORT };
    let (listener, address) = listen().await;
    let silent = TcpStream::connect(&address).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let accepted = accept_with(&limits, stream, cluster.server()).await;
    assert_eq!(accepted.unwrap_err().reason(), "timeout");
    drop(silent);
    // Connects, since the kernel accepts for the listener; then nobody answers.
    let connected = connect_with(&limits, &address, cluster.client()).await;
    assert_eq!(connected.unwrap_err().reason(), "timeout");
}

/// A listener whose queue is full drops packets, as a machine that is gone does.
#[tokio::test]
async fn a_machine_that_does_not_answer_is_left_before_the_handshake_is_up() {
    let cluster = Cluster::new();
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap().to_string();
    let _in_queue = TcpStream::connect(&address).await.unwrap();
    let limits =
        Limits { connect: Duration::from_millis(100), handshake: Duration::from_secs(3600), ..SHORT };
    let connecting = connect_with(&limits, &address, cluster.client());
    let connected = tokio::time::timeout(Duration::from_secs(20), connecting).await;
    assert_eq!(connected.expect("it is left in time").unwrap_err().reason(), "timeout");
}
