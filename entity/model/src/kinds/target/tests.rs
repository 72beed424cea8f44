use std::net::IpAddr;

use uuid::Uuid;

use super::*;

#[test]
fn stored_forms() {
    let loopback = "[0000:0000:0000:0000:0000:0000:0000:0001]";
    for (text, stored) in [
        ("api", "api:8000".to_owned()),
        ("Api.Example.COM", "Api.Example.COM:8000".to_owned()),
        ("a.b.:80", "a.b.:80".to_owned()),
        ("_sip._tcp.example.com", "_sip._tcp.example.com:8000".to_owned()),
        ("a:0", "a:0".to_owned()),
        ("a:065", "a:65".to_owned()),
        ("10.0.0.1", "10.0.0.1:8000".to_owned()),
        ("010.000.0.001:80", "10.0.0.1:80".to_owned()),
        ("::1", format!("{loopback}:8000")),
        ("[::1]", format!("{loopback}:8000")),
        ("[::1]:443", format!("{loopback}:443")),
        ("2001:DB8::ff", "[2001:0db8:0000:0000:0000:0000:0000:00ff]:8000".to_owned()),
    ] {
        assert_eq!(Target::canonical_target(text), stored, "{text}");
        assert_eq!(Target::canonical_target(&stored), stored);
        assert_eq!(host::target(text), Ok(()), "{text}");
    }
}

#[test]
fn texts_that_are_no_target() {
    for bad in [
        "", ":80", "a:", "a:b", "a:65536", "a:+1", "a b", "a..b", "-.", "a-", "a-.b", "a/b", "\u{fc}", "12:80",
        "1.2.3", "1.2.3.256", "1.2.3.4.5", ".", "[::1", "[::1]a", "[::1]:", "[10.0.0.1]", "::g", "1:2:3",
        "fe80::1%eth0",
    ] {
        let told = format!("Invalid target ('{bad}'); not a valid hostname or ip address");
        assert_eq!(host::target(bad), Err(told));
        assert_eq!(Target::canonical_target(bad), bad);
    }
}

#[test]
fn hosts_and_ports() {
    let of = |text: &str| {
        let target = Target { target: Target::canonical_target(text), ..Target::default() };
        let (host, port) = target.host_and_port();
        (host.to_owned(), port)
    };
    assert_eq!(of("a.b:80"), ("a.b".to_owned(), 80));
    assert_eq!(of("10.0.0.1"), ("10.0.0.1".to_owned(), 8000));
    let (host, port) = of("[2001:db8::1]:81");
    assert_eq!((host.parse::<IpAddr>(), port), ("2001:db8::1".parse(), 81));
}

#[test]
fn zone_follows_from_the_tags() {
    let mut target = Target::default();
    target.set_tags(&["a".to_owned(), "zone:eu-1".to_owned()]);
    assert_eq!(target.zone.as_deref(), Some("eu-1"));
    target.set_tags(&["a".to_owned()]);
    assert_eq!(target.zone, None);
}

#[test]
fn keys_are_of_one_upstream() {
    let keys = |upstream: u128, target: &str| {
        let target =
            Target { upstream: Uuid::from_u128(upstream), target: target.into(), ..Target::default() };
        crate::record::unique(&target)
    };
    assert_eq!(keys(1, "a:1"), [("target", "00000000-0000-0000-0000-000000000001 a:1".to_owned())]);
    assert_ne!(keys(1, "a:1"), keys(2, "a:1"));
}
