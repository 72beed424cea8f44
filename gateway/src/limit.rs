//! A cap on concurrent things, such as connections or requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

/// A cap, and how much of it is used.
#[derive(Debug)]
pub struct Limit {
    most: usize,
    used: AtomicUsize,
    gauge: IntGauge,
}

/// One unit under a [`Limit`], released when it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Limit>);

impl Limit {
    /// Creates a cap of `most`; `gauge` shows its use.
    pub fn new(most: usize, gauge: IntGauge) -> Self {
        Self { most, used: AtomicUsize::new(0), gauge }
    }

    /// Takes a permit, if one is free.
    pub fn acquire(self: &Arc<Self>) -> Option<Permit> {
        // Made first: if it is one too many, dropping it undoes the addition.
        let permit = Permit(self.clone());
        self.gauge.inc();
        (self.used.fetch_add(1, Ordering::Relaxed) < self.most).then_some(permit)
    }

    /// How many permits are taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_cap() {
        let limit = Arc::new(Limit::new(2, IntGauge::new("g", "g").unwrap()));
        let first = limit.acquire().unwrap();
        let _second = limit.acquire().unwrap();
        assert!(limit.acquire().is_none());
        assert_eq!(limit.used(), 2);
        drop(first);
        assert!(limit.acquire().is_some());
    }
}
