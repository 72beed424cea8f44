//! The state of targets as one process hands it to the next: JSON, within bounds.

use tracing::warn;

use crate::upstream::balancer::SavedSlot;

/// Addresses whose state is handed over. One takes at most about 1 kB.
const MOST_ADDRESSES: usize = 20_000;
/// The longest state.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// Writes states. Those beyond a bound begin as new addresses in the next process.
pub(super) fn write(mut slots: Vec<SavedSlot>) -> Vec<u8> {
    if slots.len() > MOST_ADDRESSES {
        warn!(
            "upgrade: {} targets are in an unusual state: the new process gets {MOST_ADDRESSES}",
            slots.len()
        );
        slots.truncate(MOST_ADDRESSES);
    }
    let state = serde_json::to_vec(&slots).unwrap_or_default();
    if state.len() <= MOST_BYTES { state } else { Vec::new() }
}

/// Reads states; none if they are of another form.
pub(super) fn read(state: &[u8]) -> Vec<SavedSlot> {
    if state.is_empty() {
        return Vec::new();
    }
    serde_json::from_slice(state).unwrap_or_else(|error| {
        warn!("upgrade: the state of targets cannot be read: {error}");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use uuid::Uuid;

    use super::*;
    use crate::upstream::balancer::Health;

    fn slot(number: u32) -> SavedSlot {
        SavedSlot {
            upstream: Uuid::from_u128(1),
            target: Uuid::from_u128(number.into()),
            text: format!("{}.test:80", "a".repeat(250)),
            address: SocketAddr::from(([10, 0, 0, 1], 80)),
            server_name: Some("b".repeat(255)),
            health: Health::Unhealthy,
            pinned: Some((Health::Unhealthy, u64::MAX)),
            ejected: Some(u64::MAX),
            ejections: u32::MAX,
            operation: u64::MAX,
            since: u64::MAX,
            last_error: Some("c".repeat(128)),
        }
    }

    #[test]
    fn state_is_read_as_it_was_written_up_to_a_bound() {
        assert_eq!(read(&write((0..3).map(slot).collect())), (0..3).map(slot).collect::<Vec<_>>());
        let state = write((0..MOST_ADDRESSES as u32 + 1).map(slot).collect());
        assert!(state.len() <= MOST_BYTES);
        assert_eq!(read(&state).len(), MOST_ADDRESSES);
    }

    #[test]
    fn state_of_another_form_is_none() {
        assert_eq!(read(b""), []);
        assert_eq!(read(b"{\"of\": \"a later version\"}"), []);
    }
}
