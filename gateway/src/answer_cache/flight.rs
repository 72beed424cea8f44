//! Requests for one answer: the first goes to the upstream, and those that come meanwhile wait for what it
//! brings. None waits longer than [`LONGEST_WAIT`] for one other, so that a slow client or upstream delays the
//! others by no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::key::Key;

/// The longest time from the first request until those that wait for it go to the upstream themselves.
pub const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The requests on their way, by the keys of their answers.
#[derive(Clone, Debug, Default)]
pub struct Flights(Arc<Mutex<HashMap<Key, Flight>>>);

#[derive(Debug)]
struct Flight {
    id: u64,
    begun: Instant,
    progress: watch::Receiver<Progress>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Its answer has not come, or not all of it.
    Open,
    /// Its answer is kept.
    Kept,
    /// Its answer is not kept.
    NotKept,
}

/// What a request does about an answer that is not kept.
#[derive(Debug)]
pub enum Turn {
    /// It goes to the upstream, and others wait for it.
    Lead(Lead),
    /// It waits for another one.
    Wait(Waiting),
    /// It goes to the upstream, and nobody waits for it.
    Alone,
}

/// A request for whose answer others wait.
#[derive(Debug)]
pub struct Lead {
    flights: Flights,
    key: Key,
    id: u64,
    progress: watch::Sender<Progress>,
}

/// A wait for the answer to another request.
#[derive(Debug)]
pub struct Waiting {
    until: Instant,
    progress: watch::Receiver<Progress>,
}

/// The end of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The answer is kept.
    Kept,
    /// It is not.
    NotKept,
    /// It did not come in time.
    TimedOut,
}

impl Flights {
    /// Decides what a request does for an answer with this key.
    pub fn turn(&self, key: Key, now: Instant) -> Turn {
        let mut flights = self.0.lock();
        let mut id = 0;
        if let Some(flight) = flights.get(&key) {
            let until = flight.begun + LONGEST_WAIT;
            if now < until {
                return Turn::Wait(Waiting { until, progress: flight.progress.clone() });
            }
            // The slow one goes on by itself.
            id = flight.id + 1;
        }
        let (sender, progress) = watch::channel(Progress::Open);
        flights.insert(key, Flight { id, begun: now, progress });
        Turn::Lead(Lead { flights: self.clone(), key, id, progress: sender })
    }

    /// The number of requests that others may wait for.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl Lead {
    /// Ends the wait of the others. Returns whether any waited.
    pub fn end(self, kept: bool) -> bool {
        // The registry holds one receiver.
        let waited = self.progress.receiver_count() > 1;
        self.progress.send_replace(if kept { Progress::Kept } else { Progress::NotKept });
        waited
    }

    /// The key of the answer.
    pub const fn key(&self) -> &Key {
        &self.key
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock();
        if flights.get(&self.key).is_some_and(|flight| flight.id == self.id) {
            flights.remove(&self.key);
        }
        drop(flights);
        self.progress.send_if_modified(|progress| {
            let is_open = *progress == Progress::Open;
            if is_open {
                *progress = Progress::NotKept;
            }
            is_open
        });
    }
}

impl Waiting {
    /// Waits.
    pub async fn end(mut self) -> Waited {
        let ended = self.progress.wait_for(|progress| *progress != Progress::Open);
        match timeout_at(self.until, ended).await {
            Ok(Ok(progress)) if *progress == Progress::Kept => Waited::Kept,
            Ok(_) => Waited::NotKept,
            Err(_) => Waited::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [1; 32];

    fn lead(flights: &Flights) -> Lead {
        let Turn::Lead(lead) = flights.turn(KEY, Instant::now()) else { panic!("another one leads") };
        lead
    }

    fn wait(flights: &Flights) -> Waiting {
        let Turn::Wait(waiting) = flights.turn(KEY, Instant::now()) else { panic!("nobody leads") };
        waiting
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_the_first() {
        let flights = Flights::default();
        let leads = lead(&flights);
        let waiting: tokio::task::JoinSet<_> =
            [wait(&flights), wait(&flights)].into_iter().map(Waiting::end).collect();
        assert!(matches!(flights.turn([2; 32], Instant::now()), Turn::Lead(_)));
        assert!(leads.end(true));
        assert_eq!(waiting.join_all().await, [Waited::Kept, Waited::Kept]);
        assert!(flights.is_empty());
        assert!(!lead(&flights).end(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ends_without_an_answer_ends_the_wait() {
        let flights = Flights::default();
        let leads = lead(&flights);
        let waiting = wait(&flights);
        drop(leads);
        assert_eq!(waiting.end().await, Waited::NotKept);
        let leads = lead(&flights);
        let waiting = wait(&flights);
        leads.end(false);
        assert_eq!(waiting.end().await, Waited::NotKept);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_request_delays_others_once() {
        let flights = Flights::default();
        let begun = Instant::now();
        let slow = lead(&flights);
        assert_eq!(wait(&flights).end().await, Waited::TimedOut);
        assert_eq!(begun.elapsed(), LONGEST_WAIT);
        let next = lead(&flights);
        let waiting = wait(&flights);
        // The end of the slow one does not take the place of the next.
        drop(slow);
        assert_eq!(flights.len(), 1);
        next.end(true);
        assert_eq!(waiting.end().await, Waited::Kept);
    }
}
