//! Connections over TLS, and HTTP/2.

use super::*;

/// An authority, a server's certificate, and terms that differ in what they trust.
struct Trusts {
    good: UpstreamTls,
    other: UpstreamTls,
    server: Pair,
    _folder: tempfile::TempDir,
}

impl Trusts {
    fn new() -> Self {
        node::install_tls_provider();
        let folder = tempfile::tempdir().unwrap();
        let [good, other] = ["good", "other"].map(|name| Authority::new(folder.path(), name));
        let server = good.issue_server("server", &["localhost"]);
        let [good, other] = [good, other].map(|authority| trust(&authority.cert));
        Self { good, other, server, _folder: folder }
    }
}

fn trust(certificate: &Path) -> UpstreamTls {
    let cert = std::fs::read_to_string(certificate).unwrap();
    UpstreamTls::new(None, &[&authority(cert)], None)
}

fn terms(protocol: Protocol, trust: &UpstreamTls) -> Arc<Terms> {
    Arc::new(Terms::tls(protocol, &Host::Name("localhost".into()), trust).unwrap())
}

/// A TLS server that answers each request, and reports the kind and the protocol of each handshake.
struct TlsServer {
    address: SocketAddr,
    handshakes: mpsc::UnboundedReceiver<(HandshakeKind, Option<Vec<u8>>)>,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    async fn start(pair: &Pair, protocols: &[&[u8]], answer: &'static [u8]) -> Self {
        let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let Listener { listener, address } = Listener::start().await;
        let ((sender, handshakes), mut tasks) = (mpsc::unbounded_channel(), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                connections.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let session = stream.get_ref().1;
                    let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
                    sender.send((session.handshake_kind().unwrap(), protocol)).ok();
                    let mut request = [0; 18];
                    while stream.read_exact(&mut request).await.is_ok() {
                        stream.write_all(answer).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                });
            }
        });
        Self { address, handshakes, _tasks: tasks }
    }
}

async fn exchange(
    pool: &Arc<Pool>,
    terms: &Arc<Terms>,
    address: SocketAddr,
) -> Result<bool, UpstreamFailure> {
    let mut upstream = pool.connect(terms, &[address], TIMEOUTS).await?;
    let reused = upstream.was_reused();
    begin(&mut upstream);
    response(&mut upstream).await?;
    assert_eq!(body(&mut upstream).await?, b"ok");
    upstream.release();
    Ok(reused)
}

#[tokio::test]
async fn connections_are_not_shared_across_trust() {
    let (pool, trusts) = (pool(), Trusts::new());
    let mut server = TlsServer::start(&trusts.server, &[b"http/1.1"], OK).await;
    let good = terms(Protocol::Http1, &trusts.good);
    let other = terms(Protocol::Http1, &trusts.other);
    let any = terms(Protocol::Http1, &UpstreamTls::common(false));
    let address = Host::Address("127.0.0.1".parse().unwrap());
    let by_address = Arc::new(Terms::tls(Protocol::Http1, &address, &trusts.good).unwrap());
    for round in 0..3 {
        for terms in [&good, &any] {
            assert_eq!(exchange(&pool, terms, server.address).await, Ok(round > 0));
        }
        for terms in [&other, &by_address] {
            let failed = exchange(&pool, terms, server.address).await.unwrap_err();
            assert!(matches!(failed, UpstreamFailure::Tls(_)) && failed.is_harmless(), "{failed}");
        }
        // A plaintext connection is not a connection with TLS.
        let plain = pool.connect(&Terms::plain(Protocol::Http1), &[server.address], TIMEOUTS).await.unwrap();
        assert!(!plain.was_reused());
    }
    // The certificate was verified with these terms, whichever object holds them.
    let again = terms(Protocol::Http1, &trusts.good);
    assert_eq!(exchange(&pool, &again, server.address).await, Ok(true));
    let http1 = Some(b"http/1.1".to_vec());
    assert_eq!(server.handshakes.recv().await.unwrap().1, http1);
}

#[tokio::test]
async fn sessions_are_resumed_also_without_verification() {
    const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let (pool, trusts) = (pool(), Trusts::new());
    let mut server = TlsServer::start(&trusts.server, &[], CLOSING).await;
    let verified = terms(Protocol::Http1, &trusts.good);
    let unverified = terms(Protocol::Http1, &UpstreamTls::common(false));
    for (terms, kind) in [
        (&verified, HandshakeKind::Full),
        (&verified, HandshakeKind::Resumed),
        (&unverified, HandshakeKind::Full),
        (&unverified, HandshakeKind::Resumed),
        (&verified, HandshakeKind::Resumed),
    ] {
        assert_eq!(exchange(&pool, terms, server.address).await, Ok(false));
        assert_eq!(server.handshakes.recv().await.unwrap().0, kind);
    }
}

#[tokio::test]
async fn chain_is_no_longer_than_the_terms_say() {
    node::install_tls_provider();
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::new(folder.path(), "root");
    let pair = root.below("between").issue_server("server", &["localhost"]);
    let server = TlsServer::start(&pair, &[], OK).await;
    let cert = std::fs::read_to_string(&root.cert).unwrap();
    let authority = authority(cert);
    for (depth, is_ok) in [(None, true), (Some(0), false), (Some(1), true)] {
        let trust = UpstreamTls::new(None, &[&authority], depth);
        let ended = exchange(&pool(), &terms(Protocol::Http1, &trust), server.address).await;
        assert_eq!(ended.is_ok(), is_ok, "{depth:?}: {ended:?}");
    }
    // A certificate that is its own authority.
    let own = certs::own_authority(folder.path(), "own", &["localhost"], time::Duration::DAY);
    let server = TlsServer::start(&own, &[], OK).await;
    assert_eq!(
        exchange(&pool(), &terms(Protocol::Http1, &trust(&own.cert)), server.address).await,
        Ok(false)
    );
}

#[tokio::test]
async fn http2_over_tls_is_negotiated() {
    let (pool, trusts) = (pool(), Trusts::new());
    let terms = terms(Protocol::Http2, &trusts.good);
    let mut server = TlsServer::start(&trusts.server, &[b"h2"], OK).await;
    // It speaks no HTTP/2 behind the handshake.
    exchange(&pool, &terms, server.address).await.unwrap_err();
    assert_eq!(server.handshakes.recv().await.unwrap().1, Some(b"h2".to_vec()));
    let server = TlsServer::start(&trusts.server, &[], OK).await;
    let failed = exchange(&pool, &terms, server.address).await.unwrap_err();
    assert!(matches!(failed, UpstreamFailure::Invalid(_)), "{failed}");
}

#[tokio::test]
async fn silent_handshake_times_out() {
    let (pool, trusts, server) = (pool(), Trusts::new(), Listener::start().await);
    let timeouts = Timeouts { connect: Duration::from_millis(50), ..TIMEOUTS };
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let terms = terms(protocol, &trusts.good);
        let failed = pool.connect(&terms, &[server.address], timeouts).await.unwrap_err();
        assert_eq!(failed, UpstreamFailure::ConnectTimedOut);
    }
}

#[tokio::test]
async fn streams_share_a_connection_up_to_a_bound() {
    let (pool, listener) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http2);
    let mut first = connect(&pool, &terms, listener.address).await;
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1000);
    let mut server = Server::start(listener.accept().await, builder.clone());
    server.accept().await.1.send_response(ok(), true).unwrap();
    // Its settings have come by now.
    response(&mut first).await.unwrap();
    drop(first);
    let mut streams = Vec::new();
    for number in 0..128 {
        streams.push(connect(&pool, &terms, listener.address).await);
        assert!(streams[number].was_reused(), "{number}");
    }
    listener.expect_no_more().await;
    streams.push(connect(&pool, &terms, listener.address).await);
    assert!(!streams[128].was_reused());
    let second = Server::start(listener.accept().await, builder);
    // A place is free again.
    drop(streams.remove(0));
    assert!(connect(&pool, &terms, listener.address).await.was_reused());
    listener.expect_no_more().await;
    drop((streams, second));
    until(|| pool.shared_connections() == 2).await;
    pool.sweep_once(Instant::now() + IDLE);
    assert_eq!(pool.shared_connections(), 0);
    server.ended().await;
}

#[tokio::test]
async fn upstream_allows_fewer_streams() {
    let (pool, listener) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http2);
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let mut first = connect(&pool, &terms, listener.address).await;
    let mut server = Server::start(listener.accept().await, builder);
    server.accept().await.1.send_response(ok(), true).unwrap();
    response(&mut first).await.unwrap();
    let second = connect(&pool, &terms, listener.address).await;
    assert!(second.was_reused());
    assert!(!connect(&pool, &terms, listener.address).await.was_reused());
}

#[tokio::test]
async fn streams_wait_for_one_connection() {
    let (pool, listener) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http2);
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (pool, terms, address) = (pool.clone(), terms.clone(), listener.address);
        tasks.spawn(async move { pool.connect(&terms, &[address], TIMEOUTS).await });
    }
    let stream = listener.accept().await;
    let all: Vec<_> = tasks.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.len(), 50);
    listener.expect_no_more().await;
    assert!(SockRef::from(&stream).keepalive().is_ok());
}

#[tokio::test]
async fn failure_of_a_connection_reaches_all_that_wait_for_it() {
    let (pool, terms) = (pool(), Terms::plain(Protocol::Http2));
    let reserved = Reserved::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (pool, terms) = (pool.clone(), terms.clone());
        tasks.spawn(async move { pool.connect(&terms, &[address], TIMEOUTS).await });
    }
    for failed in tasks.join_all().await {
        assert!(matches!(failed.unwrap_err(), UpstreamFailure::Connect(_)));
    }
    assert!(pool.shards.iter().all(|shard| shard.lock().shared.is_empty()));
}

#[tokio::test]
async fn goaway_sends_the_next_stream_to_another_connection() {
    let (pool, listener) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http2);
    let mut first = connect(&pool, &terms, listener.address).await;
    let mut server = Server::start(listener.accept().await, Builder::new());
    let (_, mut answer) = server.accept().await;
    server.send_goaway();
    // Beyond the GOAWAY, streams go to a new connection; meanwhile they may still use the old one.
    let mut later = Vec::new();
    loop {
        let upstream = connect(&pool, &terms, listener.address).await;
        if !upstream.was_reused() {
            break;
        }
        later.push(upstream);
        tokio::task::yield_now().await;
    }
    answer.send_response(ok(), true).unwrap();
    assert_eq!(response(&mut first).await.unwrap().status, 200);
}

#[tokio::test]
async fn dead_upstreams_of_http2_are_found_by_the_kernel() {
    let listener = Listener::start().await;
    for (protocol, is_probed) in [(Protocol::Http1, false), (Protocol::Http2, true)] {
        let (io, _) = dial(&Terms::plain(protocol), &[listener.address], TIMEOUTS.connect).await.unwrap();
        let crate::upstream::io::Io::Tcp(stream) = io else { panic!("without TLS") };
        let socket = SockRef::from(&stream);
        assert_eq!(socket.keepalive().unwrap(), is_probed);
        assert_eq!(socket.tcp_user_timeout().unwrap().is_some_and(|time| !time.is_zero()), is_probed);
        assert!(stream.nodelay().unwrap());
    }
}

impl Pool {
    fn shared_connections(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().shared.count()).sum()
    }
}

fn authority(cert: String) -> upstream::Authority {
    upstream::Authority::parse(&CaCertificate { cert, ..CaCertificate::default() }).unwrap()
}
