//! How much one entity may hold. The Admin API refuses more, so that no body costs a data plane more than a
//! stated amount of memory. A data plane does not apply these bounds to what it receives: an entity that an
//! older control plane accepted stays loadable. Of the bounds here it applies [`HELD_PLACES`] alone, and apart
//! from them those of every version: a path has at most 4096 bytes, a regular expression a megabyte once compiled.

use crate::{HeaderPattern, Route, Service, Violations, pattern};

/// Bytes of a name: several times what a tool builds from namespace, resource, host and port.
pub const NAME: usize = 1024;
/// Tags of one entity.
pub const TAGS: usize = 100;
/// Bytes of a tag.
pub const TAG: usize = 512;
/// Bytes of a host with a wildcard and a port: a name has at most 253 (RFC 1035, section 2.3.4).
pub const HOST: usize = 261;
/// Hosts of one route.
pub const HOSTS: usize = 5000;
/// Paths of one route.
pub const PATHS: usize = 1000;
/// Places of one route in a data plane's table: its hosts times its paths.
pub const PLACES: usize = 10_000;
/// Bytes of all places of one route: its hosts times the bytes of its paths.
pub const PLACES_BYTES: usize = 4 << 20;
/// The most places of a route that a data plane accepts: more would be hundreds of megabytes.
pub const HELD_PLACES: usize = 250_000;
/// Methods of one route.
pub const METHODS: usize = 50;
/// Bytes of a method.
pub const METHOD: usize = 64;
/// Server names of one route, or of one certificate.
pub const SNIS: usize = 500;
/// Headers that one route matches.
pub const HEADERS: usize = 50;
/// Values of all headers of one route.
pub const HEADER_VALUES: usize = 500;
/// Bytes of a header's name.
pub const HEADER_NAME: usize = 256;
/// Bytes of a header's value.
pub const HEADER_VALUE: usize = 4096;
/// Sources, or destinations, of one route.
pub const ENDPOINTS: usize = 500;
/// Regular expressions of one route, in its paths and header values.
pub const REGEXES: usize = 100;
/// CA certificates of one service.
pub const CA_CERTIFICATES: usize = 100;
/// Bytes of a certificate's PEM text, comments included.
pub const CERTIFICATE_PEM: usize = 128 << 10;
/// Certificates of one chain.
pub const CHAIN: usize = 10;
/// Bytes of a private key's PEM text.
pub const KEY_PEM: usize = 16 << 10;

impl Service {
    /// Checks the bounds of a service, and then every rule.
    ///
    /// # Errors
    /// All bounds that the service exceeds, or all rules that it breaks.
    pub fn validate_write(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        name(&mut violations, self.name.as_deref());
        count(&mut violations, "ca_certificates", self.ca_certificates.as_deref(), CA_CERTIFICATES);
        check(&mut violations, "host", length(&self.host, HOST));
        violations.into_result()?;
        self.validate()
    }
}

impl Route {
    /// Checks the bounds of a route, and then every rule. These include the rules that are narrower for new
    /// writes than for what older versions accepted.
    ///
    /// # Errors
    /// All bounds that the route exceeds, or all rules that it breaks.
    pub fn validate_write(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        name(&mut violations, self.name.as_deref());
        texts(&mut violations, "methods", self.methods.as_deref(), METHODS, METHOD);
        texts(&mut violations, "hosts", self.hosts.as_deref(), HOSTS, HOST);
        count(&mut violations, "paths", self.paths.as_deref(), PATHS);
        texts(&mut violations, "snis", self.snis.as_deref(), SNIS, HOST);
        count(&mut violations, "sources", self.sources.as_deref(), ENDPOINTS);
        count(&mut violations, "destinations", self.destinations.as_deref(), ENDPOINTS);
        check(&mut violations, "headers", self.check_header_bounds());
        violations.into_result()?;
        self.check_product()?;
        let mut violations = self.validate().err().unwrap_or_default();
        self.check_written_headers(&mut violations);
        self.check_written_paths(&mut violations);
        violations.into_result()
    }

    /// Checks the number of pairs of hosts and paths, each list of which is within its bounds: a data plane
    /// holds a place for each pair.
    fn check_product(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        let bytes: usize = self.paths.iter().flatten().map(String::len).sum();
        let hosts = self.hosts.as_ref().map_or(1, |hosts| hosts.len().max(1));
        check(&mut violations, "paths", self.check_places(PLACES).and_then(|()| within_bytes(hosts, bytes)));
        if violations.is_empty() {
            check(&mut violations, "paths", self.check_regexes());
        }
        violations.into_result()
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
        at_most(headers.len(), HEADERS, "headers")?;
        at_most(headers.values().map(Vec::len).sum(), HEADER_VALUES, "values")?;
        headers.keys().try_for_each(|name| length(name, HEADER_NAME))?;
        headers.values().flatten().try_for_each(|value| length(value, HEADER_VALUE))
    }

    /// Checks the size of all regular expressions together. Each may use a megabyte once compiled, so they
    /// share a budget.
    fn check_regexes(&self) -> Result<(), String> {
        let paths = self.paths.iter().flatten().filter_map(|path| path.strip_prefix('~'));
        let values = self.headers.iter().flat_map(|headers| headers.values().flatten());
        let values = values.filter_map(|value| value.strip_prefix(HeaderPattern::MARK));
        let all: Vec<&str> = paths.chain(values).collect();
        at_most(all.len(), REGEXES, "regular expressions")?;
        if all.len() > 1 { pattern::check_together(&all) } else { Ok(()) }
    }
}

/// Checks the number and the lengths of an entity's tags.
pub(super) fn tags(violations: &mut Violations, tags: &[String]) {
    texts(violations, "tags", Some(tags), TAGS, TAG);
}

/// Checks the length of a PEM text.
///
/// # Errors
/// A message that holds nothing of the text.
pub fn pem(text: &str, most: usize) -> Result<(), String> {
    length(text, most)
}

/// Checks the number of elements.
///
/// # Errors
/// The message.
pub fn at_most(count: usize, most: usize, what: &str) -> Result<(), String> {
    if count > most { Err(format!("must have at most {most} {what}, it has {count}")) } else { Ok(()) }
}

fn length(text: &str, most: usize) -> Result<(), String> {
    match text.len() {
        length if length > most => Err(format!("length must be at most {most} bytes, it has {length}")),
        _ => Ok(()),
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

fn name(violations: &mut Violations, name: Option<&str>) {
    check(violations, "name", name.map_or(Ok(()), |name| length(name, NAME)));
}

fn count<T>(violations: &mut Violations, field: &str, list: Option<&[T]>, most: usize) {
    check(violations, field, at_most(list.map_or(0, <[T]>::len), most, "elements"));
}

/// Checks the elements of a list only when their number is within its bound.
fn texts(violations: &mut Violations, field: &str, list: Option<&[String]>, most: usize, longest: usize) {
    let list = list.unwrap_or_default();
    count(violations, field, Some(list), most);
    if list.len() > most {
        return;
    }
    for (index, text) in list.iter().enumerate() {
        if let Err(message) = length(text, longest) {
            violations.element(field, index, message);
        }
    }
}

#[cfg(test)]
mod tests;
