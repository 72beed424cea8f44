//! The fields that Kong does not have.

use super::*;

#[test]
fn views_show_them_only_when_they_are_set() {
    let quiet = ["policy", "sticky_sessions_cookie", "sticky_sessions_cookie_path"];
    let upstream = read(json!({ "policy": {} })).unwrap();
    assert!(quiet.iter().all(|name| view(&upstream).get(*name).is_none()));
    let body = json!({
        "policy": { "panic_threshold": 10 },
        "sticky_sessions_cookie": "c",
        "sticky_sessions_cookie_path": "/a",
    });
    let shown = view(&read(body).unwrap());
    assert_eq!(shown["policy"]["panic_threshold"], 10);
    assert_eq!(shown["policy"]["dns"]["families"], json!([4, 6]));
    assert_eq!((&shown["sticky_sessions_cookie"], &shown["sticky_sessions_cookie_path"]), (&json!("c"), &json!("/a")));
}

#[test]
fn defaults_of_a_policy() {
    let field = Policy::default();
    let Value::Object(shown) = crate::nested::show(&field) else { panic!("a record") };
    assert_eq!(
        Value::Object(shown),
        json!({
            "cookie": { "secure": "auto", "same_site": "Lax", "max_age": null, "domain": null },
            "recover_after": 0,
            "other_statuses": "ignore",
            "probe": {
                "port": null, "host": null, "method": "GET", "http_version": "1.1", "grpc_service": null,
                "jitter": 10, "initial": "healthy",
            },
            "outlier": null,
            "slow_start": { "duration": 0, "min_percent": 10, "aggression": 1 },
            "panic_threshold": 0,
            "limits": { "max_requests": 0, "max_queue": 0, "queue_timeout": 1 },
            "retry": {
                "on": ["connect", "reset_before_sent", "timeout"], "statuses": [], "methods": "idempotent",
                "per_try_timeout": 0, "total_timeout": 0, "budget_percent": 0, "budget_min": 3,
                "other_target": true,
            },
            "hash_balance_factor": 0,
            "zone": { "prefer": false, "min_healthy_percent": 70 },
            "dns": { "min_ttl": 1, "max_ttl": 3600, "stale": 3600, "nx_grace": 30, "families": [4, 6] },
        })
    );
    let outlier = read(json!({ "policy": { "outlier": {} } })).unwrap().policy.outlier.unwrap();
    assert_eq!(
        crate::nested::show(&outlier),
        json!({
            "consecutive": 5, "statuses": [502, 503, 504], "success_rate": 0, "window": 10,
            "min_requests": 100, "base": 30, "max": 300, "jitter": 10, "max_percent": 50,
        })
    );
}

#[test]
fn fields_of_a_policy_have_their_texts() {
    for (path, value, message) in [
        ("cookie.same_site", json!("lax"), "expected one of: Lax, Strict, None"),
        ("cookie.domain", json!("a:1"), "Invalid name ('a:1'); no port allowed"),
        ("recover_after", json!(-1), "value should be between 0 and 86400"),
        ("other_statuses", json!("x"), "expected one of: ignore, success, failure"),
        ("probe.port", json!(0), "value should be between 1 and 65535"),
        ("probe.http_version", json!("3"), "expected one of: 1.0, 1.1, 2"),
        ("probe.grpc_service", json!("a\nb"), "invalid value: \"a\\nb\""),
        ("outlier.max", json!(10), "value should be at least that of base"),
        ("slow_start.aggression", json!(0), "value should be greater than 0"),
        ("panic_threshold", json!(101), "value should be between 0 and 100"),
        ("limits.max_requests", json!(-1), "value should be between 0 and 1000000"),
        ("retry.on.1", json!("x"), "expected one of: connect, reset_before_sent, reset, timeout"),
        ("retry.statuses.1", json!(200), "value should be between 400 and 599"),
        ("hash_balance_factor", json!(100), "value should be 0 or greater than 100"),
        ("zone.min_healthy_percent", json!(101), "value should be between 0 and 100"),
        ("dns.min_ttl", json!(0), "value should be greater than 0"),
        ("dns.families", json!([]), "length must be at least 1"),
        ("dns.families.1", json!(5), "expected one of: 4, 6"),
        ("unknown", json!(1), "unknown field"),
    ] {
        let body = path.rsplit('.').fold(value, |value, name| match name {
            "1" => json!([value]),
            name => json!({ name: value }),
        });
        assert_eq!(broken(json!({ "policy": body })), [format!("policy.{path}: {message}")]);
    }
    let ttl = broken(json!({ "policy": { "dns": { "min_ttl": 60, "max_ttl": 30 } } }));
    assert_eq!(ttl, ["policy.dns.max_ttl: value should be at least that of min_ttl"]);
    let cookie = broken(json!({ "policy": { "cookie": { "same_site": "None", "secure": "never" } } }));
    assert_eq!(cookie.len(), 1);
}

#[test]
fn the_two_thresholds_exclude_each_other() {
    let body = json!({ "healthchecks": { "threshold": 50 }, "policy": { "panic_threshold": 0.5 } });
    let told = "policy.panic_threshold: cannot be set together with healthchecks.threshold";
    assert_eq!(broken(body), [told]);
}

#[test]
fn sticky_sessions_need_a_cookie() {
    let entity = "@entity: failed conditional validation given value of field 'algorithm'";
    let missing = "sticky_sessions_cookie: required field missing";
    assert_eq!(broken(json!({ "algorithm": "sticky-sessions" })), [entity, missing]);
}

#[test]
fn replacement_keeps_the_policy_unless_it_gives_one() {
    let kind = described(kind::UPSTREAM).unwrap();
    let held = read(json!({ "policy": { "recover_after": 5, "zone": { "prefer": true } } })).unwrap();
    let kept = |body: Value| {
        let mut fields = body.as_object().unwrap().clone();
        kind.keep(&held.canonical(), &mut fields);
        read(Value::Object(fields)).unwrap().policy
    };
    assert_eq!(kept(json!({})), held.policy);
    assert_eq!(*kept(json!({ "policy": null })), Policy::default());
    assert_eq!(kept(json!({ "policy": { "recover_after": 6 } })).recover_after, Number::whole(6));
}

#[test]
fn changes_merge_records_in_records() {
    let held = read(json!({ "healthchecks": { "threshold": 5, "active": { "timeout": 2 } } })).unwrap();
    let mut merged = crate::record::show(&held);
    let given = json!({ "healthchecks": { "active": { "healthy": { "interval": 3 } } }, "slots": 20 });
    crate::record::merge(Upstream::fields(), &mut merged, given.as_object().unwrap().clone());
    let now = read(Value::Object(merged)).unwrap();
    assert_eq!((now.slots, now.healthchecks.threshold), (20, Number::whole(5)));
    let active = &now.healthchecks.active;
    assert_eq!((active.timeout, active.healthy.interval), (Number::whole(2), Number::whole(3)));
}
