//! Descriptors that a listener keeps back for itself: it goes on when others have used up all the rest.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

/// Descriptors held open for nothing but to be closed when one is needed.
#[derive(Debug)]
pub(super) struct Reserve {
    size: usize,
    spare: Mutex<Vec<File>>,
}

impl Reserve {
    pub(super) fn new(size: usize) -> Self {
        let reserve = Self { size, spare: Mutex::default() };
        reserve.refill();
        reserve
    }

    /// Frees one for a connection. Whether there was one.
    pub(super) fn release(&self) -> bool {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }

    /// Takes back what was released, as far as there are descriptors again.
    pub(super) fn refill(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        while spare.len() < self.size {
            let Ok(file) = File::open("/dev/null") else { return };
            spare.push(file);
        }
    }
}

/// Whether an error says that this process, or the machine, has no descriptor left.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    [Errno::EMFILE, Errno::ENFILE].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}
