//! Connects to the first of several addresses that accepts (RFC 8305, section 5).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::{Sleep, sleep};

/// How long an attempt has no rival (RFC 8305, section 8).
const HEAD_START: Duration = Duration::from_millis(250);
/// The most addresses that one connection tries.
const MOST: usize = 16;

/// Connects to one of `addresses` with `connect`. The next attempt begins when one fails, or is under way for
/// [`HEAD_START`]. The first connection is returned with its address, and the other attempts end.
///
/// # Errors
/// The error of the last attempt.
pub(super) async fn race<S, F>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<(S, SocketAddr)>
where
    F: Future<Output = io::Result<S>>,
{
    if let [address] = *addresses {
        return Ok((connect(address).await?, address));
    }
    let addresses = addresses.iter().copied().take(MOST);
    let mut race = Race { addresses, connect, attempts: SmallVec::new(), last: None, rival: None };
    std::future::poll_fn(|context| race.poll(context)).await
}

/// An attempt under way.
struct Attempt<F> {
    address: SocketAddr,
    connecting: Pin<Box<F>>,
}

struct Race<A, C, F> {
    addresses: A,
    connect: C,
    attempts: SmallVec<[Attempt<F>; 2]>,
    /// The last error.
    last: Option<io::Error>,
    /// Until the next attempt.
    rival: Option<Pin<Box<Sleep>>>,
}

impl<S, A, C, F> Race<A, C, F>
where
    A: Iterator<Item = SocketAddr>,
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<S>>,
{
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(S, SocketAddr)>> {
        loop {
            let before = self.attempts.len();
            if let Poll::Ready(connected) = self.poll_attempts(context) {
                return Poll::Ready(Ok(connected));
            }
            let failed = self.attempts.len() < before;
            if !failed && !self.attempts.is_empty() {
                ready!(self.poll_rival(context));
            }
            if !self.begin() && self.attempts.is_empty() {
                let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "no address");
                return Poll::Ready(Err(self.last.take().unwrap_or_else(none)));
            }
        }
    }

    fn poll_attempts(&mut self, context: &mut Context<'_>) -> Poll<(S, SocketAddr)> {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.connecting.as_mut().poll(context) {
                Poll::Ready(Ok(stream)) => return Poll::Ready((stream, attempt.address)),
                Poll::Ready(Err(error)) => {
                    self.last = Some(error);
                    self.attempts.remove(index);
                }
                Poll::Pending => index += 1,
            }
        }
        Poll::Pending
    }

    /// Waits until the next attempt begins; for ever, if all have begun.
    fn poll_rival(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.rival {
            Some(rival) => rival.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// Begins the next attempt; `false` if all have begun.
    fn begin(&mut self) -> bool {
        let Some(address) = self.addresses.next() else {
            self.rival = None;
            return false;
        };
        self.attempts.push(Attempt { address, connecting: Box::pin((self.connect)(address)) });
        self.rival = Some(Box::pin(sleep(HEAD_START)));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    /// What happens to an attempt.
    #[derive(Clone, Copy)]
    enum Fate {
        Accepts(u64),
        Refuses(u64),
        Silent,
    }
    use Fate::{Accepts, Refuses, Silent};

    /// The winner and the milliseconds when each attempt began and when the race ended.
    async fn run(fates: &[Fate]) -> (Result<u16, io::ErrorKind>, Vec<u128>, u128) {
        let addresses: Vec<_> = (0..fates.len() as u16).map(|port| ([10, 0, 0, 1], port).into()).collect();
        let (began, begun) = (RefCell::new(Vec::new()), Instant::now());
        let connect = |address: SocketAddr| {
            began.borrow_mut().push(begun.elapsed().as_millis());
            let fate = fates[usize::from(address.port())];
            async move {
                match fate {
                    Accepts(after) => sleep(Duration::from_millis(after)).await,
                    Refuses(after) => {
                        sleep(Duration::from_millis(after)).await;
                        return Err(io::ErrorKind::ConnectionRefused.into());
                    }
                    Silent => pending().await,
                }
                Ok(address.port())
            }
        };
        let result = race(&addresses, connect).await;
        let result = result.map(|(port, address)| {
            assert_eq!(port, address.port());
            port
        });
        (result.map_err(|error| error.kind()), began.into_inner(), begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn first_address_to_accept_wins() {
        let refused = Err(io::ErrorKind::ConnectionRefused);
        for (fates, result, began, took) in [
            (&[Accepts(5)][..], Ok(0), &[0][..], 5),
            (&[Refuses(5)], refused, &[0], 5),
            (&[Accepts(249), Accepts(0)], Ok(0), &[0], 249),
            (&[Silent, Accepts(10)], Ok(1), &[0, 250], 260),
            (&[Refuses(7), Accepts(10)], Ok(1), &[0, 7], 17),
            (&[Accepts(300), Accepts(100)], Ok(0), &[0, 250], 300),
            (&[Accepts(300), Accepts(10)], Ok(1), &[0, 250], 260),
            (&[Silent, Silent, Accepts(0)], Ok(2), &[0, 250, 500], 500),
            (&[Silent, Refuses(10), Accepts(0)], Ok(2), &[0, 250, 260], 260),
            (&[Refuses(0), Refuses(0), Refuses(9)], refused, &[0, 0, 0], 9),
            (&[Accepts(2000), Refuses(0)], Ok(0), &[0, 250], 2000),
        ] {
            let ended = run(fates).await;
            // The timer of tokio has a resolution of a millisecond.
            let close = |one: u128, other: u128| one.abs_diff(other) <= 3;
            let times = ended.1.iter().zip(began).all(|(one, other)| close(*one, *other));
            assert!(times && ended.1.len() == began.len() && close(ended.2, took), "{ended:?} {took}");
            assert_eq!(ended.0, result);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_have_a_bound() {
        let (result, began, _) = run(&[Refuses(0); 40]).await;
        assert_eq!((result, began.len()), (Err(io::ErrorKind::ConnectionRefused), MOST));
        assert_eq!(run(&[]).await.0, Err(io::ErrorKind::AddrNotAvailable));
    }
}
