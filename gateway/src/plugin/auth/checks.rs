//! Checks that cost much, such as hashes of passwords: off the threads that serve requests, a few at a time, with
//! a bound on those that wait. A client address gets only a share of the places, so that one that guesses
//! passwords does not keep others out.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The longest wait for a turn.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Runs checks.
#[derive(Debug)]
pub(in crate::plugin) struct Checks {
    turns: Arc<Semaphore>,
    places: Arc<Mutex<Places>>,
}

/// Too many checks wait, or it took too long until it was this one's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Busy;

/// The checks that run or wait.
#[derive(Debug)]
struct Places {
    most: usize,
    of_client: usize,
    taken: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// One of the places; free again on drop.
struct Place {
    places: Arc<Mutex<Places>>,
    client: IpAddr,
}

impl Checks {
    /// Creates one that runs so many checks at once, and has so many places for those that run or wait. A client
    /// address gets a quarter of them.
    pub(in crate::plugin) fn new(at_once: usize, places: usize) -> Self {
        let of_client = (places / 4).max(1);
        let places = Places { most: places, of_client, taken: 0, by_client: HashMap::new() };
        Self { turns: Arc::new(Semaphore::new(at_once.max(1))), places: Arc::new(Mutex::new(places)) }
    }

    /// Runs a check for a client when it is its turn. `known` may say the outcome just before, when an equal
    /// check has ended meanwhile. A check that has begun ends, also when its client does not wait for it.
    ///
    /// # Errors
    /// When there is no place, or no turn within five seconds.
    pub(in crate::plugin) async fn run<T: Send + 'static>(
        &self,
        client: IpAddr,
        known: impl FnOnce() -> Option<T>,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Place::take(&self.places, client)?;
        let turn = timeout(LONGEST_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Busy)?.map_err(|_| Busy)?;
        if let Some(outcome) = known() {
            return Ok(outcome);
        }
        let checked = spawn_blocking(move || {
            let outcome = check();
            drop((turn, place));
            outcome
        });
        checked.await.map_err(|_| Busy)
    }
}

impl Place {
    fn take(places: &Arc<Mutex<Places>>, client: IpAddr) -> Result<Self, Busy> {
        let mut held = places.lock();
        let of_client = held.by_client.get(&client).copied().unwrap_or(0);
        if held.taken >= held.most || of_client >= held.of_client {
            return Err(Busy);
        }
        held.taken += 1;
        held.by_client.insert(client, of_client + 1);
        Ok(Self { places: Arc::clone(places), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        held.taken -= 1;
        let left = held.by_client.get(&self.client).map_or(0, |of_client| of_client - 1);
        if left == 0 {
            held.by_client.remove(&self.client);
        } else {
            held.by_client.insert(self.client, left);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("client", &self.client).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test]
    async fn a_client_gets_a_share_of_the_places_and_all_are_bounded() {
        let checks = Checks::new(1, 8);
        let (end, ended) = mpsc::channel::<()>();
        let mut first = Box::pin(checks.run(ONE, || None, move || ended.recv().is_ok()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(checks.run(ONE, || None, || true));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(checks.run(ONE, || None, || true).now_or_never(), Some(Err(Busy)));
        let mut others: Vec<_> = Vec::new();
        for client in 2..=7_u8 {
            let mut check = Box::pin(checks.run([10, 0, 1, client].into(), || None, || true));
            assert!(check.as_mut().now_or_never().is_none(), "{client}");
            others.push(check);
        }
        assert_eq!(checks.run(OTHER, || None, || true).now_or_never(), Some(Err(Busy)));
        // Those that wait no more leave their places.
        others.clear();
        end.send(()).unwrap();
        assert_eq!((first.await, second.await), (Ok(true), Ok(true)));
        assert_eq!(checks.run(ONE, || None, || false).await, Ok(false));
        let places = checks.places.lock();
        assert_eq!((places.taken, places.by_client.len()), (0, 0));
    }

    #[tokio::test]
    async fn outcome_that_is_known_meanwhile_costs_no_check() {
        let checks = Checks::new(1, 8);
        assert_eq!(checks.run(ONE, || Some(true), || panic!("checked again")).await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn wait_for_a_turn_is_bounded() {
        let checks = Checks::new(1, 8);
        let turn = Arc::clone(&checks.turns).acquire_owned().await;
        assert_eq!(checks.run(ONE, || None, || true).await, Err(Busy));
        drop(turn);
        assert_eq!(checks.places.lock().taken, 0);
    }
}
