//! Credentials: what is made up, what is shown, what is stored, and whose they are.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::certs;
use testkit::http::Request;
use testkit::plane::{Control, Database};

use super::certificates::id;
use super::{Admin, on_both_databases, revision};

on_both_databases!(
    values_are_made_up_and_shown_once,
    keys_are_found_by_themselves,
    key_is_stored_as_a_hash_and_in_no_log,
    time_to_live_counts_down,
    passwords_are_stored_as_hashes,
    credential_belongs_to_one_consumer,
    hidden_values_stay,
    tokens_need_a_public_key_that_can_be_read,
    first_keys_of_many_clients_have_one_key_of_hashes,
);

impl Admin {
    async fn consumers(&self, names: &[&str]) {
        for name in names {
            self.post("/consumers", &json!({ "username": name })).await.expect(201);
        }
    }
}

async fn values_are_made_up_and_shown_once(admin: &Admin) {
    admin.consumers(&["alice"]).await;
    for (nested, body, names, secret) in [
        ("key-auth", json!({}), &["key"][..], &["key"][..]),
        ("jwt", json!({}), &["key", "secret"], &["secret"]),
        ("hmac-auth", json!({ "username": "alice" }), &["secret"], &["secret"]),
    ] {
        let at = format!("/consumers/alice/{nested}");
        let made = admin.post(&at, &body).await.expect(201).json();
        for name in names {
            assert_eq!(made[name].as_str().map(str::len), Some(32), "{nested}: {made}");
        }
        let shown = admin.get(&format!("{at}/{}", id(&made))).await.expect(200).json();
        for name in names {
            let is_hidden = shown[name].as_str().unwrap().starts_with("***");
            assert_eq!(is_hidden, secret.contains(name), "{nested}: {shown}");
            assert!(is_hidden || shown[name] == made[name], "{nested}: {shown}");
        }
        let listed = admin.get(&at).await.expect(200).json();
        assert_eq!(listed["data"], json!([shown]), "{nested}");
        // A change of something else shows and changes no secret.
        let tagged = admin.patch(&format!("{at}/{}", id(&made)), &json!({ "tags": ["t"] })).await;
        assert_eq!(tagged.expect(200).json()[secret[0]], shown[secret[0]], "{nested}");
    }
    let none = admin.post("/consumers/alice/key-auth", &json!({ "key": null })).await.expect(201).json();
    assert_eq!((&none["key"], &none["ttl"]), (&json!(null), &json!(null)));
    let form = admin.client.post_form("/consumers/alice/key-auth", &[("key", "of-a-form")]).await.unwrap();
    assert_eq!(form.expect(201).json()["key"], "of-a-form");
}

async fn keys_are_found_by_themselves(admin: &Admin) {
    admin.consumers(&["alice"]).await;
    admin.get("/key-auths/first").await.expect(404);
    let body = json!({ "key": "first", "consumer": { "username": "alice" } });
    let made = admin.post("/key-auths", &body).await.expect(201).json();
    assert_eq!(made["key"], "first");
    for path in ["/key-auths/first", "/consumers/alice/key-auth/first"] {
        assert_eq!(admin.get(path).await.expect(200).json()["id"], made["id"], "{path}");
    }
    assert_eq!(admin.get("/key-auths/first/consumer").await.expect(200).json()["username"], "alice");
    let taken = admin.post("/key-auths", &body).await.expect(409).json();
    assert_eq!(taken["message"], "UNIQUE violation detected on '{key=\"first\"}'");
    assert_eq!((&taken["code"], &taken["fields"]), (&json!(5), &json!({ "key": "first" })));
    let put =
        admin.put("/key-auths/second", &json!({ "consumer": made["consumer"] })).await.expect(200).json();
    assert_eq!(put["key"], "second");
    let renamed = admin.patch("/key-auths/first", &json!({ "key": "third" })).await.expect(200).json();
    assert_eq!((&renamed["key"], &renamed["id"]), (&json!("third"), &made["id"]));
    admin.get("/key-auths/first").await.expect(404);
    let absent = admin.patch("/key-auths/first", &json!({})).await.expect(404).json();
    assert_eq!(absent["message"], "could not find the entity with '{key=\"first\"}'");
    admin.delete("/key-auths/first").await.expect(204);
    admin.delete("/consumers/alice/key-auth/first").await.expect(404);
    admin.delete("/key-auths/third").await.expect(204);
    let without = admin.post("/key-auths", &json!({ "key": "a" })).await.expect(400).json();
    assert_eq!(without["message"], "schema violation (consumer: required field missing)");
    for bad in [json!(1), json!("a\r\nb"), json!("x".repeat(4097)), json!("***"), json!("***-a")] {
        let body = json!({ "key": bad });
        let refused = admin.post("/consumers/alice/key-auth", &body).await.expect(400).json();
        assert!(refused["fields"]["key"].is_string(), "{refused}");
    }
}

async fn key_is_stored_as_a_hash_and_in_no_log(admin: &Admin) {
    admin.consumers(&["alice"]).await;
    let key = "do-not-store-me";
    let made = admin.post("/consumers/alice/key-auth", &json!({ "key": key })).await.expect(201);
    let one = format!("/consumers/alice/key-auth/{}", id(&made.json()));
    let again = admin.put(&one, &json!({ "key": key })).await.expect(200);
    assert_eq!(revision(&again), revision(&made), "the same key changes nothing");
    admin.patch(&format!("/key-auths/{key}"), &json!({ "tags": ["t"] })).await.expect(200);
    admin.delete(&format!("/consumers/alice/key-auth/{key}")).await.expect(204);
    admin
        .put(&format!("/key-auths/{key}"), &json!({ "consumer": { "username": "alice" } }))
        .await
        .expect(200);
    for path in ["/key-auths", "/config", "/config?ids=true", "/audit", "/tags"] {
        let text = admin.get(path).await.expect(200).text();
        assert!(!text.contains(key) && !text.contains("\"hash\""), "{path}: {text}");
    }
    assert!(!admin.control.node.log().contains(key));
    if !admin.control.database().starts_with("postgres") {
        let files = std::fs::read_dir(admin.control.data()).unwrap().flatten();
        let bytes: Vec<u8> = files.filter_map(|file| std::fs::read(file.path()).ok()).flatten().collect();
        assert!(!bytes.windows(key.len()).any(|part| part == key.as_bytes()), "the files hold the key");
    }
}

async fn time_to_live_counts_down(admin: &Admin) {
    admin.consumers(&["alice"]).await;
    let at = "/consumers/alice/key-auth";
    let made = admin.post(at, &json!({ "key": "long", "ttl": 100 })).await.expect(201).json();
    let left = |shown: &Value| shown["ttl"].as_i64().unwrap();
    assert!((98..=100).contains(&left(&made)), "{made}");
    let tagged = admin.patch("/key-auths/long", &json!({ "tags": ["t"] })).await.expect(200).json();
    assert!((90..=100).contains(&left(&tagged)), "{tagged}");
    let longer = admin.patch("/key-auths/long", &json!({ "ttl": 1000 })).await.expect(200).json();
    assert!((990..=1000).contains(&left(&longer)), "{longer}");
    let for_ever = admin.patch("/key-auths/long", &json!({ "ttl": 0 })).await.expect(200).json();
    assert_eq!(for_ever["ttl"], json!(null));
    for bad in [json!(-1), json!(100_000_001), json!("10"), json!(1.5), json!({})] {
        let refused = admin.post(at, &json!({ "ttl": bad })).await.expect(400).json();
        assert_eq!((&refused["code"], &refused["name"]), (&json!(11), &json!("invalid options")));
        assert_eq!(refused["options"]["ttl"], "must be an integer between 0 and 100000000");
    }
    let form = admin.client.post_form(at, &[("key", "of-a-form"), ("ttl", "50")]).await.unwrap().expect(201);
    assert!(left(&form.json()) <= 50);
    let other = admin.post("/consumers/alice/jwt", &json!({ "ttl": 10 })).await.expect(400).json();
    assert_eq!(other["fields"]["ttl"], "unknown field");

    let short = id(&admin.post(at, &json!({ "key": "short", "ttl": 1 })).await.expect(201).json());
    let gone = async |path: String| {
        testkit::wait::eventually(Duration::from_secs(20), || async {
            let status = admin.client.get(&path).await.unwrap().status;
            if status == 404 { Ok(()) } else { Err(format!("{path}: {status}")) }
        })
        .await;
    };
    gone("/key-auths/short".to_owned()).await;
    // Also before it is deleted, another one may have its value.
    let next = admin.put(&format!("{at}/short"), &json!({})).await.expect(200);
    assert_ne!(id(&next.json()), short);
    gone(format!("{at}/{short}")).await;
    assert!(!admin.get(at).await.expect(200).text().contains(&short));
}

async fn passwords_are_stored_as_hashes(admin: &Admin) {
    admin.consumers(&["alice", "bob"]).await;
    let at = "/consumers/alice/basic-auth";
    let body = json!({ "username": "alice", "password": "correct horse" });
    let made = admin.post(at, &body).await.expect(201);
    let first = made.json()["password"].as_str().unwrap().to_owned();
    assert!(first.starts_with("$argon2id$v=19$"), "{first}");
    assert_eq!(admin.get("/basic-auths/alice").await.expect(200).json()["password"], "***");
    let again = admin.put(&format!("{at}/alice"), &json!({ "password": "correct horse" })).await.expect(200);
    assert_eq!((revision(&again), &again.json()["password"]), (revision(&made), &json!(first)));

    let rule = json!(["all or none of these fields must be set: 'password', 'consumer.id'"]);
    for body in [json!({ "password": "b" }), json!({ "consumer": made.json()["consumer"] })] {
        let refused = admin.patch("/basic-auths/alice", &body).await.expect(400).json();
        assert_eq!(refused["fields"]["@entity"], rule, "{refused}");
        admin.patch("/basic-auths/nobody", &body).await.expect(404);
    }
    let nested = admin.patch(&format!("{at}/alice"), &json!({ "password": "b" })).await.expect(200).json();
    assert_ne!(nested["password"], json!(first));
    let whole = json!({ "password": "c", "consumer": { "username": "bob" } });
    let moved = admin.patch("/basic-auths/alice", &whole).await.expect(200).json();
    assert_ne!(moved["consumer"], made.json()["consumer"]);
    admin.patch("/basic-auths/alice", &json!({ "username": "carol" })).await.expect(200);
    admin.get("/consumers/bob/basic-auth/carol").await.expect(200);
    admin.get(&format!("{at}/carol")).await.expect(404);
    for (body, field) in [
        (json!({ "username": "x" }), "password"),
        (json!({ "username": "x", "password": null }), "password"),
        (json!({ "password": "x" }), "username"),
    ] {
        let refused = admin.post(at, &body).await.expect(400).json();
        assert_eq!(refused["fields"][field], "required field missing", "{refused}");
    }
    assert!(!admin.control.node.log().contains("correct horse"));
}

async fn credential_belongs_to_one_consumer(admin: &Admin) {
    admin.consumers(&["alice", "bob"]).await;
    for (nested, collection, body, name) in [
        ("key-auth", "key-auths", json!({ "key": "k" }), "k"),
        ("basic-auth", "basic-auths", json!({ "username": "b", "password": "p" }), "b"),
        ("jwt", "jwts", json!({ "key": "j" }), "j"),
        ("hmac-auth", "hmac-auths", json!({ "username": "h" }), "h"),
    ] {
        let made = admin.post(&format!("/consumers/alice/{nested}"), &body).await.expect(201).json();
        for key in [name.to_owned(), id(&made)] {
            let elsewhere = format!("/consumers/bob/{nested}/{key}");
            assert_eq!(admin.get(&elsewhere).await.expect(404).json(), json!({ "message": "Not found" }));
            admin.patch(&elsewhere, &json!({ "tags": [] })).await.expect(404);
            admin.delete(&elsewhere).await.expect(404);
        }
        // What the path says counts, not what the body says.
        let mut other = body.clone();
        other["consumer"] = json!({ "id": "00000000-0000-4000-8000-000000000001" });
        let moved =
            admin.put(&format!("/consumers/bob/{nested}/{}", id(&made)), &other).await.expect(200).json();
        assert_eq!(moved["id"], made["id"], "{nested}");
        admin.get(&format!("/consumers/alice/{nested}/{name}")).await.expect(404);
        let owner = admin.get(&format!("/{collection}/{name}/consumer")).await.expect(200).json();
        assert_eq!(owner["username"], "bob", "{nested}");
        admin.delete(&format!("/consumers/bob/{nested}/{name}")).await.expect(204);
        admin.delete(&format!("/{collection}/{name}")).await.expect(204);
    }
}

async fn hidden_values_stay(admin: &Admin) {
    admin.consumers(&["alice"]).await;
    for (nested, body) in [
        ("key-auth", json!({ "key": "k" })),
        ("basic-auth", json!({ "username": "b", "password": "p" })),
        ("jwt", json!({ "key": "j", "secret": "s" })),
        ("hmac-auth", json!({ "username": "h", "secret": "s" })),
    ] {
        let at = format!("/consumers/alice/{nested}");
        let made = admin.post(&at, &body).await.expect(201);
        let one = format!("{at}/{}", id(&made.json()));
        let shown = admin.get(&one).await.expect(200).json();
        let mut sent = shown.clone();
        sent.as_object_mut().unwrap().remove("ttl");
        for answer in [admin.put(&one, &sent).await, admin.patch(&one, &sent).await] {
            assert_eq!(revision(&answer.expect(200)), revision(&made), "{nested}");
        }
        assert_eq!(admin.get(&one).await.expect(200).json(), shown);
    }
    let document = admin.get("/config").await.expect(200).json();
    admin.post("/config", &document).await.expect(200);
    // The first revision with credentials is made again, as far as secrets are kept.
    let head = admin.get("/config").await.header("gibbon-revision").unwrap().to_owned();
    admin.delete("/key-auths/k").await.expect(204);
    let back =
        admin.client.send(&Request::new("POST", &format!("/config/rollback?to={head}"))).await.unwrap();
    back.expect(201);
    admin.get("/key-auths/k").await.expect(200);
    admin.delete("/hmac-auths/h").await.expect(204);
    let lost =
        admin.client.send(&Request::new("POST", &format!("/config/rollback?to={head}"))).await.unwrap();
    assert!(lost.expect(409).text().contains("the value of secret is not kept"));
}

async fn tokens_need_a_public_key_that_can_be_read(admin: &Admin) {
    admin.consumers(&["alice"]).await;
    let at = "/consumers/alice/jwt";
    let made = admin.post(at, &json!({})).await.expect(201).json();
    assert_eq!((&made["algorithm"], &made["rsa_public_key"]), (&json!("HS256"), &json!(null)));
    let refused = admin.post(at, &json!({ "algorithm": "RS256" })).await.expect(400).json();
    let expected = json!({
        "@entity": ["failed conditional validation given value of field 'algorithm'"],
        "rsa_public_key": "required field missing",
    });
    assert_eq!(refused["fields"], expected);
    let bad = json!({ "algorithm": "RS256", "rsa_public_key": "x" });
    let refused = admin.post(at, &bad).await.expect(400).json();
    assert_eq!(refused["fields"]["rsa_public_key"], "invalid key");
    let public = rcgen::KeyPair::generate().unwrap().public_key_pem();
    let good = json!({ "key": "issuer", "algorithm": "EdDSA", "rsa_public_key": public });
    let made = admin.post(at, &good).await.expect(201).json();
    assert_eq!(made["rsa_public_key"], public);
    assert_eq!(admin.get("/jwts/issuer").await.expect(200).json()["rsa_public_key"], public);
    let valid = json!({ "consumer": { "id": made["consumer"]["id"] } });
    admin.post("/schemas/jwt_secrets/validate", &valid).await.expect(200);
    admin.post("/schemas/basicauth_credentials/validate", &json!({})).await.expect(400);
    admin.get("/schemas/keyauth_credentials").await.expect(200);
    admin.get("/schemas/hash_keys").await.expect(404);
}

async fn first_keys_of_many_clients_have_one_key_of_hashes(admin: &Admin) {
    admin.consumers(&["alice"]).await;
    let body = |number: usize| json!({ "key": format!("key-{number}") });
    let bodies: Vec<Value> = (0..16).map(body).collect();
    let writes = bodies.iter().map(|body| admin.post("/consumers/alice/key-auth", body));
    for answer in futures_util::future::join_all(writes).await {
        answer.expect(201);
    }
    for number in 0..16 {
        admin.get(&format!("/key-auths/key-{number}")).await.expect(200);
    }
}

/// Where the operator wants secrets to be shown, reads show them, and a dump can be synced elsewhere.
#[tokio::test]
async fn secrets_are_shown_where_the_operator_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(Database::Sqlite, &certs::valid(folder.path(), "cluster"));
    control.node.start().await;
    let client = control.admin();
    let document = json!({
        "_format_version": "3.0",
        "consumers": [{
            "username": "alice",
            "keyauth_credentials": [{ "key": "k" }],
            "basicauth_credentials": [{ "username": "b", "password": "p" }],
            "hmacauth_credentials": [{ "username": "h", "secret": "s" }],
            "acls": [{ "group": "g" }],
        }],
    });
    client.post("/config", &document).await.unwrap().expect(201);
    assert!(client.get("/key-auths/k").await.unwrap().expect(200).text().contains("\"***-"));
    control.node.stop().await;
    control.node.set("admin.show_secrets", true);
    control.node.start().await;

    // The key was stored as a hash alone; the document gives it again.
    assert!(client.get("/key-auths/k").await.unwrap().expect(200).text().contains("\"***-"));
    assert_eq!(client.get("/hmac-auths/h").await.unwrap().expect(200).json()["secret"], "s");
    let applied = client.post("/config", &document).await.unwrap().expect(201).json();
    assert_eq!(applied["updated"], 1, "{applied}");
    assert_eq!(client.get("/key-auths/k").await.unwrap().expect(200).json()["key"], "k");
    let shown = client.get("/basic-auths/b").await.unwrap().expect(200).json();
    assert!(shown["password"].as_str().unwrap().starts_with("$argon2id$"), "{shown}");
    let dump = client.get("/config").await.unwrap().expect(200).json();
    client.post("/config", &dump).await.unwrap().expect(200);

    let another = Admin::start(Database::Sqlite).await;
    another.post("/config", &dump).await.expect(201);
    another.get("/key-auths/k").await.expect(200);
    another.stop().await;
    control.node.stop().await;
}
