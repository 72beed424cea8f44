//! The addresses for one request to a host whose port is known.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

/// The addresses of a host, and the one to begin with.
#[derive(Clone, Debug)]
pub struct Addresses {
    all: Arc<[IpAddr]>,
    first: usize,
}

impl Addresses {
    /// One address, of a host that needs no look-up.
    pub(crate) fn one(address: IpAddr) -> Self {
        Self { all: Arc::new([address]), first: 0 }
    }

    /// All of `all`, beginning with the one at `first`, counted round; `None` when there are none.
    pub(super) fn from(all: Arc<[IpAddr]>, first: usize) -> Option<Self> {
        (!all.is_empty()).then_some(Self { all, first })
    }

    /// The allowed ones of these addresses; `None` when none is allowed.
    pub(crate) fn only(self, is_allowed: impl Fn(IpAddr) -> bool) -> Option<Self> {
        let allowed: SmallVec<[IpAddr; 8]> = self.all.iter().copied().filter(|ip| is_allowed(*ip)).collect();
        match allowed.len() {
            0 => None,
            all if all == self.all.len() => Some(self),
            _ => Some(Self { all: allowed.as_slice().into(), first: self.first }),
        }
    }

    /// The number of addresses, at least 1.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The address for the attempt `number`, counted from 0.
    pub(crate) fn nth(&self, number: usize) -> IpAddr {
        self.all[self.first.wrapping_add(number) % self.all.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_take_the_addresses_in_turn() {
        let all: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap()).into();
        let addresses = Addresses { all: all.clone().into(), first: 1 };
        assert_eq!([0, 1, 2].map(|n| addresses.nth(n)), [all[1], all[0], all[1]]);
    }

    #[test]
    fn denied_addresses_are_never_taken() {
        let all: Vec<IpAddr> = ["10.0.0.1", "169.254.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap()).into();
        let addresses = Addresses { all: all.clone().into(), first: 1 };
        let allowed = addresses.clone().only(|ip| ip != all[1]).unwrap();
        assert_eq!([0, 1, 2].map(|n| allowed.nth(n)), [all[2], all[0], all[2]]);
        assert!(addresses.only(|_| false).is_none());
    }
}
