//! What single plugins keep between requests: one value of each type.

use std::any::{Any, TypeId};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// One value of each type, made when it is first asked for. A look-up takes no lock.
#[derive(Debug, Default)]
pub(super) struct States {
    all: ArcSwap<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>,
    /// Held while one is made: there must not be two of a type.
    making: Mutex<()>,
}

impl States {
    /// The value of this type.
    pub(super) fn get<T: Default + Any + Send + Sync>(&self) -> Arc<T> {
        if let Some(found) = self.find() {
            return found;
        }
        let _alone = self.making.lock();
        self.find().unwrap_or_else(|| {
            let made = Arc::<T>::default();
            let mut all = Vec::clone(&self.all.load());
            all.push((TypeId::of::<T>(), made.clone()));
            self.all.store(Arc::new(all));
            made
        })
    }

    fn find<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let all = self.all.load();
        let (_, found) = all.iter().find(|(of, _)| *of == TypeId::of::<T>())?;
        found.clone().downcast().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_each_type() {
        let states = States::default();
        assert_eq!(*states.get::<Mutex<u8>>().lock(), 0);
        *states.get::<Mutex<u8>>().lock() = 7;
        assert_eq!((*states.get::<Mutex<u8>>().lock(), *states.get::<Mutex<u16>>().lock()), (7, 0));
    }
}
