use super::*;
use crate::{Endpoint, Entity};

fn broken(route: &Route) -> Vec<String> {
    let violations = route.validate().err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

fn list(values: &[&str]) -> Option<Vec<String>> {
    Some(values.iter().map(|&value| value.to_owned()).collect())
}

/// A route by its protocols and the names of the fields that are set, to something valid.
fn route(protocols: &[Protocol], set: &[&str]) -> Route {
    let mut route = Route { protocols: protocols.to_vec(), strip_path: false, ..Route::default() };
    for name in set {
        match *name {
            "methods" => route.methods = list(&["GET"]),
            "hosts" => route.hosts = list(&["example.com"]),
            "paths" => route.paths = list(&["/a"]),
            "snis" => route.snis = list(&["example.com"]),
            "sources" => route.sources = Some(vec![Endpoint { ip: None, port: Some(1) }]),
            "destinations" => {
                route.destinations = Some(vec![Endpoint { ip: Some("10.0.0.0/8".into()), port: None }]);
            }
            "headers" => route.headers = Some(BTreeMap::from([("x-a".into(), vec!["1".into()])])),
            "strip_path" => route.strip_path = true,
            other => panic!("no field {other}"),
        }
    }
    route
}

#[test]
fn each_family_of_protocols_needs_something_to_match() {
    let http = "@entity: must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'";
    let https =
        "@entity: must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'";
    let stream = "@entity: must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'";
    for (protocols, message) in [
        (&[Http][..], http),
        (&[Http, Https], https),
        (&[Https], https),
        (&[Grpc], "@entity: must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'"),
        (
            &[Grpcs],
            "@entity: must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'",
        ),
        (&[Tcp], stream),
        (&[Tls, Udp], stream),
        (&[TlsPassthrough], "@entity: must set 'snis' when 'protocols' is 'tls_passthrough'"),
    ] {
        assert_eq!(broken(&route(protocols, &[])), [message], "{protocols:?}");
    }
    let empty = Route { paths: Some(Vec::new()), protocols: vec![Http], ..Route::default() };
    assert_eq!(broken(&empty), [http]);
}

#[test]
fn enough_to_match() {
    for (protocols, set) in [
        (&[Http][..], &["methods"][..]),
        (&[Http], &["headers"]),
        (&[Http, Https], &["hosts", "paths", "strip_path"]),
        (&[Http, Https], &["snis"]),
        (&[Grpc], &["paths"]),
        (&[Grpc, Grpcs], &["snis"]),
        (&[Tcp, Udp], &["sources", "destinations"]),
        (&[Tls], &["snis"]),
        (&[TlsPassthrough], &["snis"]),
    ] {
        assert!(broken(&route(protocols, set)).is_empty(), "{protocols:?} {set:?}");
    }
}

#[test]
fn what_the_protocols_forbid() {
    let tls = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
    let streams = "cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'";
    for (protocols, set, field, message) in [
        (
            &[Http][..],
            &["paths", "sources"][..],
            "sources",
            "cannot set 'sources' when 'protocols' is 'http' or 'https'",
        ),
        (
            &[Grpc],
            &["paths", "methods"],
            "methods",
            "cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs'",
        ),
        (
            &[Grpc],
            &["paths", "strip_path"],
            "strip_path",
            "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'",
        ),
        (&[Tcp], &["sources", "paths"], "paths", streams),
        (&[TlsPassthrough], &["snis", "paths"], "paths", streams),
    ] {
        assert_eq!(broken(&route(protocols, set)), [format!("{field}: {message}")], "{protocols:?} {set:?}");
    }
    let length = "snis: length must be 0".to_owned();
    for (protocols, set) in [(&[Http][..], &["paths", "snis"][..]), (&[Tcp], &["sources", "snis"])] {
        assert_eq!(broken(&route(protocols, set)), [format!("@entity: {tls}"), length.clone()]);
    }
    let needed = "@entity: must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'";
    assert_eq!(broken(&route(&[Http], &["snis"])), [format!("@entity: {tls}"), needed.to_owned(), length]);
}

#[test]
fn protocols_are_of_one_family() {
    assert_eq!(broken(&route(&[], &["paths"])), ["protocols: length must be at least 1"]);
    assert_eq!(
        broken(&route(&[Http, Tcp, Https], &["paths"])),
        ["protocols: these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')"]
    );
}

#[test]
fn elements_and_maps_say_where() {
    let mut bad = route(&[Http], &["methods", "headers"]);
    bad.methods = list(&["GET", "get"]);
    bad.hosts = list(&["*"]);
    bad.paths = list(&["/a", "b", "~/("]);
    bad.https_redirect_status_code = 303;
    bad.headers = Some(BTreeMap::from([("x-a".into(), vec!["1".into(), "~*(".into()])]));
    assert_eq!(
        broken(&bad),
        [
            "headers.x-a.2: invalid regex: '~*(' (unclosed group)",
            "hosts.1: invalid wildcard: must be placed at leftmost or rightmost label",
            "https_redirect_status_code: expected one of: 426, 301, 302, 307, 308",
            "methods.2: invalid value: get",
            "paths.2: should start with: / (fixed path) or ~/ (regex path)",
            "paths.3: invalid regex: '/(' (unclosed group)",
        ]
    );
    for (name, message) in [
        ("Host", "cannot contain 'host' header, which must be specified in the 'hosts' attribute"),
        ("x v", "bad header name 'x v', allowed characters are A-Z, a-z, 0-9, '_', and '-'"),
    ] {
        let headers = Some(BTreeMap::from([(name.into(), vec!["a".into()])]));
        assert_eq!(broken(&Route { headers, ..Route::default() }), [format!("headers: {message}")]);
    }
    let mut bad = route(&[Tcp], &[]);
    let endpoint = |ip: Option<&str>| Endpoint { ip: ip.map(Into::into), port: None };
    bad.sources = Some(vec![endpoint(None), endpoint(Some("10.0.0.0/40"))]);
    assert_eq!(
        broken(&bad),
        [
            "sources.1: at least one of these fields must be non-empty: 'ip', 'port'",
            "sources.2.ip: invalid ip or cidr range: '10.0.0.0/40'",
        ]
    );
}
