//! Work that takes long, off the runtime's workers: data planes and other clients wait for those.

use std::future::pending;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// Runs work on a thread of its own. A panic in it goes on in the caller. When the runtime ends before the work
/// has begun, nothing follows.
pub(crate) async fn off_workers<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => pending().await,
        },
    }
}

/// Drops a value that may be large on a thread of its own, and does not wait for that. Without a runtime, at once.
pub(crate) fn drop_off_workers<T: Send + 'static>(value: T) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn_blocking(move || drop(value));
    }
}

/// Runs a future on a thread of its own, until it or the caller has ended: it stops where it waits, and not in
/// the middle of a computation. While it runs, a paused clock stands still.
pub(crate) async fn wait_off_workers<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (caller, runtime) = (CancellationToken::new(), Handle::current());
    let _ended = caller.clone().drop_guard();
    let work = move || runtime.block_on(caller.run_until_cancelled_owned(work));
    match off_workers(work).await {
        Some(done) => done,
        // Nobody waits for it.
        None => pending().await,
    }
}

/// Runs a future on a thread of its own, to its end, also when the caller has ended.
pub(crate) async fn run_off_workers<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = Handle::current();
    off_workers(move || runtime.block_on(work)).await
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use tokio::sync::oneshot;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn panic_goes_on_in_the_caller() {
        assert_eq!(off_workers(|| 7).await, 7);
        let mut caller = JoinSet::new();
        caller.spawn(off_workers(|| panic!("as planned")));
        assert!(caller.join_next().await.unwrap().unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn future_ends_with_its_caller() {
        let worker = current().id();
        assert_ne!(wait_off_workers(async { current().id() }).await, worker);
        let (held, ended) = oneshot::channel::<()>();
        let endless = wait_off_workers(async { (held, pending::<()>().await).1 });
        timeout(std::time::Duration::from_millis(1), endless).await.unwrap_err();
        ended.await.unwrap_err();
    }

    #[tokio::test]
    async fn panic_of_a_future_goes_on_in_its_caller() {
        let mut caller = JoinSet::new();
        caller.spawn(wait_off_workers(async { panic!("as planned") }));
        assert!(caller.join_next().await.unwrap().unwrap_err().is_panic());
    }

    #[test]
    fn value_is_dropped_with_a_runtime_and_without_one() {
        let (held, ended) = oneshot::channel::<()>();
        drop_off_workers(held);
        ended.blocking_recv().unwrap_err();
        let (held, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { drop_off_workers(held) });
        ended.blocking_recv().unwrap_err();
    }
}
