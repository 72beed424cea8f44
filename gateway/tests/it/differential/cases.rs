//! The requests, and the expected results.

/// One request.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) request: &'static str,
    /// The result of Gibbon.
    pub(super) gibbon: &'static str,
    /// The reason, where Gibbon differs from both other proxies.
    pub(super) alone: Option<&'static str>,
}

const fn case(name: &'static str, request: &'static str, gibbon: &'static str) -> Case {
    Case { name, request, gibbon, alone: None }
}

const fn alone(name: &'static str, request: &'static str, gibbon: &'static str, why: &'static str) -> Case {
    Case { name, request, gibbon, alone: Some(why) }
}

/// Every request.
pub(super) const CASES: &[Case] = &[
    case(
        "plain GET",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / host=h test=- no body \"\"",
    ),
    case(
        "body by length",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "POST / host=h test=- length 5 \"hello\"",
    ),
    case(
        "body by chunks",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / host=h test=- chunked \"hello\"",
    ),
    case(
        "two lengths, equal",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "two lengths, different",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "lengths in a list, equal",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5, 5\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "lengths in a list, different",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5, 6\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "length with a plus",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: +5\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "length with a minus",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: -5\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "length in hexadecimal",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0x5\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "length with letters behind",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5a\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "length empty",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length:\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "length beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        "refused 400",
    ),
    case(
        "length with zeros before",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 005\r\n\r\nhello",
        "POST / host=h test=- length 5 \"hello\"",
    ),
    case(
        "length and chunks",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / host=h test=- chunked \"hello\"",
    ),
    case(
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunked, then identity",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "gzip, then chunked",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "coding that nobody knows",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "coding in capitals",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / host=h test=- chunked \"hello\"",
    ),
    case(
        "coding with a control character",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunks in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunk size with a plus",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunk size in hexadecimal notation",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunk size beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunk longer than its size",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunk with an extension",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        "POST / host=h test=- chunked \"hello\"",
    ),
    alone(
        "chunk size ended by a bare LF",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "refused 400",
        "RFC 9112, 2.2 lets a bare LF end the lines of a header only",
    ),
    case(
        "chunk size without digits",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
        "refused 400",
    ),
    case(
        "chunk size without digits, but an extension",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n;\r\n\r\n",
        "refused 400",
    ),
    case(
        "a bare LF within an extension",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
        "refused 400",
    ),
    case("no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "refused 400"),
    case(
        "host empty",
        "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        "GET / host= test=- no body \"\"",
    ),
    case("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", "refused 400"),
    case(
        "two hosts, equal",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\nConnection: close\r\n\r\n",
        "refused 400",
    ),
    case("host with a path", "GET / HTTP/1.1\r\nHost: h/evil\r\nConnection: close\r\n\r\n", "refused 400"),
    alone(
        "host with user information",
        "GET / HTTP/1.1\r\nHost: user@h\r\nConnection: close\r\n\r\n",
        "refused 400",
        "RFC 9110, 4.2.4: user information in an authority is an error",
    ),
    alone(
        "no host in HTTP/1.0",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / host=upstream test=- no body \"\"",
        "it goes on as HTTP/1.1, which may not be without (RFC 9112, 3.2)",
    ),
    case(
        "absolute form, its host in Host",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / host=h test=- no body \"\"",
    ),
    alone(
        "absolute form, another host",
        "GET http://other/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / host=other test=- no body \"\"",
        "RFC 9112, 3.2.2: a proxy must ignore Host and replace it with the host of the target",
    ),
    case(
        "absolute form, the host in capitals",
        "GET http://H/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / host=h test=- no body \"\"",
    ),
    case("absolute form without Host", "GET http://h/ HTTP/1.1\r\nConnection: close\r\n\r\n", "refused 400"),
    case("asterisk form of GET", "GET * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 400"),
    case("target without a slash", "GET x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 400"),
    case("target with a space", "GET /a b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 400"),
    case("target with a tab", "GET /a\tb HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 400"),
    case(
        "target with a bare CR",
        "GET /a\rb HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "refused 400",
    ),
    alone(
        "target with a fragment",
        "GET /a#b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET /a host=h test=- no body \"\"",
        "a fragment is no part of a target (RFC 9110, 7.1): the path that is matched is the one that is forwarded",
    ),
    alone(
        "two spaces before the target",
        "GET  / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "refused 400",
        "RFC 9112, 3: one space; others may be lenient",
    ),
    case(
        "a method of its own",
        "BREW / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "BREW / host=h test=- no body \"\"",
    ),
    case(
        "a method in small letters",
        "get / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "get / host=h test=- no body \"\"",
    ),
    case(
        "a method that is no token",
        "GE(T / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "refused 400",
    ),
    case("CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 405"),
    case("TRACE", "TRACE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 405"),
    alone(
        "HTTP/1.2",
        "GET / HTTP/1.2\r\nHost: h\r\nConnection: close\r\n\r\n",
        "refused 400",
        "no such version was ever made, and the parser knows 1.0 and 1.1",
    ),
    case("HTTP/3.0", "GET / HTTP/3.0\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 400"),
    case("no version", "GET /\r\n\r\n", "refused 400"),
    case("version in small letters", "GET / http/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "refused 400"),
    case(
        "space before a colon",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Test : a\r\n\r\n",
        "refused 400",
    ),
    case(
        "a folded field",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Test: a\r\n b\r\n\r\n",
        "refused 400",
    ),
    case(
        "a fold before the first field",
        "GET / HTTP/1.1\r\n X-Test: a\r\nHost: h\r\nConnection: close\r\n\r\n",
        "refused 400",
    ),
    case(
        "a field without a colon",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Test\r\n\r\n",
        "refused 400",
    ),
    case(
        "a field without a name",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n: a\r\n\r\n",
        "refused 400",
    ),
    case(
        "a field name with a space",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX Test: a\r\n\r\n",
        "refused 400",
    ),
    case(
        "a NUL in a value",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Test: a\0b\r\n\r\n",
        "refused 400",
    ),
    case(
        "a bare CR in a value",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Test: a\rb\r\n\r\n",
        "refused 400",
    ),
    case(
        "lines ended by a bare LF",
        "GET / HTTP/1.1\nHost: h\nConnection: close\n\n",
        "GET / host=h test=- no body \"\"",
    ),
    case(
        "one line ended by a bare LF",
        "GET / HTTP/1.1\r\nHost: h\nConnection: close\r\n\r\n",
        "GET / host=h test=- no body \"\"",
    ),
    case(
        "empty lines before",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / host=h test=- no body \"\"",
    ),
    case(
        "GET with a body",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "GET / host=h test=- length 5 \"hello\"",
    ),
    case(
        "bytes behind the request",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / host=h test=- no body \"\"",
    ),
];
