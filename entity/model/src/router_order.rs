//! The orders in which routes that match the same request may be preferred.

use serde::{Deserialize, Serialize};

use crate::types::Word;

/// The order in which the routes that match a request are preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterOrder {
    /// As Kong documents its router `traditional_compatible`.
    #[default]
    Strict,
    /// As Kong 3.4 to 3.9 compute it.
    Kong3,
}

impl Word for RouterOrder {
    const ALL: &'static [Self] = &[Self::Strict, Self::Kong3];

    fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Kong3 => "kong3",
        }
    }
}
