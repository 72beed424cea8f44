//! Addresses that did not accept a connection while another one of the same upstream did. For some time they are
//! tried last: otherwise each request that begins with such an address would wait for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Order;

/// How long an address is tried last.
const AVOIDED: Duration = Duration::from_secs(10);
/// The most addresses that are remembered.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Avoided {
    until: Mutex<HashMap<SocketAddr, Instant>>,
    /// How many there are, so that the usual case takes no lock.
    count: AtomicUsize,
}

impl Avoided {
    /// The order in which `addresses` are tried now.
    pub(super) fn order(&self, addresses: &[SocketAddr]) -> Order {
        let mut order = Order::from_slice(addresses);
        if addresses.len() > 1 && self.count.load(Ordering::Relaxed) > 0 {
            let (until, now) = (self.until.lock(), Instant::now());
            order.sort_by_key(|address| until.get(address).is_some_and(|end| now < *end));
        }
        order
    }

    /// Notes that `accepted` accepted a connection, and that those before it in `order` did not.
    pub(super) fn note(&self, order: &[SocketAddr], accepted: SocketAddr) {
        let failed = order.iter().take_while(|address| **address != accepted);
        if order.first() == Some(&accepted) && self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (mut until, end) = (self.until.lock(), Instant::now() + AVOIDED);
        until.remove(&accepted);
        until.extend(failed.map(|address| (*address, end)));
        if until.len() > MOST {
            until.clear();
        }
        self.count.store(until.len(), Ordering::Relaxed);
    }

    /// Removes addresses whose time is over.
    pub(super) fn sweep(&self, now: Instant) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut until = self.until.lock();
            until.retain(|_, end| now < *end);
            self.count.store(until.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn address_that_failed_is_last_for_a_while() {
        let [a, b, c] = [1, 2, 3].map(|last| SocketAddr::from(([10, 0, 0, last], 80)));
        let avoided = Avoided::default();
        avoided.note(&[a, b, c], a);
        assert_eq!(avoided.order(&[a, b, c])[..], [a, b, c]);
        avoided.note(&[a, b, c], b);
        assert_eq!(avoided.order(&[a, b, c])[..], [b, c, a]);
        assert_eq!(avoided.order(&[a])[..], [a]);
        advance(AVOIDED / 2).await;
        avoided.note(&[b, c, a], c);
        assert_eq!(avoided.order(&[a, b, c])[..], [c, a, b]);
        advance(AVOIDED / 2).await;
        assert_eq!(avoided.order(&[b, a, c])[..], [a, c, b]);
        // It accepts again.
        avoided.note(&[b, a, c], b);
        assert_eq!(avoided.order(&[b, a, c])[..], [b, a, c]);
        advance(AVOIDED).await;
        avoided.sweep(Instant::now());
        assert_eq!(avoided.count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_have_a_bound() {
        let avoided = Avoided::default();
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        for port in 1..=u16::try_from(MOST).unwrap() * 2 {
            avoided.note(&[address(port), address(0)], address(0));
        }
        assert!(avoided.until.lock().len() <= MOST);
    }
}
