//! What a route declares, for entries of logs: written again from what it was compiled into.

use model::HeaderPattern;

use super::{Entry, Path};
use crate::route::host::HostPattern;
use crate::route::method;

impl Entry {
    /// The protocols that it is for.
    pub(crate) fn protocols(&self) -> impl Iterator<Item = String> {
        let (plain, secure) = if self.grpc { ("grpc", "grpcs") } else { ("http", "https") };
        [(!self.tls_only).then_some(plain), Some(secure)].into_iter().flatten().map(str::to_owned)
    }

    /// The methods that it is for; none: all.
    pub(crate) fn methods(&self) -> impl Iterator<Item = String> {
        let bits = if self.methods == method::ANY { 0 } else { self.methods };
        let known = method::NAMED.iter().filter(move |method| method::bit(method) & bits != 0);
        let others = self.extras.iter().flat_map(|extras| extras.methods.iter());
        known.map(ToString::to_string).chain(others.map(ToString::to_string))
    }

    /// The hosts that it is for; none: all.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(HostPattern::declared)
    }

    /// The server names that it is for; none: all.
    pub(crate) fn snis(&self) -> impl Iterator<Item = String> {
        self.extras.iter().flat_map(|extras| extras.snis.iter()).map(HostPattern::declared)
    }

    /// The header fields that it is for, each with its values, in lower case; none: all.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = String>)> {
        let rules = self.extras.iter().flat_map(|extras| extras.headers.iter());
        rules.map(|(name, values)| (name.as_str(), values.iter().map(HeaderPattern::declared)))
    }

    /// The paths that it is for; none: all.
    pub(crate) fn paths(&self) -> impl Iterator<Item = String> {
        self.paths.iter().map(|path| match path {
            Path::Prefix(prefix) => prefix.to_string(),
            Path::Regex { texts, .. } => texts.declared.to_string(),
        })
    }

    /// The rank of its regular expressions.
    pub(crate) fn regex_priority(&self) -> i32 {
        self.regex_priority
    }
}
