//! The data plane of Gibbon.

pub mod route;
