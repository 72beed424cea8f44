//! Reasons for rejecting a data plane when it connects, as labels of a metric.

/// All of them.
pub(super) const ALL: [&str; 5] = [REVOKED, NODE_ID, IN_USE, VERSIONS, CROWDED];

/// Its certificate is revoked.
pub(crate) const REVOKED: &str = "revoked";
/// Its node id is not the one in its certificate.
pub(crate) const NODE_ID: &str = "node_id";
/// Another process with the same node id is connected.
pub(crate) const IN_USE: &str = "node_id_in_use";
/// No version of the protocol in common.
pub(crate) const VERSIONS: &str = "versions";
/// Too many connections at once, or from one address.
pub(crate) const CROWDED: &str = "crowded";
