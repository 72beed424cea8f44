//! Watches the body of an answer pass, and keeps it.

use bytes::Bytes;

use crate::answer_cache::{Lead, Recording};
use crate::plugin::Tap;

/// Keeps a body when it is complete.
#[derive(Debug)]
pub(super) struct RecordingTap {
    /// `None` once the body is too long.
    recording: Option<Recording>,
    /// The wait of others; it ends when this is dropped.
    lead: Option<Lead>,
}

impl RecordingTap {
    pub(super) const fn new(recording: Recording, lead: Option<Lead>) -> Self {
        Self { recording: Some(recording), lead }
    }
}

impl Tap for RecordingTap {
    fn part(&mut self, part: &Bytes) {
        let Some(recording) = &mut self.recording else { return };
        if !recording.add(part) {
            self.recording = None;
            // Others need not wait for the rest.
            self.lead = None;
        }
    }

    fn end(self: Box<Self>, complete: bool) {
        let Self { recording, lead } = *self;
        let kept = complete && recording.is_some_and(Recording::end);
        if let Some(lead) = lead {
            lead.end(kept);
        }
    }
}
