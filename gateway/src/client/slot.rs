//! Hands a request and its client from the connection to Pingora's phases, and the client back.

use std::sync::Arc;

use parking_lot::Mutex;
use pingora::proxy::Session;

use super::{Client, Incoming};

/// The place for one request at a time. The session that Pingora's phases see holds it.
#[derive(Debug, Default)]
pub struct Slot(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Empty,
    /// For the phases.
    Arrived(Box<Incoming>),
    /// For the connection.
    Returned(Client),
}

impl Slot {
    /// Leaves a request for the phases.
    pub fn put(&self, incoming: Box<Incoming>) {
        *self.0.lock() = State::Arrived(incoming);
    }

    /// Takes the request of `session`; `None` when it was taken before.
    pub fn take(session: &mut Session) -> Option<Box<Incoming>> {
        Self::of(session)?.take_incoming()
    }

    /// Gives the client back to the connection of `session`, once its answer has been queued to its end. The
    /// connection then serves another request or closes gently. A client that is dropped instead closes its
    /// connection, or resets its stream, at once.
    pub fn give_back(session: &Session, client: Client) {
        if let Some(slot) = Self::of(session) {
            *slot.0.lock() = State::Returned(client);
        }
    }

    /// Takes the client that the phases gave back. Drops what they did not take.
    pub fn take_back(&self) -> Option<Client> {
        match std::mem::take(&mut *self.0.lock()) {
            State::Returned(client) => Some(client),
            State::Empty | State::Arrived(_) => None,
        }
    }

    fn of(session: &Session) -> Option<&Self> {
        session.req_header().extensions.get::<Arc<Self>>().map(AsRef::as_ref)
    }

    fn take_incoming(&self) -> Option<Box<Incoming>> {
        let mut state = self.0.lock();
        match std::mem::take(&mut *state) {
            State::Arrived(incoming) => Some(incoming),
            other => {
                *state = other;
                None
            }
        }
    }
}
