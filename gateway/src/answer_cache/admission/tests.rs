//! Which answers are kept.

use super::*;

fn terms() -> AdmissionTerms {
    AdmissionTerms {
        statuses: vec![200, 206, 301, 404],
        types: vec![MediaType::parse("text/plain").unwrap()],
        ttl: Duration::from_secs(300),
        ..AdmissionTerms::default()
    }
}

fn fields(all: &[(&str, &str)]) -> Fields {
    let all = [("Content-Type", "text/plain")].iter().chain(all);
    Fields::take(all.map(|(name, value)| (name.as_bytes(), value.as_bytes()))).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Seconds for which the answer is fresh, 0 when it is not kept.
fn fresh(terms: &AdmissionTerms, all: &[(&str, &str)]) -> u64 {
    terms.admit(200, &fields(all), at(1000)).map_or(0, |admitted| (admitted.ttl - admitted.age).as_secs())
}

#[test]
fn statuses_and_types_that_are_configured_are_kept() {
    let terms = terms();
    let kept = |status, fields: &Fields| terms.admit(status, fields, at(0)).is_some();
    for (status, is_kept) in [(200, true), (301, true), (404, true), (500, false), (206, false), (304, false)]
    {
        assert_eq!(kept(status, &fields(&[])), is_kept, "{status}");
    }
    for (types, is_kept) in [
        (vec![], false),
        (vec!["text/html"], false),
        (vec!["text/plain"; 2], false),
        (vec!["text/plain;a=b"], true),
    ] {
        let all: Vec<_> = types.iter().map(|of| (&b"content-type"[..], of.as_bytes())).collect();
        assert_eq!(kept(200, &Fields::take(all.into_iter()).unwrap()), is_kept, "{types:?}");
    }
}

#[test]
fn private_answers_are_kept_only_where_the_configuration_says_so() {
    for (all, shared) in [
        (("Cache-Control", "private"), false),
        (("Cache-Control", "no-store"), false),
        (("Set-Cookie", "a=b"), false),
        (("Cache-Control", "no-cache"), true),
        (("Cache-Control", "max-age=0"), true),
        (("Content-Range", "bytes 0-1/2"), false),
    ] {
        assert_eq!(fresh(&terms(), &[all]) > 0, shared, "{all:?}");
    }
    let private = AdmissionTerms { private: true, ..terms() };
    for all in [("Cache-Control", "private, no-store"), ("Set-Cookie", "a=b")] {
        assert_eq!(fresh(&private, &[all]), 300, "{all:?}");
    }
}

#[test]
fn cache_control_and_expires_count_when_they_are_configured() {
    let date = "Thu, 01 Jan 1970 00:16:40 GMT";
    let later = "Thu, 01 Jan 1970 00:17:40 GMT";
    let terms = AdmissionTerms { cache_control: true, private: true, ..terms() };
    for (all, seconds) in [
        (vec![], 0),
        (vec![("Cache-Control", "max-age=10")], 10),
        (vec![("Cache-Control", "max-age=10, s-maxage=20")], 20),
        (vec![("Cache-Control", "max-age=10, s-maxage=0")], 0),
        (vec![("Cache-Control", "max-age=10, private")], 0),
        (vec![("Cache-Control", "max-age=10, no-store")], 0),
        (vec![("Cache-Control", "max-age=10, no-cache")], 0),
        (vec![("Cache-Control", "public")], 0),
        (vec![("Cache-Control", "max-age=10"), ("Age", "4")], 6),
        (vec![("Cache-Control", "max-age=10"), ("Age", "40")], 0),
        (vec![("Cache-Control", "max-age=10"), ("Set-Cookie", "a=b")], 0),
        (vec![("Expires", later)], 60),
        (vec![("Expires", later), ("Date", later)], 0),
        (vec![("Expires", later), ("Cache-Control", "max-age=5")], 5),
        (vec![("Expires", date)], 0),
        (vec![("Expires", "0")], 0),
        (vec![("Expires", later), ("Expires", "0")], 0),
    ] {
        assert_eq!(fresh(&terms, &all), seconds, "{all:?}");
    }
}

#[test]
fn storage_time_is_that_of_the_configuration_or_the_lifetime() {
    let kept = |terms: AdmissionTerms, all| terms.admit(200, &fields(all), at(0)).unwrap().kept.as_secs();
    assert_eq!(kept(terms(), &[]), 300);
    assert_eq!(kept(AdmissionTerms { storage_ttl: Some(Duration::from_secs(7)), ..terms() }, &[]), 7);
    let all: &[_] = &[("Cache-Control", "max-age=9"), ("Age", "2")];
    assert_eq!(kept(AdmissionTerms { cache_control: true, ..terms() }, all), 7);
}

#[test]
fn answers_vary_by_what_they_name() {
    let names = |all: &[(&str, &str)]| {
        let admitted = terms().admit(200, &fields(all), at(0));
        admitted.map(|admitted| admitted.vary)
    };
    assert_eq!(names(&[]), Some(vec![]));
    let two = Some(vec!["accept".to_owned(), "origin".to_owned()]);
    assert_eq!(names(&[("Vary", "Origin, accept"), ("Vary", "ORIGIN,")]), two);
    assert_eq!(names(&[("Vary", "a, *")]), None);
    let many = (0..=MOST_NAMES).map(|at| format!("a{at}")).collect::<Vec<_>>().join(",");
    assert_eq!(names(&[("Vary", &many)]), None);
    assert_eq!(names(&[("Vary", &"a".repeat(LONGEST_NAME + 1))]), None);
    assert_eq!(names(&[("Content-Encoding", "gzip")]), Some(vec!["accept-encoding".to_owned()]));
    assert_eq!(names(&[("Content-Encoding", "identity")]), Some(vec![]));
}
