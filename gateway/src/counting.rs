//! What the plugins that limit count with: counters of this node, and servers of counters that nodes share.

pub mod clock;
pub mod counters;
pub mod redis;
