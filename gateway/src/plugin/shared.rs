//! What plugins share between requests, and what outlives every configuration.

/// What plugins share between requests. A push of a configuration resets nothing of it.
#[derive(Debug, Default)]
pub struct Shared {}
