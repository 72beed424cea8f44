//! The present view of a balancer. Threads remember the views that they used last, so that a choice writes to no
//! memory that threads share.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::view::View;

/// Views that a thread remembers.
const REMEMBERED: usize = 32;

/// Counts the sweeps. A thread forgets its views at its first choice after each, so that views which are not in
/// use any more do not stay for long.
static SWEEPS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static VIEWS: RefCell<Views> = const { RefCell::new(Views { sweep: 0, views: [const { None }; REMEMBERED] }) };
}

/// The present view of a balancer.
#[derive(Debug)]
pub(super) struct Current {
    /// The number of `view`.
    number: AtomicU64,
    view: ArcSwap<View>,
}

struct Views {
    sweep: u64,
    views: [Option<Arc<View>>; REMEMBERED],
}

impl Current {
    pub(super) fn new(view: View) -> Self {
        Self { number: AtomicU64::new(view.number), view: ArcSwap::from_pointee(view) }
    }

    /// Replaces the view. The caller sees to it that there is one replacement at a time.
    pub(super) fn store(&self, view: View) {
        let number = view.number;
        self.view.store(Arc::new(view));
        self.number.store(number, Ordering::Release);
    }

    pub(super) fn get(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Uses the view for a moment.
    pub(super) fn with<R>(&self, with: impl FnOnce(&View) -> R) -> R {
        VIEWS.with_borrow_mut(|views| with(views.get(self)))
    }
}

impl Views {
    fn get(&mut self, current: &Current) -> &View {
        let sweep = SWEEPS.load(Ordering::Relaxed);
        if self.sweep != sweep {
            *self = Self { sweep, views: [const { None }; REMEMBERED] };
        }
        let number = current.number.load(Ordering::Acquire);
        let place = &mut self.views[number as usize % REMEMBERED];
        let known = place.as_ref().is_some_and(|view| view.number == number);
        if !known {
            *place = None;
        }
        place.get_or_insert_with(|| current.get())
    }
}

/// Lets all threads forget their views.
pub(super) fn sweep() {
    SWEEPS.fetch_add(1, Ordering::Relaxed);
}
