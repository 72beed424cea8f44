//! Framing of answers, and headers that are refused.

use super::*;

const LIMITS: AnswerLimits = AnswerLimits { header_bytes: 2000, header_fields: 100 };
const GET: RequestKind = RequestKind { is_head: false, asks_upgrade: false };
const HEAD: RequestKind = RequestKind { is_head: true, asks_upgrade: false };
const UPGRADE: RequestKind = RequestKind { is_head: false, asks_upgrade: true };

/// Feeds `text` in pieces of `size` bytes, as a connection does, until the header is complete.
fn feed(text: &str, size: usize, request: RequestKind) -> Result<(Parsed, usize), UpstreamFailure> {
    let (mut searched, mut fed) = (0, 0);
    while fed < text.len() {
        fed = text.len().min(fed + size);
        if let Some(end) = LIMITS.find_end(&text.as_bytes()[..fed], &mut searched)? {
            let header = Bytes::copy_from_slice(&text.as_bytes()[..end]);
            return Ok((LIMITS.parse(&header, request)?, end));
        }
    }
    panic!("the header has no end: {text:?}");
}

fn framed(text: &str, request: RequestKind) -> Result<(Framing, Option<u64>, bool), UpstreamFailure> {
    let all = (1..=text.len()).map(|size| {
        let parsed = feed(text, size, request)?.0;
        Ok((parsed.response.framing, parsed.response.length, parsed.keeps))
    });
    let all: Vec<_> = all.collect();
    assert!(all.iter().all(|one| *one == all[0]), "{text:?}: {all:?}");
    all[0].clone()
}

fn ok(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
}

#[test]
fn body_ends_where_the_header_says() {
    use Framing::{Chunked, Close, Empty, Length};
    for (fields, framing, length, keeps) in [
        ("", Close, None, false),
        ("Content-Length: 5\r\n", Length(5), Some(5), true),
        ("content-length:5\r\n", Length(5), Some(5), true),
        ("Content-Length: 0\r\n", Empty, Some(0), true),
        ("Content-Length: 005\r\n", Length(5), Some(5), true),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", Length(2), Some(2), true),
        ("Content-Length: 2, 2\r\n", Length(2), Some(2), true),
        ("Content-Length: 18446744073709551615\r\n", Length(u64::MAX), Some(u64::MAX), true),
        ("Transfer-Encoding: chunked\r\n", Chunked, None, true),
        ("transfer-encoding:  CHUNKED \r\n", Chunked, None, true),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Chunked, None, false),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Chunked, None, false),
        ("Content-Length: 5\r\nConnection: close\r\n", Length(5), Some(5), false),
        ("Content-Length: 5\r\nConnection: a, Close ,b\r\n", Length(5), Some(5), false),
        ("Content-Length: 5\r\nConnection: a\r\nConnection: close\r\n", Length(5), Some(5), false),
        ("Content-Length: 5\r\nConnection: closed\r\n", Length(5), Some(5), true),
    ] {
        assert_eq!(framed(&ok(fields), GET), Ok((framing, length, keeps)), "{fields:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(framed(old, GET), Ok((Length(5), Some(5), false)));
    let bare = "HTTP/1.1 200 OK\nContent-Length: 5\n\n";
    assert_eq!(framed(bare, GET), Ok((Length(5), Some(5), true)));
}

#[test]
fn some_answers_have_no_body() {
    for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let length = fields.starts_with('C').then_some(5);
        for status in ["100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"] {
            let text = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
            // A length may be that of what was not modified. Behind a 204, a body may follow.
            let keeps = !status.starts_with("204") || fields.is_empty();
            assert_eq!(framed(&text, GET), Ok((Framing::Empty, length, keeps)), "{text:?}");
        }
        assert_eq!(framed(&ok(fields), HEAD), Ok((Framing::Empty, length, true)), "{fields:?}");
        let switching = format!("HTTP/1.1 101 Switching\r\n{fields}\r\n");
        assert_eq!(framed(&switching, UPGRADE), Ok((Framing::Empty, length, true)));
        assert!(framed(&switching, GET).is_err());
    }
}

#[test]
fn unclear_ends_are_invalid() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length:\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: xchunked\r\n",
        // What is no field.
        "Content-Length : 5\r\n",
        "No colon\r\n",
        "A: b\r\n folded\r\n",
        "A: b\0\r\n",
        "A: b\rc\r\n",
        ": b\r\n",
    ] {
        let failed = framed(&ok(fields), GET);
        assert!(matches!(failed, Err(UpstreamFailure::Invalid(_))), "{fields:?}: {failed:?}");
    }
}

#[test]
fn what_is_no_status_line_is_invalid() {
    for text in [
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "x\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
    ] {
        let failed = framed(text, GET);
        assert!(matches!(failed, Err(UpstreamFailure::Invalid(_))), "{text:?}: {failed:?}");
    }
}

#[test]
fn reason_and_fields_are_kept_as_they_came() {
    let text = "HTTP/1.1 299 So so\r\nX-Case: 1\r\nx-case:  2 \r\n\r\nbody";
    let (Parsed { response, .. }, end) = feed(text, text.len(), GET).unwrap();
    assert_eq!((response.status.as_u16(), &response.reason[..], end), (299, &b"So so"[..], text.len() - 4));
    let fields: Vec<_> = response.fields.iter().collect();
    assert_eq!(fields, [(&b"X-Case"[..], &b"1"[..]), (b"x-case", b"2")]);
    for (line, reason) in [("HTTP/1.1 200", ""), ("HTTP/1.1 200 ", ""), ("HTTP/1.0 404 \u{fc}", "\u{fc}")] {
        let text = format!("{line}\r\n\r\n");
        assert_eq!(feed(&text, text.len(), GET).unwrap().0.response.reason, reason.as_bytes(), "{line:?}");
    }
}

#[test]
fn header_has_bounds() {
    let too_large = |text: &str| feed(text, 100, GET).unwrap_err() == UpstreamFailure::HeaderTooLarge;
    let one = |bytes: usize| ok(&format!("A: {}\r\n", "b".repeat(bytes)));
    assert!(feed(&one(1995), 100, GET).is_ok() && too_large(&one(1996)));
    let many = |fields: usize| ok(&"A: b\r\n".repeat(fields));
    assert!(feed(&many(100), 100, GET).is_ok() && too_large(&many(101)));
    // Also before its end.
    assert!(too_large(&format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(10_000))));
    assert!(too_large(&format!("HTTP/1.1 200 {}", "b".repeat(10_000))));
}
