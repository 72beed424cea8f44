//! Rewrites a target in absolute form (RFC 9112, section 3.2.2): its host counts, whatever `Host` says.

use memchr::memchr;

use super::request_line::RequestLine;
use crate::error::RequestFailure;

/// Rewrites `head`, a whole header that begins with `line`: a target in absolute form becomes origin form, and
/// its host the only `Host`. `None`: the target has another form.
///
/// # Errors
/// [`RequestFailure::BadRequest`] for an invalid authority, for more than one `Host` or an invalid one, and
/// for HTTP/1.1 without one (section 3.2).
pub(super) fn to_origin_form(head: &[u8], line: &RequestLine) -> Result<Option<Vec<u8>>, RequestFailure> {
    let target = &head[line.target.clone()];
    let Some(begin) = scheme_length(target) else { return Ok(None) };
    let length = target[begin..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let end = length.map_or(target.len(), |length| begin + length);
    let authority =
        host(&target[begin..end]).filter(|host| !host.is_empty()).ok_or(RequestFailure::BadRequest)?;
    let fields = memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    let (others, hosts) = split_hosts(&head[fields..])?;
    if hosts > 1 || (hosts == 0 && line.version == http::Version::HTTP_11) {
        return Err(RequestFailure::BadRequest);
    }
    let (method, version) = (&head[..line.target.start], &head[line.target.end..fields]);
    let path = &target[end..];
    let slash: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
    Ok(Some([method, slash, path, version, b"Host: ", authority, b"\r\n", &others].concat()))
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
    model::split_authority(text).map(|_| text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(head: &str) -> Result<Option<String>, RequestFailure> {
        let end = head.find('\n').unwrap();
        let line = RequestLine::parse(&head.as_bytes()[..=end], 100).unwrap();
        let head = to_origin_form(head.as_bytes(), &line)?;
        Ok(head.map(|head| String::from_utf8(head).unwrap()))
    }

    #[test]
    fn the_host_of_the_target_counts() {
        for (head, expected) in [
            ("GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
            (
                "POST HTTP://H:80?q HTTP/1.1\r\nX: y\r\nHOST:  other \r\n\r\n",
                "POST /?q HTTP/1.1\r\nHost: H:80\r\nX: y\r\n\r\n",
            ),
            ("GET https://[::1] HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: [::1]\r\n\r\n"),
            ("GET http://h/a HTTP/1.1\r\nHost:\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("GET http://h/\u{fc} HTTP/1.1\nHost: h\n\n", "GET /\u{fc} HTTP/1.1\nHost: h\r\n\n"),
        ] {
            assert_eq!(rewritten(head).unwrap().as_deref(), Some(expected), "{head}");
        }
        for target in ["/a", "*", "h:80", "http:/h", "ftp://h/"] {
            assert_eq!(rewritten(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")), Ok(None), "{target}");
        }
    }

    #[test]
    fn hosts_in_doubt_are_refused() {
        for head in [
            "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://u@h/a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://h\\x/a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://\u{fc}/a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://h\"/a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://h/a HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n",
            "GET http://h/a HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET http://h/a HTTP/1.1\r\n\r\n",
            "GET http://h:port/a HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert_eq!(rewritten(head), Err(RequestFailure::BadRequest), "{head}");
        }
    }
}
