//! Only the used blocks of a PEM text are stored and shown.

use serde_json::{Value, json};
use testkit::plane::Database;

use super::certificates::{id, pair};
use super::{Admin, on_both_databases};

on_both_databases!(
    a_key_in_a_certificate_field_is_refused_and_not_repeated,
    text_around_certificates_is_not_stored,
);

/// The first line of a key's own text.
fn secret(pair: &Value) -> String {
    pair["key"].as_str().unwrap().lines().nth(1).unwrap().to_owned()
}

/// The whole lines of a key's own text; one may be split between two pages of a file.
fn lines(pair: &Value) -> Vec<String> {
    pair["key"].as_str().unwrap().lines().filter(|line| line.len() == 64).map(str::to_owned).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

async fn a_key_in_a_certificate_field_is_refused_and_not_repeated(admin: &Admin) {
    let (good, ed25519) = (pair(&["a.example"]), rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    let second = rcgen::CertificateParams::default().self_signed(&ed25519).unwrap().pem();
    let made = admin.post("/certificates", &good).await.expect(201).json();
    let at = format!("/certificates/{}", id(&made));
    let both = format!("{}{}", text(&good["cert"]), text(&good["key"]));
    let key_first = format!("{}{}", text(&good["key"]), text(&good["cert"]));
    let with = |field: &str, value: &str| {
        let mut body = good.clone();
        (body["cert_alt"], body["key_alt"]) = (json!(second), json!(ed25519.serialize_pem()));
        body[field] = json!(value);
        body
    };
    for (method, target, body, field) in [
        ("POST", "/certificates", with("cert", &both), "cert"),
        ("POST", "/certificates", with("cert", &key_first), "cert"),
        ("POST", "/certificates", with("cert_alt", &both), "cert_alt"),
        ("POST", "/certificates", with("key", &both), "key"),
        ("POST", "/certificates", with("key_alt", &key_first), "key_alt"),
        ("PUT", at.as_str(), with("cert", &both), "cert"),
        ("PATCH", at.as_str(), json!({ "cert": both }), "cert"),
        ("PATCH", at.as_str(), json!({ "key": text(&good["key"]).repeat(2) }), "key"),
        ("POST", "/ca_certificates", json!({ "cert": both }), "cert"),
        ("POST", "/ca_certificates", json!({ "cert": key_first }), "cert"),
    ] {
        let request = testkit::http::Request::new(method, target).json(&body);
        let answer = admin.client.send(&request).await.unwrap().expect(400);
        assert!(answer.json()["fields"][field].is_string(), "{method} {target} {field}: {}", answer.text());
        assert!(!answer.text().contains(&secret(&good)), "{}", answer.text());
    }
    assert_eq!(admin.get(&at).await.json(), made);
    assert!(!admin.control.node.log().contains(&secret(&good)));
}

async fn text_around_certificates_is_not_stored(admin: &Admin) {
    let (good, issuer) = (pair(&["a.example"]), pair(&["issuer"]));
    let chain = format!("{}{}", text(&good["cert"]), text(&issuer["cert"]));
    let noisy = format!("Bag: hunter2\r\n{}# hunter2", chain.replace('\n', "\r\n"));
    let key = format!("hunter2\n{}hunter2", text(&good["key"]));
    let made = admin.post("/certificates", &json!({ "cert": noisy, "key": key })).await.expect(201);
    assert_eq!(made.json()["cert"], chain);
    let at = format!("/certificates/{}", id(&made.json()));
    // The canonical form of the same texts changes nothing.
    let same = admin.put(&at, &json!({ "cert": chain, "key": good["key"] })).await.expect(200);
    assert_eq!(super::revision(&same), super::revision(&made));
    let shown = admin.get("/certificates").await.expect(200).text();
    assert!(!shown.contains("hunter2") && !made.text().contains("hunter2"), "{shown}");
}

/// Neither the file of the database nor the log beside it has a key that was replaced or deleted.
#[tokio::test]
async fn replaced_and_deleted_keys_leave_the_files_of_sqlite() {
    let mut admin = Admin::start(Database::Sqlite).await;
    let (mut old, mut present) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let name = format!("{n}.example");
        let (first, second) = (pair(&[&name]), pair(&[&name]));
        let made = admin.post("/certificates", &first).await.expect(201).json();
        let at = format!("/certificates/{}", id(&made));
        admin.put(&at, &second).await.expect(200);
        old.extend(lines(&first));
        if n % 3 == 0 {
            admin.delete(&at).await.expect(204);
            old.extend(lines(&second));
        } else {
            present.extend(lines(&second));
        }
    }
    let files = || {
        let files = std::fs::read_dir(admin.control.data()).unwrap().flatten();
        let read = files.filter_map(|file| std::fs::read(file.path()).ok());
        read.flatten().collect::<Vec<u8>>()
    };
    let is_in = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    testkit::wait::eventually(testkit::plane::DEADLINE, || {
        let bytes = files();
        let left = old.iter().filter(|key| is_in(&bytes, key)).count();
        std::future::ready(if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} of {} lines are left", old.len()))
        })
    })
    .await;
    let bytes = files();
    assert!(present.iter().any(|key| is_in(&bytes, key)), "those in use are there");
    admin.control.node.stop().await;
}
