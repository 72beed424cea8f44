use super::*;

fn parse(key: &str, value: &str) -> Result<Config, String> {
    let variable = format!("GIBBON_{}", key.replace('.', "__").to_uppercase());
    let loaded = node::config::load_with(None, [(variable, value.to_owned())]);
    loaded.and_then(|loaded| Config::parse(&loaded)).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_good() {
    let config = Config::parse(&node::config::load_with(None, []).unwrap()).unwrap();
    assert_eq!(config.cluster.identity.certificate, Path::new("gibbon-gateway/cluster.crt"));
    assert!(config.threads >= 1);
}

#[test]
fn each_bad_value_is_named_with_its_key_and_origin() {
    for (key, value) in [
        ("proxy.listen", "[]"),
        ("proxy.listen", "8000"),
        ("proxy.listen_tls", "0.0.0.0:8000"),
        ("proxy.header_timeout", "0s"),
        ("proxy.header_timeout", "soon"),
        ("proxy.body_timeout", "0s"),
        ("proxy.max_header_bytes", "12"),
        ("proxy.max_header_fields", "257"),
        ("proxy.max_uri_bytes", "65536"),
        ("proxy.ambiguous_paths", "guess"),
        ("proxy.http2_max_streams", "0"),
        ("proxy.http2_window_bytes", "1000"),
        ("upstream.max_header_fields", "0"),
        ("upstream.max_header_bytes", "1000000"),
        ("proxy.max_in_flight", "0"),
        ("proxy.trusted_ips", "10.0.0.0/33"),
        ("upstream.deny", "metadata"),
        ("upstream.allow", "10.0.0.0/33"),
        ("proxy.colour", "red"),
        ("cluster.control_planes", "control.example.com"),
        ("cluster.control_planes", "[]"),
        ("cluster.heartbeat_interval", "10ms"),
        ("cluster.mtls", "none"),
        ("cluster.mtls", "pki"),
        ("upstream.name_servers", "10.0.0.2"),
        ("upstream.resolve_timeout", "1ms"),
        ("upstream.resolve_timeout", "1h"),
        ("upstream.dns.search", "a..b"),
        ("upstream.dns.ndots", "16"),
        ("upstream.dns.timeout", "1ms"),
        ("upstream.dns.timeout", "3s"),
        ("upstream.dns.attempts", "0"),
        ("upstream.dns.families", "4,5"),
        ("upstream.dns.families", "[]"),
        ("upstream.dns.cache", "1"),
        ("cache.max_bytes", "1000"),
        ("cache.max_object_bytes", "1"),
        ("cache.max_object_bytes", "100000000"),
        ("metrics.compat", "maybe"),
        ("status.listen", "nowhere"),
        ("status.max_connections", "3"),
        ("status.header_timeout", "0s"),
        ("status.idle_timeout", "2days"),
        ("log.level", "loud"),
    ] {
        let error = parse(key, value).unwrap_err();
        assert!(error.contains(key), "{key} = {value}: {error}");
        assert!(error.contains("env GIBBON_"), "{key} = {value}: {error}");
    }
    let config = parse("proxy.trusted_ips", "10.0.0.0/8,::1").unwrap();
    assert!(config.proxy.trusted.contains("10.1.2.3".parse().unwrap()));
    assert!(!config.proxy.trusted.contains("11.1.2.3".parse().unwrap()));
}

#[test]
fn listeners_of_this_node_are_no_upstreams() {
    let config = parse("cluster.control_planes", "10.0.0.1:8005,[::1]:8005,Control.test:8005").unwrap();
    let own: Vec<_> = config.upstream.own.iter().map(ToString::to_string).collect();
    assert_eq!(own, ["127.0.0.1:8007", "10.0.0.1:8005", "[::1]:8005"]);
    assert_eq!(config.upstream.own_names, [("control.test".to_owned(), 8005)]);
}
