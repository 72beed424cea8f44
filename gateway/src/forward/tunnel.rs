//! Bytes in both directions after a change of protocol. Each direction ends by itself, and no byte is the
//! gateway's own.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::pump::{Pump, Side};
use crate::client::Incoming;
use crate::upstream::Upstream;

/// Passes bytes until both directions have ended, or one of the two ends is gone or silent for too long. Then
/// both are closed: there is no other way to say so.
pub(super) async fn run(client: &mut Incoming, upstream: &mut Upstream) {
    let (mut up, mut down) = (Pump::new(false), Pump::new(false));
    poll_fn(|context| {
        let broken =
            breaks(&mut up, client, upstream, context) || breaks(&mut down, upstream, client, context);
        if broken || (up.is_done() && down.is_done()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Passes on what there is. Returns whether the direction broke.
fn breaks(pump: &mut Pump, from: &mut impl Side, to: &mut impl Side, context: &mut Context<'_>) -> bool {
    !pump.is_done() && matches!(pump.poll(from, to, context, |_| {}), Poll::Ready(Err(_)))
}
