//! The calls to one host at a time: a slow server takes no more of this process than its share.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hosts in the map before those without calls are removed.
const SWEEP_FROM: usize = 64;

/// The places of all hosts.
#[derive(Debug)]
pub(super) struct Places {
    of_host: usize,
    /// By host and port. A semaphore lives as long as somebody has or wants one of its places.
    hosts: Mutex<HashMap<HeaderValue, Weak<Semaphore>>>,
}

impl Places {
    pub(super) fn new(of_host: usize) -> Self {
        Self { of_host: of_host.clamp(1, Semaphore::MAX_PERMITS), hosts: Mutex::default() }
    }

    /// Takes a place, as soon as one is free.
    pub(super) async fn take(&self, authority: &HeaderValue) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.semaphore(authority).acquire_owned().await.ok()
    }

    fn semaphore(&self, authority: &HeaderValue) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        if let Some(semaphore) = hosts.get(authority).and_then(Weak::upgrade) {
            return semaphore;
        }
        if hosts.len() >= SWEEP_FROM {
            hosts.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.of_host));
        hosts.insert(authority.clone(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_host_has_its_places() {
        let places = Places::new(2);
        let [a, b] = ["a:1", "b:1"].map(HeaderValue::from_static);
        let taken = [places.take(&a), places.take(&a)].map(|place| place.now_or_never().unwrap());
        assert!(places.take(&a).now_or_never().is_none());
        assert!(places.take(&b).now_or_never().is_some());
        drop(taken);
        assert!(places.take(&a).now_or_never().is_some());
    }

    #[test]
    fn hosts_without_calls_are_forgotten() {
        let places = Places::new(1);
        let held = places.take(&HeaderValue::from_static("held")).now_or_never().unwrap();
        for number in 0..1000 {
            let host = HeaderValue::try_from(number.to_string()).unwrap();
            places.take(&host).now_or_never().unwrap();
        }
        assert!(places.hosts.lock().len() <= SWEEP_FROM + 1);
        assert!(places.take(&HeaderValue::from_static("held")).now_or_never().is_none());
        drop(held);
    }
}
