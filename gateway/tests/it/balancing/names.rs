//! Targets by name: the addresses that they have now, and what is left when the name server fails.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway::table::Change;
use model::policy::{Dns, Policy};
use model::{Target, Upstream};
use testkit::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::name_server::{NameServer, Service};
use super::{AT_ONCE, Fleet, Load, SOON, get, named_target, number, seconds, service, target_id, upstream};
use crate::support::Gateway;

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Names are looked up each 100 ms.
fn hasty(dns: Dns) -> Upstream {
    let dns = Dns { min_ttl: seconds(0.1), ..dns };
    Upstream { policy: Box::new(Policy { dns, ..Policy::default() }), ..upstream() }
}

/// A gateway that asks this name server, with so many origins that are no targets yet.
fn fleet(server: &NameServer, origins: usize, upstream: Upstream) -> Fleet {
    let address = server.address().to_string();
    let gateway = Gateway::with(&[("upstream.name_servers", &address)]);
    gateway.apply(vec![]);
    let fleet = Fleet::serve(gateway, origins, upstream, service());
    let remove = |id| Change::remove(Target::key(target_id(id)));
    fleet.gateway.apply((0..origins as u128).map(remove).collect());
    fleet
}

/// Servers at both addresses and one port, which tell their number.
struct Twins {
    port: u16,
    _tasks: JoinSet<()>,
}

impl Twins {
    async fn start() -> Self {
        let (first, second) = loop {
            let first = TcpListener::bind((FIRST, 0)).await.unwrap();
            // Another program may have the port at the second address.
            if let Ok(second) = TcpListener::bind((SECOND, first.local_addr().unwrap().port())).await {
                break (first, second);
            }
        };
        let port = first.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        for (number, listener) in [(0, first), (1, second)] {
            tasks.spawn(serve(listener, number));
        }
        Self { port, _tasks: tasks }
    }
}

async fn serve(listener: TcpListener, number: usize) {
    let answer = format!("HTTP/1.1 200 OK\r\nX-Target: {number}\r\nContent-Length: 0\r\n\r\n");
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.clone();
        connections.spawn(async move {
            let mut request = [0; 4096];
            // A request fits one segment.
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Waits until exactly these serve.
async fn serving(fleet: &Fleet, wanted: &[usize]) {
    let settled = || async {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..6 {
            seen.insert(number(&fleet.get().await.expect(200)));
        }
        if seen.iter().eq(wanted) { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    wait::eventually(SOON, settled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_of_a_name_follow_the_name_server() {
    let (server, twins) = (NameServer::start(), Twins::start().await);
    server.set("api.test", &[FIRST]);
    let fleet = fleet(&server, 0, hasty(Dns::default()));
    fleet.gateway.apply(vec![Change::put(named_target(0, &format!("api.test:{}", twins.port)))]);
    // The first request waits for the first look-up.
    assert_eq!(number(&fleet.get().await.expect(200)), 0);
    let done = Arc::new(AtomicUsize::new(0));
    let load = Load::start(2, fleet.gateway.address(), &done);
    for (addresses, numbers) in
        [(&[SECOND][..], &[1][..]), (&[FIRST, SECOND], &[0, 1]), (&[FIRST], &[0]), (&[SECOND], &[1])]
    {
        server.set("api.test", addresses);
        serving(&fleet, numbers).await;
    }
    assert!(done.load(Ordering::Relaxed) > 0);
    assert_eq!(load.stop().await, Vec::<String>::new());
}

/// No request waits once there was an address, and none asks the name server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_name_server_costs_nothing() {
    let (server, twins) = (NameServer::start(), Twins::start().await);
    server.set("api.test", &[FIRST]);
    let fleet = fleet(&server, 0, hasty(Dns::default()));
    fleet.gateway.apply(vec![Change::put(named_target(0, &format!("api.test:{}", twins.port)))]);
    fleet.get().await.expect(200);
    server.be_silent(true);
    let before = server.questions();
    wait::until(SOON, "the name is looked up again", || server.questions() > before).await;
    let begun = Instant::now();
    for _ in 0..20 {
        fleet.get().await.expect(200);
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    server.be_silent(false);
    server.set("api.test", &[SECOND]);
    serving(&fleet, &[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_name_serves_for_its_grace_and_no_longer() {
    let (server, twins) = (NameServer::start(), Twins::start().await);
    server.set("api.test", &[FIRST]);
    let grace = |seconds_of| hasty(Dns { nx_grace: seconds(seconds_of), ..Dns::default() });
    let fleet = fleet(&server, 0, grace(3600.0));
    fleet.gateway.apply(vec![Change::put(named_target(0, &format!("api.test:{}", twins.port)))]);
    fleet.get().await.expect(200);
    server.deny("api.test");
    let before = server.questions();
    wait::until(SOON, "the name is denied", || server.questions() > before + 2).await;
    fleet.get().await.expect(200);

    server.set("api.test", &[FIRST]);
    let before = server.questions();
    wait::until(SOON, "the name is there again", || server.questions() > before + 2).await;
    fleet.gateway.apply(vec![Change::put(grace(0.2))]);
    fleet.get().await.expect(200);
    server.deny("api.test");
    let gone = || async {
        let response = fleet.get().await;
        if response.status == 503 { Ok(response) } else { Err(response.status) }
    };
    let response = wait::eventually(SOON, gone).await;
    assert_eq!(response.json()["message"], "failure to get a peer from the ring-balancer");
    server.set("api.test", &[SECOND]);
    let back = || async {
        let response = fleet.get().await;
        if response.status == 200 { Ok(number(&response)) } else { Err(response.status) }
    };
    assert_eq!(wait::eventually(SOON, back).await, 1);
}

/// A name that never was leaves the other targets alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_that_does_not_exist_is_no_target() {
    let (server, twins) = (NameServer::start(), Twins::start().await);
    let fleet = fleet(&server, 0, hasty(Dns::default()));
    fleet.gateway.apply(vec![Change::put(named_target(0, "nowhere.test:80"))]);
    let response = fleet.get().await.expect(503);
    assert_eq!(response.json()["message"], "failure to get a peer from the ring-balancer");
    let begun = Instant::now();
    fleet.get().await.expect(503);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let other = SocketAddr::from((FIRST, twins.port));
    fleet.gateway.apply(vec![Change::put(super::target(1, other))]);
    for _ in 0..6 {
        assert_eq!(fleet.served(&get("/")).await, 0);
    }
}

/// One worker, as each thread has turns of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn services_have_ports_weights_and_names_of_their_own() {
    let server = NameServer::start();
    let upstream = Upstream { use_srv_name: true, ..hasty(Dns::default()) };
    let fleet = fleet(&server, 2, upstream.clone());
    let port = |origin: usize| fleet.origins[origin].address().port();
    let records = [
        Service { weight: 1, port: port(0), name: "one.test" },
        Service { weight: 3, port: port(1), name: "two.test" },
    ];
    for name in ["one.test", "two.test"] {
        server.set(name, &[FIRST]);
    }
    server.set_services("_http._tcp.api.test", &records);
    fleet.gateway.apply(vec![Change::put(named_target(0, "_http._tcp.api.test:80"))]);
    fleet.get().await.expect(200);
    let turns = fleet.turns(16).await;
    // Each of two threads has turns of its own.
    let first = turns.iter().filter(|served| **served == 0).count();
    assert!((3..=5).contains(&first), "{turns:?}");
    let host = |origin: usize| fleet.origins[origin].last().header("host").unwrap().to_owned();
    assert_eq!(host(0), format!("one.test:{}", port(0)));
    assert_eq!(host(1), format!("two.test:{}", port(1)));

    fleet.gateway.apply(vec![Change::put(Upstream { use_srv_name: false, ..upstream })]);
    fleet.turns(4).await;
    assert_eq!(host(0), format!("_http._tcp.api.test:{}", port(0)));

    // A target without weight gets nothing, whatever the records say.
    let drained = Target { weight: 0, ..named_target(0, "_http._tcp.api.test:80") };
    fleet.gateway.apply(vec![Change::put(drained)]);
    fleet.get().await.expect(503);
    fleet.gateway.apply(vec![Change::put(named_target(0, "_http._tcp.api.test:80"))]);
    server.set_services("_http._tcp.api.test", &records[1..]);
    serving(&fleet, &[1]).await;
}
