//! Plugins that report to collectors: their defaults and messages.

use super::*;

fn config(name: &str, config: Value) -> Value {
    json!({ "name": name, "config": config })
}

fn queue(batch: u32) -> Value {
    json!({
        "max_batch_size": batch, "max_coalescing_delay": 1, "max_entries": 10_000, "max_bytes": null,
        "max_retry_time": 60, "initial_retry_delay": 0.01, "max_retry_delay": 60, "concurrency_limit": 1,
    })
}

#[test]
fn defaults_are_those_of_kong() {
    for (name, given, expected) in [
        (
            "file-log",
            json!({ "path": "/dev/stdout" }),
            json!({ "path": "/dev/stdout", "reopen": false, "custom_fields_by_lua": null }),
        ),
        (
            "http-log",
            json!({ "http_endpoint": "http://a/" }),
            json!({
                "http_endpoint": "http://a/", "method": "POST", "content_type": "application/json",
                "timeout": 10_000, "keepalive": 60_000, "retry_count": null, "queue_size": null,
                "flush_timeout": null, "headers": null, "queue": queue(1), "custom_fields_by_lua": null,
            }),
        ),
        (
            "tcp-log",
            json!({ "host": "a", "port": 1 }),
            json!({
                "host": "a", "port": 1, "timeout": 10_000, "keepalive": 60_000, "tls": false,
                "tls_sni": null, "custom_fields_by_lua": null,
            }),
        ),
        (
            "udp-log",
            json!({ "host": "a", "port": 1 }),
            json!({ "host": "a", "port": 1, "timeout": 10_000, "custom_fields_by_lua": null }),
        ),
        (
            "syslog",
            json!({}),
            json!({
                "log_level": "info", "successful_severity": "info", "client_errors_severity": "info",
                "server_errors_severity": "info", "custom_fields_by_lua": null, "facility": "user",
            }),
        ),
        (
            "opentelemetry",
            json!({ "endpoint": "http://a/v1/traces" }),
            json!({
                "traces_endpoint": "http://a/v1/traces", "logs_endpoint": null, "headers": null,
                "resource_attributes": null, "queue": queue(200), "batch_span_count": null,
                "batch_flush_delay": null, "connect_timeout": 1000, "send_timeout": 5000,
                "read_timeout": 5000, "http_response_header_for_traceid": null, "header_type": "preserve",
                "sampling_rate": null, "endpoint": "http://a/v1/traces",
                "propagation": {
                    "extract": ["w3c", "b3", "jaeger", "ot", "datadog", "aws", "gcp", "instana"],
                    "clear": null, "inject": ["preserve"], "default_format": "w3c",
                },
            }),
        ),
    ] {
        assert_eq!(view(&config(name, given))["config"], expected, "{name}");
    }
    let statsd = &view(&config("statsd", json!({})))["config"];
    assert_eq!((&statsd["host"], &statsd["port"], &statsd["prefix"]), (&json!("localhost"), &json!(8125), &json!("kong")));
    assert_eq!(statsd["metrics"].as_array().unwrap().len(), 13);
    assert_eq!(
        statsd["metrics"][0],
        json!({
            "name": "request_count", "stat_type": "counter", "sample_rate": 1, "consumer_identifier": null,
            "service_identifier": null, "workspace_identifier": null,
        })
    );
    let partial = config("opentelemetry", json!({ "traces_endpoint": "http://a", "queue": { "max_entries": 5 } }));
    assert_eq!(view(&partial)["config"]["queue"]["max_batch_size"], 200);
}

#[test]
fn messages_are_those_of_kong() {
    let http = |more: Value| {
        let mut given = json!({ "http_endpoint": "http://a" });
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config("http-log", given)
    };
    let lua = "Lua is not run: expected return with a constant, nil, or a look-up such as \
               kong.request.get_header(\"name\")";
    for (body, expected) in [
        (config("file-log", json!({})), vec!["config.path: required field missing".to_owned()]),
        (config("file-log", json!({ "path": "a*b" })), vec!["config.path: not a valid filename".into()]),
        (config("http-log", json!({})), vec!["config.http_endpoint: required field missing".into()]),
        (http(json!({ "http_endpoint": "a" })), vec!["config.http_endpoint: missing host in url".into()]),
        (http(json!({ "http_endpoint": "ftp://a" })), vec!["config.http_endpoint: could not parse url".into()]),
        (http(json!({ "method": "GET" })), vec!["config.method: expected one of: POST, PUT, PATCH".into()]),
        (
            http(json!({ "headers": { "host": "a" } })),
            vec!["config.headers: cannot contain 'Host' header".into()],
        ),
        (
            http(json!({ "http_endpoint": "http://u:p@a", "headers": { "authorization": "b" } })),
            vec![
                "config: specifying both an 'Authorization' header and user info in 'http_endpoint' is not \
                 allowed"
                    .into(),
            ],
        ),
        (
            http(json!({ "queue": { "max_batch_size": 0, "concurrency_limit": 2, "max_retry_delay": 0 } })),
            vec![
                "config.queue.concurrency_limit: expected one of: 1, -1".into(),
                "config.queue.max_batch_size: value should be between 1 and 1000000".into(),
                "config.queue.max_retry_delay: value should be between 0.001 and 1000000".into(),
            ],
        ),
        (
            http(json!({ "custom_fields_by_lua": { "a": "return os.time()" } })),
            vec![format!("config.custom_fields_by_lua: {lua}")],
        ),
        (
            config("tcp-log", json!({})),
            vec!["config.host: required field missing".into(), "config.port: required field missing".into()],
        ),
        (
            config("udp-log", json!({ "host": "a", "port": 65_536 })),
            vec!["config.port: value should be between 0 and 65535".into()],
        ),
        (
            config("syslog", json!({ "log_level": "x" })),
            vec![
                "config.log_level: expected one of: debug, info, notice, warning, err, crit, alert, emerg"
                    .into(),
            ],
        ),
        (
            config("statsd", json!({ "metrics": [{ "name": "latency" }] })),
            vec!["config.metrics.1.stat_type: required field missing".into()],
        ),
        (
            config("statsd", json!({ "metrics": [{ "name": "request_count", "stat_type": "counter" }] })),
            vec!["config.metrics.1.sample_rate: required field missing".into()],
        ),
        (
            config("opentelemetry", json!({})),
            vec![
                "@entity: at least one of these fields must be non-empty: 'config.traces_endpoint', \
                 'config.logs_endpoint'"
                    .into(),
            ],
        ),
        (
            config("opentelemetry", json!({ "traces_endpoint": "http://a", "sampling_rate": 2 })),
            vec!["config.sampling_rate: value should be between 0 and 1".into()],
        ),
        (
            config(
                "opentelemetry",
                json!({ "traces_endpoint": "http://a", "http_response_header_for_traceid": "content-Length" }),
            ),
            vec!["config.http_response_header_for_traceid: invalid value: content-Length".into()],
        ),
        (
            config("opentelemetry", json!({ "traces_endpoint": "http://a", "propagation": { "extract": ["preserve"] } })),
            vec![
                "config.propagation.extract.1: expected one of: ot, w3c, datadog, b3, gcp, jaeger, aws, instana"
                    .into(),
            ],
        ),
    ] {
        assert_eq!(broken(&body), expected, "{body}");
    }
}
