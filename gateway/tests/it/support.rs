//! A data plane in the test's process, with a table that the test makes.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gateway::app::{self, ProxyParts};
use gateway::config::Config;
use gateway::delivery::DeliveryThread;
use gateway::draining::Draining;
use gateway::listener::Bound;
use gateway::metrics::Metrics;
use gateway::table::{Builder, Change};
use gateway::upstream::health::ProbeThread;
use model::{Route, Service};
use pingora::apps::http_app::ServeHttp;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::http::ServerSession;
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service as Listening;
use prometheus::Registry;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use testkit::certs::{Authority, Pair};
use testkit::http::{Client, Response};
use testkit::origin::Origin;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A proxy on ports of its own. Ends when it is dropped.
pub(crate) struct Gateway {
    pub(crate) client: Client,
    pub(crate) tls_address: SocketAddr,
    pub(crate) shared: ProxyParts,
    pub(crate) draining: Draining,
    pub(crate) registry: Registry,
    builder: Mutex<Builder>,
    probes: Option<ProbeThread>,
    delivery: Option<DeliveryThread>,
    _tasks: JoinSet<()>,
}

impl Gateway {
    /// Starts it with the defaults and an empty configuration.
    pub(crate) fn start() -> Self {
        let gateway = Self::with(&[]);
        gateway.apply(vec![]);
        gateway
    }

    /// Starts it with these keys set, and without a configuration.
    pub(crate) fn with(keys: &[(&str, &str)]) -> Self {
        let variable = |key: &str| format!("GIBBON_{}", key.replace('.', "__").to_uppercase());
        let variables = keys.iter().map(|(key, value)| (variable(key), (*value).to_owned()));
        let config = Config::parse(&node::config::load_with(None, variables).unwrap()).unwrap();

        let registry = Registry::new();
        let (shared, runner) = ProxyParts::new(&config, Metrics::new(&registry).unwrap(), 1024).unwrap();
        node::install_tls_provider();
        // The ports of the configuration would be the same for every test.
        let config = Config { listen: vec![ANY_PORT], listen_tls: vec![ANY_PORT], ..config };
        let bound = Bound::bind(&[ANY_PORT, ANY_PORT]).unwrap();
        let [address, tls_address] = bound.addresses()[..] else { panic!("two listeners") };
        let draining = Draining::new();
        let conf = Arc::new(app::server_conf(1));
        let mut service = app::proxy_service(&config, &conf, &shared, bound, draining.clone());
        let mut tasks = JoinSet::new();
        let pingoras_own = draining.watch();
        tasks.spawn(async move { service.start_service(None, pingoras_own, 1).await });
        let builder = Mutex::new(Builder::with(shared.balancing.clone()));
        let probes = Some(shared.run_probes(runner, CancellationToken::new()).unwrap());
        let delivery = Some(shared.run_delivery().unwrap());
        let client = Client::new(address);
        Self { client, tls_address, shared, draining, registry, builder, probes, delivery, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// Applies these changes, and publishes the table and the groups of upstreams that changed.
    pub(crate) fn apply(&self, changes: Vec<Change>) {
        let mut builder = self.builder.lock().unwrap();
        let table = builder.apply(changes).unwrap();
        let changed = builder.take_changed_groups().into_iter();
        let changed: Vec<_> = changed.map(|id| (id, table.group_of(&id).cloned())).collect();
        let orders = builder.take_purges();
        self.shared.live.publish(table);
        orders.iter().for_each(|order| self.shared.plugins.answers.order(&order.entity));
        for (upstream, group) in changed {
            match group {
                Some(group) => self.shared.balancing.begin(&group),
                None => self.shared.balancing.end(upstream),
            }
        }
    }

    /// Publishes one service and one route.
    pub(crate) fn serve(&self, service: Service, route: Route) {
        let route = Route { service: Some(service.id), ..route };
        self.apply(vec![Change::put(service), Change::put(route)]);
    }

    pub(crate) async fn get(&self, target: &str) -> Response {
        self.client.get(target).await.unwrap()
    }

    /// Waits until a metric has this value: a request is counted after its response has left.
    pub(crate) async fn wait_metric(&self, series: &str, value: f64) {
        testkit::wait::eventually(testkit::plane::DEADLINE, || {
            let now = self.metric(series);
            std::future::ready(if now == value { Ok(()) } else { Err(format!("{series} is {now}")) })
        })
        .await;
    }

    /// The value of a metric with these labels, as `name{label="value"}`.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            delivery.stop(std::time::Duration::ZERO);
        }
        if let Some(probes) = self.probes.take() {
            probes.stop(testkit::plane::DEADLINE);
        }
    }
}

/// An upstream with TLS that answers 200 to everything. Ends when it is dropped.
pub(crate) struct TlsUpstream {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Hello;

impl TlsUpstream {
    pub(crate) fn start(pair: &Pair) -> Self {
        Self::with(pair, None)
    }

    /// Starts an upstream that answers only clients with a certificate of this authority.
    pub(crate) fn of_clients(pair: &Pair, authority: &Authority) -> Self {
        Self::with(pair, Some(authority))
    }

    fn with(pair: &Pair, clients: Option<&Authority>) -> Self {
        node::install_tls_provider();
        // Bound before this returns: an earlier request would be refused, and answered 502.
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut service = Listening::new("upstream".to_owned(), Hello);
        let (cert, key) = (pair.cert.to_str().unwrap(), pair.key.to_str().unwrap());
        let mut settings = TlsSettings::intermediate(cert, key).unwrap();
        if let Some(authority) = clients {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&authority.cert).unwrap()).unwrap();
            settings.set_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build().unwrap());
        }
        // Pingora finds a bound listener by the text of its address.
        service.add_tls_with_settings(&address.to_string(), None, settings);
        let (mut fds, mut tasks) = (Fds::new(), JoinSet::new());
        fds.add(address.to_string(), listener.into_raw_fd());
        tasks.spawn(async move {
            let (fds, stop) = (Some(Arc::new(parking_lot::Mutex::new(fds))), Draining::new());
            service.start_service(fds, stop.watch(), 1).await;
        });
        Self { address, _tasks: tasks }
    }
}

#[async_trait]
impl ServeHttp for Hello {
    async fn response(&self, _: &mut ServerSession) -> http::Response<Vec<u8>> {
        http::Response::builder().header("Content-Length", "5").body(b"hello".to_vec()).unwrap()
    }
}

/// A service at the origin.
pub(crate) fn service(id: u128, origin: &Origin) -> Service {
    at(id, origin.address())
}

/// A service at an address.
pub(crate) fn at(id: u128, address: SocketAddr) -> Service {
    let (host, port) = (address.ip().to_string(), address.port());
    Service { id: Uuid::from_u128(id), host, port, ..Service::default() }
}

/// A route under a path.
pub(crate) fn route(id: u128, path: &str) -> Route {
    Route { id: Uuid::from_u128(0x100 + id), paths: Some(vec![path.into()]), ..Route::default() }
}
