//! Closes a connection behind its last answer. A close with unread bytes is a reset, by which the client's
//! system may drop an answer that the client has not read yet (RFC 9112, section 9.6).

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Http1;

/// What is still read after the last answer.
struct Rest {
    time: Duration,
    bytes: usize,
}

/// Of a request that was refused or failed.
const REFUSED: Rest = Rest { time: Duration::from_secs(1), bytes: 64 * 1024 };
/// Of a body that was not wanted: so much of it may be on its way already.
const UNWANTED: Rest = Rest { time: Duration::from_secs(5), bytes: 16 << 20 };
/// How long a close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl Http1 {
    /// Closes the connection when there is no request.
    pub async fn end(mut self: Box<Self>) {
        self.shut_down().await;
    }

    /// Ends this direction, and then reads on for a while if the client may still be sending.
    pub(super) async fn linger(&mut self) {
        if !self.shut_down().await || self.is_tunnel {
            return;
        }
        let rest = if self.failed || self.connection.is_read() { REFUSED } else { UNWANTED };
        let mut left = rest.bytes;
        let ended = poll_fn(|context| self.poll_discard(&mut left, context));
        tokio::select! {
            biased;
            () = ended => {}
            () = sleep(rest.time) => {}
        }
    }

    /// Ends this direction. Returns whether that was possible.
    async fn shut_down(&mut self) -> bool {
        let ended = timeout(CLOSE_TIMEOUT, poll_fn(|context| self.connection.poll_shutdown(context)));
        matches!(ended.await, Ok(Ok(())))
    }

    /// Reads until the client ends the connection, or no bytes are `left`.
    fn poll_discard(&mut self, left: &mut usize, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let buffered = self.connection.buffered().len();
            *left = left.saturating_sub(buffered);
            self.connection.take_head(buffered);
            if *left == 0 || !matches!(ready!(self.connection.poll_fill(context)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
    }
}
