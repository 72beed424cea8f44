//! Methods as a set of bits.

use http::Method;

/// The bit of all methods without one of their own. A route that lists such methods has this bit, and their
/// names beside it.
pub(super) const OTHER: u16 = 1 << 15;
/// Any method.
pub(super) const ANY: u16 = u16::MAX;

/// The methods with a bit of their own.
pub(super) const NAMED: [Method; 9] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::HEAD,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

pub(super) fn bit(method: &Method) -> u16 {
    match *method {
        Method::GET => 1,
        Method::POST => 1 << 1,
        Method::PUT => 1 << 2,
        Method::DELETE => 1 << 3,
        Method::PATCH => 1 << 4,
        Method::HEAD => 1 << 5,
        Method::OPTIONS => 1 << 6,
        Method::TRACE => 1 << 7,
        Method::CONNECT => 1 << 8,
        _ => OTHER,
    }
}
