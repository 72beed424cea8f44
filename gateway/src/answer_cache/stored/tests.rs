//! Which requests may have what is kept.

use http::header::HeaderName;

use super::*;

fn stored(ttl: u64, all: &[(&str, &str)], now: Instant) -> Stored {
    let fields = Fields::take(all.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))).unwrap();
    let ttl = Duration::from_secs(ttl);
    let admitted = Admitted { age: Duration::ZERO, ttl, kept: ttl, must_revalidate: false, vary: vec![] };
    let head = Head { plugin: Uuid::nil(), shown: Key::default(), status: 200, fields, admitted };
    Stored::new(head, Bytes::new(), now)
}

fn requested(text: &str) -> Use {
    Use::Directives(Directives::read([text.as_bytes()].into_iter()))
}

#[test]
fn requests_say_how_old_an_answer_may_be() {
    let now = Instant::now();
    let stored = stored(100, &[], now);
    for (directives, age, usable) in [
        ("", 100, true),
        ("", 101, false),
        ("max-age=50", 50, true),
        ("max-age=50", 51, false),
        ("max-age=0", 0, true),
        ("max-age=0", 1, false),
        ("max-stale", 100_000, true),
        ("max-stale=10", 110, true),
        ("max-stale=10", 111, false),
        ("min-fresh=10", 90, true),
        ("min-fresh=10", 91, false),
        ("min-fresh=10, max-stale=50", 95, false),
        ("max-age=50, max-stale=100", 120, false),
    ] {
        let at = now + Duration::from_secs(age);
        assert_eq!(stored.is_usable(requested(directives), at), usable, "{directives} {age}");
    }
    let strict = Stored { must_revalidate: true, ..stored };
    assert!(!strict.is_usable(requested("max-stale"), now + Duration::from_secs(101)));
}

#[test]
fn age_alone_counts_without_cache_control() {
    let now = Instant::now();
    let stored = Stored { age: Duration::from_secs(5), ..stored(1, &[], now) };
    let by = Use::Age(Duration::from_secs(10));
    assert!(stored.is_usable(by, now + Duration::from_secs(5)));
    assert!(!stored.is_usable(by, now + Duration::from_secs(6)));
    assert_eq!(stored.age_at(now + Duration::from_secs(6)).as_secs(), 11);
}

#[test]
fn clients_that_have_the_body_get_none() {
    let date = "Thu, 01 Jan 1970 00:16:40 GMT";
    let later = "Thu, 01 Jan 1970 00:16:41 GMT";
    let stored = stored(1, &[("ETag", "\"a,b\""), ("Last-Modified", date)], Instant::now());
    for (fields, not_modified) in [
        (vec![], false),
        (vec![("if-none-match", "\"a,b\"")], true),
        (vec![("if-none-match", "W/\"a,b\"")], true),
        (vec![("if-none-match", "\"x\", \"a,b\"")], true),
        (vec![("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], true),
        (vec![("if-none-match", "*")], true),
        (vec![("if-none-match", "\"a\"")], false),
        (vec![("if-none-match", "a,b")], false),
        (vec![("if-modified-since", date)], true),
        (vec![("if-modified-since", later)], true),
        (vec![("if-modified-since", "Thu, 01 Jan 1970 00:16:39 GMT")], false),
        (vec![("if-modified-since", "x")], false),
        // The tag is the more exact of the two.
        (vec![("if-none-match", "\"x\""), ("if-modified-since", later)], false),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(stored.is_not_modified(&headers), not_modified, "{fields:?}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    assert!(!Stored { status: 404, ..stored }.is_not_modified(&headers));
}

#[test]
fn answers_without_a_body_keep_the_fields_about_it() {
    let all = [("ETag", "\"a\""), ("Content-Type", "text/plain"), ("Vary", "accept"), ("X-Own", "1")];
    let stored = stored(1, &all, Instant::now());
    let names = stored.fields_of_not_modified().map(|(name, _)| name.written());
    assert_eq!(names.collect::<Vec<_>>(), ["ETag", "Vary"]);
}
