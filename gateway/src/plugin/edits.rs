//! What the transformers do to a set of named values: one order for header fields, arguments, and members of bodies.

pub(super) use model::plugins::edits::is_reserved;

/// More entries than a body or a query may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyEntries;

/// Edits by name. `V` is the form in which the configuration gives values.
#[derive(Clone, Debug)]
pub(super) struct Edits<N, V> {
    pub(super) remove: Vec<N>,
    pub(super) rename: Vec<(N, N)>,
    pub(super) replace: Vec<(N, V)>,
    pub(super) add: Vec<(N, V)>,
    pub(super) append: Vec<(N, V)>,
}

/// Named values that can be edited. Each method returns whether something changed.
pub(super) trait Editable<N, V> {
    /// Removes all values of a name.
    fn remove(&mut self, name: &N) -> Result<bool, TooManyEntries>;

    /// Gives the values of one name another one, in place of those that have it.
    fn rename(&mut self, old: &N, new: &N) -> Result<bool, TooManyEntries>;

    /// Replaces the values of a name, if there are any.
    fn replace(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries>;

    /// Adds a value, if there is none of the name.
    fn add(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries>;

    /// Adds a value beside those of the name.
    fn append(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries>;
}

impl<N, V> Edits<N, V> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.rename.is_empty() && !self.has_values() && self.replace.is_empty()
    }

    /// Whether something may come to values that are not there.
    pub(super) fn has_values(&self) -> bool {
        !(self.add.is_empty() && self.append.is_empty())
    }

    /// The values, in the order in which [`Edits::apply`] takes them.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.replace.iter().chain(&self.add).chain(&self.append).map(|(_, value)| value)
    }

    /// Applies them, with the values in the form that the target takes. Returns whether something changed.
    ///
    /// # Errors
    /// When the target has too many entries.
    pub(super) fn apply<W>(
        &self,
        values: impl IntoIterator<Item = W>,
        target: &mut impl Editable<N, W>,
    ) -> Result<bool, TooManyEntries> {
        let mut values = values.into_iter();
        let mut changed = false;
        for name in &self.remove {
            changed |= target.remove(name)?;
        }
        for (old, new) in &self.rename {
            changed |= target.rename(old, new)?;
        }
        for ((name, _), value) in self.replace.iter().zip(&mut values) {
            changed |= target.replace(name, value)?;
        }
        for ((name, _), value) in self.add.iter().zip(&mut values) {
            changed |= target.add(name, value)?;
        }
        for ((name, _), value) in self.append.iter().zip(&mut values) {
            changed |= target.append(name, value)?;
        }
        Ok(changed)
    }
}
