//! Requests that are answered before the proxy sees them.

use std::fmt::Debug;
use std::net::IpAddr;

use crate::request_id::RequestId;

/// The most bytes that are shown of a request.
const MOST: usize = 1024;
/// No method is as long.
const LONGEST_METHOD: usize = 32;

/// A request that was refused because of its header.
#[derive(Debug)]
pub struct Refused<'a> {
    /// Its id, which the answer names.
    pub id: &'a RequestId,
    /// What is known of it: the beginning of the header as it came, or method and target, without the query.
    pub request: Vec<u8>,
    /// The status of the answer.
    pub status: u16,
    /// What the metrics call the reason.
    pub reason: &'static str,
    /// The length of the answer's body.
    pub answer_bytes: u64,
}

/// Notes requests that were refused.
pub trait Refusals: Debug + Send + Sync {
    /// Notes a request of this client. Does not wait.
    fn note(&self, client: IpAddr, refused: &Refused<'_>);
}

/// What is shown of a request with this first line, of which there may be more or less: no query, no user
/// information of a whole URL, and nothing of what is no line of a request, such as the rest of a body.
pub(super) fn shown(head: &[u8]) -> Vec<u8> {
    let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'?')).unwrap_or(head.len());
    let method = head[..end].split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_method = method.len() < LONGEST_METHOD && method.iter().all(u8::is_ascii_uppercase);
    match (is_method, head[..end].get(method.len() + 1)) {
        (true, Some(b'/')) => head[..end.min(MOST)].to_vec(),
        (true, _) => method.to_vec(),
        (false, _) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_query_nor_fields_are_shown() {
        assert_eq!(shown(b"GET /a?key=secret HTTP/1.1\r\n"), b"GET /a");
        assert_eq!(shown(b"GET /a b HTTP/1.1\r\nAuthorization: x\r\n"), b"GET /a b HTTP/1.1");
        assert_eq!(shown(b"GET http://user:password@a/ HTTP/1.1\r\n"), b"GET");
        for other in [&b""[..], b"password=a b", b"\x16\x03\x01", &[b'A'; 100]] {
            assert_eq!(shown(other), b"");
        }
        assert_eq!(shown(&[b"GET /", &[b'a'; 2 * MOST][..]].concat()).len(), MOST);
    }
}
