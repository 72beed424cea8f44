//! One canonical form of host and path (goal G6): no spelling brings together what a route keeps apart.

mod readings;
mod spellings;
mod targets;

use gateway::table::Change;
use model::Route;
use testkit::http::Request;
use testkit::origin::Origin;

use crate::support::{Gateway, route, service};

/// Each of these is `/admin/users`, whatever it looks like.
const SPELLINGS: [&str; 10] = [
    "/admin/users",
    "//admin/users",
    "/./admin/users",
    "/x/../admin/users",
    "/%61dmin/users",
    "/%61%64%6D%69%6e/users",
    "/admin//users",
    "/%2e/admin/users",
    "/x/%2E%2e/admin/users",
    "/admin/./users",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_reaches_another_route() {
    let (gateway, kept, open) = (Gateway::start(), Origin::start(), Origin::start());
    let to = |id: u128, route: Route| Route {
        service: Some(uuid::Uuid::from_u128(id)),
        strip_path: false,
        ..route
    };
    gateway.apply(vec![
        Change::put(service(1, &kept)),
        Change::put(service(2, &open)),
        Change::put(to(1, route(1, "/admin"))),
        Change::put(to(2, route(2, "/"))),
    ]);
    for spelling in SPELLINGS {
        gateway.get(&format!("{spelling}?q=%2e%2e//")).await.expect(200);
        assert_eq!(kept.last().target, "/admin/users?q=%2e%2e//", "{spelling}");
    }
    assert_eq!((kept.count(), open.count()), (SPELLINGS.len(), 0));

    // An encoded character that would have another meaning decoded makes another path, and stays encoded.
    gateway.get("/x%2fadmin/%2fusers").await.expect(200);
    assert_eq!(open.last().target, "/x%2Fadmin/%2Fusers");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_host_reaches_another_route() {
    let (gateway, kept, open) = (Gateway::start(), Origin::start(), Origin::start());
    let hosts = Some(vec!["admin.example".to_owned()]);
    let to = |id: u128, route: Route| Route { service: Some(uuid::Uuid::from_u128(id)), ..route };
    gateway.apply(vec![
        Change::put(service(1, &kept)),
        Change::put(service(2, &open)),
        Change::put(to(1, Route { hosts, preserve_host: true, ..route(1, "/") })),
        Change::put(to(2, route(2, "/"))),
    ]);
    for (spelling, forwarded) in [
        ("admin.example", "admin.example"),
        ("ADMIN.example", "admin.example"),
        ("admin.example.", "admin.example"),
        ("Admin.Example.:8000", "admin.example:8000"),
    ] {
        gateway.client.send(&Request::new("GET", "/").header("Host", spelling)).await.unwrap().expect(200);
        assert_eq!(kept.last().header("host"), Some(forwarded));
    }
    // The absolute form names the host in the target.
    let absolute = b"GET http://ADMIN.example/x HTTP/1.1\r\nHost: ADMIN.example\r\n\r\n";
    gateway.client.raw(absolute).await.unwrap().expect(200);
    assert_eq!(kept.last().target, "/x");
    assert_eq!(open.count(), 0);
}
