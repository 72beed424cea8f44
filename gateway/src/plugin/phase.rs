//! The phases in which a plugin does something.

/// A set of phases. Phases in which no plugin of a chain does something cost one branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(u8);

impl Phases {
    /// None.
    pub const NONE: Self = Self(0);
    /// Before the request is forwarded.
    pub const ACCESS: Self = Self(1);
    /// The header of the answer.
    pub const ANSWER: Self = Self(2);
    /// When the request is over.
    pub const LOG: Self = Self(4);
    /// When the sender becomes known, before the plugin's turn in [`Self::ACCESS`].
    pub const PREPARE: Self = Self(8);

    /// These phases and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has any of those phases.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
