//! The memory that one document and its difference may take.

/// A number of bytes, of which estimates are taken.
#[derive(Clone, Debug)]
pub struct Budget {
    most: usize,
    left: usize,
    is_spent: bool,
}

/// The budget has fewer bytes left than were needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent;

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { most: bytes, left: bytes, is_spent: false }
    }

    /// Takes bytes from the budget.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, bytes: usize) -> Result<(), Spent> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.is_spent = true;
                Err(Spent)
            }
        }
    }

    /// Gives bytes back that were taken.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.left += bytes;
    }

    /// All bytes of the budget, if it did not suffice.
    pub(super) fn exceeded(&self) -> Option<usize> {
        self.is_spent.then_some(self.most)
    }
}
