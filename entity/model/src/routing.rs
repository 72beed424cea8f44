//! The semantics of routing that both planes share: canonical paths and hosts, patterns, priorities, and
//! which route matches a request.

mod authority;
mod matching;
mod normalize;
pub(crate) mod pattern;
pub(crate) mod percent;
mod priority;
mod readings;
mod upstream_path;

pub use authority::{MAX_HOST, normalize_host, normalize_pattern, split_authority};
pub use matching::{Criterion, MatchRequest, Matched, Matcher, decide};
pub use normalize::{canonical_path, normalize_path};
pub use pattern::{HeaderPattern, PathRegex, PatternError, compile_path};
pub use percent::{encode_uri, is_target};
pub use priority::{Columns, Priority};
pub use readings::other_readings;
pub use upstream_path::upstream_path;
