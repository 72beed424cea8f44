//! The holder of the live table: read by each request, replaced by the updater alone.
//!
//! A replaced table is freed on a thread of its own, once no request holds it: with 100,000 routes that
//! takes tens of milliseconds, which no request is to wait for.

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};

use crate::route::Table;

/// How long the janitor waits before it looks again whether a table is still held. Requests hold one for
/// a lookup only.
const JANITOR_INTERVAL: Duration = Duration::from_millis(5);

/// Stack of the threads that build and free tables, in bytes. A table's tries are freed from the top down,
/// one call for each node of the longest path: 4,096 of them take about 2 MiB without optimisation.
pub(crate) const STACK: usize = 16 << 20;

/// The table by which requests are routed; none before the first configuration.
#[derive(Debug)]
pub struct Live {
    table: ArcSwapOption<Table>,
    retired: Sender<Retired>,
}

/// What the janitor frees.
enum Retired {
    /// Once no request holds it.
    Table(Arc<Table>),
    /// At once.
    Other(Box<dyn Any + Send>),
}

impl Live {
    /// A holder without a table. Its janitor ends when it is dropped.
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

    /// The table as it is now; `None`: there is no configuration yet. To be dropped before anything is
    /// awaited.
    pub fn load(&self) -> Guard<Option<Arc<Table>>> {
        self.table.load()
    }

    /// Makes `table` the one for every request that has not looked up its route yet.
    pub fn publish(&self, table: Table) {
        if let Some(old) = self.table.swap(Some(Arc::new(table))) {
            // Should the janitor be gone, it is freed here: by the updater, still not by a request.
            self.retired.send(Retired::Table(old)).ok();
        }
    }

    /// Frees something large where neither a request nor the updater waits for it.
    pub fn discard(&self, large: impl Send + 'static) {
        self.retired.send(Retired::Other(Box::new(large))).ok();
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

/// The janitor. A request that took a table before the swap counts among its holders by the time the swap
/// returns, and nobody can take it afterwards, so a count of one stays one.
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
    use crate::route::{Builder, Change};

    #[test]
    fn a_held_table_outlives_its_replacement_and_is_freed_after_it() {
        let live = Live::new();
        assert!(live.load().is_none());
        let route = wire::Route { paths: Some(vec!["/".into()]), ..wire::Route::default() };
        live.publish(Builder::new().apply(vec![Change::PutRoute(route)]).unwrap());
        let held = live.load();
        let watch = Arc::downgrade(held.as_ref().unwrap());
        live.publish(Table::default());
        thread::sleep(4 * JANITOR_INTERVAL);
        assert_eq!(held.as_ref().unwrap().len(), 1);
        assert!(live.load().as_ref().unwrap().is_empty());
        drop(held);
        for _ in 0..200 {
            if watch.strong_count() == 0 {
                return;
            }
            thread::sleep(JANITOR_INTERVAL);
        }
        panic!("the table is still there a second after its last holder");
    }

    /// As deep as a table can be: each path is the beginning of the next.
    #[test]
    fn the_deepest_table_is_built_and_freed_within_the_stack() {
        let route = |length: usize| {
            let (id, path) = (uuid::Uuid::from_u128(length as u128), "/".to_owned() + &"a".repeat(length));
            Change::PutRoute(wire::Route { id, paths: Some(vec![path]), ..wire::Route::default() })
        };
        let build_and_free = move || {
            let mut builder = Builder::new();
            let table = builder.apply((0..4096).map(route).collect()).unwrap();
            assert_eq!(table.len(), 4096);
            drop(table);
            drop(builder);
        };
        thread::Builder::new().stack_size(STACK).spawn(build_and_free).unwrap().join().unwrap();
    }
}
