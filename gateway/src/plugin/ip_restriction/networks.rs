//! A set of networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// A set of networks of both families. A look-up takes a time in proportion to the logarithm of their number.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// Disjoint and in their order.
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl Networks {
    /// Compiles addresses and networks in CIDR notation.
    ///
    /// # Errors
    /// The entry that is none.
    pub(super) fn compile(entries: &[String]) -> Result<Self, String> {
        let networks = entries.iter().map(|entry| network(entry).ok_or_else(|| entry.clone()));
        let networks = networks.collect::<Result<Vec<_>, _>>()?;
        let merged = IpNet::aggregate(&networks);
        let mut ranges: Vec<_> =
            merged.iter().map(|network| (network.network(), network.broadcast())).collect();
        ranges.sort_unstable();
        Ok(Self { ranges })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether one of them contains `address`. An address of IPv4 must not be written as one of IPv6.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        // Addresses of IPv4 are less than all of IPv6.
        let behind = self.ranges.partition_point(|(first, _)| *first <= address);
        behind.checked_sub(1).is_some_and(|at| address <= self.ranges[at].1)
    }
}

/// The network of an entry. One of IPv4 that is written as one of IPv6 is one of IPv4.
fn network(entry: &str) -> Option<IpNet> {
    const MAPPED: u8 = 96;
    let network = match entry.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => entry.parse::<IpAddr>().ok()?.into(),
    };
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(MAPPED)) {
        (address @ IpAddr::V4(_), Some(length)) if network.addr().is_ipv6() => {
            IpNet::new(address, length).ok()
        }
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(entries: &[&str]) -> Networks {
        Networks::compile(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn borders_belong_to_a_network() {
        let networks = networks(&["10.0.1.0/24", "10.0.2.77/24", "192.0.2.1", "2001:db8::/64", "::1"]);
        assert_eq!(networks.ranges.len(), 5, "{networks:?}");
        for (address, is_in) in [
            ("10.0.0.255", false),
            ("10.0.1.0", true),
            ("10.0.2.255", true),
            ("10.0.3.0", false),
            ("192.0.2.0", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", true),
            ("::2", false),
            ("2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::", false),
            ("ffff::", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(!Networks::default().contains("::1".parse().unwrap()));
    }

    #[test]
    fn other_texts_are_no_networks() {
        for entry in ["", "a", "10.0.0.0/33", "10.0.0", "::1/129"] {
            assert_eq!(Networks::compile(&[entry.to_owned()]).unwrap_err(), entry);
        }
    }

    /// Against the plain reading, for random sets.
    #[test]
    fn sets_contain_what_one_of_their_networks_contains() {
        use rand::{Rng, SeedableRng};
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        for _ in 0..200 {
            let entries: Vec<String> = (0..random.random_range(1..20))
                .map(|_| {
                    format!(
                        "10.0.{}.{}/{}",
                        random.random_range(0..4),
                        random.random::<u8>(),
                        random.random_range(20..=32)
                    )
                })
                .collect();
            let plain: Vec<IpNet> = entries.iter().map(|entry| entry.parse().unwrap()).collect();
            let networks = Networks::compile(&entries).unwrap();
            for _ in 0..200 {
                let address = IpAddr::from([10, 0, random.random_range(0..5), random.random()]);
                let wanted = plain.iter().any(|network| network.contains(&address));
                assert_eq!(networks.contains(address), wanted, "{entries:?} {address}");
            }
        }
    }
}
