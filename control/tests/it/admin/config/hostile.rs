//! Documents that are made to do harm, and clients that do not end.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::certs;
use testkit::http::{Connection, Request, Response};
use testkit::plane::{Control, DEADLINE, Database};
use testkit::wait;

use super::Admin;

/// Bytes of a document, where a test bounds them.
const MAX_DOCUMENT: usize = 1 << 20;

async fn send(admin: &Admin, content_type: &str, body: String) -> Response {
    let request = Request::new("POST", "/config").header("content-type", content_type).body(body);
    admin.control.admin().with_deadline(Duration::from_secs(120)).send(&request).await.unwrap()
}

#[tokio::test]
async fn hostile_documents_are_refused() {
    let admin = Admin::start(Database::Sqlite).await;
    let in_service = |fields: String| format!("{{\"_format_version\":\"3.0\",\"services\":[{{{fields}}}]}}");
    let name = "n".repeat(1 << 20);
    let many = "\"\",".repeat(1_300_000);
    for (body, reason) in [
        (in_service(format!("\"host\":{}", "[".repeat(1 << 20))), "at most 16 levels"),
        ("[".repeat(1 << 20), "it is not JSON"),
        (format!("{{\"_comment\":{}", "[".repeat(1 << 20)), "it is not JSON"),
        (in_service(format!("\"tags\":[{many}\"\"]")), "at most 100000 values"),
        (in_service(format!("\"host\":\"a\",\"name\":\"{name}\"")), "length must be at most 1024 bytes"),
        (in_service(format!("\"{name}\":1")), "bytes of a field's name"),
        (format!("{{\"{name}\":1}}"), "bytes of a key"),
    ] {
        let refused = send(&admin, "application/json", body).await.expect(400).text();
        assert!(refused.contains(reason) && refused.len() < 4000, "{}", &refused[..refused.len().min(4000)]);
    }
    let bomb = (1..9).fold("- &l0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, level| {
        let aliases = vec![format!("*l{}", level - 1); 9].join(",");
        format!("{text}- &l{level} [{aliases}]\n")
    });
    for body in [
        format!("_format_version: \"3.0\"\n_ignore:\n{bomb}"),
        format!("_format_version: \"3.0\"\nservices: {}", "[".repeat(1 << 20)),
        format!("_format_version: \"3.0\"\nservices: {}", "- ".repeat(1 << 20)),
        "&a [*a]".to_owned(),
    ] {
        let refused = send(&admin, "application/yaml", body).await.expect(400).text();
        assert!(refused.len() < 4000, "{refused}");
    }
    let services: Vec<Value> = (0..20_000).map(|number| json!({ "name": format!("s{number}") })).collect();
    let body = json!({ "_format_version": "3.0", "services": services }).to_string();
    let refused = send(&admin, "application/json", body).await.expect(400);
    assert_eq!(refused.json()["unnamed_errors"], 19_000);
    assert_eq!(admin.head().await, 0);
    admin.stop().await;
}

#[tokio::test]
async fn documents_have_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(Database::Sqlite, &certs::valid(folder.path(), "cluster"));
    control.node.set("admin.max_config_body", 2 << 20);
    control.node.set("admin.max_config_memory", 3 << 20);
    control.node.start().await;
    let admin = control.admin().with_deadline(DEADLINE);
    let text =
        |bytes: usize| format!("{{\"_format_version\":\"3.0\",\"_comment\":\"{}\"}}", "x".repeat(bytes));
    let post =
        |body: String| Request::new("POST", "/config").header("content-type", "application/json").body(body);
    admin.send(&post(text(2_000_000))).await.unwrap().expect(200);
    admin.send(&post(text(3_000_000))).await.unwrap().expect(413);
    let services: Vec<Value> =
        (0..8000).map(|number| json!({ "name": format!("s{number}"), "host": "a" })).collect();
    let many = json!({ "_format_version": "3.0", "services": services }).to_string();
    let refused = admin.send(&post(many)).await.unwrap().expect(413).text();
    assert!(refused.contains("admin.max_config_memory"), "{refused}");
    control.node.stop().await;
}

#[tokio::test]
async fn slow_clients_keep_no_document_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(Database::Sqlite, &certs::valid(folder.path(), "cluster"));
    control.node.set("admin.max_config_body", MAX_DOCUMENT);
    control.node.start().await;
    let admin = control.admin().with_deadline(DEADLINE);
    let document = json!({ "_format_version": "3.0" });
    let begin = async |length: usize| {
        let mut slow = Connection::open(admin.address()).await.unwrap();
        let head = format!(
            "POST /config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        slow.write(head.as_bytes()).await.unwrap();
        slow
    };
    let body = document.to_string();
    let mut slow = begin(body.len()).await;
    admin.post("/config", &document).await.unwrap().expect(200);
    slow.write(body.as_bytes()).await.unwrap();
    slow.read_response(false).await.unwrap().expect(200);

    // All that are being read have together the memory of one.
    let large = wait::eventually(DEADLINE, || async {
        let mut large = begin(MAX_DOCUMENT).await;
        large.write(&vec![b' '; MAX_DOCUMENT - 10]).await.unwrap();
        let answer = admin.post("/config", &document).await.unwrap();
        let retry = answer.header("retry-after").is_some();
        // If this one is read first, the large one is refused.
        if answer.status == 429 && retry { Ok(large) } else { Err(answer.status) }
    })
    .await;
    // A client that leaves gives its share back.
    drop(large);
    wait::eventually(DEADLINE, || async {
        let answer = admin.post("/config", &document).await.unwrap();
        if answer.status == 200 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    control.node.stop().await;
}
