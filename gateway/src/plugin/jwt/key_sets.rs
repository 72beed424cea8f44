//! The key sets that issuers publish: fetched when they are first needed, fetched again in the background, and
//! kept while their address does not answer.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::key_set::KeySet;

/// The age from which on a set is fetched again.
const FRESH: Duration = Duration::from_secs(300);
/// The least time between two fetches of a set.
const BETWEEN_FETCHES: Duration = Duration::from_secs(30);
/// The same while there is no set that could be used.
const BETWEEN_FIRST_FETCHES: Duration = Duration::from_secs(5);
/// The age from which on a set is not used any more.
const LONGEST_USE: Duration = Duration::from_secs(86_400);
/// The longest time that a request waits for a fetch.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The longest time of a fetch.
const LONGEST_FETCH: Duration = Duration::from_secs(10);
/// Sets in the map before those that no plugin uses are removed.
const SWEEP_FROM: usize = 64;

/// The sets by their address. It outlives configurations.
#[derive(Debug, Default)]
pub(super) struct KeySets {
    sources: Mutex<HashMap<Box<str>, Arc<Source>>>,
    fetches: Mutex<JoinSet<()>>,
}

/// A set, which may not be there yet.
#[derive(Debug, Default)]
pub(super) struct Source {
    state: Mutex<State>,
    /// A fetch has ended.
    fetched: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The last set, and when it was fetched.
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When the last fetch began.
    began: Option<Instant>,
    is_fetching: bool,
}

/// What a request does for its keys.
#[derive(Debug)]
enum Plan {
    /// It uses this set.
    Use(Arc<KeySet>),
    /// It uses this set, and has it fetched again.
    UseAndFetch(Arc<KeySet>),
    /// It begins a fetch, and waits for it.
    Fetch,
    /// It waits for the fetch that has begun.
    Wait,
    /// There are no keys, and there was no time yet for another fetch.
    Fail,
}

/// There are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoKeys;

impl KeySets {
    /// The set with this address.
    pub(super) fn source(&self, address: &str) -> Arc<Source> {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get(address) {
            return Arc::clone(source);
        }
        if sources.len() >= SWEEP_FROM {
            sources.retain(|_, source| Arc::strong_count(source) > 1);
        }
        Arc::clone(sources.entry(address.into()).or_default())
    }

    /// The keys of a set for a token that names the key `id`. `fetch` gets the set, or logs why it cannot.
    ///
    /// # Errors
    /// When there are none.
    pub(super) async fn keys<F>(
        &self,
        source: &Arc<Source>,
        id: Option<&str>,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<KeySet>, NoKeys>
    where
        F: Future<Output = Option<KeySet>> + Send + 'static,
    {
        let mut ended = Box::pin(source.fetched.notified());
        ended.as_mut().enable();
        let plan = source.state.lock().plan(Instant::now(), id);
        match plan {
            Plan::Use(keys) => return Ok(keys),
            Plan::UseAndFetch(keys) => {
                self.begin(source, fetch());
                return Ok(keys);
            }
            Plan::Fetch => self.begin(source, fetch()),
            Plan::Wait => {}
            Plan::Fail => return Err(NoKeys),
        }
        // Whatever has become of the fetch, the state says what there is.
        drop(timeout(LONGEST_WAIT, ended).await);
        source.state.lock().usable(Instant::now()).cloned().ok_or(NoKeys)
    }

    fn begin(&self, source: &Arc<Source>, fetch: impl Future<Output = Option<KeySet>> + Send + 'static) {
        let fetching = Fetching(Arc::clone(source));
        let mut fetches = self.fetches.lock();
        while fetches.try_join_next().is_some() {}
        fetches.spawn(async move {
            if let Ok(Some(keys)) = timeout(LONGEST_FETCH, fetch).await {
                fetching.0.state.lock().keys = Some((Arc::new(keys), Instant::now()));
            }
        });
    }
}

/// A fetch that runs. Its end is seen also when it is cut off.
struct Fetching(Arc<Source>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.state.lock().is_fetching = false;
        self.0.fetched.notify_waiters();
    }
}

impl State {
    fn usable(&self, now: Instant) -> Option<&Arc<KeySet>> {
        self.keys.as_ref().filter(|(_, fetched)| now - *fetched < LONGEST_USE).map(|(keys, _)| keys)
    }

    /// What a request does. A fetch that it shall begin counts as begun.
    fn plan(&mut self, now: Instant, id: Option<&str>) -> Plan {
        let keys = self.usable(now).cloned();
        let between = if keys.is_some() { BETWEEN_FETCHES } else { BETWEEN_FIRST_FETCHES };
        let may_fetch = !self.is_fetching && self.began.is_none_or(|began| now - began >= between);
        let is_fresh = self.keys.as_ref().is_some_and(|(_, fetched)| now - *fetched < FRESH);
        let plan = match keys {
            Some(keys) if id.is_none_or(|id| keys.has(id)) => {
                if may_fetch && !is_fresh {
                    Plan::UseAndFetch(keys)
                } else {
                    Plan::Use(keys)
                }
            }
            _ if may_fetch => Plan::Fetch,
            _ if self.is_fetching => Plan::Wait,
            Some(keys) => Plan::Use(keys),
            None => Plan::Fail,
        };
        if matches!(plan, Plan::Fetch | Plan::UseAndFetch(_)) {
            self.is_fetching = true;
            self.began = Some(now);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;

    /// An issuer that publishes a key of this name, or nothing.
    #[derive(Clone, Default)]
    struct Issuer {
        key: Arc<Mutex<Option<&'static str>>>,
        fetches: Arc<AtomicUsize>,
    }

    impl Issuer {
        fn publish(&self, key: Option<&'static str>) {
            *self.key.lock() = key;
        }

        async fn fetch(self) -> Option<KeySet> {
            self.fetches.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(10)).await;
            let key = (*self.key.lock())?;
            let text = format!(r#"{{"keys":[{{"kty":"RSA","kid":"{key}","n":"AQAB","e":"AQAB"}}]}}"#);
            KeySet::parse(text.as_bytes()).ok()
        }

        /// Whether the sets have the key now.
        async fn has(&self, sets: &KeySets, key: &str) -> Result<bool, NoKeys> {
            let source = sets.source("http://a.test/");
            let issuer = self.clone();
            Ok(sets.keys(&source, Some(key), || issuer.fetch()).await?.has(key))
        }

        fn count(&self) -> usize {
            self.fetches.load(Ordering::Relaxed)
        }
    }

    async fn after(seconds: u64) {
        // Lets a fetch in the background end, too.
        sleep(Duration::from_millis(20)).await;
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_share_one_fetch() {
        let (sets, issuer) = (KeySets::default(), Issuer::default());
        issuer.publish(Some("1"));
        let all = futures_util::future::join_all((0..100).map(|_| issuer.has(&sets, "1"))).await;
        assert!(all.iter().all(|found| *found == Ok(true)));
        assert_eq!((issuer.has(&sets, "1").await, issuer.count()), (Ok(true), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_keys_cause_few_fetches() {
        let (sets, issuer) = (KeySets::default(), Issuer::default());
        issuer.publish(Some("1"));
        assert_eq!(issuer.has(&sets, "1").await, Ok(true));
        // A rotation, seen not before 30 seconds have passed.
        issuer.publish(Some("2"));
        for _ in 0..100 {
            assert_eq!(issuer.has(&sets, "2").await, Ok(false));
        }
        assert_eq!(issuer.count(), 1);
        after(30).await;
        assert_eq!((issuer.has(&sets, "2").await, issuer.count()), (Ok(true), 2));
        assert_eq!((issuer.has(&sets, "1").await, issuer.count()), (Ok(false), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn sets_are_fetched_again_in_the_background() {
        let (sets, issuer) = (KeySets::default(), Issuer::default());
        issuer.publish(Some("1"));
        assert_eq!(issuer.has(&sets, "1").await, Ok(true));
        issuer.publish(Some("2"));
        after(300).await;
        let before = Instant::now();
        assert_eq!((issuer.has(&sets, "1").await, before.elapsed()), (Ok(true), Duration::ZERO));
        after(0).await;
        assert_eq!((issuer.has(&sets, "2").await, issuer.count()), (Ok(true), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_stay_while_the_issuer_is_away_for_a_day() {
        let (sets, issuer) = (KeySets::default(), Issuer::default());
        issuer.publish(Some("1"));
        assert_eq!(issuer.has(&sets, "1").await, Ok(true));
        issuer.publish(None);
        for _ in 0..23 {
            after(3600).await;
            assert_eq!(issuer.has(&sets, "1").await, Ok(true));
        }
        after(3600).await;
        assert_eq!(issuer.has(&sets, "1").await, Err(NoKeys));
        // At once until another fetch is due.
        let before = Instant::now();
        assert_eq!((issuer.has(&sets, "1").await, before.elapsed()), (Err(NoKeys), Duration::ZERO));
        issuer.publish(Some("1"));
        after(5).await;
        assert_eq!(issuer.has(&sets, "1").await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_issuer_costs_a_bounded_wait() {
        let sets = KeySets::default();
        let source = sets.source("http://a.test/");
        let before = Instant::now();
        let silent = sets.keys(&source, None, std::future::pending).await;
        assert_eq!((silent.err(), before.elapsed()), (Some(NoKeys), LONGEST_WAIT));
        sleep(LONGEST_FETCH).await;
        assert!(!source.state.lock().is_fetching);
    }

    #[tokio::test]
    async fn sets_that_no_plugin_uses_are_forgotten() {
        let sets = KeySets::default();
        let held = sets.source("held");
        for number in 0..1000 {
            sets.source(&number.to_string());
        }
        assert!(sets.sources.lock().len() <= SWEEP_FROM + 1);
        assert!(Arc::ptr_eq(&held, &sets.source("held")));
    }
}
