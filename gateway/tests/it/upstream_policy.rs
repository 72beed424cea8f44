//! Addresses that no request may be sent to, by any name or spelling.

use model::Service;
use testkit::origin::Origin;

use crate::support::{Gateway, at, route, service};

const DENIED: &str = "gibbon_http_errors_total{reason=\"upstream_denied\"}";

async fn denied(gateway: &Gateway, service: Service) {
    let host = service.host.clone();
    gateway.serve(service, route(1, "/"));
    let response = gateway.get("/").await;
    assert_eq!(
        (response.status, &*response.json()["message"].to_string()),
        (502, "\"upstream address not allowed\""),
        "{host}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_own_listeners_are_denied_by_default_and_loopback_is_served() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    for host in ["169.254.169.254", "fe80::1", "[fd00:ec2::254]", "::ffff:169.254.169.254"] {
        denied(&gateway, Service { host: host.into(), ..service(1, &origin) }).await;
    }
    // Its status listener, which is not even open here, and the cluster's.
    for address in ["127.0.0.1:8007", "127.0.0.1:8005", "[::ffff:127.0.0.1]:8007", "0.0.0.0:8007"] {
        denied(&gateway, at(1, address.parse().unwrap())).await;
    }
    gateway.wait_metric(DENIED, 8.0).await;
    gateway.serve(service(1, &origin), route(1, "/"));
    gateway.get("/").await.expect(200);
}

/// The name is resolved, and the gateway does not connect to the result.
#[tokio::test(flavor = "multi_thread")]
async fn name_of_a_denied_address_is_denied() {
    let origin = Origin::start();
    let gateway = Gateway::with(&[("upstream.deny", "127.0.0.0/8,::1")]);
    for host in ["localhost", "127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"] {
        denied(&gateway, Service { host: host.into(), ..service(1, &origin) }).await;
    }
    gateway.wait_metric(DENIED, 4.0).await;
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_address_is_an_exception() {
    let origin = Origin::start();
    let keys = [("upstream.deny", "0.0.0.0/0,::/0"), ("upstream.allow", "127.0.0.1")];
    let gateway = Gateway::with(&keys);
    gateway.serve(service(1, &origin), route(1, "/"));
    gateway.get("/").await.expect(200);
    denied(&gateway, Service { host: "127.0.0.2".into(), ..service(1, &origin) }).await;
}
