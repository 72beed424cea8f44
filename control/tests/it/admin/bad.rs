//! Bad bodies: each is rejected with the field and the reason, and changes nothing.

use serde_json::{Value, json};
use testkit::http::Request;

use super::{Admin, on_both_databases, revision};

on_both_databases!(bad_bodies_change_nothing, bodies_that_cannot_be_read, all_violations_at_once);

/// Method, target, body; status, where in `fields` (as a JSON pointer), reason.
pub(super) type Case = (&'static str, &'static str, Value, u16, &'static str, &'static str);

const CHARACTERS: &str = "characters outside of the reserved list of RFC 3986 found";
const CONDITION: &str = "failed conditional validation given value of field";

/// The cases of all kinds.
pub(super) fn cases() -> Vec<Case> {
    [services(), routes(), certificates(), snis(), ca_certificates()].concat()
}

fn services() -> Vec<Case> {
    let timeout = "value should be between 1 and 2147483646";
    let bad = |body, field, reason| ("POST", "/services", body, 400, field, reason);
    vec![
        bad(json!({}), "/host", "required field missing"),
        bad(json!({ "host": null }), "/host", "required field missing"),
        bad(json!({ "host": "" }), "/host", "length must be at least 1"),
        bad(json!({ "host": 1 }), "/host", "expected a string"),
        bad(json!({ "host": "a:80" }), "/host", "must not have a port"),
        bad(json!({ "host": "a b" }), "/host", "invalid value: a b"),
        bad(json!({ "host": "a", "name": "a b" }), "/name", "the only accepted ascii characters"),
        bad(json!({ "host": "a", "name": "a\u{0}" }), "/name", "the only accepted ascii characters"),
        bad(json!({ "host": "a", "protocol": "ftp" }), "/protocol", "expected one of: grpc"),
        bad(json!({ "host": "a", "protocol": 1 }), "/protocol", "expected a string"),
        bad(json!({ "host": "a", "port": 65536 }), "/port", "value should be between 0 and 65535"),
        bad(json!({ "host": "a", "port": -1 }), "/port", "value should be between 0 and 65535"),
        bad(json!({ "host": "a", "port": "80" }), "/port", "expected an integer"),
        bad(json!({ "host": "a", "port": 80.5 }), "/port", "expected an integer"),
        bad(json!({ "host": "a", "path": "b" }), "/path", "should start with: /"),
        bad(json!({ "host": "a", "path": "/b//c" }), "/path", "must not have empty segments"),
        bad(json!({ "host": "a", "path": "/b?c" }), "/path", CHARACTERS),
        bad(json!({ "host": "a", "path": "/%2" }), "/path", "invalid url-encoded value: '%2'"),
        bad(json!({ "host": "a", "path": "/b", "protocol": "tcp" }), "/path", "value must be null"),
        bad(json!({ "host": "a", "path": "/b", "protocol": "tcp" }), "/@entity/0", CONDITION),
        bad(json!({ "host": "a", "retries": 32768 }), "/retries", "value should be between 0 and 32767"),
        bad(json!({ "host": "a", "connect_timeout": 0 }), "/connect_timeout", timeout),
        bad(json!({ "host": "a", "read_timeout": 2_147_483_647_u32 }), "/read_timeout", timeout),
        bad(json!({ "host": "a", "write_timeout": "x" }), "/write_timeout", "expected an integer"),
        bad(json!({ "host": "a", "tags": "x" }), "/tags", "expected an array"),
        bad(json!({ "host": "a", "tags": ["ok", "a,b"] }), "/tags/1", "invalid tag 'a,b'"),
        bad(json!({ "host": "a", "tags": [1] }), "/tags/0", "expected a string"),
        bad(json!({ "host": "a", "enabled": "yes" }), "/enabled", "expected a boolean"),
        bad(json!({ "host": "a", "tls_verify": true }), "/tls_verify", "value must be null"),
        bad(
            json!({ "host": "a", "protocol": "https", "tls_verify_depth": 65 }),
            "/tls_verify_depth",
            "value should be between 0 and 64",
        ),
        bad(
            json!({ "host": "a", "protocol": "https", "ca_certificates": ["x"] }),
            "/ca_certificates/0",
            "expected a valid UUID",
        ),
        bad(
            json!({ "host": "a", "protocol": "https", "client_certificate": "x" }),
            "/client_certificate",
            "expected a record",
        ),
        bad(json!({ "host": "a", "nonsense": 1 }), "/nonsense", "unknown field"),
        bad(json!({ "host": "a", "id": "x" }), "/id", "expected a valid UUID"),
        bad(json!({ "host": "a", "created_at": "x" }), "/created_at", "expected an integer"),
        bad(json!({ "url": "nonsense" }), "/path", "should start with: /"),
        bad(json!({ "url": "nonsense" }), "/host", "required field missing"),
        bad(json!({ "url": "http://" }), "/url", "expected <protocol>://"),
        bad(json!({ "url": "" }), "/url", "length must be at least 1"),
        bad(json!({ "url": 1 }), "/url", "expected a string"),
        bad(json!({ "host": "b", "name": "taken" }), "/name", "taken").with_status(409),
        ("PATCH", "/services/taken", json!({ "host": null }), 400, "/host", "required field missing"),
        ("PATCH", "/services/taken", json!({ "port": true }), 400, "/port", "expected an integer"),
        ("PUT", "/services/taken", json!({ "retries": 1 }), 400, "/host", "required field missing"),
        ("PUT", "/services/new", json!({ "host": "*.a" }), 400, "/host", "invalid value: *.a"),
        ("DELETE", "/services/taken", Value::Null, 400, "/@referenced_by", "routes"),
    ]
}

fn routes() -> Vec<Case> {
    let bad = |body, field, reason| ("POST", "/routes", body, 400, field, reason);
    let absent = "00000000-0000-4000-8000-000000000000";
    vec![
        bad(json!({}), "/@entity/0", "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when"),
        bad(json!({ "protocols": ["http"] }), "/@entity/0", "'paths' when 'protocols' is 'http'"),
        bad(json!({ "protocols": ["http"], "paths": [] }), "/@entity/0", "must set one of"),
        bad(json!({ "protocols": [], "paths": ["/"] }), "/protocols", "length must be at least 1"),
        bad(json!({ "protocols": ["ftp"], "paths": ["/"] }), "/protocols", "unknown type: ftp"),
        bad(json!({ "protocols": ["http", "tcp"], "paths": ["/"] }), "/protocols", "mutually exclusive"),
        bad(json!({ "protocols": "http", "paths": ["/"] }), "/protocols", "expected an array"),
        bad(json!({ "paths": "/" }), "/paths", "expected an array"),
        bad(json!({ "paths": [1] }), "/paths/0", "expected a string"),
        bad(
            json!({ "paths": ["/", "a"] }),
            "/paths/1",
            "should start with: / (fixed path) or ~/ (regex path)",
        ),
        bad(json!({ "paths": ["/a/../b"] }), "/paths/0", "non-normalized path, consider use '/b' instead"),
        bad(json!({ "paths": ["/a//b"] }), "/paths/0", "must not have empty segments"),
        bad(json!({ "paths": ["~/("] }), "/paths/0", "invalid regex"),
        bad(json!({ "paths": ["~/(?=a)"] }), "/paths/0", "invalid regex"),
        bad(json!({ "paths": ["~/\u{0}"] }), "/paths/0", "invalid regex"),
        bad(json!({ "methods": ["get"] }), "/methods/0", "invalid value: get"),
        bad(json!({ "hosts": ["a.*.b"] }), "/hosts/0", "invalid wildcard"),
        bad(json!({ "hosts": ["*.a.*"] }), "/hosts/0", "invalid wildcard: must have at most one wildcard"),
        bad(json!({ "hosts": ["a:99999"] }), "/hosts/0", "invalid port number"),
        bad(json!({ "headers": { "Host": ["a"] } }), "/headers", "cannot contain 'host' header"),
        bad(json!({ "headers": { "x y": ["a"] } }), "/headers", "bad header name"),
        bad(json!({ "headers": { "x": "a" } }), "/headers", "expected an array"),
        bad(json!({ "headers": { "x": ["~*("] } }), "/headers/x/0", "invalid regex"),
        bad(json!({ "headers": { "x": ["\u{0}"] } }), "/headers/x/0", "invalid value"),
        bad(json!({ "headers": ["x"] }), "/headers", "expected a map"),
        bad(json!({ "protocols": ["https"], "snis": ["10.0.0.1"] }), "/snis/0", "must not be an IP"),
        bad(json!({ "protocols": ["http"], "paths": ["/"], "snis": ["a"] }), "/snis", "length must be 0"),
        bad(json!({ "paths": ["/"], "sources": [{ "port": 1 }] }), "/sources", "cannot set 'sources' when"),
        bad(json!({ "protocols": ["tcp"], "sources": [{}] }), "/sources/0", "at least one of these fields"),
        bad(
            json!({ "protocols": ["tcp"], "sources": [{ "ip": "x" }] }),
            "/sources/0/ip",
            "invalid ip or cidr",
        ),
        bad(json!({ "protocols": ["tcp"], "sources": [{ "port": 70_000 }] }), "/sources/0/port", "between 0"),
        bad(json!({ "protocols": ["tcp"], "sources": [{ "x": 1 }] }), "/sources/0/x", "unknown field"),
        bad(json!({ "protocols": ["tcp"], "sources": [1] }), "/sources/0", "expected a record"),
        bad(json!({ "headers": { "x": [1] } }), "/headers/x/0", "expected a string"),
        bad(json!({ "protocols": ["tcp"], "paths": ["/"] }), "/paths", "cannot set 'paths' when"),
        bad(
            json!({ "protocols": ["grpc"], "paths": ["/"], "strip_path": true }),
            "/strip_path",
            "cannot set",
        ),
        bad(
            json!({ "paths": ["/"], "https_redirect_status_code": 200 }),
            "/https_redirect_status_code",
            "426, 301",
        ),
        bad(json!({ "paths": ["/"], "regex_priority": 2_147_483_648_u32 }), "/regex_priority", "between"),
        bad(json!({ "paths": ["/"], "strip_path": 1 }), "/strip_path", "expected a boolean"),
        bad(json!({ "paths": ["/"], "path_handling": "v2" }), "/path_handling", "expected one of: v0, v1"),
        bad(json!({ "paths": ["/"], "service": "taken" }), "/service", "expected a record"),
        bad(json!({ "paths": ["/"], "service": {} }), "/service/id", "required field missing"),
        bad(json!({ "paths": ["/"], "service": { "id": "x" } }), "/service/id", "expected a valid UUID"),
        bad(json!({ "paths": ["/"], "service": { "id": absent } }), "/service/id", absent),
        bad(json!({ "paths": ["/"], "service": { "name": "absent" } }), "/service/name", "absent"),
        bad(json!({ "paths": ["/"], "expression": "x" }), "/expression", "unknown field"),
        bad(json!({ "paths": ["/"], "name": "taken" }), "/name", "taken").with_status(409),
        ("PATCH", "/routes/taken", json!({ "paths": null }), 400, "/@entity/0", "must set one of"),
        ("PATCH", "/routes/taken", json!({ "id": absent }), 400, "/id", "cannot be changed"),
        ("POST", "/services/taken/routes", json!({ "paths": ["x"] }), 400, "/paths/0", "should start with"),
        ("PUT", "/services/taken/routes/new", json!({}), 400, "/@entity/0", "must set one of"),
    ]
}

fn certificates() -> Vec<Case> {
    let bad = |body, field, reason| ("POST", "/certificates", body, 400, field, reason);
    let absent = "/certificates/00000000-0000-4000-8000-000000000000";
    vec![
        bad(json!({}), "/cert", "required field missing"),
        bad(json!({}), "/key", "required field missing"),
        bad(json!({ "cert": null }), "/cert", "required field missing"),
        bad(json!({ "cert": 1 }), "/cert", "expected a string"),
        bad(json!({ "cert": "" }), "/cert", "length must be at least 1"),
        bad(json!({ "cert": "x" }), "/cert", "invalid certificate: no certificate in PEM"),
        bad(json!({ "key": ["x"] }), "/key", "expected a string"),
        bad(json!({ "key": "***" }), "/key", "invalid key: no private key in PEM"),
        bad(json!({ "cert_alt": "x" }), "/cert_alt", "invalid certificate"),
        bad(json!({ "key_alt": true }), "/key_alt", "expected a string"),
        bad(json!({ "snis": "a.example" }), "/snis", "expected an array"),
        bad(json!({ "snis": ["ok.example", 1] }), "/snis/1", "expected a string"),
        bad(json!({ "snis": ["ok.example", "10.0.0.1"] }), "/snis/1", "must not be an IP"),
        bad(json!({ "snis": ["a:1"] }), "/snis/0", "must not have a port"),
        bad(json!({ "tags": ["a,b"] }), "/tags/0", "invalid tag 'a,b'"),
        bad(json!({ "nonsense": 1 }), "/nonsense", "unknown field"),
        bad(json!({ "id": 1 }), "/id", "expected a string"),
        ("PUT", absent, json!({ "snis": [] }), 400, "/cert", "required field missing"),
        ("PUT", "/certificates/a.example", json!({}), 400, "/key", "required field missing"),
    ]
}

fn snis() -> Vec<Case> {
    let bad = |body, field, reason| ("POST", "/snis", body, 400, field, reason);
    let absent = "00000000-0000-4000-8000-000000000000";
    vec![
        bad(json!({}), "/name", "required field missing"),
        bad(json!({}), "/certificate", "required field missing"),
        bad(json!({ "name": "" }), "/name", "length must be at least 1"),
        bad(json!({ "name": 1 }), "/name", "expected a string"),
        bad(json!({ "name": "a.*.b" }), "/name", "wildcard"),
        bad(json!({ "certificate": "x" }), "/certificate", "expected a record"),
        bad(json!({ "certificate": {} }), "/certificate/id", "required field missing"),
        bad(json!({ "certificate": { "id": 1 } }), "/certificate/id", "expected a string"),
        bad(json!({ "certificate": { "name": "a" } }), "/certificate/name", "unknown field"),
        bad(json!({ "name": "a", "certificate": { "id": absent } }), "/certificate/id", absent),
        bad(json!({ "tags": [""] }), "/tags/0", "length must be at least 1"),
        bad(json!({ "nonsense": {} }), "/nonsense", "unknown field"),
        ("PUT", "/snis/a", json!({}), 400, "/certificate", "required field missing"),
    ]
}

fn ca_certificates() -> Vec<Case> {
    let bad = |body, field, reason| ("POST", "/ca_certificates", body, 400, field, reason);
    vec![
        bad(json!({}), "/cert", "required field missing"),
        bad(json!({ "cert": {} }), "/cert", "expected a string"),
        bad(json!({ "cert": "" }), "/cert", "length must be at least 1"),
        bad(json!({ "cert": "x" }), "/cert", "invalid certificate: no certificate in PEM"),
        bad(json!({ "cert_digest": 1 }), "/cert_digest", "expected a string"),
        bad(json!({ "tags": 1 }), "/tags", "expected an array"),
        bad(json!({ "key": "x" }), "/key", "unknown field"),
        bad(json!({ "created_at": 1.5 }), "/created_at", "expected an integer"),
    ]
}

trait WithStatus {
    fn with_status(self, status: u16) -> Self;
}

impl WithStatus for Case {
    fn with_status(mut self, status: u16) -> Self {
        self.3 = status;
        self
    }
}

async fn bad_bodies_change_nothing(admin: &Admin) {
    admin.post("/services", &json!({ "host": "a", "name": "taken" })).await.expect(201);
    let route = json!({ "paths": ["/"], "name": "taken" });
    let before = revision(&admin.post("/services/taken/routes", &route).await.expect(201));

    for (method, target, body, status, field, reason) in cases() {
        let mut request = Request::new(method, target);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = admin.client.send(&request).await.unwrap();
        let what = format!("{method} {target} {body}: {} {}", answer.status, answer.text());
        assert_eq!(answer.status, status, "{what}");
        let answer = answer.json();
        let said =
            answer["fields"].pointer(field).and_then(Value::as_str).unwrap_or_else(|| panic!("{what}"));
        assert!(said.contains(reason), "{what}");
        assert!(answer["message"].is_string() && answer["name"].is_string(), "{what}");
        let code = answer["code"].as_u64().unwrap();
        assert!([2, 4, 5, 13].contains(&code) && (code == 5) == (status == 409), "{what}");
    }
    assert_eq!(admin.published(before).await, before);
    // A write after them is the next revision: none of them made one.
    let next = admin.post("/services", &json!({ "host": "a" })).await.expect(201);
    assert_eq!(revision(&next), before + 1);
}

async fn bodies_that_cannot_be_read(admin: &Admin) {
    let send = async |content_type: &str, body: Vec<u8>| {
        let request = Request::new("POST", "/services").header("Content-Type", content_type).body(body);
        admin.client.send(&request).await.unwrap()
    };
    for body in ["", "{", "[1]", "null", "\"a\"", "{\"host\": \"\\ud800\"}"] {
        let answer = send("application/json", body.into()).await.expect(400);
        assert_eq!(answer.json(), json!({ "message": "Cannot parse JSON body" }), "{body}");
    }
    let deep = "[".repeat(100_000);
    send("application/json", deep.into()).await.expect(400);
    send("application/x-www-form-urlencoded", "a=1&a.b=2".into()).await.expect(400);
    send("multipart/form-data", "a".into()).await.expect(400);
    send("multipart/form-data; boundary=x", "--x\r\nnonsense".into()).await.expect(400);
    for content_type in ["text/plain", "application/xml", "application/jsonx", ""] {
        send(content_type, "{}".into()).await.expect(415);
    }
    send("application/json", vec![b' '; 10 * 1024 * 1024 + 1]).await.expect(413);
    assert_eq!(admin.published(0).await, 0);
}

async fn all_violations_at_once(admin: &Admin) {
    let body = json!({ "port": "x", "path": "b", "nonsense": 1 });
    let answer = admin.post("/services", &body).await.expect(400).json();
    assert_eq!(
        answer["message"],
        "4 schema violations (host: required field missing; nonsense: unknown field; \
         path: should start with: /; port: expected an integer)"
    );
    assert_eq!(answer["fields"].as_object().map(serde_json::Map::len), Some(4));
    let one = admin.post("/services", &json!({})).await.expect(400).json();
    assert_eq!(
        one,
        json!({
            "code": 2,
            "name": "schema violation",
            "message": "schema violation (host: required field missing)",
            "fields": { "host": "required field missing" },
        })
    );
}
