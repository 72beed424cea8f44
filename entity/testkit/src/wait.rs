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
