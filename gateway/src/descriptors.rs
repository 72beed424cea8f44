//! Divides the file descriptors of this process, so that clients never use those that the rest of it needs.

use node::descriptors;
use tracing::warn;

use crate::config::Config;

/// Descriptors reserved for everything except clients and upstreams: listeners, the status listener, the
/// disk, the cluster link, name servers, connections that are being refused. At most a quarter of all.
const RESERVE: usize = 512;

/// How many descriptors each use may take. A client connection takes one. An upstream connection takes one,
/// whether it is in use or idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Client connections.
    pub connections: usize,
    /// Requests, each of which may have a connection to an upstream.
    pub in_flight: usize,
    /// Idle connections to upstreams.
    pub idle: usize,
    /// Probes, and the idle connections that are kept for them.
    pub probes: usize,
}

impl Budget {
    /// Divides `limit` descriptors.
    pub fn of(limit: usize) -> Self {
        let shared = limit - RESERVE.min(limit / 4);
        let part = |sixteenths: usize| (shared / 16 * sixteenths).max(1);
        Self { connections: part(8), in_flight: part(5), idle: part(2), probes: part(1) }
    }

    /// Raises the descriptor limit of this process and divides it.
    pub fn of_process() -> Self {
        Self::of(descriptors::raise_limit())
    }

    /// Lowers the caps of a configuration to this budget.
    pub fn clamp(self, config: &mut Config) {
        clamp("proxy.max_connections", &mut config.max_connections, self.connections);
        clamp("proxy.max_in_flight", &mut config.max_in_flight, self.in_flight);
    }
}

fn clamp(key: &str, value: &mut usize, most: usize) {
    if *value > most {
        warn!("{key} is {most} and not {value}: the limit of open files of this process allows no more");
        *value = most;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_leaves_a_reserve_whatever_the_limit() {
        for limit in [1, 64, 256, 1024, 65_536, 1 << 20] {
            let budget = Budget::of(limit);
            let sum = budget.connections + budget.in_flight + budget.idle + budget.probes;
            let reserve = RESERVE.min(limit / 4);
            assert!(sum <= (limit - reserve).max(4), "{limit}: {budget:?}");
        }
        assert_eq!(Budget::of(1024), Budget { connections: 384, in_flight: 240, idle: 96, probes: 48 });
    }
}
