//! ip-restriction: who may ask.

use serde_json::{Value, json};
use testkit::http::Request;

use super::{Plugged, plugin};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_allowed_and_denied() {
    let plugged = Plugged::start(&[]);
    let usual = "IP address not allowed: 127.0.0.1";
    for (config, status, message) in [
        (json!({ "allow": ["127.0.0.0/8"] }), 200, None),
        (json!({ "allow": ["10.0.0.0/8", "::1"] }), 403, Some(usual)),
        (json!({ "deny": ["127.0.0.1"] }), 403, Some(usual)),
        (json!({ "deny": ["10.0.0.0/8"] }), 200, None),
        (json!({ "allow": ["127.0.0.1"], "deny": ["127.0.0.0/30"] }), 403, Some(usual)),
        (
            json!({ "deny": ["127.0.0.1"], "status": 451, "message": "not \"here\"" }),
            451,
            Some("not \"here\""),
        ),
    ] {
        plugged.put_plugins(&[plugin("ip-restriction", config.clone())]);
        // The client's own words do not count: nobody is trusted.
        let request =
            Request::new("GET", "/").header("X-Forwarded-For", "10.0.0.1").header("X-Real-IP", "10.0.0.1");
        let answer = plugged.send(&request).await.expect(status);
        assert_eq!(plugged.received().len(), usize::from(status == 200), "{config}");
        if let Some(message) = message {
            assert_eq!(answer.json()["message"], message);
            assert!(answer.json()["request_id"].is_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_trusted_peers_report_count() {
    let denied = [plugin("ip-restriction", json!({ "deny": ["192.0.2.7", "2001:db8::/32"] }))];
    let plugged = Plugged::with(&[("proxy.trusted_ips", "127.0.0.0/8")], &denied);
    for (address, status) in
        [("192.0.2.7", 403), ("192.0.2.8", 200), ("2001:db8::1", 403), ("::ffff:192.0.2.7", 403)]
    {
        let answer =
            plugged.send(&Request::new("GET", "/").header("X-Real-IP", address)).await.expect(status);
        if status == 403 {
            let shown = address.trim_start_matches("::ffff:");
            let message: Value = format!("IP address not allowed: {shown}").into();
            assert_eq!(answer.json()["message"], message);
        }
    }
}
