//! Decides to which addresses requests may be sent. It checks the resolved address to connect to, so that no
//! name can bypass it.
//!
//! An address that `allow` names is allowed. Of the others, those that `deny` names are refused. So are those
//! of this node itself: its status listener, and the control planes' cluster addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;
use parking_lot::Mutex;
use tracing::warn;
use uuid::Uuid;

/// Denied by default: link-local addresses, where clouds give credentials to any program on the machine. Also
/// the other addresses of such services: Amazon's and Google's of IPv6, Alibaba's, Azure's.
pub const DENIED: [&str; 6] = [
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "100.100.100.200/32",
    "168.63.129.16/32",
];
/// The most services and plugins for which a logged refusal is remembered.
const MAX_LOGGED: usize = 1024;

/// The policy on upstream addresses.
#[derive(Debug, Default)]
pub struct Policy {
    rules: Rules,
    /// The services and plugins whose refusal was logged, with the address.
    logged: Mutex<HashMap<Uuid, SocketAddr>>,
}

/// The configured rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Networks that are allowed in any case.
    pub allow: Vec<IpNet>,
    /// Networks that are denied.
    pub deny: Vec<IpNet>,
    /// Listeners of this node, and its control planes: denied, too.
    pub own: Vec<SocketAddr>,
    /// The same by name, in lower case: a service with this host and port.
    pub own_names: Vec<(String, u16)>,
}

impl Policy {
    /// Creates a policy with these rules.
    pub fn new(rules: Rules) -> Self {
        Self { rules, logged: Mutex::default() }
    }

    /// Whether a service with this host may be reached at this address. Logs a refusal once for each service
    /// and address.
    pub fn allows(&self, service: Uuid, host: Option<&str>, address: SocketAddr) -> bool {
        let allowed = self.rules.allows(host, address);
        if !allowed && self.is_new(service, address) {
            warn!(%service, %address, "the address of this service is not allowed (upstream.deny, upstream.allow)");
        }
        allowed
    }

    /// The same for a plugin that calls this host.
    pub fn allows_plugin(&self, plugin: Uuid, host: Option<&str>, address: SocketAddr) -> bool {
        let allowed = self.rules.allows(host, address);
        if !allowed && self.is_new(plugin, address) {
            warn!(%plugin, %address, "the address that this plugin calls is not allowed (upstream.deny, upstream.allow)");
        }
        allowed
    }

    fn is_new(&self, owner: Uuid, address: SocketAddr) -> bool {
        let mut logged = self.logged.lock();
        if logged.len() >= MAX_LOGGED && !logged.contains_key(&owner) {
            logged.clear();
        }
        logged.insert(owner, address) != Some(address)
    }
}

impl Rules {
    fn allows(&self, host: Option<&str>, address: SocketAddr) -> bool {
        let forms = Forms::of(address.ip());
        forms.any_in(&self.allow)
            || !(forms.any_in(&self.deny)
                || self.is_own(&forms, address.port())
                || self.is_own_name(host, address))
    }

    fn is_own(&self, forms: &Forms, port: u16) -> bool {
        let mut same_port = self.own.iter().filter(|own| own.port() == port);
        same_port.any(|own| {
            let listener = Forms::of(own.ip());
            if own.ip().is_unspecified() {
                forms.0.iter().flatten().any(is_local)
            } else {
                forms.meets(&listener)
            }
        })
    }

    fn is_own_name(&self, host: Option<&str>, address: SocketAddr) -> bool {
        let same = |(name, port): &(String, u16)| {
            *port == address.port() && host.is_some_and(|host| host.eq_ignore_ascii_case(name))
        };
        self.own_names.iter().any(same)
    }
}

/// An address and, if it stands for another one, that one too.
#[derive(Debug)]
struct Forms([Option<IpAddr>; 2]);

impl Forms {
    fn of(address: IpAddr) -> Self {
        Self([Some(address), stands_for(address)])
    }

    fn any_in(&self, networks: &[IpNet]) -> bool {
        let within = |address: &IpAddr| networks.iter().any(|network| network.contains(address));
        self.0.iter().flatten().any(within)
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().flatten().any(|address| other.0.contains(&Some(*address)))
    }
}

/// The address that is reached by way of this one: an IPv4 address within one of IPv6 (RFC 4291, section
/// 2.5.5; RFC 6052, section 2.1). For an unspecified address it is the loopback address, to which Linux then
/// connects.
fn stands_for(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V4(_) => None,
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => None,
        IpAddr::V6(address) => embedded(address).map(|inner| stands_for(inner).unwrap_or(inner)),
    }
}

fn embedded(address: Ipv6Addr) -> Option<IpAddr> {
    let last = || {
        let [.., high, low] = address.segments();
        Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into()
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(last()),
        _ => None,
    }
}

/// Whether the address is one of this machine's: only those can be bound.
fn is_local(address: &IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((*address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn allows(rules: &Rules, address: &str, port: u16) -> bool {
        rules.allows(None, SocketAddr::new(address.parse().unwrap(), port))
    }

    #[test]
    fn metadata_is_denied_in_every_spelling_and_loopback_is_not() {
        let rules = Rules { deny: networks(&DENIED), ..Rules::default() };
        for denied in [
            "169.254.169.254",
            "169.254.0.0",
            "169.254.255.255",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            assert!(!allows(&rules, denied, 80), "{denied}");
        }
        for allowed in [
            "169.253.255.255",
            "169.255.0.0",
            "127.0.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "10.0.0.1",
            "fd00:ec2::253",
            "fec0::1",
        ] {
            assert!(allows(&rules, allowed, 80), "{allowed}");
        }
    }

    #[test]
    fn loopback_is_denied_by_all_that_reaches_it() {
        let rules = Rules { deny: networks(&["127.0.0.0/8", "::1/128"]), ..Rules::default() };
        for denied in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
            "64:ff9b::7f00:1",
        ] {
            assert!(!allows(&rules, denied, 80), "{denied}");
        }
        assert!(allows(&rules, "128.0.0.1", 80));
    }

    #[test]
    fn allowed_network_is_an_exception_from_denied_ones() {
        let rules = Rules {
            deny: networks(&["0.0.0.0/0", "::/0"]),
            allow: networks(&["10.0.0.0/8"]),
            own: vec!["10.0.0.1:8007".parse().unwrap()],
            ..Rules::default()
        };
        for (address, allowed) in
            [("10.0.0.1", true), ("::ffff:10.0.0.1", true), ("11.0.0.1", false), ("fd00::1", false)]
        {
            assert_eq!(allows(&rules, address, 8007), allowed, "{address}");
        }
    }

    #[test]
    fn listeners_of_this_node_are_denied_by_address_and_port() {
        let own = |own: &str| Rules { own: vec![own.parse().unwrap()], ..Rules::default() };
        let loopback = own("127.0.0.1:8007");
        for (address, port, allowed) in [
            ("127.0.0.1", 8007, false),
            ("::ffff:127.0.0.1", 8007, false),
            ("0.0.0.0", 8007, false),
            ("127.0.0.1", 8008, true),
            ("127.0.0.2", 8007, true),
        ] {
            assert_eq!(allows(&loopback, address, port), allowed, "{address}:{port}");
        }
        let everywhere = own("0.0.0.0:8007");
        for (address, allowed) in
            [("127.0.0.1", false), ("127.8.8.8", false), ("::1", false), ("192.0.2.1", true)]
        {
            assert_eq!(allows(&everywhere, address, 8007), allowed, "{address}");
        }
        let named = Rules { own_names: vec![("control.test".into(), 8005)], ..Rules::default() };
        let address = |port| SocketAddr::new("10.0.0.1".parse().unwrap(), port);
        assert!(!named.allows(Some("Control.TEST"), address(8005)));
        assert!(
            named.allows(Some("control.test"), address(80))
                && named.allows(Some("other.test"), address(8005))
        );
    }

    #[test]
    fn refusal_is_logged_once_for_each_address_of_a_service() {
        let policy = Policy::default();
        let address = |last: u8| SocketAddr::from(([169, 254, 0, last], 80));
        let service = Uuid::from_u128(1);
        assert!(policy.is_new(service, address(1)) && !policy.is_new(service, address(1)));
        assert!(policy.is_new(service, address(2)) && policy.is_new(Uuid::from_u128(2), address(1)));
        for id in 0..5000 {
            policy.is_new(Uuid::from_u128(id), address(1));
        }
        assert!(policy.logged.lock().len() <= MAX_LOGGED);
    }
}
