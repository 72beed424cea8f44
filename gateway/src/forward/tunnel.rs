//! Bytes in both directions after a change of protocol. Each direction ends by itself, and no byte is the
//! gateway's own.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::pump::{Noted, Pump, Side};
use crate::client::Incoming;
use crate::notes::Notes;
use crate::upstream::Upstream;

/// Passes bytes until both directions have ended, or one of the two ends is gone or silent for too long. Then
/// both are closed: there is no other way to say so.
pub(super) async fn run(client: &mut Incoming, upstream: &mut Upstream, mut notes: Option<&mut Notes>) {
    let (mut up, mut down) = (Pump::new(false), Pump::new(false));
    poll_fn(|context| {
        let mut answered = 0;
        let broken = breaks(&mut up, (client, upstream), context, |_| {})
            || breaks(&mut down, (upstream, client), context, |part| answered += part);
        if let Some(notes) = &mut notes {
            notes.answer_bytes += answered;
        }
        if broken || (up.is_done() && down.is_done()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Passes on what there is; `count` gets the bytes of each part. Returns whether the direction broke.
fn breaks(
    pump: &mut Pump,
    (from, to): (&mut impl Side, &mut impl Side),
    context: &mut Context<'_>,
    mut count: impl FnMut(u64),
) -> bool {
    let note = |noted: Noted<'_>| {
        if let Noted::Part(part) = noted {
            count(part.len() as u64);
        }
    };
    !pump.is_done() && matches!(pump.poll(from, to, context, note), Poll::Ready(Err(_)))
}
