//! Reads what is left of a body after the answer.
//!
//! A server may stop such a body by a reset without an error (RFC 9113, section 8.1). Some clients take that
//! for a failure and lose the answer, curl 7.88 among them. So they may finish first, in bounded time.

use std::time::Duration;

use h2::RecvStream;
use tokio::time::timeout;

/// How long the rest of a body is read that nobody wants.
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads `body` until it ends or fails, or the time is over.
pub(super) async fn read(body: &mut RecvStream) {
    let all = async {
        while let Some(Ok(part)) = body.data().await {
            // Fails only for more bytes than were received.
            body.flow_control().release_capacity(part.len()).ok();
        }
    };
    // What still comes is refused by the reset that follows.
    timeout(REST_TIMEOUT, all).await.ok();
}
