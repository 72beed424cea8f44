//! Finds a dead upstream: one whose machine or network is gone sends no end of the connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// How long nothing comes, while streams wait, before the upstream is asked.
const QUIET: Duration = Duration::from_secs(30);
/// How long the upstream may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks a silent upstream for a sign of life. Whatever it sends is one.
pub(super) struct Heartbeat {
    /// h2 has one for each connection.
    pings: Option<PingPong>,
    timer: Pin<Box<Sleep>>,
    /// What was heard when the timer was set.
    heard: u64,
    asked: bool,
}

impl Heartbeat {
    pub(super) fn new(pings: Option<PingPong>) -> Self {
        Self { pings, timer: Box::pin(sleep(QUIET)), heard: 0, asked: false }
    }

    /// Ready when the upstream is dead. `heard` counts what came so far; without streams, nothing need come.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, heard: u64, has_streams: bool) -> Poll<()> {
        if let Some(pings) = &mut self.pings {
            // Without this, no second ping can be sent. The answer itself was heard.
            drop(pings.poll_pong(context));
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let is_silent = self.heard == heard && has_streams;
            if is_silent && self.asked {
                return Poll::Ready(());
            }
            self.asked = is_silent && self.ask();
            self.heard = heard;
            let next = if self.asked { ANSWER } else { QUIET };
            self.timer.as_mut().reset(Instant::now() + next);
        }
    }

    fn ask(&mut self) -> bool {
        self.pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok())
    }
}
