//! correlation-id: the id that a request has.

use std::collections::HashSet;

use serde_json::{Value, json};
use testkit::http::Request;
use testkit::origin::Answer;
use uuid::Uuid;

use super::{Plugged, plugin};
use crate::support::{route, service};

fn correlation(config: Value) -> Value {
    plugin("correlation-id", config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_get_an_id_unless_they_have_one() {
    let plugged = Plugged::start(&[correlation(json!({ "echo_downstream": true }))]);
    let mut ids = HashSet::new();
    for sent in [None, Some(""), Some("mine")] {
        let request = Request::new("GET", "/");
        let request = sent.iter().fold(request, |request, id| request.header("kong-request-id", id));
        let answer = plugged.send(&request).await.expect(200);
        let received = plugged.received().remove(0);
        let values: Vec<_> = received.header_values("Kong-Request-ID").collect();
        assert_eq!(values.len(), 1, "{sent:?}");
        assert_eq!(answer.header("Kong-Request-ID"), Some(values[0]));
        if sent == Some("mine") {
            assert_eq!(values, ["mine"]);
        } else {
            let (process, number) = values[0].split_once('#').unwrap();
            assert!(Uuid::parse_str(process).is_ok() && number.parse::<u64>().is_ok(), "{values:?}");
            assert!(ids.insert(values[0].to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_with_hyphens_for_underscores_is_kept() {
    let plugged = Plugged::start(&[correlation(json!({ "header_name": "x_corr", "echo_downstream": true }))]);
    for (sent, hyphens, underscores) in [
        (&[("x-corr", "mine")][..], &["mine"][..], &[][..]),
        (&[("x_corr", "mine")], &[], &["mine"]),
        (&[("x-corr", "other"), ("x_corr", "mine")], &["other"], &["mine"]),
    ] {
        let request = Request::new("GET", "/");
        let request = sent.iter().fold(request, |request, (name, id)| request.header(name, id));
        let answer = plugged.send(&request).await.expect(200);
        let received = plugged.received().remove(0);
        for (name, ids) in [("x-corr", hyphens), ("x_corr", underscores)] {
            assert_eq!(received.header_values(name).collect::<Vec<_>>(), ids, "{name} of {sent:?}");
        }
        // The answer has it under the name that is configured.
        assert_eq!(answer.header("x_corr"), Some("mine"), "{sent:?}");
    }
    plugged.get("/").await.expect(200);
    let received = plugged.received().remove(0);
    assert!(received.header("x_corr").is_some() && received.header("x-corr").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generators_and_the_echo() {
    let plugged = Plugged::start(&[correlation(json!({ "header_name": "X-Id", "generator": "uuid" }))]);
    plugged.origin.answer(Answer::status(200).header("X-Id", "of the origin"));
    let answer = plugged.get("/").await.expect(200);
    assert!(Uuid::parse_str(plugged.received()[0].header("x-id").unwrap()).is_ok());
    assert_eq!(answer.header("x-id"), Some("of the origin"));
    let config = json!({ "header_name": "X-Id", "generator": "tracker", "echo_downstream": true });
    plugged.put_plugins(&[correlation(config)]);
    let answer = plugged.get("/").await.expect(200);
    let id = plugged.received()[0].header("x-id").unwrap().to_owned();
    let begin = format!("127.0.0.1-{}-{}-", plugged.gateway.address().port(), std::process::id());
    assert!(id.starts_with(&begin) && id.split('-').count() == 6, "{id}");
    assert_eq!(answer.header_values("x-id").collect::<Vec<_>>(), [id.as_str()]);
    // A path without a route.
    plugged.gateway.serve(service(1, &plugged.origin), route(1, "/only"));
    assert!(plugged.get("/").await.expect(404).header("x-id").is_some());
}
