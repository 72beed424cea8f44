//! Polling with a deadline, instead of a sleep that is too short on one machine and too long on another.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// Tries until `probe` succeeds and returns what it found.
///
/// # Panics
///
/// When the deadline passes: with the last error, which should say what the state was.
pub async fn eventually<T, E, F>(deadline: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
    E: Display,
{
    let end = Instant::now() + deadline;
    let mut last = "the first try did not come to an end".to_owned();
    loop {
        match tokio::time::timeout_at(end, probe()).await {
            Ok(Ok(found)) => return found,
            Ok(Err(state)) => last = format!("{state:#}"),
            Err(_elapsed) => panic!("not within {deadline:?}, last: {last}"),
        }
        assert!(Instant::now() < end, "not within {deadline:?}, last: {last}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until a condition holds.
///
/// # Panics
///
/// When the deadline passes: with `what`.
pub async fn until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    eventually(deadline, || std::future::ready(if condition() { Ok(()) } else { Err(what) })).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_what_it_found() {
        let mut tries = 0;
        let found = eventually(Duration::from_secs(10), || {
            tries += 1;
            std::future::ready(if tries == 3 { Ok(tries) } else { Err("not yet") })
        });
        assert_eq!(found.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "not within 20ms, last: two of three")]
    async fn it_says_what_was_last() {
        let deadline = Duration::from_millis(20);
        eventually(deadline, || std::future::ready(Err::<(), _>("two of three"))).await;
    }
}
