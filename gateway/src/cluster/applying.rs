//! An update on its way to the live table, on a thread of its own: the connection stays alive meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;
use wire::{Ack, Nack, Update};

use super::apply::Applier;

/// Until an update has been applied or refused.
#[derive(Debug)]
pub(super) struct Applying(JoinHandle<Applied>);

/// What came of it, and what it was lent.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) applier: Applier,
    pub(super) update: Update,
    pub(super) result: Result<Ack, Nack>,
}

impl Applying {
    pub(super) fn begin(mut applier: Applier, update: Update) -> Self {
        Self(tokio::task::spawn_blocking(move || {
            let result = applier.apply(&update);
            Applied { applier, update, result }
        }))
    }
}

impl Future for Applying {
    type Output = Applied;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Applied> {
        let applied = ready!(Pin::new(&mut self.0).poll(cx));
        // A task of a blocking thread is cancelled by the end of the runtime alone, which waits for this one.
        Poll::Ready(applied.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())))
    }
}
