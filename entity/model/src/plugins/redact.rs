//! The names of secrets that entries of logs do not show.

/// The most names.
pub(super) const MOST: usize = 100;

/// The usual names of API keys. What authenticates by a standard is never shown.
pub fn usual() -> Vec<String> {
    ["apikey", "api-key", "api_key", "x-api-key"].map(str::to_owned).into()
}
