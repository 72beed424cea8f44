//! How much one entity may hold. The Admin API refuses more, so that no body costs a data plane more than a
//! stated amount of memory. A data plane does not apply these bounds to what it receives: an entity that an
//! older control plane accepted stays loadable. Of the bounds here it applies [`HELD_PLACES`] alone, and apart
//! from them those of every version: a path has at most 4096 bytes, a regular expression a megabyte once compiled.

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
/// Headers of one upstream's probes.
pub const PROBE_HEADERS: usize = 50;
/// Statuses of one list of a health check: every one that there may be.
pub const STATUSES: usize = 900;
/// Bytes of the name of a cookie, a query argument or a capture.
pub const HASH_NAME: usize = 256;
/// Bytes of a target: a name and a port.
pub const TARGET: usize = 261;
/// Elements of one list of a plugin's configuration, or entries of one map.
pub const PLUGIN_LIST: usize = 1000;
/// Bytes of one text of a plugin's configuration.
pub const PLUGIN_TEXT: usize = 4096;
/// Bytes of a body that a plugin's configuration holds.
pub const PLUGIN_BODY: usize = 1 << 20;
/// Bytes of a certificate's PEM text, comments included.
pub const CERTIFICATE_PEM: usize = 128 << 10;
/// Certificates of one chain.
pub const CHAIN: usize = 10;
/// Bytes of a private key's PEM text.
pub const KEY_PEM: usize = 16 << 10;

/// Bytes of an API key, a password or a secret of a credential.
pub const SECRET: usize = 4096;
/// Bytes of the hash of a password, with its parameters and its salt.
pub const PASSWORD_HASH: usize = 512;

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

/// Checks the length of a text.
///
/// # Errors
/// The message.
pub fn length(text: &str, most: usize) -> Result<(), String> {
    match text.len() {
        length if length > most => Err(format!("length must be at most {most} bytes, it has {length}")),
        _ => Ok(()),
    }
}
