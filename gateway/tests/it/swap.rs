//! Changes and the end of the program under traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gateway::table::Change;
use model::Route;
use testkit::http::{Client, Connection};
use testkit::origin::{Answer, Origin};
use testkit::wait;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{Gateway, route, service};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_tables_are_swapped() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/stays"));
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (client, done, answered) = (Client::new(gateway.address()), done.clone(), answered.clone());
        clients.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                client.get("/stays/here").await.unwrap().expect(200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 0..300 {
        let other = Route { service: Some(uuid::Uuid::from_u128(1)), ..route(2, "/other") };
        let stays = Route { created_at: round, service: other.service, ..route(1, "/stays") };
        gateway.apply(vec![Change::put(other), Change::put(stays)]);
        gateway.get("/other").await.expect(200);
        gateway.apply(vec![
            Change::remove(model::Route::key(route(2, "").id)),
            Change::put(service(1, &origin)),
        ]);
        gateway.get("/other").await.expect(404);
    }
    done.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_end_and_no_new_ones_begin() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let mut idle = Connection::open(gateway.address()).await.unwrap();
    idle.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    idle.read_response(false).await.unwrap().expect(200);
    let mut silent = Connection::open(gateway.address()).await.unwrap();
    wait::until(SOON, "two connections", || gateway.shared.connections.used() == 2).await;

    origin.answer(Answer::echo().delay(Duration::from_millis(500)));
    let mut busy = Connection::open(gateway.address()).await.unwrap();
    busy.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    wait::until(SOON, "a request in flight", || origin.count() == 2).await;
    gateway.draining.begin();

    wait::eventually(SOON, || async {
        match TcpStream::connect(gateway.address()).await {
            Ok(_) => Err("still accepting"),
            Err(_) => Ok(()),
        }
    })
    .await;
    let last = busy.read_response(false).await.unwrap().expect(200);
    assert_eq!(last.header("connection"), Some("close"));
    wait::until(SOON, "nothing in flight", || gateway.shared.in_flight.used() == 0).await;

    // A request that was on its way is still answered, until idle connections end.
    idle.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let last = idle.read_response(false).await.unwrap().expect(200);
    assert_eq!(last.header("connection"), Some("close"));
    gateway.draining.end_idle();
    silent.read_to_end().await.unwrap();
    wait::until(SOON, "no connection", || gateway.shared.connections.used() == 0).await;
}
