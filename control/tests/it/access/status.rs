//! The status listener with tokens: all but readiness needs one.

use node::tokens::TokenRole;
use testkit::http::Request;

use super::{Stage, token};

#[tokio::test]
async fn token_is_needed_for_all_but_readiness() {
    let mut stage = Stage::new();
    let reader = token("prometheus", TokenRole::Read);
    stage.write_tokens(&[&reader]);
    stage.control.node.set("status.tokens", stage.folder.path().join("tokens").display());
    stage.control.node.start().await;
    let status = stage.control.node.status();
    for path in ["/metrics", "/status", "/status/", "//metrics", "/elsewhere"] {
        status.get(path).await.unwrap().expect(401);
        let with = Request::new("GET", path).header("Authorization", &format!("Bearer {}", reader.secret));
        let answer = status.send(&with).await.unwrap();
        assert_eq!(answer.status, if path == "/elsewhere" { 404 } else { 200 });
    }
    status.get("/status/ready").await.unwrap().expect(200);
    status.get("//status/ready/").await.unwrap().expect(200);
    stage.send(Request::new("GET", "/services")).await.expect(200);
    stage.stop().await;
}
