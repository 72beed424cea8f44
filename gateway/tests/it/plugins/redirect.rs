//! redirect: where clients are sent.

use model::Route;
use serde_json::json;

use super::{Plugged, plugin};
use crate::support::{route, service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_sent_to_a_location() {
    let plugged = Plugged::start(&[]);
    plugged.gateway.serve(service(1, &plugged.origin), Route { strip_path: true, ..route(1, "/in") });
    for (config, target, status, location) in [
        (json!({ "location": "https://a.test/x?y=1#f" }), "/in/b?c=d", 301, "https://a.test/x?y=1#f"),
        (json!({ "location": "http://a.test", "status_code": 307 }), "/in", 307, "http://a.test"),
        (
            json!({ "location": "https://a.test:81/x?y=1#f", "keep_incoming_path": true }),
            "/in/b%20c?c=d&e",
            301,
            "https://a.test:81/in/b%20c?c=d&e#f",
        ),
        (
            json!({ "location": "https://a.test", "keep_incoming_path": true, "status_code": 308 }),
            "/in",
            308,
            "https://a.test/in",
        ),
    ] {
        plugged.put_plugins(&[plugin("redirect", config.clone())]);
        let answer = plugged.get(target).await.expect(status);
        assert_eq!(answer.header("location"), Some(location), "{config}");
        assert_eq!((answer.text().as_str(), answer.header("content-type")), ("redirecting", None));
        assert!(plugged.received().is_empty());
    }
}
