//! Descriptors that a listener reserves for itself: it continues to accept when other code has used up the
//! rest.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

/// Descriptors that stay open only to be closed when one is needed.
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

    /// Frees one descriptor for a connection. Returns whether there was one.
    pub(super) fn release(&self) -> bool {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }

    /// Reserves descriptors again, as far as there are any.
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
