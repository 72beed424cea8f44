//! Plugins: their entities at every scope, their rules in Kong's words, and their schemas.

use serde_json::{Value, json};
use testkit::http::Response;

use super::{Admin, on_both_databases, revision};

on_both_databases!(
    plugins_at_every_path,
    a_plugin_is_unique_in_its_scope,
    changes_merge_the_configuration,
    secrets_are_hidden_and_kept,
    forms_have_dotted_names,
    references_that_lead_nowhere,
    protocols_are_those_of_the_route,
    plugins_end_with_what_they_are_for,
    plugins_of_a_consumer,
    schemas_of_plugins,
    plugins_of_the_node,
);

/// A service with a route; returns their ids.
async fn stage(admin: &Admin) -> [Value; 2] {
    let service = admin.post("/services", &json!({ "name": "s", "host": "a" })).await.expect(201).json();
    let route = json!({ "name": "r", "paths": ["/"] });
    let route = admin.post("/services/s/routes", &route).await.expect(201).json();
    [service["id"].clone(), route["id"].clone()]
}

fn message(answer: &Response) -> String {
    answer.json()["message"].as_str().unwrap_or_default().to_owned()
}

async fn plugins_at_every_path(admin: &Admin) {
    let [service, route] = stage(admin).await;
    let body = json!({ "name": "key-auth", "instance_name": "keys", "config": { "key_names": ["k"] } });
    let made = admin.post("/routes/r/plugins", &body).await.expect(201).json();
    assert_eq!((&made["route"], &made["service"]), (&json!({ "id": route }), &Value::Null));
    assert_eq!(made["config"]["key_names"], json!(["k"]));
    assert_eq!(made["config"]["run_on_preflight"], true);
    assert_eq!((&made["enabled"], &made["tags"]), (&json!(true), &Value::Null));
    let id = made["id"].as_str().unwrap();
    for target in [
        format!("/plugins/{id}"),
        "/plugins/keys".to_owned(),
        format!("/routes/r/plugins/{id}"),
        "/routes/r/plugins/keys".to_owned(),
    ] {
        assert_eq!(admin.get(&target).await.expect(200).json(), made, "{target}");
    }
    assert_eq!(admin.get("/routes/r/plugins").await.json()["data"], json!([made]));
    assert_eq!(admin.get("/services/s/plugins").await.json()["data"], json!([]));
    assert_eq!(admin.get("/plugins/keys/route").await.expect(200).json()["id"], route);
    admin.get("/services/s/plugins/keys").await.expect(404);
    admin.get("/plugins/x").await.expect(404);

    let global = json!({ "name": "request-termination", "service": { "name": "s" } });
    let global = admin.put("/plugins/00000000-0000-4000-8000-00000000000c", &global).await.expect(200).json();
    assert_eq!(global["service"], json!({ "id": service }));
    let nested = "/services/s/plugins/00000000-0000-4000-8000-00000000000c";
    let off = admin.patch(nested, &json!({ "enabled": false })).await.expect(200).json();
    assert_eq!(off["enabled"], false);
    let named = json!({ "name": "request-termination", "config": { "status_code": 418 } });
    let named = admin.put("/services/s/plugins/teapot", &named).await.expect(409);
    assert!(message(&named).contains("service={id="), "{}", named.text());
    admin.delete(nested).await.expect(204);
    admin.delete("/plugins/keys").await.expect(204);
    assert_eq!(admin.get("/plugins").await.json()["data"], json!([]));
    admin.delete("/plugins/keys").await.expect(204);
}

async fn a_plugin_is_unique_in_its_scope(admin: &Admin) {
    let [_, route] = stage(admin).await;
    let body = json!({ "name": "key-auth" });
    admin.post("/plugins", &body).await.expect(201);
    let refused = admin.post("/plugins", &body).await.expect(409).json();
    let expected = json!({
        "code": 5,
        "name": "unique constraint violation",
        "message": "UNIQUE violation detected on '{consumer=null,name=\"key-auth\",route=null,service=null}'",
        "fields": { "consumer": null, "name": "key-auth", "route": null, "service": null },
    });
    assert_eq!(refused, expected);
    admin.post("/routes/r/plugins", &body).await.expect(201);
    let refused = admin.post("/routes/r/plugins", &body).await.expect(409).json();
    assert_eq!(refused["fields"]["route"], json!({ "id": route }));
    let refused = refused["message"].as_str().unwrap().to_owned();
    assert!(refused.contains(&format!("route={{id=\"{}\"}}", route.as_str().unwrap())), "{refused}");

    admin.post("/services/s/plugins", &json!({ "name": "key-auth", "instance_name": "a" })).await.expect(201);
    let taken = json!({ "name": "request-termination", "instance_name": "a" });
    let taken = admin.post("/plugins", &taken).await.expect(409);
    assert_eq!(message(&taken), "UNIQUE violation detected on '{instance_name=\"a\"}'");
}

async fn changes_merge_the_configuration(admin: &Admin) {
    let body = json!({
        "name": "key-auth",
        "instance_name": "keys",
        "config": { "key_names": ["a", "b"], "realm": "r" },
    });
    admin.post("/plugins", &body).await.expect(201);
    let change = json!({ "config": { "key_names": ["c"], "hide_credentials": true } });
    let changed = admin.patch("/plugins/keys", &change).await.expect(200).json();
    let config = &changed["config"];
    assert_eq!((&config["key_names"], &config["realm"]), (&json!(["c"]), &json!("r")));
    assert_eq!(config["hide_credentials"], true);
    let cleared = json!({ "config": { "realm": null, "key_names": null } });
    let cleared = admin.patch("/plugins/keys", &cleared).await.expect(200).json();
    assert_eq!(cleared["config"]["key_names"], json!(["apikey"]));
    assert_eq!(cleared["config"]["realm"], Value::Null);
    let renamed = admin.patch("/plugins/keys", &json!({ "name": "request-termination" })).await.expect(400);
    assert!(message(&renamed).starts_with("8 schema violations (config.anonymous: unknown field; "));
    let replaced = admin.put("/plugins/keys", &json!({ "name": "key-auth" })).await.expect(200).json();
    assert_eq!(replaced["config"]["hide_credentials"], false);
}

async fn secrets_are_hidden_and_kept(admin: &Admin) {
    let body = json!({
        "name": "rate-limiting",
        "instance_name": "limit",
        "config": { "minute": 5, "policy": "redis", "redis_host": "a", "redis_password": "a secret" },
    });
    let answer = admin.post("/plugins", &body).await.expect(201);
    let (at, made) = (revision(&answer), answer.json());
    let config = &made["config"];
    assert_eq!((&config["redis"]["host"], &config["redis_host"]), (&json!("a"), &json!("a")));
    assert_eq!((&config["redis"]["password"], &config["redis_password"]), (&json!("***"), &json!("***")));
    // What a client was shown changes nothing, under whichever name.
    assert_eq!(revision(&admin.put("/plugins/limit", &made).await.expect(200)), at);
    let hidden = json!({ "config": { "redis_password": "***" } });
    assert_eq!(revision(&admin.patch("/plugins/limit", &hidden).await.expect(200)), at);
    let changed = json!({ "config": { "redis": { "host": "b" } } });
    let changed = admin.patch("/plugins/limit", &changed).await.expect(200).json();
    assert_eq!(changed["config"]["redis_host"], "b");
    let earlier = json!({ "config": { "redis_host": "c" } });
    let earlier = admin.patch("/plugins/limit", &earlier).await.expect(200);
    assert_eq!(earlier.json()["config"]["redis"]["host"], "c");
    // The stored password is still the first one: the same again is no change, another one is.
    let at = revision(&earlier);
    for (password, is_same) in [("a secret", true), ("another", false)] {
        let given = json!({ "config": { "redis": { "password": password } } });
        let answer = admin.patch("/plugins/limit", &given).await.expect(200);
        assert_eq!(revision(&answer) == at, is_same, "{password}");
    }
    let mismatch = json!({ "config": { "redis_host": "d", "redis": { "host": "e" } } });
    let mismatch = admin.patch("/plugins/limit", &mismatch).await.expect(400);
    assert!(message(&mismatch).contains("redis_host = d vs redis.host = e"), "{}", mismatch.text());
    for target in ["/config", "/audit", "/plugins", "/config?format=json"] {
        let text = admin.get(target).await.expect(200).text();
        assert!(!text.contains("a secret"), "{target}: {text}");
    }
    let log = admin.control.node.log();
    assert!(!log.contains("a secret"), "{log}");
}

async fn forms_have_dotted_names(admin: &Admin) {
    let form = [
        ("name", "key-auth"),
        ("instance_name", "a"),
        ("config.key_names[]", "x"),
        ("config.key_names[]", "y"),
        ("config.key_in_body", "true"),
        ("config.realm", ""),
    ];
    let made = admin.client.post_form("/plugins", &form).await.unwrap().expect(201).json();
    assert_eq!(made["config"]["key_names"], json!(["x", "y"]));
    assert_eq!((&made["config"]["key_in_body"], &made["config"]["realm"]), (&json!(true), &Value::Null));
    let form = [("name", "request-termination"), ("config.status_code", "404"), ("config.message", "gone")];
    let made = admin.client.post_form("/plugins", &form).await.unwrap().expect(201).json();
    assert_eq!(made["config"]["status_code"], 404);
    let form = [("name", "request-termination"), ("config.status_code", "x")];
    let refused = admin.client.post_form("/plugins", &form).await.unwrap().expect(400);
    assert_eq!(message(&refused), "schema violation (config.status_code: expected an integer)");
}

async fn references_that_lead_nowhere(admin: &Admin) {
    stage(admin).await;
    let body = json!({ "name": "key-auth", "route": { "name": "x" }, "service": { "name": "y" } });
    let route = "the foreign key cannot be resolved with '{name=\"x\"}' for an existing 'routes' entity";
    let service = "the foreign key cannot be resolved with '{name=\"y\"}' for an existing 'services' entity";
    let expected = json!({
        "code": 13,
        "name": "foreign keys unresolved",
        "message": format!("2 foreign keys unresolved (route.name: {route}; service.name: {service})"),
        "fields": { "route": { "name": route }, "service": { "name": service } },
    });
    assert_eq!(admin.post("/plugins", &body).await.expect(400).json(), expected);
    let body = json!({ "name": "key-auth", "route": { "id": "00000000-0000-4000-8000-00000000000a" } });
    let refused = admin.post("/plugins", &body).await.expect(400).json();
    assert_eq!((&refused["code"], &refused["name"]), (&json!(4), &json!("foreign key violation")));
}

async fn protocols_are_those_of_the_route(admin: &Admin) {
    stage(admin).await;
    let body = json!({ "name": "key-auth", "protocols": ["grpc"] });
    let refused = admin.post("/routes/r/plugins", &body).await.expect(400);
    assert_eq!(
        message(&refused),
        "schema violation (protocols: must match the associated route's protocols)"
    );
    let refused = admin.post("/services/s/plugins", &body).await.expect(400).json();
    let expected = "must match the protocols of at least one route pointing to this Plugin's service";
    assert_eq!(refused["fields"], json!({ "protocols": expected }));
    admin.post("/services", &json!({ "name": "bare", "host": "a" })).await.expect(201);
    admin.post("/services/bare/plugins", &body).await.expect(201);
    admin.post("/plugins", &body).await.expect(201);
    admin.post("/routes/r/plugins", &json!({ "name": "key-auth", "protocols": ["https"] })).await.expect(201);
}

async fn plugins_end_with_what_they_are_for(admin: &Admin) {
    stage(admin).await;
    admin.post("/routes/r/plugins", &json!({ "name": "key-auth" })).await.expect(201);
    admin.post("/services/s/plugins", &json!({ "name": "key-auth" })).await.expect(201);
    admin.delete("/routes/r").await.expect(204);
    assert_eq!(admin.get("/plugins").await.json()["data"].as_array().map(Vec::len), Some(1));
    admin.delete("/services/s").await.expect(204);
    assert_eq!(admin.get("/plugins").await.json()["data"], json!([]));
}

async fn plugins_of_a_consumer(admin: &Admin) {
    let consumer = admin.post("/consumers", &json!({ "username": "jane" })).await.expect(201).json();
    let id = consumer["id"].clone();
    let body = json!({ "name": "request-termination", "config": { "status_code": 402 } });
    let made = admin.post("/consumers/jane/plugins", &body).await.expect(201).json();
    assert_eq!(made["consumer"], json!({ "id": id }));
    assert_eq!(admin.get("/consumers/jane/plugins").await.json()["data"], json!([made]));
    let at = format!("/plugins/{}/consumer", made["id"].as_str().unwrap());
    assert_eq!(admin.get(&at).await.expect(200).json()["id"], id);
    let taken = json!({ "name": "request-termination", "consumer": { "username": "jane" } });
    let taken = admin.post("/plugins", &taken).await.expect(409);
    assert!(message(&taken).contains(&format!("'{{consumer={{id={id}}},name=")), "{}", taken.text());
    let refused = admin.post("/consumers/jane/plugins", &json!({ "name": "key-auth" })).await.expect(400);
    assert_eq!(message(&refused), "schema violation (consumer: value must be null)");
    let absent = json!({ "name": "request-termination", "consumer": { "username": "x" } });
    let absent = admin.post("/plugins", &absent).await.expect(400).json();
    let reason =
        "the foreign key cannot be resolved with '{username=\"x\"}' for an existing 'consumers' entity";
    assert_eq!(absent["fields"], json!({ "consumer": { "username": reason } }));
    admin.delete("/consumers/jane").await.expect(204);
    assert_eq!(admin.get("/plugins").await.json()["data"], json!([]));
}

async fn schemas_of_plugins(admin: &Admin) {
    let schema = admin.get("/schemas/plugins/key-auth").await.expect(200).json();
    let fields = schema["fields"].as_array().unwrap();
    let field = |name: &str| fields.iter().find_map(|field| field.get(name)).cloned().unwrap_or_default();
    assert_eq!(field("consumer"), json!({ "type": "foreign", "reference": "consumers", "eq": null }));
    assert_eq!(field("protocols")["default"], json!(["grpc", "grpcs", "http", "https"]));
    assert_eq!(field("protocols")["elements"]["one_of"], json!(["grpc", "grpcs", "http", "https"]));
    let config = field("config");
    assert_eq!((&config["type"], &config["required"]), (&json!("record"), &json!(true)));
    let key_names = config["fields"].as_array().unwrap().iter().find_map(|field| field.get("key_names"));
    let key_names = key_names.unwrap();
    assert_eq!((&key_names["type"], &key_names["default"]), (&json!("array"), &json!(["apikey"])));
    let alone = admin.get("/plugins/schema/key-auth").await.expect(200).json();
    assert_eq!(alone, json!({ "fields": config["fields"] }));
    // Kong's clients would miss what views leave out.
    let named = |schema: &Value| schema.to_string().contains("key_in_bearer");
    assert!(!named(&schema) && !named(&alone));
    for target in ["/schemas/plugins/key-auth?additions=true", "/plugins/schema/key-auth?additions=true"] {
        assert!(named(&admin.get(target).await.expect(200).json()), "{target}");
    }
    for target in ["/schemas/plugins/nosuch", "/plugins/schema/nosuch"] {
        let missing = admin.get(target).await.expect(404).json();
        assert_eq!(missing, json!({ "message": "No plugin named 'nosuch'" }), "{target}");
    }

    let valid = json!({ "name": "key-auth", "route": { "name": "absent" }, "config": {} });
    let answer = admin.post("/schemas/plugins/validate", &valid).await.expect(200).json();
    assert_eq!(answer, json!({ "message": "schema validation successful" }));
    for body in [
        json!({ "name": "nosuch" }),
        json!({}),
        json!({ "name": "key-auth", "config": { "key_names": [""] } }),
        json!({ "name": "request-termination", "config": { "message": "a", "body": "b" } }),
    ] {
        let written = admin.post("/plugins", &body).await.expect(400).json();
        let checked = admin.post("/schemas/plugins/validate", &body).await.expect(400).json();
        assert_eq!(checked, written, "{body}");
    }
}

async fn plugins_of_the_node(admin: &Admin) {
    let enabled = admin.get("/plugins/enabled").await.expect(200).json();
    let enabled: Vec<String> = serde_json::from_value(enabled["enabled_plugins"].clone()).unwrap();
    assert!(enabled.is_sorted() && enabled.contains(&"key-auth".to_owned()), "{enabled:?}");
    let plugins = async || admin.get("/").await.expect(200).json()["plugins"].clone();
    let before = plugins().await;
    assert_eq!(before["available_on_server"]["key-auth"], json!({ "version": "3.9.1", "priority": 1250 }));
    let available: Vec<_> = before["available_on_server"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(available, enabled);
    assert_eq!(before["enabled_in_cluster"], json!([]));
    stage(admin).await;
    for target in ["/plugins", "/routes/r/plugins"] {
        admin.post(target, &json!({ "name": "key-auth", "enabled": false })).await.expect(201);
    }
    assert_eq!(plugins().await["enabled_in_cluster"], json!(["key-auth"]));
}
