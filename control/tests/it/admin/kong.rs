//! Requests and the exact answers that Kong 3.9.1 gave to them.

use serde_json::{Value, json};
use testkit::http::Request;

use super::certificates::pair;
use super::{Admin, on_both_databases};

on_both_databases!(schema_violations, keys_and_references, queries_of_every_list);

const ABSENT: &str = "00000000-0000-4000-8000-00000000000a";
const TAKEN: &str = "00000000-0000-4000-8000-00000000000b";

async fn fields_of(admin: &Admin, target: &str, body: Value) -> Value {
    let answer = admin.post(target, &body).await.expect(400).json();
    assert_eq!((&answer["code"], &answer["name"]), (&json!(2), &json!("schema violation")), "{answer}");
    answer["fields"].clone()
}

async fn schema_violations(admin: &Admin) {
    let snis = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
    let http = "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'";
    let tag = "invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences";
    let host = "cannot contain 'host' header, which must be specified in the 'hosts' attribute";
    let name = "bad header name 'x v', allowed characters are A-Z, a-z, 0-9, '_', and '-'";
    let dotted = "bad header name 'x.v', allowed characters are A-Z, a-z, 0-9, '_', and '-'";
    let grpc = "cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs'";
    let strip = "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'";
    let sources = "cannot set 'sources' when 'protocols' is 'http' or 'https'";
    let protocols = "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp";
    let services = [
        (json!([]), json!({ "host": "required field missing" })),
        (json!({ "host": "a", "protocol": "ftp" }), json!({ "protocol": protocols })),
        (
            json!({ "url": "u.test" }),
            json!({ "host": "required field missing", "path": "should start with: /" }),
        ),
        (json!({ "host": "a", "tags": ["a,b"] }), json!({ "tags": [tag] })),
        (json!({ "host": "a", "tags": "x" }), json!({ "tags": "expected an array" })),
    ];
    let routes = [
        (json!({ "paths": "/x" }), json!({ "paths": "expected an array" })),
        (json!({ "paths": ["/"], "hosts": 5 }), json!({ "hosts": "expected an array" })),
        (json!({ "hosts": ["a test"] }), json!({ "hosts": ["invalid hostname: a test"] })),
        (json!({ "paths": ["/"], "headers": { "HOST": ["a"] } }), json!({ "headers": host })),
        (json!({ "paths": ["/"], "headers": { "x": "a" } }), json!({ "headers": "expected an array" })),
        (json!({ "paths": ["/"], "headers": { "x v": ["a"] } }), json!({ "headers": name })),
        (json!({ "paths": ["/"], "headers": { "x.v": ["a"] } }), json!({ "headers": dotted })),
        (
            json!({ "protocols": ["http"], "snis": ["a"] }),
            json!({ "@entity": [snis, http], "snis": "length must be 0" }),
        ),
        (
            json!({ "protocols": ["http"], "snis": ["a"], "paths": ["/"] }),
            json!({ "@entity": [snis], "snis": "length must be 0" }),
        ),
        (
            json!({ "protocols": ["http", "tcp"], "paths": ["/"] }),
            json!({ "protocols": "these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')" }),
        ),
        (
            json!({ "protocols": ["grpcs", "tls_passthrough"], "paths": ["/"] }),
            json!({ "protocols": "these sets are mutually exclusive: ('tls_passthrough'), ('grpc', 'grpcs')" }),
        ),
        (json!({ "protocols": ["ws"], "paths": ["/"] }), json!({ "protocols": "unknown type: ws" })),
        (json!({ "protocols": ["grpc"], "paths": ["/"], "methods": ["GET"] }), json!({ "methods": grpc })),
        (
            json!({ "protocols": ["grpc"], "paths": ["/"], "strip_path": true }),
            json!({ "strip_path": strip }),
        ),
        (json!({ "paths": ["/"], "sources": [{ "port": 1 }] }), json!({ "sources": sources })),
    ];
    for (body, fields) in services {
        assert_eq!(fields_of(admin, "/services", body.clone()).await, fields, "{body}");
    }
    admin.post("/services", &json!({ "name": "a", "host": "a" })).await.expect(201);
    for (body, fields) in routes {
        for target in ["/routes", "/services/a/routes"] {
            assert_eq!(fields_of(admin, target, body.clone()).await, fields, "{target} {body}");
        }
    }
    for target in ["/certificates", "/ca_certificates", "/snis"] {
        assert!(fields_of(admin, target, json!([])).await.is_object());
        let mut body = json!({ "tags": ["a,b"] });
        assert_eq!(fields_of(admin, target, body.clone()).await["tags"], json!([tag]), "{target}");
        body["tags"] = json!("x");
        assert_eq!(fields_of(admin, target, body).await["tags"], "expected an array", "{target}");
    }
    let list = admin.post("/services", &json!([])).await.json();
    assert_eq!(list["message"], "schema violation (host: required field missing)");
}

async fn keys_and_references(admin: &Admin) {
    let mut certificate = pair(&["a.example"]);
    certificate["id"] = json!(TAKEN);
    let authority = json!({ "id": TAKEN, "cert": super::authorities::authority()["cert"] });
    let service = json!({ "id": TAKEN, "name": "a", "host": "a", "protocol": "https", "client_certificate": { "id": TAKEN }, "ca_certificates": [TAKEN] });
    let bodies = [
        ("certificates", certificate),
        ("ca_certificates", authority),
        ("services", service),
        ("routes", json!({ "id": TAKEN, "name": "a", "paths": ["/"], "service": { "id": TAKEN } })),
        ("snis", json!({ "id": TAKEN, "name": "a", "certificate": { "id": TAKEN } })),
        ("upstreams", json!({ "id": TAKEN, "name": "a" })),
        ("consumers", json!({ "id": TAKEN, "username": "a" })),
        ("key-auths", json!({ "id": TAKEN, "key": "a", "consumer": { "id": TAKEN } })),
        (
            "basic-auths",
            json!({ "id": TAKEN, "username": "a", "password": "p", "consumer": { "id": TAKEN } }),
        ),
        ("jwts", json!({ "id": TAKEN, "key": "a", "consumer": { "id": TAKEN } })),
        ("hmac-auths", json!({ "id": TAKEN, "username": "a", "consumer": { "id": TAKEN } })),
        ("acls", json!({ "id": TAKEN, "group": "a", "consumer": { "id": TAKEN } })),
        ("plugins", json!({ "id": TAKEN, "name": "cors", "instance_name": "a" })),
    ];
    admin.post("/services", &json!({ "name": "other", "host": "a" })).await.expect(201);
    for (collection, body) in &bodies {
        let target = format!("/{collection}");
        admin.post(&target, body).await.expect(201);
        // The same names, too: the id comes first.
        let taken = admin.post(&target, body).await.expect(400).json();
        let message = format!("primary key violation on key '{{id=\"{TAKEN}\"}}'");
        let expected = json!({ "code": 3, "name": "primary key violation", "message": message, "fields": { "id": TAKEN } });
        assert_eq!(taken, expected, "{collection}");
        if *collection == "services" {
            // The key counts before a name that another one has.
            let both = json!({ "id": TAKEN, "name": "other", "host": "a" });
            assert_eq!(admin.post("/services", &both).await.expect(400).json(), taken);
        }
        if *collection == "routes" {
            // And before a reference that leads nowhere.
            let nowhere = json!({ "id": TAKEN, "paths": ["/"], "service": { "id": ABSENT } });
            assert_eq!(admin.post("/routes", &nowhere).await.expect(400).json(), taken);
            let named = json!({ "name": "a", "paths": ["/"], "service": { "id": ABSENT } });
            assert_eq!(admin.post("/routes", &named).await.expect(409).json()["code"], 5);
        }

        let absent = admin.patch(&format!("{target}/{ABSENT}"), &json!({})).await.expect(404).json();
        let message = format!("could not find the entity with '{{id=\"{ABSENT}\"}}'");
        let expected =
            json!({ "code": 6, "name": "not found", "message": message, "fields": { "id": ABSENT } });
        assert_eq!(absent, expected, "{collection}");
        let get = admin.get(&format!("{target}/{ABSENT}")).await.expect(404).json();
        assert_eq!(get, json!({ "message": "Not found" }));
        admin.delete(&format!("{target}/{ABSENT}")).await.expect(204);

        let named = admin.patch(&format!("{target}/x"), &json!({})).await.json();
        if ["ca_certificates", "acls"].contains(collection) {
            assert_eq!((&named["code"], &named["name"]), (&json!(1), &json!("invalid primary key")));
            let at = format!("{target}/x");
            for answer in [admin.get(&at).await, admin.delete(&at).await] {
                let text = "invalid primary key: '{id=\"expected a valid UUID\"}'";
                assert_eq!(answer.expect(400).json()["message"], text);
            }
        } else {
            let key = match *collection {
                "consumers" | "basic-auths" | "hmac-auths" => "username",
                "key-auths" | "jwts" => "key",
                "plugins" => "instance_name",
                _ => "name",
            };
            assert_eq!(named["message"], format!("could not find the entity with '{{{key}=\"x\"}}'"));
            assert_eq!((&named["code"], &named["fields"]), (&json!(6), &json!({ key: "x" })));
        }
    }
    for (parent, child) in
        [("services", "routes"), ("certificates", "services"), ("ca_certificates", "services")]
    {
        let refused = admin.delete(&format!("/{parent}/{TAKEN}")).await.expect(400).json();
        let message = format!("an existing '{child}' entity references this '{parent}' entity");
        let fields = json!({ "@referenced_by": child });
        let expected =
            json!({ "code": 4, "name": "foreign key violation", "message": message, "fields": fields });
        assert_eq!(refused, expected, "{parent}");
    }
    admin.post("/services", &json!({ "name": "b", "host": "b" })).await.expect(201);
    let elsewhere = pair(&["b.example"]);
    let other = super::certificates::id(&admin.post("/certificates", &elsewhere).await.expect(201).json());
    for target in ["/services/b/routes/a".to_owned(), format!("/certificates/{other}/snis/a")] {
        for method in ["GET", "DELETE"] {
            let answer = admin.client.send(&Request::new(method, &target)).await.unwrap().expect(404);
            assert_eq!(answer.json(), json!({ "message": "Not found" }), "{method} {target}");
        }
    }
    admin.get("/routes/a").await.expect(200);
    admin.get("/snis/a").await.expect(200);
}

async fn queries_of_every_list(admin: &Admin) {
    admin.post("/services", &json!({ "name": "a", "host": "a" })).await.expect(201);
    let certificate = admin.post("/certificates", &pair(&["a.example"])).await.expect(201).json();
    let snis = format!("/certificates/{}/snis", super::certificates::id(&certificate));
    let size = "size must be an integer between 1 and 1000";
    for list in [
        "/services",
        "/routes",
        "/services/a/routes",
        "/certificates",
        &snis,
        "/snis",
        "/ca_certificates",
        "/tags",
        "/tags/a",
        "/plugins",
    ] {
        for (query, code, name, message) in [
            ("size=0", 9, "invalid size", size),
            ("size=1001", 9, "invalid size", size),
            ("size=1.5", 9, "invalid size", size),
            ("size=x", 9, "invalid size", "size must be a number"),
            ("size=", 9, "invalid size", "size must be a number"),
            ("offset=x", 7, "invalid offset", "'x' is not a valid offset: bad json encoding"),
        ] {
            let answer = admin.get(&format!("{list}?{query}")).await.expect(400).json();
            assert_eq!(answer, json!({ "code": code, "name": name, "message": message }), "{list}?{query}");
        }
        let answer = admin.get(&format!("{list}?tags=")).await.expect(400).json();
        let message = "invalid option (tags: cannot be null)";
        let options = json!({ "tags": "cannot be null" });
        let expected =
            json!({ "code": 11, "name": "invalid options", "message": message, "options": options });
        assert_eq!(answer, expected, "{list}");
    }
}
