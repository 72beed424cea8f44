//! Applies an update on a thread of its own, so that the connection stays alive meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;
use wire::{Ack, Nack, Update};

use super::apply::Applier;

/// An update until it is applied or rejected.
#[derive(Debug)]
pub(super) struct Applying(JoinHandle<Applied>);

/// The result of an update, with the applier and the update lent for it.
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
        // Only the end of the runtime cancels a task of a blocking thread, and the runtime waits for this
        // one.
        Poll::Ready(applied.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())))
    }
}
