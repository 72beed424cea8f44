//! Which requests share an answer.

use http::HeaderValue;
use http::header::HeaderName;

use super::*;

const ROUTE: Uuid = Uuid::from_u128(0x6c2e_0d3a_0000_4000_8000_0000_0000_0001);

/// A request that differs from others by one part.
#[derive(Default)]
struct Request {
    path: &'static str,
    query: Option<&'static str>,
    fields: Vec<(&'static str, &'static str)>,
    consumer: Option<Uuid>,
    user: &'static [u8],
    authority: &'static str,
    is_https: bool,
    is_head: bool,
    upstream_path: Option<&'static [u8]>,
    upstream_host: Option<&'static [u8]>,
    body: &'static str,
}

impl Request {
    fn get(path: &'static str) -> Self {
        Self { path, ..Self::default() }
    }

    fn query(query: &'static str) -> Self {
        Self { query: Some(query), ..Self::get("/a") }
    }

    fn with(fields: &[(&'static str, &'static str)]) -> Self {
        Self { fields: fields.to_vec(), ..Self::get("/a") }
    }

    fn keys(&self, terms: &KeyTerms) -> Keys {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let parts = RequestParts {
            consumer: self.consumer,
            user: self.user,
            route: Some(ROUTE),
            method: "GET",
            path: self.path.as_bytes(),
            query: self.query.map(str::as_bytes),
            is_https: self.is_https,
            authority: self.authority,
            is_head: self.is_head,
            upstream_path: self.upstream_path,
            upstream_host: self.upstream_host,
            headers: &headers,
            body: self.body.as_bytes(),
        };
        Keys::of(&parts, terms)
    }
}

fn counted(name: &str) -> CountedField {
    CountedField { name: name.into(), header: NamedHeader::new(name).unwrap() }
}

fn sha256(text: &str) -> String {
    let mut key = Key::default();
    key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hex(&key)
}

#[test]
fn shown_key_is_that_of_kong() {
    let terms = KeyTerms::default();
    let consumer = Uuid::from_u128(7);
    for (request, text) in [
        (Request::get("/a"), format!("{ROUTE}|GET|GET /a HTTP/1.1||")),
        (Request::query("b=2&a=1"), format!("{ROUTE}|GET|GET /a|a=1:b=2|")),
        (Request::query("a=2&a=1"), format!("{ROUTE}|GET|GET /a|a=1,2|")),
        (Request::query("x&y=&z=%41+b"), format!("{ROUTE}|GET|GET /a|x:y=:z=A b|")),
        (Request::query(""), format!("{ROUTE}|GET|GET /a||")),
        (
            Request { consumer: Some(consumer), ..Request::get("/a") },
            format!("{consumer}:{ROUTE}|GET|GET /a HTTP/1.1||"),
        ),
    ] {
        assert_eq!(hex(&request.keys(&terms).shown), sha256(&text), "{text}");
    }
    let terms = KeyTerms {
        ignore_case: true,
        arguments: vec!["b".into(), "a".into(), "c".into()],
        fields: vec![counted("X-Two"), counted("Accept")],
    };
    let request = Request {
        path: "/A",
        query: Some("a=1&b=2&d=3"),
        fields: vec![("accept", "x"), ("x-two", "2"), ("x-two", "1")],
        ..Request::default()
    };
    assert_eq!(
        hex(&request.keys(&terms).shown),
        sha256(&format!("{ROUTE}|GET|get /a|b=2:a=1|X-Two=1,2:Accept=x"))
    );
    let terms = KeyTerms { fields: vec![counted("Y_Z")], ..KeyTerms::default() };
    for (fields, shown) in
        [(&[("y-z", "1")][..], "Y_Z=1"), (&[("y-z", "1"), ("y_z", "2")], "Y_Z=2"), (&[], "")]
    {
        let key = Request::with(fields).keys(&terms).shown;
        assert_eq!(hex(&key), sha256(&format!("{ROUTE}|GET|GET /a HTTP/1.1||{shown}")), "{fields:?}");
    }
}

#[test]
fn requests_that_kong_confuses_have_lookup_keys_of_their_own() {
    let terms = KeyTerms { fields: vec![counted("x"), counted("y_z")], ..KeyTerms::default() };
    for (one, other) in [
        (Request::query("a=1&b=2"), Request::query("a=1%3Ab=2")),
        (Request::query("a=1&a=2"), Request::query("a=1%2C2")),
        (Request::query("a"), Request::query("a=")),
        (Request::query("a&a"), Request::query("a=true&a=true")),
        (Request { authority: "a", ..Request::get("/a") }, Request { authority: "b", ..Request::get("/a") }),
        (
            Request { authority: "a:1", ..Request::get("/a") },
            Request { authority: "a", ..Request::get("/a") },
        ),
        // A plugin may have made a GET of it.
        (Request { is_head: true, ..Request::get("/a") }, Request::get("/a")),
        (Request { is_https: true, ..Request::get("/a") }, Request::get("/a")),
        (Request { upstream_path: Some(b"/b"), ..Request::get("/a") }, Request::get("/a")),
        (Request { upstream_host: Some(b"b"), ..Request::get("/a") }, Request::get("/a")),
        (Request { user: b"a", ..Request::get("/a") }, Request { user: b"b", ..Request::get("/a") }),
        (Request { user: b"a", ..Request::get("/a") }, Request::get("/a")),
        (Request { body: "1", ..Request::get("/a") }, Request { body: "2", ..Request::get("/a") }),
        (Request::with(&[("x", "1"), ("x", "2")]), Request::with(&[("x", "1,2")])),
        (Request::with(&[("y-z", "1")]), Request::with(&[("y-z", "2")])),
        (Request::with(&[("y-z", "1")]), Request::with(&[("y_z", "1")])),
        (Request::with(&[("y_z", "1"), ("y-z", "1")]), Request::with(&[("y_z", "1"), ("y-z", "2")])),
        (Request::with(&[("authorization", "Bearer a")]), Request::with(&[("authorization", "Bearer b")])),
        (Request::with(&[("authorization", "Bearer a")]), Request::with(&[])),
    ] {
        assert_ne!(one.keys(&terms).lookup, other.keys(&terms).lookup);
    }
}

#[test]
fn requests_that_are_the_same_share_an_answer() {
    let terms = KeyTerms { ignore_case: true, arguments: vec!["a".into()], ..KeyTerms::default() };
    for (one, other) in [
        (Request::query("a=1&b=2"), Request::query("b=3&a=1")),
        (Request::query("a=1&a=2"), Request::query("a=2&a=1")),
        (Request::get("/a"), Request::get("/A")),
        (Request { authority: "A", ..Request::get("/a") }, Request { authority: "a", ..Request::get("/a") }),
        (Request::with(&[("cookie", "a=1")]), Request::with(&[])),
    ] {
        assert_eq!(one.keys(&terms), other.keys(&terms));
    }
    let all = KeyTerms::default();
    assert_eq!(Request::query("b=2&a=1").keys(&all), Request::query("a=%31&b=2").keys(&all));
}

#[test]
fn variants_differ_in_the_fields_that_vary_names() {
    let mut headers = HeaderMap::new();
    let names = ["accept-encoding".to_owned()];
    let lookup = Key::default();
    let without = variant(&lookup, &names, &headers);
    headers.insert("accept-language", HeaderValue::from_static("de"));
    assert_eq!(variant(&lookup, &names, &headers), without);
    headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
    assert_ne!(variant(&lookup, &names, &headers), without);
}

#[test]
fn keys_are_written_and_read_as_hexadecimal_digits() {
    let key = Request::get("/a").keys(&KeyTerms::default()).shown;
    assert_eq!(from_hex(&hex(&key)), Some(key));
    for wrong in ["", "0", &"g".repeat(64), &"+1".repeat(32), &"0".repeat(63), &"ä".repeat(32)] {
        assert_eq!(from_hex(wrong), None, "{wrong}");
    }
}
