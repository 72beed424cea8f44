//! How much one route may hold. Each list is within its own bound; these are about several lists together.

use super::Route;
use crate::bounds;
use crate::bounds::{HEADER_NAME, HEADER_VALUE, HEADER_VALUES, HEADERS, PLACES, PLACES_BYTES, REGEXES};
use crate::routing::pattern::{self, HeaderPattern};
use crate::violations::Violations;

impl Route {
    pub(super) fn check_bounds(&self, violations: &mut Violations) {
        check(violations, "headers", self.check_header_bounds());
        if violations.is_empty() {
            self.check_product(violations);
        }
    }

    /// Checks the number of pairs of hosts and paths, each list of which is within its bounds: a data plane
    /// holds a place for each pair.
    fn check_product(&self, violations: &mut Violations) {
        let bytes: usize = self.paths.iter().flatten().map(String::len).sum();
        let hosts = self.hosts.as_ref().map_or(1, |hosts| hosts.len().max(1));
        check(violations, "paths", self.check_places(PLACES).and_then(|()| within_bytes(hosts, bytes)));
        if violations.is_empty() {
            check(violations, "paths", self.check_regexes());
        }
    }

    /// Checks that the route has at most `most` places in a data plane's table.
    pub(super) fn check_places(&self, most: usize) -> Result<(), String> {
        let len = |list: Option<&Vec<String>>| list.map_or(1, |list| list.len().max(1));
        let (hosts, paths) = (len(self.hosts.as_ref()), len(self.paths.as_ref()));
        match hosts.saturating_mul(paths) {
            places if places > most => Err(format!(
                "hosts times paths must be at most {most}, {hosts} hosts and {paths} paths make {places}"
            )),
            _ => Ok(()),
        }
    }

    fn check_header_bounds(&self) -> Result<(), String> {
        let Some(headers) = &self.headers else { return Ok(()) };
        bounds::at_most(headers.len(), HEADERS, "headers")?;
        bounds::at_most(headers.values().map(Vec::len).sum(), HEADER_VALUES, "values")?;
        headers.keys().try_for_each(|name| bounds::length(name, HEADER_NAME))?;
        headers.values().flatten().try_for_each(|value| bounds::length(value, HEADER_VALUE))
    }

    /// Checks the size of all regular expressions together. Each may use a megabyte once compiled, so they
    /// share a budget.
    fn check_regexes(&self) -> Result<(), String> {
        let paths = self.paths.iter().flatten().filter_map(|path| path.strip_prefix('~'));
        let values = self.headers.iter().flat_map(|headers| headers.values().flatten());
        let values = values.filter_map(|value| value.strip_prefix(HeaderPattern::MARK));
        let all: Vec<&str> = paths.chain(values).collect();
        bounds::at_most(all.len(), REGEXES, "regular expressions")?;
        if all.len() > 1 { pattern::check_together(&all) } else { Ok(()) }
    }
}

fn within_bytes(hosts: usize, bytes: usize) -> Result<(), String> {
    match hosts.saturating_mul(bytes) {
        product if product > PLACES_BYTES => Err(format!(
            "hosts times the bytes of all paths must be at most {PLACES_BYTES}, {hosts} hosts and {bytes} bytes make {product}"
        )),
        _ => Ok(()),
    }
}

fn check(violations: &mut Violations, field: &str, checked: Result<(), String>) {
    if let Err(message) = checked {
        violations.field(field, message);
    }
}

#[cfg(test)]
mod tests;
