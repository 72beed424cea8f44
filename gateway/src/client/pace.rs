//! The rate of a body. Each of its bytes may come in time, and all of them never.

use std::time::Duration;

use tokio::time::Instant;

use super::ClientFailure;

/// Measures how long a client is waited for, and what it sends meanwhile. The time in which the gateway itself
/// does not read is not counted.
#[derive(Debug)]
pub(super) struct Pace {
    terms: PaceTerms,
    /// When the wait for the next part began.
    since: Option<Instant>,
    waited: Duration,
    received: u64,
}

/// The least rate of a body.
#[derive(Clone, Copy, Debug)]
pub struct PaceTerms {
    /// The longest silence. The rate is judged after this time.
    pub body_timeout: Duration,
    /// Bytes per second; 0 allows any rate.
    pub min_rate: u32,
}

impl Pace {
    pub(super) fn new(terms: PaceTerms) -> Self {
        Self { terms, since: None, waited: Duration::ZERO, received: 0 }
    }

    /// Allows any rate from now on.
    pub(super) fn allow_any_rate(&mut self) {
        self.terms.min_rate = 0;
    }

    /// Notes that nothing has come. Returns when the silence has lasted too long.
    pub(super) fn wait(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now) + self.terms.body_timeout
    }

    /// Notes the next part, of `bytes` bytes.
    ///
    /// # Errors
    /// [`ClientFailure::TimedOut`] when the body so far came too slowly.
    pub(super) fn receive(&mut self, bytes: usize) -> Result<(), ClientFailure> {
        self.received += bytes as u64;
        let Some(since) = self.since.take() else { return Ok(()) };
        self.waited += since.elapsed();
        let least = self.waited.as_secs().saturating_mul(self.terms.min_rate.into());
        if self.waited > self.terms.body_timeout && self.received < least {
            return Err(ClientFailure::TimedOut);
        }
        Ok(())
    }

    /// Forgets the wait at the end of the body.
    pub(super) fn end(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TERMS: PaceTerms = PaceTerms { body_timeout: Duration::from_secs(10), min_rate: 100 };

    /// Receives parts of `bytes` bytes, each after one second. Returns the number of parts before the failure.
    async fn parts(pace: &mut Pace, bytes: usize) -> Option<usize> {
        for part in 0..1000 {
            pace.wait();
            advance(Duration::from_secs(1)).await;
            if pace.receive(bytes).is_err() {
                return Some(part);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_fails_after_the_timeout() {
        assert_eq!(parts(&mut Pace::new(TERMS), 99).await, Some(10));
        assert_eq!(parts(&mut Pace::new(TERMS), 100).await, None);
        let mut free = Pace::new(TERMS);
        free.allow_any_rate();
        assert_eq!(parts(&mut free, 1).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_reads_does_not_count() {
        let mut pace = Pace::new(TERMS);
        for _ in 0..1000 {
            advance(Duration::from_secs(60)).await;
            assert_eq!(pace.receive(1), Ok(()));
        }
        let end = pace.wait();
        advance(Duration::from_secs(9)).await;
        assert_eq!(pace.wait(), end, "the silence began with the first wait");
        assert_eq!(end - Instant::now(), Duration::from_secs(1));
    }
}
