//! The forms of paths and hosts that both planes share: canonical ones, patterns, and the path that goes
//! upstream.

mod authority;
mod normalize;
pub(crate) mod pattern;
pub(crate) mod percent;
mod readings;
mod upstream_path;

pub(crate) use authority::split_port;
pub use authority::{MAX_HOST, normalize_host, normalize_pattern, split_authority};
pub use normalize::{canonical_path, normalize_path};
pub use pattern::{HeaderPattern, PathRegex, PatternError, compile_path, compile_text};
pub use percent::{encode_uri, is_target};
pub use readings::other_readings;
pub use upstream_path::{PathHandling, upstream_path};
