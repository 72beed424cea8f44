//! The `Host` field that targets get.

use gateway::table::Change;
use model::{Route, Upstream};
use testkit::http::Request;
use testkit::origin::Origin;

use super::{Fleet, get, named_target, route, service, upstream};

fn with_host(host: &str) -> Request {
    get("/").header("Host", host)
}

/// The field that the last request had.
fn host(origin: &Origin) -> String {
    origin.last().header("host").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_is_the_name_of_the_target_with_its_port() {
    let fleet = Fleet::start(1, upstream());
    let origin = &fleet.origins[0];
    fleet.get().await.expect(200);
    assert_eq!(host(origin), origin.address().to_string());
    let port = origin.address().port();
    fleet.gateway.apply(vec![Change::put(named_target(0, &format!("localhost:{port}")))]);
    fleet.get().await.expect(200);
    assert_eq!(host(origin), format!("localhost:{port}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_header_of_the_upstream_goes_before_it() {
    let fleet = Fleet::start(1, upstream());
    for own in ["api.example", "api.example:8443"] {
        let host_header = Some(own.to_owned());
        fleet.gateway.apply(vec![Change::put(Upstream { host_header, ..upstream() })]);
        fleet.send(&with_host("client.example")).await.expect(200);
        assert_eq!(host(&fleet.origins[0]), own);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preserved_host_goes_before_both() {
    let fleet = Fleet::start(1, Upstream { host_header: Some("api.example".into()), ..upstream() });
    fleet.gateway.serve(service(), Route { preserve_host: true, ..route(1, "/") });
    for sent in ["client.example", "client.example:81"] {
        fleet.send(&with_host(sent)).await.expect(200);
        assert_eq!(host(&fleet.origins[0]), sent);
    }
}

/// The target of the last attempt, and not that of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_follows_the_target_of_each_attempt() {
    let mut fleet = Fleet::start(2, upstream());
    fleet.origins[0].stop();
    for _ in 0..4 {
        fleet.get().await.expect(200);
        assert_eq!(host(&fleet.origins[1]), fleet.origins[1].address().to_string());
    }
}
