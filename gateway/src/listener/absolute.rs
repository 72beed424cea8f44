//! Rewrites a target in absolute form (RFC 9112, section 3.2.2): its host counts, whatever `Host` says.
//! Pingora refuses a request in which the two differ in any byte.

use memchr::memchr;

use crate::error::RequestFailure;
use crate::request::Replaced;

/// Rewrites `head`, which begins with the target: a target in absolute form becomes origin form, and its host
/// the only `Host`. Other targets stay unchanged. `replaced` is adjusted to the new positions.
///
/// # Errors
/// [`RequestFailure::BadRequest`] for an invalid authority, for more than one `Host` or an invalid one, and
/// for HTTP/1.1 without one (section 3.2).
pub(super) fn to_origin_form(head: &[u8], replaced: &mut Replaced) -> Result<Vec<u8>, RequestFailure> {
    let (line, fields) = head.split_at(memchr(b'\n', head).map_or(head.len(), |end| end + 1));
    let (target, version) = line.split_at(memchr(b' ', line).unwrap_or(line.len()));
    let Some(begin) = scheme_length(target) else { return Ok(head.to_vec()) };
    let length = target[begin..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let end = length.map_or(target.len(), |length| begin + length);
    if replaced.first().is_some_and(|(at, _)| *at < end) {
        return Err(RequestFailure::BadRequest);
    }
    let authority =
        host(&target[begin..end]).filter(|host| !host.is_empty()).ok_or(RequestFailure::BadRequest)?;
    let (others, hosts) = split_hosts(fields)?;
    if hosts > 1 || (hosts == 0 && !version.starts_with(b" HTTP/1.0")) {
        return Err(RequestFailure::BadRequest);
    }
    let path = &target[end..];
    let slash: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
    replaced.iter_mut().for_each(|(at, _)| *at = *at - end + slash.len());
    Ok([slash, path, version, b"Host: ", authority, b"\r\n", &others].concat())
}

/// Length of the scheme and its delimiter before the authority, in bytes.
fn scheme_length(target: &[u8]) -> Option<usize> {
    let begins =
        |with: &&[u8]| target.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    [&b"http://"[..], b"https://"].into_iter().find(begins).map(<[u8]>::len)
}

/// The fields without `Host`, and the number of `Host` fields.
fn split_hosts(fields: &[u8]) -> Result<(Vec<u8>, usize), RequestFailure> {
    let (mut others, mut hosts) = (Vec::with_capacity(fields.len()), 0);
    for line in fields.split_inclusive(|byte| *byte == b'\n') {
        match memchr(b':', line) {
            Some(colon) if line[..colon].eq_ignore_ascii_case(b"host") => {
                host(line[colon + 1..].trim_ascii()).ok_or(RequestFailure::BadRequest)?;
                hosts += 1;
            }
            _ => others.extend_from_slice(line),
        }
    }
    Ok((others, hosts))
}

fn host(text: &[u8]) -> Option<&[u8]> {
    let text = std::str::from_utf8(text).ok()?;
    wire::split_authority(text).map(|_| text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(head: &str) -> Result<String, RequestFailure> {
        to_origin_form(head.as_bytes(), &mut Vec::new()).map(|head| String::from_utf8(head).unwrap())
    }

    #[test]
    fn the_host_of_the_target_counts() {
        for (head, expected) in [
            ("http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", "/a HTTP/1.1\r\nHost: h\r\n\r\n"),
            (
                "HTTP://H:80?q HTTP/1.1\r\nX: y\r\nHOST:  other \r\n\r\n",
                "/?q HTTP/1.1\r\nHost: H:80\r\nX: y\r\n\r\n",
            ),
            ("https://[::1] HTTP/1.0\r\n\r\n", "/ HTTP/1.0\r\nHost: [::1]\r\n\r\n"),
            ("http://h/a HTTP/1.1\r\nHost:\r\n\r\n", "/a HTTP/1.1\r\nHost: h\r\n\r\n"),
            // No absolute form of HTTP.
            ("h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "h:80 HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("http:/h HTTP/1.1\r\nHost: h\r\n\r\n", "http:/h HTTP/1.1\r\nHost: h\r\n\r\n"),
        ] {
            assert_eq!(rewritten(head).as_deref(), Ok(expected), "{head}");
        }
    }

    #[test]
    fn hosts_in_doubt_are_refused() {
        for head in [
            "http:///a HTTP/1.1\r\nHost: h\r\n\r\n",
            "http://u@h/a HTTP/1.1\r\nHost: h\r\n\r\n",
            "http://h\\x/a HTTP/1.1\r\nHost: h\r\n\r\n",
            "http://h/a HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n",
            "http://h/a HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "http://h/a HTTP/1.1\r\n\r\n",
            "http://h:port/a HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert_eq!(rewritten(head), Err(RequestFailure::BadRequest), "{head}");
        }
    }
}
