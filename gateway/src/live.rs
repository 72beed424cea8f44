//! Holds the live table. Each request reads it; the updater alone replaces it.
//!
//! A thread of its own frees a replaced table once no request holds it. With 100,000 routes that takes tens
//! of milliseconds, which must not delay a request.

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

use crate::certified_keys::Certificates;
use crate::table::Table;

/// Interval of the janitor's checks whether a table is still held. Requests hold a table for a lookup only.
const JANITOR_INTERVAL: Duration = Duration::from_millis(5);

/// Stack of the threads that build and free tables, in bytes. Adding to a trie, removing from it and freeing
/// it recurse once for each node of the longest path: 4,096 of them.
pub const STACK: usize = 16 << 20;

/// The table that routes requests; none before the first configuration.
#[derive(Debug)]
pub struct Live {
    table: ArcSwapOption<Table>,
    retired: Sender<Retired>,
}

/// Values for the janitor to free.
enum Retired {
    /// Freed once no request holds it.
    Table(Arc<Table>),
    /// Freed at once.
    Other(Box<dyn Any + Send>),
}

impl Live {
    /// Creates a holder without a table. Its janitor ends when the holder is dropped.
    ///
    /// # Panics
    /// When the operating system cannot start a thread.
    pub fn new() -> Self {
        let (retired, arrivals) = mpsc::channel();
        thread::Builder::new()
            .name("table-janitor".to_owned())
            .stack_size(STACK)
            .spawn(move || free_when_unheld(&arrivals))
            .expect("a program that cannot start a thread cannot start");
        Self { table: ArcSwapOption::empty(), retired }
    }

    /// The current table; `None` before the first configuration. The caller must drop it before it awaits
    /// anything.
    pub fn load(&self) -> Guard<Option<Arc<Table>>> {
        self.table.load()
    }

    /// Publishes `table`, for every request that has not looked up its route yet.
    pub fn publish(&self, table: Table) {
        if let Some(old) = self.table.swap(Some(Arc::new(table))) {
            // If the janitor is gone, the updater frees the table here, still not a request.
            self.retired.send(Retired::Table(old)).ok();
        }
    }

    /// Takes the table away: requests find none, as before the first configuration.
    pub fn withdraw(&self) {
        if let Some(old) = self.table.swap(None) {
            self.retired.send(Retired::Table(old)).ok();
        }
    }

    /// Frees a large value on the janitor's thread, so that neither a request nor the updater waits for it.
    pub fn discard(&self, large: impl Send + 'static) {
        self.retired.send(Retired::Other(Box::new(large))).ok();
    }
}

impl Certificates for Live {
    fn find(&self, server_name: &str, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.load().as_ref()?.certificate(server_name)?.choose(schemes)
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs the janitor. A request that took a table before the swap counts among its holders when the swap
/// returns. Nobody can take the table afterwards, so a count of one stays one.
fn free_when_unheld(arrivals: &Receiver<Retired>) {
    let mut held = Vec::new();
    loop {
        let arrival = if held.is_empty() {
            arrivals.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            arrivals.recv_timeout(JANITOR_INTERVAL)
        };
        match arrival {
            Ok(Retired::Table(table)) => held.push(table),
            Ok(Retired::Other(large)) => drop(large),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        held.retain(|table| Arc::strong_count(table) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Builder, Change};

    #[test]
    fn a_held_table_outlives_its_replacement_and_is_freed_after_it() {
        let live = Live::new();
        assert!(live.load().is_none());
        let route = model::Route { paths: Some(vec!["/".into()]), ..model::Route::default() };
        live.publish(Builder::new().apply(vec![Change::put(route)]).unwrap());
        let held = live.load();
        let watch = Arc::downgrade(held.as_ref().unwrap());
        live.publish(Table::default());
        thread::sleep(4 * JANITOR_INTERVAL);
        assert_eq!(held.as_ref().unwrap().len(), 1);
        assert!(live.load().as_ref().unwrap().is_empty());
        live.withdraw();
        assert!(live.load().is_none());
        drop(held);
        for _ in 0..200 {
            if watch.strong_count() == 0 {
                return;
            }
            thread::sleep(JANITOR_INTERVAL);
        }
        panic!("the table is still there a second after its last holder");
    }

    /// A table as deep as it can be: each path is the beginning of the next.
    #[test]
    fn the_deepest_table_is_built_and_freed_within_the_stack() {
        let route = |length: usize| {
            let (id, path) = (uuid::Uuid::from_u128(length as u128), "/".to_owned() + &"a".repeat(length));
            Change::put(model::Route { id, paths: Some(vec![path]), ..model::Route::default() })
        };
        let build_and_free = move || {
            let mut builder = Builder::new();
            let table = builder.apply((0..4096).map(route).collect()).unwrap();
            assert_eq!(table.len(), 4096);
            let deepest = model::Route::key(uuid::Uuid::from_u128(4095));
            // All nodes on its path are copied: the first table has them, too.
            let without = builder.apply(vec![Change::remove(deepest)]).unwrap();
            assert_eq!((table.len(), without.len()), (4096, 4095));
            drop((table, without));
            drop(builder);
        };
        thread::Builder::new().stack_size(STACK).spawn(build_and_free).unwrap().join().unwrap();
    }
}
