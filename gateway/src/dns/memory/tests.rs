//! Tests the state of a name with times of their own.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn found(last: &[u8], ttl: u64) -> Result<Found, LookUpError> {
    let endpoints = last.iter().map(|last| Endpoint::of([10, 0, 0, *last].into())).collect();
    Ok(Found { endpoints, kind: RecordKind::A, ttl: Duration::from_secs(ttl), missing: vec![] })
}

fn last(memory: &Memory) -> Vec<u8> {
    let octet = |endpoint: &Endpoint| match endpoint.address {
        std::net::IpAddr::V4(address) => address.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    };
    memory.endpoints.iter().map(octet).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn servfail() -> Result<Found, LookUpError> {
    Err(LookUpError::Server(2))
}

#[test]
fn ttl_is_kept_within_its_bounds() {
    let start = Instant::now();
    let mut memory = Memory::new(DnsTerms::default(), start);
    for (ttl, delay) in [(0, 1), (30, 30), (86_400, 3600)] {
        memory.note(found(&[1], ttl), start, 0.0);
        assert_eq!(memory.due(), start + seconds(delay), "TTL {ttl}");
    }
    memory.note(found(&[1], 3600), start, 1.0);
    assert_eq!(memory.due(), start + HOUR + MAX_SPREAD);
    let terms = DnsTerms { min_ttl: Duration::ZERO, max_ttl: Duration::ZERO, ..DnsTerms::default() };
    let mut memory = Memory::new(terms, start);
    memory.note(found(&[1], 5), start, 0.0);
    assert_eq!(memory.due(), start + FLOOR);
}

#[test]
fn only_changes_of_the_set_or_of_the_error_are_changes() {
    let start = Instant::now();
    let mut memory = Memory::new(DnsTerms::default(), start);
    assert!(memory.note(found(&[2, 1, 2], 1), start, 0.0));
    assert_eq!(last(&memory), [1, 2]);
    let later = start + seconds(5);
    assert!(!memory.note(found(&[1, 2], 1), later, 0.0), "rotated");
    assert_eq!(memory.answer().since, start);
    assert!(memory.note(servfail(), later, 0.0));
    assert!(!memory.note(servfail(), later, 0.0), "the same error again");
    assert_eq!((last(&memory), memory.answer().since), (vec![1, 2], later));
    assert!(memory.note(found(&[1, 2], 1), later, 0.0), "no error any more");
}

#[test]
fn failures_keep_the_last_good_answer_for_the_stale_time() {
    let start = Instant::now();
    for error in
        [LookUpError::Server(2), LookUpError::Timeout(seconds(2)), LookUpError::Failed(String::new())]
    {
        let mut memory = Memory::new(DnsTerms::default(), start);
        memory.note(found(&[1], 60), start, 0.0);
        let end = start + seconds(60) + HOUR;
        memory.note(Err(error.clone()), end - seconds(1), 0.0);
        assert_eq!(last(&memory), [1]);
        assert!(!memory.expire(end - Duration::from_millis(1)));
        assert!(memory.expire(end));
        assert!(last(&memory).is_empty());
        assert_eq!(memory.answer().dns(), error.to_string());
    }
}

#[test]
fn denial_ends_the_last_good_answer_after_the_grace_time() {
    let start = Instant::now();
    for error in [LookUpError::NoName, LookUpError::Empty] {
        let mut memory = Memory::new(DnsTerms::default(), start);
        memory.note(found(&[1], 60), start, 0.0);
        let denied = start + seconds(60);
        memory.note(Err(error), denied, 0.0);
        // Neither further denials nor other failures prolong it.
        memory.note(Err(LookUpError::NoName), denied + seconds(20), 0.0);
        memory.note(servfail(), denied + seconds(25), 0.0);
        assert!(!memory.expire(denied + seconds(29)));
        assert!(memory.expire(denied + seconds(30)));
        assert!(memory.note(found(&[1], 60), denied + seconds(31), 0.0));
        assert_eq!(memory.usable_until(), Some(denied + seconds(91) + HOUR));
    }
    let mut strict = Memory::new(DnsTerms { nx_grace: Duration::ZERO, ..DnsTerms::default() }, start);
    strict.note(found(&[1], 60), start, 0.0);
    strict.note(Err(LookUpError::NoName), start + seconds(60), 0.0);
    assert!(last(&strict).is_empty(), "at once");
}

#[test]
fn delays_of_look_ups_double_while_they_fail() {
    let start = Instant::now();
    let mut memory = Memory::new(DnsTerms::default(), start);
    let delays = [0; 8].map(|_| {
        memory.note(servfail(), start, 0.0);
        memory.due().duration_since(start).as_secs()
    });
    assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
    memory.note(found(&[1], 7), start, 0.0);
    assert_eq!(memory.due(), start + seconds(7));
    memory.note(servfail(), start, 0.0);
    assert_eq!(memory.due(), start + seconds(1));
}

#[test]
fn endpoints_of_a_name_that_fails_are_carried_over() {
    let start = Instant::now();
    let of = |name: &str, last: u8| Endpoint {
        port: Some(80),
        weight: Some(5),
        name: Some(name.into()),
        ..Endpoint::of([10, 0, 0, last].into())
    };
    let srv = |endpoints: Vec<Endpoint>, missing: &[&str]| {
        let missing = missing.iter().map(|name| Missing {
            name: (*name).into(),
            port: Some(80),
            weight: Some(9),
            error: LookUpError::Server(2),
        });
        let missing = missing.collect();
        Ok(Found { endpoints, kind: RecordKind::Srv, ttl: seconds(60), missing })
    };
    let mut memory = Memory::new(DnsTerms::default(), start);
    assert!(memory.note(srv(vec![], &["a"]), start, 0.0));
    assert_eq!(memory.answer().dns(), "dns server error: 2 server failure");
    memory.note(srv(vec![of("a", 1), of("b", 2)], &[]), start, 0.0);
    memory.note(srv(vec![of("a", 1)], &["b", "new"]), start, 0.0);
    assert_eq!(last(&memory), [1, 2]);
    assert_eq!(memory.endpoints[1].weight, Some(9), "from the record");
    assert_eq!(memory.due(), start + MISSING_TTL);
    memory.note(srv(vec![of("a", 1)], &["b"]), start + HOUR, 0.0);
    assert_eq!(last(&memory), [1], "not for ever");
}
