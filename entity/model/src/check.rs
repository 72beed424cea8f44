//! Checks of single texts, with the messages that Kong's users know.

pub(crate) mod host;
pub(crate) mod path;
pub(crate) mod pem;
pub(crate) mod regex;
pub(crate) mod text;
pub(crate) mod url;
