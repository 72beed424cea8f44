//! Targets over HTTP, and what operators set for them.

use serde_json::{Value, json};
use testkit::http::Request;

use super::certificates::id;
use super::{Admin, on_both_databases, revision};

on_both_databases!(
    targets_have_their_stored_form,
    newest_comes_first_page_by_page,
    replacement_merges_and_absent_targets_are_not_found,
    target_is_unique_within_its_upstream,
    bad_targets,
    state_is_set_and_ends,
    health_is_an_operation,
);

const AT: &str = "/upstreams/a/targets";

/// Makes an upstream `a` whose targets are checked.
async fn upstream(admin: &Admin, name: &str) -> String {
    let checks = json!({ "active": { "healthy": { "interval": 1 } } });
    id(&admin.post("/upstreams", &json!({ "name": name, "healthchecks": checks })).await.expect(201).json())
}

async fn texts(admin: &Admin, at: &str) -> Vec<String> {
    let listed = admin.get(at).await.expect(200).json();
    let target = |row: &Value| row["target"].as_str().unwrap().to_owned();
    listed["data"].as_array().unwrap().iter().map(target).collect()
}

async fn targets_have_their_stored_form(admin: &Admin) {
    let upstream = upstream(admin, "a").await;
    assert_eq!(admin.get(AT).await.expect(200).json(), json!({ "data": [], "next": null }));
    let made = admin.post(AT, &json!({ "target": "Api" })).await.expect(201).json();
    assert_eq!(
        (&made["target"], &made["weight"], &made["upstream"], &made["tags"]),
        (&json!("Api:8000"), &json!(100), &json!({ "id": upstream }), &Value::Null)
    );
    assert_eq!(made.as_object().unwrap().len(), 7);
    let created = made["created_at"].as_f64().unwrap();
    assert!(created > 1.7e9 && created < 1e11);
    let by_id = format!("{AT}/{}", id(&made));
    for path in [by_id.as_str(), "/upstreams/a/targets/Api:8000", "/upstreams/a/targets/Api"] {
        assert_eq!(admin.get(path).await.expect(200).json(), made, "{path}");
    }
    let six = json!({ "target": "::1", "weight": 0, "failover": true, "tags": ["zone:eu"] });
    let six = admin.post(&format!("{AT}/"), &six).await.expect(201).json();
    assert_eq!(six["target"], "[0000:0000:0000:0000:0000:0000:0000:0001]:8000");
    assert_eq!(six["failover"], true);
    assert!(six.get("zone").is_none());
    for path in ["::1", "[::1]", "%5B0000:0000:0000:0000:0000:0000:0000:0001%5D:8000"] {
        assert_eq!(admin.get(&format!("{AT}/{path}")).await.expect(200).json(), six, "{path}");
    }
    let form = [("target", "10.0.0.01"), ("weight", "7")];
    let form = admin.client.post_form(AT, &form).await.unwrap().expect(201).json();
    assert_eq!((&form["target"], &form["weight"]), (&json!("10.0.0.1:8000"), &json!(7)));
    // Not those of another upstream.
    self::upstream(admin, "b").await;
    admin.get(&format!("/upstreams/b/targets/{}", id(&made))).await.expect(404);
    admin.get("/upstreams/b/targets/Api").await.expect(404);
    for path in ["/upstreams/nowhere/targets", "/upstreams/a/targets/nowhere", "/targets", "/targets/x"] {
        assert_eq!(admin.get(path).await.expect(404).json(), json!({ "message": "Not found" }), "{path}");
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        let request = Request::new(method, AT).json(&json!({}));
        admin.client.send(&request).await.unwrap().expect(405);
    }
}

async fn newest_comes_first_page_by_page(admin: &Admin) {
    upstream(admin, "a").await;
    for number in 1..=5 {
        let body =
            json!({ "target": format!("t{number}:1"), "created_at": 1000.0 + f64::from(number) / 1000.0 });
        let made = admin.post(AT, &body).await.expect(201).json();
        assert_eq!(made["created_at"], body["created_at"]);
    }
    assert_eq!(texts(admin, AT).await, ["t5:1", "t4:1", "t3:1", "t2:1", "t1:1"]);
    let page = admin.get(&format!("{AT}?size=2")).await.expect(200).json();
    assert_eq!(page["offset"], "2");
    assert_eq!(page["next"], format!("{AT}?size=2&offset=2"));
    assert_eq!(texts(admin, page["next"].as_str().unwrap()).await, ["t3:1", "t2:1"]);
    assert_eq!(texts(admin, &format!("{AT}?size=2&offset=4")).await, ["t1:1"]);
    let empty = admin.get(&format!("{AT}?size=0")).await.expect(200).json();
    assert_eq!(empty, json!({ "data": [], "next": null }));
    assert_eq!(admin.get(&format!("{AT}?offset=x")).await.expect(400).json()["code"], 7);
    let all = admin.get(&format!("{AT}/all?size=3&other=1")).await.expect(200).json();
    let next = all["next"].as_str().unwrap();
    assert!(next.starts_with(&format!("{AT}/all?size=3&other=1&offset=")), "{next}");
    assert_eq!(all["data"].as_array().unwrap().len() + texts(admin, next).await.len(), 5);
}

async fn replacement_merges_and_absent_targets_are_not_found(admin: &Admin) {
    upstream(admin, "a").await;
    let made = admin.post(AT, &json!({ "target": "b:1", "weight": 5, "tags": ["x"] })).await.expect(201);
    let made = made.json();
    let put = admin.put(&format!("{AT}/b:1"), &json!({ "weight": 6 })).await.expect(200).json();
    assert_eq!((&put["weight"], &put["tags"], &put["id"]), (&json!(6), &json!(["x"]), &made["id"]));
    let put = admin.put(&format!("{AT}/{}", id(&made)), &json!({ "target": "c" })).await.expect(200).json();
    assert_eq!((&put["target"], &put["weight"]), (&json!("c:8000"), &json!(6)));
    let patched = admin.patch(&format!("{AT}/c:8000"), &json!({ "target": "::1" })).await.expect(200).json();
    assert_eq!(patched["target"], "[0000:0000:0000:0000:0000:0000:0000:0001]:8000");
    let absent = format!("{AT}/00000000-0000-4000-8000-000000000001");
    for answer in [
        admin.put(&absent, &json!({ "target": "d" })).await,
        admin.put(&format!("{AT}/d"), &json!({})).await,
        admin.patch(&absent, &json!({})).await,
        admin.delete(&absent).await,
        admin.delete(&format!("{AT}/b:1")).await,
    ] {
        assert_eq!(answer.expect(404).json(), json!({ "message": "Not found" }));
    }
    admin.delete(&format!("{AT}/{}", id(&made))).await.expect(204);
    assert_eq!(texts(admin, AT).await, Vec::<String>::new());
}

async fn target_is_unique_within_its_upstream(admin: &Admin) {
    let (a, _) = (upstream(admin, "a").await, upstream(admin, "b").await);
    admin.post(AT, &json!({ "target": "x:8000" })).await.expect(201);
    admin.post("/upstreams/b/targets", &json!({ "target": "x:8000" })).await.expect(201);
    let taken = admin.post(AT, &json!({ "target": "x" })).await.expect(409).json();
    assert_eq!(
        taken,
        json!({
            "code": 5,
            "name": "unique constraint violation",
            "message":
                format!("UNIQUE violation detected on '{{target=\"x:8000\",upstream={{id=\"{a}\"}}}}'"),
            "fields": { "target": "x:8000", "upstream": { "id": a } },
        })
    );
    admin.post(AT, &json!({ "target": "y" })).await.expect(201);
    admin.patch(&format!("{AT}/y"), &json!({ "target": "x" })).await.expect(409);
}

async fn bad_targets(admin: &Admin) {
    upstream(admin, "a").await;
    let told = |message: &str| json!({ "target": message });
    let invalid = "Invalid target; not a valid hostname or ip address";
    for (target, message) in [
        (json!("a b"), invalid),
        (json!("a:65536"), invalid),
        (json!("1.2.3"), invalid),
        (json!(null), "required field missing"),
        (json!(1), "expected a string"),
    ] {
        let answer = admin.post(AT, &json!({ "target": target })).await.expect(400).json();
        assert_eq!((&answer["code"], &answer["fields"]), (&json!(2), &told(message)), "{target}");
    }
    let weight = admin.post(AT, &json!({ "target": "a", "weight": 65_536 })).await.expect(400).json();
    assert_eq!(weight["fields"]["weight"], "value should be between 0 and 65535");
    let zone = admin.post(AT, &json!({ "target": "a", "zone": "eu" })).await.expect(400).json();
    assert_eq!(zone["fields"]["zone"], "unknown field");
    let upstream = json!({ "id": "00000000-0000-4000-8000-000000000001" });
    let validated = json!({ "target": "a b", "upstream": upstream });
    let answer = admin.post("/schemas/targets/validate", &validated).await.expect(400).json();
    assert_eq!(answer["fields"], told("Invalid target ('a b'); not a valid hostname or ip address"));
    admin.get("/schemas/target_states").await.expect(404);
    let schema = admin.get("/schemas/targets").await.expect(200).json();
    assert_eq!(schema["fields"][1]["created_at"]["type"], "number");
}

async fn state_is_set_and_ends(admin: &Admin) {
    upstream(admin, "a").await;
    let made = admin.post(AT, &json!({ "target": "b:1" })).await.expect(201).json();
    let at = format!("{AT}/b:1/state");
    let ready = json!({ "state": "ready", "until": null, "since": null });
    assert_eq!(admin.get(&at).await.expect(200).json(), ready);
    let drained = admin.put(&at, &json!({ "state": "drain" })).await.expect(200);
    admin.published(revision(&drained)).await;
    let drained = drained.json();
    assert_eq!((&drained["state"], &drained["until"]), (&json!("drain"), &Value::Null));
    assert_eq!(admin.get(&at).await.expect(200).json(), drained);
    // The target itself is as it was.
    assert_eq!(admin.get(&format!("{AT}/b:1")).await.expect(200).json(), made);
    let until = 4_000_000_000_i64;
    let maint = admin.put(&at, &json!({ "state": "maint", "until": until })).await.expect(200).json();
    assert_eq!((&maint["state"], &maint["until"]), (&json!("maint"), &json!(until)));
    for (body, field, message) in [
        (json!({}), "state", "required field missing"),
        (json!({ "state": "off" }), "state", "expected one of: ready, drain, maint"),
        (
            json!({ "state": "drain", "until": 1 }),
            "until",
            "value should be in the future, in seconds since 1970",
        ),
        (json!({ "state": "drain", "x": 1 }), "x", "unknown field"),
    ] {
        let answer = admin.put(&at, &body).await.expect(400).json();
        assert_eq!(answer["fields"], json!({ field: message }));
    }
    assert_eq!(admin.put(&at, &json!({ "state": "ready" })).await.expect(200).json(), ready);
    admin.put(&at, &json!({ "state": "drain" })).await.expect(200);
    admin.delete(&at).await.expect(204);
    admin.delete(&at).await.expect(204);
    assert_eq!(admin.get(&at).await.expect(200).json(), ready);
    admin.put(&format!("{AT}/nowhere/state"), &json!({ "state": "drain" })).await.expect(404);

    // A state that ends is deleted, in a revision of its own.
    let soon = time() + 2;
    let set = admin.put(&at, &json!({ "state": "drain", "until": soon })).await.expect(200);
    admin.published(revision(&set) + 1).await;
    assert_eq!(admin.get(&at).await.expect(200).json(), ready);
}

async fn health_is_an_operation(admin: &Admin) {
    upstream(admin, "a").await;
    admin.post("/upstreams", &json!({ "name": "unchecked" })).await.expect(201);
    admin.post("/upstreams/unchecked/targets", &json!({ "target": "b" })).await.expect(201);
    let made = admin.post(AT, &json!({ "target": "b:1" })).await.expect(201).json();
    let send =
        async |method: &str, target: &str| admin.client.send(&Request::new(method, target)).await.unwrap();
    for path in ["b:1/healthy", "b:1/unhealthy", "b:1/10.0.0.1:1/healthy", "b:1/10.0.0.1/unhealthy"] {
        let set = send("PUT", &format!("{AT}/{path}")).await.expect(204);
        admin.published(revision(&set)).await;
        assert!(revision(&send("POST", &format!("{AT}/{path}?ttl=60")).await.expect(204)) > revision(&set));
        send("GET", &format!("{AT}/{path}")).await.expect(405);
    }
    let node = "00000000-0000-4000-8000-000000000001";
    send("PUT", &format!("{AT}/b:1/unhealthy?data_plane={node}")).await.expect(204);
    // An address that nobody knows is no failure.
    send("PUT", &format!("{AT}/b:1/10.9.9.9/healthy")).await.expect(204);
    send("PUT", &format!("{AT}/b:1/a%20b/healthy")).await.expect(204);
    assert_eq!(admin.get(&format!("{AT}/b:1")).await.expect(200).json(), made);
    for path in ["a/targets/nowhere/healthy", "nowhere/targets/b:1/healthy"] {
        let answer = send("PUT", &format!("/upstreams/{path}")).await.expect(404);
        assert_eq!(answer.json(), json!({ "message": "Not found" }));
    }
    let unchecked = send("PUT", "/upstreams/unchecked/targets/b/healthy").await.expect(400);
    assert_eq!(unchecked.json(), json!({ "message": "no healthchecker found for unchecked" }));
    for query in ["ttl=0", "ttl=x", "data_plane=x"] {
        assert_eq!(send("PUT", &format!("{AT}/b:1/healthy?{query}")).await.expect(400).json()["code"], 11);
    }
    admin.delete(&format!("{AT}/b:1")).await.expect(204);
}

fn time() -> i64 {
    control::store::now()
}
