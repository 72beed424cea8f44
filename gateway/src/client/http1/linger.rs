//! Closes a connection behind its last answer. A close with unread bytes is a reset, by which the client's
//! system may drop an answer that the client has not read yet (RFC 9112, section 9.6).

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Http1;

/// How long the rest of a request is still read that was refused or failed.
const REFUSED: Duration = Duration::from_secs(1);
/// How long the rest of a body is still read that was not wanted.
const UNWANTED: Duration = Duration::from_secs(5);
/// The most bytes that are still read: so many may be on their way already.
const MOST_BYTES: usize = 16 << 20;
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
        let time = if self.failed || self.connection.is_read() { REFUSED } else { UNWANTED };
        let mut left = MOST_BYTES;
        if !self.failed && self.connection.is_read() && !self.has_more(&mut left).await {
            return;
        }
        let ended = poll_fn(|context| self.poll_discard(&mut left, context));
        tokio::select! {
            biased;
            () = ended => {}
            () = sleep(time) => {}
        }
    }

    /// Whether bytes behind the request have come. A client that has sent nothing more will hardly begin to.
    async fn has_more(&mut self, left: &mut usize) -> bool {
        let before = *left;
        let ended = poll_fn(|context| Poll::Ready(self.poll_discard(left, context))).await;
        ended.is_pending() && *left < before
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
