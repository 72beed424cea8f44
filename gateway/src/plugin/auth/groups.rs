//! The groups of a sender that an authentication plugin has found: unlike those of a consumer, they are no part
//! of the configuration.

use http::HeaderValue;

/// The groups that an authentication plugin has found, kept for the plugins behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct AuthenticatedGroups(Vec<Box<str>>);

impl AuthenticatedGroups {
    /// Reads the values of a field, each a list with commas; `None` when they name no group.
    pub(in crate::plugin) fn read<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<Self> {
        let texts = values.filter_map(|value| str::from_utf8(value.as_bytes()).ok());
        let groups = texts.flat_map(|text| text.split(',')).map(str::trim).filter(|group| !group.is_empty());
        let groups: Vec<Box<str>> = groups.map(Into::into).collect();
        (!groups.is_empty()).then_some(Self(groups))
    }

    /// The groups.
    pub(in crate::plugin) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_groups() {
        for (values, expected) in [
            (&["a"][..], &["a"][..]),
            (&["a, b", " c c ,"], &["a", "b", "c c"]),
            (&["", " , "], &[]),
            (&[], &[]),
        ] {
            let values: Vec<_> = values.iter().map(|value| HeaderValue::from_static(value)).collect();
            let read = AuthenticatedGroups::read(values.iter());
            let groups: Vec<_> = read.iter().flat_map(AuthenticatedGroups::names).collect();
            assert_eq!(groups, expected, "{values:?}");
        }
    }
}
