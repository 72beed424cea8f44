//! What looks at the body of an answer on its way to the client.

use smallvec::SmallVec;

use super::pump::Noted;
use crate::plugin::{Answer, Tap};

/// Those that look at a body on its way.
#[derive(Debug, Default)]
pub(super) struct Taps(SmallVec<[Box<dyn Tap>; 1]>);

impl Taps {
    /// Those that plugins have put there.
    pub(super) fn of(edited: Option<&mut Answer>) -> Self {
        Self(edited.map(Answer::take_taps).unwrap_or_default())
    }

    /// Shows them what passes.
    pub(super) fn note(&mut self, noted: &Noted<'_>) {
        if let Noted::Part(part) = noted {
            self.0.iter_mut().for_each(|tap| tap.part(part));
        }
    }

    /// Shows them the end.
    pub(super) fn end(self, is_complete: bool) {
        self.0.into_iter().for_each(|tap| tap.end(is_complete));
    }
}
