//! Limits whose counters are on a server.

use testkit::redis::Redis;
use testkit::wait::eventually;

use super::*;

const SOON: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(300);

fn on(redis: &Redis, config: &Value) -> Value {
    let mut all = json!({
        "policy": "redis",
        "redis": { "host": "127.0.0.1", "port": redis.port(), "timeout": TIMEOUT.as_millis() as u64 },
    });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    limiting(all)
}

/// Sends requests until one has this status, and none another one than `meanwhile`.
async fn until_status(plugged: &Plugged, meanwhile: u16, status: u16) {
    eventually(SOON, || async {
        let response = plugged.get("/").await;
        assert!([meanwhile, status].contains(&response.status), "{}", response.status);
        if response.status == status { Ok(()) } else { Err(response.status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_limit() {
    let redis = Redis::start();
    let nodes: Vec<_> = (0..3)
        .map(|_| Arc::new(Plugged::start(&[on(&redis, &json!({ "year": 50, "limit_by": "ip" }))])))
        .collect();
    let (passed, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for number in 0..12 {
        let (client, passed) = (nodes[number % 3].gateway.client.clone(), passed.clone());
        tasks.spawn(async move {
            let count = pass(&client, &Request::new("GET", "/"), 40).await;
            passed.fetch_add(count, Ordering::Relaxed);
        });
    }
    tasks.join_all().await;
    assert_eq!(passed.load(Ordering::Relaxed), 50);
    // The key is Kong's.
    let nil = Uuid::nil();
    let keys = redis.run(&["KEYS", "*"]);
    assert!(
        keys.starts_with(&format!("ratelimit:{nil}:{nil}:127.0.0.1:")) && keys.ends_with(":year"),
        "{keys}"
    );
    let response = nodes[0].get("/").await.expect(429);
    assert_eq!(number(&response, "X-RateLimit-Limit-Year"), 50);
    assert!(number(&response, "Retry-After") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_pass_without_fields_while_the_server_is_away() {
    let mut redis = Redis::start();
    let plugged = Plugged::start(&[on(&redis, &json!({ "year": 2 }))]);
    assert_eq!(pass(&plugged.gateway.client, &Request::new("GET", "/"), 4).await, 2);
    redis.kill();
    until_status(&plugged, 429, 200).await;
    let begun = Instant::now();
    for _ in 0..20 {
        let response = plugged.get("/").await.expect(200);
        assert_eq!(response.header("x-ratelimit-limit-year"), None);
        assert_eq!(response.header("ratelimit-limit"), None);
    }
    assert!(begun.elapsed() < SOON / 4, "{:?}", begun.elapsed());
    redis.start_again();
    // Without its data, the server counts from the beginning.
    until_status(&plugged, 200, 429).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_fail_while_the_server_is_away_if_no_fault_is_tolerated() {
    let redis = Redis::start();
    let plugged = Arc::new(Plugged::start(&[on(&redis, &json!({ "year": 1000, "fault_tolerant": false }))]));
    until_status(&plugged, 500, 200).await;
    redis.stall();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let client = Client::new(plugged.gateway.address());
        tasks.spawn(async move {
            let begun = Instant::now();
            (client.get("/").await.unwrap(), begun.elapsed())
        });
    }
    for (response, took) in tasks.join_all().await {
        let response = response.expect(500);
        assert_eq!(response.json()["message"], "An unexpected error occurred");
        assert!(!response.text().contains(&redis.port().to_string()));
        assert!(took < TIMEOUT + Duration::from_millis(700), "{took:?}");
    }
    redis.go_on();
    until_status(&plugged, 500, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn synced_limit_needs_no_server_for_a_request() {
    let mut redis = Redis::start();
    let config = json!({ "year": 100, "sync_rate": 0.05, "limit_by": "ip" });
    let nodes: Vec<_> = (0..3).map(|_| Plugged::start(&[on(&redis, &config)])).collect();
    let get = Request::new("GET", "/");
    for node in &nodes {
        assert_eq!(pass(&node.gateway.client, &get, 30).await, 30);
    }
    eventually(SOON, || async {
        let key = redis.run(&["KEYS", "*"]);
        let total = redis.run(&["GET", &key]);
        if total == "90" { Ok(()) } else { Err(total) }
    })
    .await;
    // With the next exchange each node learns of the others.
    eventually(SOON, || async {
        let mut left = Vec::new();
        for node in &nodes {
            left.push(number(&node.get("/").await, "RateLimit-Remaining"));
        }
        if left.iter().all(|left| *left < 10) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let mut passed = 0;
    for node in &nodes {
        passed += pass(&node.gateway.client, &get, 100).await;
    }
    assert!(passed <= 30, "{passed}");
    redis.kill();
    assert_eq!(pass(&nodes[0].gateway.client, &get, 10).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_is_reached_with_tls_and_within_the_policy_on_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = testkit::certs::valid(folder.path(), "redis.test");
    let redis = Redis::with_tls(&certificate);
    let config = |verify: bool| {
        let redis = json!({
            "host": "127.0.0.1",
            "port": redis.port(),
            "timeout": 5000,
            "ssl": true,
            "ssl_verify": verify,
            "server_name": "redis.test",
        });
        json!({ "year": 1, "fault_tolerant": false, "redis": redis })
    };
    let plugged = Plugged::start(&[on(&redis, &config(false))]);
    assert_eq!(pass(&plugged.gateway.client, &Request::new("GET", "/"), 3).await, 1);
    // No authority of the system has issued the certificate.
    plugged.put_plugins(&[on(&redis, &config(true))]);
    plugged.get("/").await.expect(500);
    let denying = Plugged::with(&[("upstream.deny", "127.0.0.0/8")], &[]);
    denying.put_plugins(&[on(&redis, &config(false))]);
    denying.get("/").await.expect(500);
}
