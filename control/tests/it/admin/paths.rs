//! Every path, with additional slashes, and every method of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::http::Request;

use super::authorities::authority;
use super::certificates::pair;
use super::{Admin, on_both_databases};

on_both_databases!(
    slashes_at_the_end_and_in_a_row,
    methods_of_every_path,
    every_listed_path_answers,
    names_in_paths
);

async fn slashes_at_the_end_and_in_a_row(admin: &Admin) {
    let service = admin.post("/services/", &json!({ "name": "a", "host": "x" })).await.expect(201).json();
    let route = admin.post("//services///a/routes//", &json!({ "name": "r", "paths": ["/"] })).await;
    let route = route.expect(201).json();
    for target in ["/services/a/", "//services/a", "/services//a//", "/routes/r/service/"] {
        assert_eq!(admin.get(target).await.expect(200).json(), service, "{target}");
    }
    assert_eq!(admin.get("/services/a/routes/r/").await.expect(200).json(), route);
    for target in ["/", "//", "/status/", "/tags/", "/clustering/config/", "/services/?size=1", "/plugins/"] {
        admin.get(target).await.expect(200);
    }
    let next = admin.get("/routes/?size=1").await.expect(200).json();
    assert_eq!(next["next"], json!(null));
    admin.put("/services/b/", &json!({ "host": "x" })).await.expect(200);
    let page = admin.get("/services/?size=1").await.expect(200).json();
    assert!(page["next"].as_str().unwrap().starts_with("/services?size=1&offset="), "{page}");
    admin.patch("/services/b/", &json!({ "host": "y" })).await.expect(200);
    for (method, status) in [("HEAD", 200), ("OPTIONS", 204), ("DELETE", 204)] {
        let answer = admin.client.send(&Request::new(method, "/services/b/")).await.unwrap();
        answer.expect(status);
    }
    // An encoded slash is part of a name, which no entity can have.
    admin.get("/services/a%2F").await.expect(400);
    admin.get("/services%2Fa").await.expect(404);
}

const COLLECTION: &str = "GET, HEAD, OPTIONS, POST";
const ENTITY: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, PUT";
const PARENT: &str = "GET, HEAD, OPTIONS, PATCH, PUT";
const READ: &str = "GET, HEAD, OPTIONS";

async fn methods_of_every_path(admin: &Admin) {
    for (target, allow) in [
        ("/", READ),
        ("/status", READ),
        ("/endpoints", READ),
        ("/tags", READ),
        ("/tags/a", READ),
        ("/plugins", COLLECTION),
        ("/plugins/p", ENTITY),
        ("/plugins/p/route", PARENT),
        ("/plugins/enabled", READ),
        ("/plugins/schema/p", READ),
        ("/routes/r/plugins", COLLECTION),
        ("/services/a/plugins/p", ENTITY),
        ("/consumers", COLLECTION),
        ("/consumers/c", ENTITY),
        ("/consumers/c/key-auth", COLLECTION),
        ("/consumers/c/acls/g", ENTITY),
        ("/key-auths", COLLECTION),
        ("/jwts/k", ENTITY),
        ("/hmac-auths/u/consumer", PARENT),
        ("/clustering/status", READ),
        ("/clustering/config", READ),
        ("/clustering/data-planes", READ),
        ("/clustering/data-planes/00000000-0000-4000-8000-000000000000", "DELETE, GET, HEAD, OPTIONS"),
        ("/services", COLLECTION),
        ("/services/a", ENTITY),
        ("/services/a/routes", COLLECTION),
        ("/services/a/routes/r", ENTITY),
        ("/routes", COLLECTION),
        ("/routes/r", ENTITY),
        ("/routes/r/service", PARENT),
        ("/routes/match", COLLECTION),
        ("/certificates", COLLECTION),
        ("/certificates/a", ENTITY),
        ("/certificates/a/snis", COLLECTION),
        ("/certificates/a/snis/s", ENTITY),
        ("/certificates/a/services", COLLECTION),
        ("/certificates/a/services/s", ENTITY),
        ("/services/a/client_certificate", PARENT),
        ("/upstreams", COLLECTION),
        ("/upstreams/a", ENTITY),
        ("/upstreams/a/policy", ENTITY),
        ("/upstreams/a/client_certificate", PARENT),
        ("/certificates/a/upstreams", COLLECTION),
        ("/certificates/a/upstreams/u", ENTITY),
        ("/upstreams/a/targets", COLLECTION),
        ("/upstreams/a/targets/all", READ),
        ("/upstreams/a/targets/t", ENTITY),
        ("/upstreams/a/targets/t/state", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/snis", COLLECTION),
        ("/snis/s", ENTITY),
        ("/ca_certificates", COLLECTION),
        ("/ca_certificates/a", ENTITY),
        ("/schemas/services", READ),
        ("/schemas/services/validate", "OPTIONS, POST"),
        ("/schemas/plugins/a", READ),
        ("/schemas/plugins/validate", "OPTIONS, POST"),
        ("/schemas/vaults/a", READ),
    ] {
        let send = async |method: &str| admin.client.send(&Request::new(method, target)).await.unwrap();
        let options = send("OPTIONS").await.expect(204);
        assert_eq!(options.header("allow"), Some(allow), "{target}");
        assert!(options.body.is_empty());
        let (get, head) = (send("GET").await, send("HEAD").await);
        assert_eq!((get.status, head.body.len()), (head.status, 0), "{target}");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let refused = send(method).await.expect(405);
            assert_eq!(refused.header("allow"), Some(allow), "{method} {target}");
            assert_eq!(refused.json(), json!({ "message": "Method not allowed" }));
        }
    }
    // A list of entities has no paths of its own.
    let lists = ["/services/a/ca_certificates", "/ca_certificates/a/services"];
    for target in ["/snis/s/certificate", "/targets", "/nowhere"].into_iter().chain(lists) {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            admin.client.send(&Request::new(method, target)).await.unwrap().expect(404);
        }
    }
}

/// The paths that the declarations of all kinds make.
fn declared() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for kind in model::KINDS.iter().filter(|kind| kind.has_collection()) {
        let (own, below) = (kind.path(), kind.nested_path());
        let collection = kind.collection();
        let one = format!("/{own}/{{{collection}}}");
        paths.insert(format!("/{own}"));
        for field in kind.fields() {
            let Some(parent) = field.foreign().map(|target| model::collection(target.kind)) else { continue };
            let nested = format!("/{parent}/{{{parent}}}/{below}");
            paths.insert(format!("{nested}/{{{collection}}}"));
            paths.insert(nested);
            if collection != "snis" {
                paths.insert(format!("{one}/{}", field.name));
            }
        }
        paths.insert(one);
    }
    paths
}

/// `/endpoints` lists every path, and each answers for an entity that is there.
async fn every_listed_path_answers(admin: &Admin) {
    const ID: &str = "00000000-0000-4000-8000-00000000000b";
    let with_id = |mut body: Value| {
        body["id"] = json!(ID);
        body
    };
    let service = json!({
        "host": "a",
        "protocol": "https",
        "client_certificate": { "id": ID },
        "ca_certificates": [ID],
    });
    let bodies = [
        ("certificates", pair(&["a.example"])),
        ("ca_certificates", authority()),
        ("services", service),
        ("routes", json!({ "paths": ["/"], "service": { "id": ID } })),
        ("snis", json!({ "name": "a", "certificate": { "id": ID } })),
        ("routers", json!({ "order": "kong3" })),
        ("upstreams", json!({ "name": "a", "client_certificate": { "id": ID } })),
    ];
    let of_both = json!({ "name": "request-termination", "route": { "id": ID }, "service": { "id": ID } });
    let of_consumer = |body: Value| {
        let mut body = body;
        body["consumer"] = json!({ "id": ID });
        body
    };
    let bodies = bodies.into_iter().chain([
        ("consumers", json!({ "username": "a" })),
        ("key-auths", of_consumer(json!({}))),
        ("basic-auths", of_consumer(json!({ "username": "a", "password": "b" }))),
        ("jwts", of_consumer(json!({}))),
        ("hmac-auths", of_consumer(json!({ "username": "a" }))),
        ("acls", of_consumer(json!({ "group": "a" }))),
        ("plugins", of_consumer(of_both)),
    ]);
    let bodies: Vec<_> = bodies.collect();
    assert_eq!(bodies.len(), model::KINDS.iter().filter(|kind| kind.has_collection()).count());
    for (collection, body) in bodies {
        admin.post(&format!("/{collection}"), &with_id(body)).await.expect(201);
    }
    admin.post("/upstreams/a/targets", &with_id(json!({ "target": "a" }))).await.expect(201);
    let listed = admin.get("/endpoints").await.expect(200).json();
    let listed: Vec<String> = serde_json::from_value(listed["data"].clone()).unwrap();
    assert!(listed.is_sorted(), "{listed:?}");
    let missing: Vec<_> = declared().into_iter().filter(|path| !listed.contains(path)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for path in &listed {
        let parts = path.split('/').map(|part| match part {
            "{entity}" => "services",
            part if part.starts_with('{') => ID,
            part => part,
        });
        let target = parts.collect::<Vec<_>>().join("/");
        let options = admin.client.send(&Request::new("OPTIONS", &target)).await.unwrap().expect(204);
        if declared().contains(path) {
            let answer = admin.get(&target).await.expect(200).json();
            assert!(answer["data"].is_array() || answer["id"] == ID, "{path}: {answer}");
        }
        assert!(options.header("allow").is_some_and(|allow| allow.contains("OPTIONS")), "{path}");
    }
}

async fn names_in_paths(admin: &Admin) {
    let name = "stra\u{df}e.~_-1";
    admin.post("/services", &json!({ "name": name, "host": "x" })).await.expect(201);
    for target in ["/services/stra%C3%9Fe.~_-1", "/services/stra%c3%9fe%2E%7E_-1"] {
        assert_eq!(admin.get(target).await.expect(200).json()["name"], name, "{target}");
    }
    admin.put("/services/%C3%BC", &json!({ "host": "x" })).await.expect(200);
    assert_eq!(admin.get("/services/%C3%BC").await.json()["name"], "\u{fc}");
    for target in ["/services/%00", "/services/%ff", "/services/a%00b", "/routes/%00/service", "/tags/%ff"] {
        admin.get(target).await.expect(404);
    }
    for bad in ["a%20b", "a%0Ab", "a%2Fb", "%F0%9F%98%80%7F"] {
        let at = format!("/services/{bad}");
        for answer in [
            admin.put(&at, &json!({ "host": "x" })).await,
            admin.patch(&at, &json!({ "host": "x" })).await,
            admin.get(&at).await,
            admin.delete(&at).await,
        ] {
            let refused = answer.expect(400).json();
            assert_eq!((&refused["code"], &refused["name"]), (&json!(10), &json!("invalid unique name")));
            assert!(refused["message"].as_str().unwrap().starts_with("invalid value '"), "{refused}");
        }
    }
}
