//! The series as Prometheus reads them.

use prometheus::TextEncoder;

use super::*;

const ALL: Families =
    Families { statuses: true, latencies: true, bytes: true, consumers: false, targets: false };

fn request<'a>(service: &'a str, route: &'a str) -> Counted<'a> {
    Counted {
        service: (!service.is_empty()).then_some((id(service), service)),
        route: (id(route), route),
        consumer: None,
        status: 200,
        source: Source::Service,
        ingress: 10,
        egress: 100,
        total: Duration::from_micros(30_500),
        gateway: Duration::from_micros(500),
        upstream: Some(Duration::from_millis(30)),
    }
}

fn id(name: &str) -> Uuid {
    name.bytes().fold(Uuid::from_u128(1), |id, byte| Uuid::from_u128((id.as_u128() << 8) + u128::from(byte)))
}

fn text(series: &Series) -> String {
    TextEncoder::new().encode_to_string(&series.collect()).unwrap()
}

#[track_caller]
fn assert_has(series: &Series, lines: &[&str]) {
    let text = text(series);
    for line in lines {
        assert!(text.lines().any(|held| held == *line), "{line}\n{text}");
    }
}

#[test]
fn names_labels_and_buckets_are_those_of_kong() {
    let series = Series::default();
    series.count(&request("s", "r"), ALL);
    series.count(&Counted { status: 502, source: Source::Kong, upstream: None, ..request("", "r") }, ALL);
    let labels = r#"service="s",route="r",workspace="default""#;
    let bucket = |name: &str, le: &str, count: u32| {
        format!("kong_{name}_latency_ms_bucket{{{labels},le=\"{le}\"}} {count}")
    };
    let buckets = [
        bucket("kong", "1", 1),
        bucket("kong", "6000", 1),
        bucket("kong", "+Inf", 1),
        bucket("upstream", "25", 0),
        bucket("upstream", "50", 1),
        bucket("request", "60000", 1),
    ];
    assert_has(&series, &buckets.each_ref().map(String::as_str));
    assert_has(
        &series,
        &[
            r#"kong_http_requests_total{service="s",route="r",code="200",source="service",workspace="default",consumer=""} 1"#,
            r#"kong_http_requests_total{service="",route="r",code="502",source="kong",workspace="default",consumer=""} 1"#,
            r#"kong_bandwidth_bytes{service="s",route="r",direction="ingress",workspace="default",consumer=""} 10"#,
            r#"kong_bandwidth_bytes{service="s",route="r",direction="egress",workspace="default",consumer=""} 100"#,
            r#"kong_request_latency_ms_sum{service="s",route="r",workspace="default"} 30.5"#,
            r#"kong_request_latency_ms_count{service="",route="r",workspace="default"} 1"#,
        ],
    );
    assert!(!text(&series).contains("kong_upstream_latency_ms_count{service=\"\""));
}

#[test]
fn a_request_counts_in_the_families_that_are_switched_on() {
    let series = Series::default();
    for families in [
        Families::default(),
        Families { statuses: true, ..Families::default() },
        Families { bytes: true, ..Families::default() },
    ] {
        series.count(&request("s", "r"), families);
    }
    assert_has(
        &series,
        &[
            r#"kong_http_requests_total{service="s",route="r",code="200",source="service",workspace="default",consumer=""} 1"#,
        ],
    );
    assert!(!text(&series).contains("latency"));
}

#[test]
fn consumers_are_named_where_that_is_configured() {
    let series = Series::default();
    let of = |name| Counted { consumer: Some((id(name), name)), ..request("s", "r") };
    series.count(&of("alice"), ALL);
    series.count(&of("alice"), Families { consumers: true, ..ALL });
    series.count(&of("bob"), Families { consumers: true, ..ALL });
    let line = |consumer: &str| {
        format!(
            r#"kong_http_requests_total{{service="s",route="r",code="200",source="service",workspace="default",consumer="{consumer}"}} 1"#
        )
    };
    assert_has(&series, &["", "alice", "bob"].map(line).each_ref().map(String::as_str));
}

#[test]
fn renamed_services_and_consumers_begin_new_series() {
    let series = Series::default();
    let renamed = Counted { service: Some((id("s"), "t")), ..request("s", "r") };
    for request in [request("s", "r"), renamed, request("s", "r")] {
        series.count(&request, ALL);
    }
    let line = |service: &str, count: u32| {
        format!(
            r#"kong_http_requests_total{{service="{service}",route="r",code="200",source="service",workspace="default",consumer=""}} {count}"#
        )
    };
    assert_has(&series, &[&line("s", 2), &line("t", 1)]);
}

#[test]
fn series_beyond_a_cap_are_added_up() {
    let series = Series::default();
    let names: Vec<_> = (0..MOST_PAIRS + 5).map(|at| format!("r{at}")).collect();
    for name in &names {
        series.count(&request("s", name), ALL);
    }
    for status in 200..300 {
        series.count(&Counted { status, ..request("s", "r0") }, ALL);
    }
    let names: Vec<_> = (0..MOST_CONSUMERS + 7).map(|at| format!("c{at}")).collect();
    for name in &names {
        let named = Counted { consumer: Some((id(name), name)), ..request("s", "r1") };
        series.count(&named, Families { consumers: true, statuses: true, ..Families::default() });
    }
    assert_has(
        &series,
        &[
            r#"kong_http_requests_total{service="other",route="other",code="200",source="service",workspace="default",consumer=""} 5"#,
            r#"kong_http_requests_total{service="s",route="r0",code="other",source="service",workspace="default",consumer=""} 36"#,
            r#"kong_http_requests_total{service="s",route="r1",code="200",source="service",workspace="default",consumer="other"} 7"#,
        ],
    );
}

#[test]
fn nothing_is_lost_between_threads() {
    let series = Series::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for at in 0..5000_u16 {
                    series.count(&Counted { status: 200 + at % 8, ..request("s", "r") }, ALL);
                }
            });
        }
    });
    let text = text(&series);
    let counts = text.lines().filter(|line| line.starts_with("kong_http_requests_total{"));
    let total: u32 = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum();
    assert_eq!(total, 20_000);
}
