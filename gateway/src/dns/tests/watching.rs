//! Names that are watched by a handle.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn query(host: &str, terms: DnsTerms) -> Query {
    Query::new(host, terms, SrvUse::Never)
}

fn last(watched: &Watched) -> Vec<u8> {
    let octet = |endpoint: &Endpoint| match endpoint.address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => panic!("{address}"),
    };
    watched.current().endpoints.iter().map(octet).collect()
}

/// Watches a name and counts its changes.
async fn follow(running: &Running, query: Query) -> (Arc<Watched>, Arc<AtomicUsize>, Subscription) {
    let watched = running.names.watch(query);
    let changes = Arc::new(AtomicUsize::new(0));
    let counter = changes.clone();
    let subscription = watched.on_change(move || _ = counter.fetch_add(1, Ordering::Relaxed));
    watched.first(HOUR).await;
    (watched, changes, subscription)
}

fn count(changes: &AtomicUsize) -> usize {
    changes.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn first_answer_is_awaited_within_the_limit_and_current_never_waits() {
    let server = Server::new(Does::Answer(1));
    server.delay(TIMEOUT / 2);
    let running = start(&server, 10);
    let watched = running.names.watch(query("a", DnsTerms::default()));
    assert_eq!((last(&watched), watched.current().dns()), (vec![], "unknown"));
    let begun = Instant::now();
    watched.first(Duration::from_millis(100)).await;
    assert_eq!((begun.elapsed(), last(&watched)), (Duration::from_millis(100), vec![]));
    watched.first(HOUR).await;
    assert_eq!((begun.elapsed(), last(&watched)), (TIMEOUT / 2, vec![1]));
    watched.first(HOUR).await;
    assert_eq!(begun.elapsed(), TIMEOUT / 2, "only the first is awaited");
}

#[tokio::test(start_paused = true)]
async fn days_of_renewals_change_nothing_and_cost_one_look_up_for_each_ttl() {
    let server = Server::new(Does::Many(100));
    let running = start(&server, 10);
    let (watched, changes, _subscription) = follow(&running, query("A.test", DnsTerms::default())).await;
    sleep(3 * DAY).await;
    assert_eq!((last(&watched).len(), count(&changes)), (100, 1));
    let (most, least) = (3 * DAY.as_secs() / 30 + 1, 3 * DAY.as_secs() / 32);
    assert!((least..=most).contains(&(server.asked() as u64)), "{} not in {least}..={most}", server.asked());
    server.does(Does::Many(101));
    sleep(2 * TTL).await;
    assert_eq!((last(&watched).len(), count(&changes)), (101, 2));
}

#[tokio::test(start_paused = true)]
async fn ttl_of_0_is_renewed_after_the_shortest_ttl() {
    let server = Server::new(Does::Answer(1));
    server.ttl(Duration::ZERO);
    let running = start(&server, 10);
    let terms = DnsTerms { min_ttl: Duration::from_secs(10), ..DnsTerms::default() };
    let (watched, _, _subscription) = follow(&running, query("a", terms)).await;
    sleep(HOUR).await;
    assert!((340..=361).contains(&server.asked()), "{}", server.asked());
    assert_eq!(last(&watched), [1]);
}

#[tokio::test(start_paused = true)]
async fn denied_name_is_used_for_the_grace_time_and_a_failing_one_for_the_stale_time() {
    for (fault, end) in [(Does::Deny, Duration::from_secs(30)), (Does::Fail, HOUR), (Does::Silence, HOUR)] {
        let server = Server::new(Does::Answer(1));
        let running = start(&server, 10);
        let (watched, changes, _subscription) = follow(&running, query("a", DnsTerms::default())).await;
        // Up to the next look-up, and its delay and duration.
        sleep(TTL - Duration::from_secs(1)).await;
        server.does(fault);
        sleep(end).await;
        assert_eq!((last(&watched), count(&changes)), (vec![1], 2), "{fault:?}: the error is a change");
        sleep(2 * TIMEOUT + Duration::from_secs(2)).await;
        assert_eq!((last(&watched), count(&changes)), (vec![], 3), "{fault:?}");
        assert!(watched.current().error.is_some());
        server.does(Does::Answer(2));
        sleep(MAX_RETRY_DELAY * 2).await;
        assert_eq!((last(&watched), count(&changes)), (vec![2], 4), "{fault:?}");
        assert_eq!(watched.current().error, None);
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_use_is_kept_while_a_look_up_is_silent() {
    let server = Server::new(Does::Answer(1));
    let running = start(&server, 10);
    let terms = DnsTerms { stale: Duration::from_secs(1), ..DnsTerms::default() };
    let (watched, _, _subscription) = follow(&running, query("a", terms)).await;
    let begun = Instant::now();
    server.does(Does::Silence);
    while !last(&watched).is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let used = begun.elapsed();
    assert!(used <= TTL + Duration::from_millis(1020), "{used:?}: before the look-up has timed out");
}

#[tokio::test(start_paused = true)]
async fn look_ups_are_repeated_with_growing_delays() {
    let server = Server::new(Does::Deny);
    let running = start(&server, 10);
    let (watched, ..) = follow(&running, query("a", DnsTerms::default())).await;
    sleep(HOUR).await;
    assert!((115..=130).contains(&server.asked()), "{}", server.asked());
    assert_eq!(watched.current().dns(), "dns server error: 3 name error");
    assert_eq!(running.metrics.failing.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn equal_queries_share_their_look_ups_until_the_last_handle_is_dropped() {
    let server = Server::new(Does::Answer(1));
    let running = start(&server, 10);
    let strict = DnsTerms { nx_grace: Duration::ZERO, ..DnsTerms::default() };
    let one = running.names.watch(query("A", DnsTerms::default()));
    let two = running.names.watch(query("a", DnsTerms::default()));
    let other = running.names.watch(query("a", strict));
    assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &other));
    one.first(HOUR).await;
    other.first(HOUR).await;
    assert_eq!(server.asked(), 2);
    drop((one, other));
    sleep(TTL * 10).await;
    assert!((10..=12).contains(&server.asked()), "{}", server.asked());
    drop(two);
    sleep(DAY).await;
    assert!(server.asked() <= 12, "{}", server.asked());
    assert_eq!(running.metrics.names.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_names_are_bounded_and_leave_requests_alone() {
    let server = Server::new(Does::Answer(1));
    server.delay(Duration::from_millis(20));
    let running = start(&server, 10);
    let watch = |number| running.names.watch(query(&format!("n{number}"), DnsTerms::default()));
    let watched: Vec<_> = (0..5000).map(watch).collect();
    let asked = ask(&running, "a").await;
    assert_eq!(asked, (Some(1), Duration::from_millis(20)));
    sleep(Duration::from_secs(2)).await;
    assert!(watched.iter().all(|watched| last(watched) == [1]));
    assert!(server.0.most_under_way.load(Ordering::Relaxed) <= 2 * LOOK_UPS);
    sleep(TTL * 4).await;
    assert!(watched.iter().all(|watched| watched.current().error.is_none()));
    assert_eq!((running.metrics.names.get(), running.metrics.failing.get()), (5001, 0));
    let oldest = running.metrics.oldest.get();
    assert!(oldest <= 4, "{oldest}");
}

#[tokio::test(start_paused = true)]
async fn addresses_are_never_looked_up() {
    let server = Server::new(Does::Fail);
    let running = start(&server, 10);
    for (host, address) in [("10.0.0.9", "10.0.0.9"), ("[::1]", "::1"), ("::1", "::1")] {
        let watched = running.names.watch(query(host, DnsTerms::default()));
        watched.first(HOUR).await;
        let answer = watched.current();
        assert_eq!(answer.endpoints[..], [Endpoint::of(address.parse().unwrap())]);
        assert_eq!(answer.kind, RecordKind::Literal);
    }
    sleep(DAY).await;
    assert_eq!(server.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn follower_that_panics_harms_nobody_and_a_dropped_one_is_not_called() {
    let server = Server::new(Does::Answer(1));
    let running = start(&server, 10);
    let watched = running.names.watch(query("a", DnsTerms::default()));
    let _panics = watched.on_change(|| panic!("a follower of this test"));
    let (watched, changes, subscription) = follow(&running, watched.query().clone()).await;
    tokio::task::yield_now().await;
    assert_eq!(count(&changes), 1);
    drop(subscription);
    server.does(Does::Answer(2));
    sleep(2 * TTL).await;
    assert_eq!((last(&watched), count(&changes)), (vec![2], 1));
}

#[tokio::test(start_paused = true)]
async fn look_ups_end_with_the_names() {
    let server = Server::new(Does::Silence);
    let Running { names, mut _driver, .. } = start(&server, 10);
    let watched = names.watch(query("a", DnsTerms::default()));
    let waiting = {
        let names = names.clone();
        async move { names.resolve("b").await }
    };
    let (found, ()) = tokio::join!(waiting, async { drop(names) });
    assert!(found.is_none());
    _driver.join_next().await.unwrap().unwrap();
    watched.first(HOUR).await;
}

/// The first request waits; none of those of the following days does, whatever name servers do.
#[tokio::test(start_paused = true)]
async fn no_request_waits_once_an_address_was_known() {
    let server = Server::new(Does::Answer(1));
    server.delay(Duration::from_millis(500));
    let running = start(&server, 10);
    assert_eq!(ask(&running, "a").await, (Some(1), Duration::from_millis(500)));
    for day in 0..2 {
        for does in
            [Does::Answer(2), Does::Silence, Does::Answer(3), Does::Fail, Does::Answer(4), Does::Many(100)]
        {
            server.does(does);
            for _ in 0..3500 {
                let (found, waited) = ask(&running, "a").await;
                assert!(
                    found.is_some() && waited == NOTHING,
                    "day {day}, {does:?}: {found:?} after {waited:?}"
                );
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
