//! bot-detection: which programs may ask.

use serde_json::json;
use testkit::curl::curl;
use testkit::http::Request;

use super::{Plugged, plugin};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_allowed_and_denied() {
    let plugged = Plugged::start(&[]);
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    for (config, agents, status, message) in [
        (json!({}), &[][..], 200, None),
        (json!({}), &[firefox], 200, None),
        (json!({}), &["curl/8.5.0"], 200, None),
        (json!({}), &["Go-http-client/1.1"], 403, Some("Forbidden")),
        (json!({}), &[firefox, firefox], 400, Some("Only one User-Agent header allowed")),
        (json!({ "allow": ["^Go-http"] }), &["Go-http-client/1.1"], 200, None),
        (json!({ "deny": ["Firefox"] }), &[firefox], 403, Some("Forbidden")),
        (json!({ "deny": ["Firefox"], "allow": ["Linux"] }), &[firefox], 200, None),
    ] {
        plugged.put_plugins(&[plugin("bot-detection", config.clone())]);
        let request = agents
            .iter()
            .fold(Request::new("GET", "/"), |request, agent| request.header("User-Agent", agent));
        let answer = plugged.send(&request).await.expect(status);
        assert_eq!(plugged.received().len(), usize::from(status == 200), "{config} {agents:?}");
        if let Some(message) = message {
            assert_eq!(answer.json()["message"], message);
        }
    }
    let url = format!("http://{}/", plugged.gateway.address());
    let http2 = ["--http2-prior-knowledge", "-A", "Go-http-client/2.0", &url];
    let status = ["-w", "%{http_code}", "-o", "/dev/null"];
    assert_eq!(curl(&[&http2[..], &status].concat()).await.unwrap(), "403");
}
