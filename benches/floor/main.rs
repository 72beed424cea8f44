//! Pingora as it is published, with one upstream and nothing around it: the baseline of `compare`.
//!
//!     floor HTTP HTTPS CERT KEY UPSTREAM

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Floor(SocketAddr);

#[async_trait]
impl ProxyHttp for Floor {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [http, https, cert, key, upstream] = &arguments[..] else { panic!("see the first lines of main.rs") };
    let upstream = upstream.parse().expect("an address to proxy to");
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 1024, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), Floor(upstream));
    service.add_tcp(http);
    let mut tls = TlsSettings::intermediate(cert, key).expect("a certificate and its key");
    tls.enable_h2();
    service.add_tls_with_settings(https, None, tls);
    server.add_service(service);
    server.run_forever();
}
