//! The windows of HTTP/2 connections.

/// The smallest window: the default of HTTP/2 (RFC 9113, section 6.9.2).
const LEAST_WINDOW: u32 = 65_535;
/// The largest window (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// A connection's window, in multiples of a stream's.
const WINDOWS_PER_CONNECTION: u32 = 4;

/// Limits of HTTP/2 connections.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// The most concurrent streams of a connection.
    pub max_streams: u32,
    /// The most bytes of bodies in flight on one stream.
    pub window: u32,
    /// The approximate number of bytes of bodies that all connections together may have in flight.
    pub buffer: usize,
}

impl Http2Limits {
    /// The windows of a stream and of its connection, which is one of `connections`. The default of 64 KiB
    /// would delay every larger upload by round trips. Large windows for many connections could take all
    /// memory.
    pub(crate) fn windows(&self, connections: usize) -> (u32, u32) {
        let share = u32::try_from(self.buffer / connections.max(1)).unwrap_or(u32::MAX);
        let most = self.window.saturating_mul(WINDOWS_PER_CONNECTION).min(MAX_WINDOW);
        let connection = share.clamp(LEAST_WINDOW, most);
        (self.window.min(connection), connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_with_the_number_of_connections() {
        let limits = Http2Limits { max_streams: 100, window: 1 << 20, buffer: 1 << 30 };
        for (connections, windows) in [
            (0, (1 << 20, 4 << 20)),
            (256, (1 << 20, 4 << 20)),
            (2048, (1 << 19, 1 << 19)),
            (1_000_000, (LEAST_WINDOW, LEAST_WINDOW)),
        ] {
            assert_eq!(limits.windows(connections), windows, "{connections}");
        }
    }
}
