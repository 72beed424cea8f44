//! Places for connections whose data plane has not shown its certificate yet: few places, each for a short
//! time.
//!
//! One address holds at most half of the places, so that it never keeps the others out. When no place is
//! free, the connection that has waited longest is closed. If that one has only just come, the new one is
//! closed instead. A data plane that has shown its certificate holds no place.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// All places.
const PLACES: usize = 512;
/// Places of one address; of IPv6, one network of 64 bits.
const SHARE: usize = 256;
/// The time that every handshake gets before it may have to make room for another.
const FAIR: Duration = Duration::from_secs(2);

/// The places; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// The waiting connections in the order of their arrival.
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    network: IpAddr,
    since: Instant,
    shed: CancellationToken,
}

/// One place; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    /// Cancelled when another connection needs the place.
    pub(super) shed: CancellationToken,
}

impl Places {
    /// Returns a place for a connection from this address; `None` when there is none.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let network = network_of(address);
        let mut taken = self.0.lock();
        let share = taken.waiting.values().filter(|waiting| waiting.network == network).count();
        if share >= SHARE {
            taken.shed(|waiting| waiting.network == network)?;
        } else if taken.waiting.len() >= PLACES {
            taken.shed(|_| true)?;
        }
        let (number, shed) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.waiting.insert(number, Waiting { network, since: Instant::now(), shed: shed.clone() });
        Some(Place { places: self.clone(), number, shed })
    }

    /// Closes the connection that has waited longest: there are no descriptors left.
    pub(super) fn shed_oldest(&self) {
        self.0.lock().shed(|_| true);
    }
}

impl Taken {
    /// Closes the oldest of these connections, unless it has only just come.
    fn shed(&mut self, among: impl Fn(&Waiting) -> bool) -> Option<()> {
        let (number, oldest) = self.waiting.iter().find(|(_, waiting)| among(waiting))?;
        if oldest.since.elapsed() < FAIR {
            return None;
        }
        oldest.shed.cancel();
        let number = *number;
        self.waiting.remove(&number);
        Some(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().waiting.remove(&self.number);
    }
}

/// Returns the network from which one host can choose its addresses.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connections_of_one_address_leave_places_for_others() {
        let places = Places::default();
        let hostile: Vec<_> = (0..1000).filter_map(|_| places.take(address(1))).collect();
        assert_eq!(hostile.len(), SHARE);
        let others: Vec<_> = (0..SHARE).filter_map(|_| places.take(address(2))).collect();
        assert_eq!(others.len(), SHARE);
        assert!(places.take(address(3)).is_none(), "all have come only just now");
        tokio::time::advance(FAIR).await;
        assert!(places.take(address(3)).is_some(), "the oldest goes");
        assert!(hostile[0].shed.is_cancelled() && !hostile[1].shed.is_cancelled());
        assert!(!others[0].shed.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn address_at_its_share_sheds_its_own_oldest() {
        let places = Places::default();
        let victim = places.take(address(2)).unwrap();
        let hostile: Vec<_> = (0..SHARE).filter_map(|_| places.take(address(1))).collect();
        tokio::time::advance(FAIR).await;
        let newer: Vec<_> = (0..SHARE).filter_map(|_| places.take(address(1))).collect();
        assert_eq!(newer.len(), SHARE);
        assert!(hostile.iter().all(|place| place.shed.is_cancelled()));
        assert!(!victim.shed.is_cancelled());
        drop((newer, hostile, victim));
        assert!(places.0.lock().waiting.is_empty());
    }

    #[test]
    fn one_host_cannot_choose_its_network() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
