//! The hosts file: addresses that need no name server.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::query::{Families, Family};

/// The names of a hosts file, and `localhost`.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<Box<str>, Host>);

#[derive(Debug, Default)]
struct Host {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Hosts {
    /// Reads lines of an address and its names. Of two lines for one name and family, the first counts. Lines
    /// that cannot be read are skipped.
    pub(super) fn parse(text: &str) -> Self {
        let mut hosts = HashMap::<Box<str>, Host>::new();
        for line in text.trim_start_matches('\u{feff}').lines() {
            let line = line.split_once('#').map_or(line, |(before, _)| before);
            let mut words = line.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words {
                let host = hosts.entry(name.to_ascii_lowercase().trim_end_matches('.').into()).or_default();
                match address {
                    IpAddr::V4(address) => _ = host.v4.get_or_insert(address),
                    IpAddr::V6(address) => _ = host.v6.get_or_insert(address),
                }
            }
        }
        let localhost = hosts.entry("localhost".into()).or_default();
        if localhost.v4.is_none() && localhost.v6.is_none() {
            (localhost.v4, localhost.v6) = (Some(Ipv4Addr::LOCALHOST), Some(Ipv6Addr::LOCALHOST));
        }
        Self(hosts)
    }

    /// The address of a name in lower case, of the first of these families in which it has one.
    pub(super) fn find(&self, name: &str, families: Families) -> Option<IpAddr> {
        let host = self.0.get(name.strip_suffix('.').unwrap_or(name))?;
        families.in_order().iter().find_map(|family| match family {
            Family::V4 => host.v4.map(IpAddr::V4),
            Family::V6 => host.v6.map(IpAddr::V6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_of_a_name_and_family_counts() {
        let text = "\u{feff}# comment\n10.0.0.1 One one.test. # two\n\n::2 one\n10.0.0.3\tone three\nbad four\n10.0.0.5";
        let hosts = Hosts::parse(text);
        let find = |name, families| hosts.find(name, families).map(|address| address.to_string());
        assert_eq!(find("one", Families::V4First).as_deref(), Some("10.0.0.1"));
        assert_eq!(find("one", Families::V6First).as_deref(), Some("::2"));
        assert_eq!(find("one.test.", Families::V6First).as_deref(), Some("10.0.0.1"));
        assert_eq!(find("one.test", Families::V6), None);
        assert_eq!(find("three", Families::V4).as_deref(), Some("10.0.0.3"));
        for absent in ["two", "four", "comment", ""] {
            assert_eq!(find(absent, Families::V4First), None, "{absent}");
        }
    }

    #[test]
    fn localhost_is_always_known() {
        let find = |text, families| Hosts::parse(text).find("localhost", families).unwrap().to_string();
        assert_eq!(find("", Families::V4First), "127.0.0.1");
        assert_eq!(find("", Families::V6First), "::1");
        assert_eq!(find("127.0.0.5 localhost", Families::V4First), "127.0.0.5");
    }
}
