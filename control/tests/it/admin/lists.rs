//! Pages and tags.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Admin, on_both_databases};

on_both_databases!(
    pages,
    pages_keep_their_filters_also_nested,
    tags,
    tags_of_entities_with_one_id_are_all_listed,
    bad_queries
);

/// Returns the names on all pages from this target on, and the number of pages.
async fn walk(admin: &Admin, target: &str) -> (Vec<String>, usize) {
    let (mut names, mut count, mut next) = (Vec::new(), 0, Some(target.to_owned()));
    while let Some(target) = next {
        let page = admin.get(&target).await.expect(200).json();
        assert_eq!(page["next"].is_null(), page.get("offset").is_none(), "{page}");
        let rows = page["data"].as_array().unwrap();
        names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        next = page["next"].as_str().map(str::to_owned);
        count += 1;
        assert!(count < 100, "the pages have no end");
    }
    (names, count)
}

async fn pages(admin: &Admin) {
    assert_eq!(admin.get("/services").await.expect(200).json(), json!({ "data": [], "next": null }));
    for n in 0..5 {
        admin.post("/services", &json!({ "name": format!("s{n}"), "host": "x" })).await.expect(201);
    }
    for (size, pages) in [(1, 5), (2, 3), (4, 2), (5, 1), (1000, 1)] {
        let (mut names, count) = walk(admin, &format!("/services?size={size}")).await;
        names.sort();
        assert_eq!(names, ["s0", "s1", "s2", "s3", "s4"], "size {size}");
        assert_eq!(count, pages, "size {size}");
    }
}

async fn pages_keep_their_filters_also_nested(admin: &Admin) {
    for service in ["a", "b"] {
        admin.post("/services", &json!({ "name": service, "host": "x" })).await.expect(201);
        for n in 0..4 {
            let tags = if n % 2 == 0 { json!(["even", "all"]) } else { json!(["odd", "all"]) };
            let route = json!({ "name": format!("{service}{n}"), "paths": ["/"], "tags": tags });
            admin.post(&format!("/services/{service}/routes"), &route).await.expect(201);
        }
    }
    let names = async |target: &str| walk(admin, target).await.0.into_iter().collect::<BTreeSet<_>>();
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names("/services/a/routes?size=1&tags=even").await, set(&["a0", "a2"]));
    assert_eq!(names("/services/b/routes?size=2").await, set(&["b0", "b1", "b2", "b3"]));
    assert_eq!(names("/routes?size=1&tags=odd,all").await, set(&["a1", "a3", "b1", "b3"]));
    assert_eq!(names("/routes?size=3&tags=odd/even").await.len(), 8);
    assert_eq!(names("/routes?tags=odd,even").await, set(&[]));
}

async fn tags(admin: &Admin) {
    let service = json!({ "name": "a", "host": "x", "tags": ["one", "two"] });
    let id = admin.post("/services", &service).await.expect(201).json()["id"].clone();
    let route = json!({ "name": "r", "paths": ["/"], "tags": ["two"] });
    let route_id = admin.post("/routes", &route).await.expect(201).json()["id"].clone();
    let row = |tag: &str, name: &str, id: &Value| json!({ "entity_name": name, "entity_id": id, "tag": tag });

    let one = admin.get("/tags/one").await.expect(200).json();
    assert_eq!(one, json!({ "data": [row("one", "services", &id)], "next": null }));
    let mut all = Vec::new();
    let mut next = Some("/tags?size=1".to_owned());
    while let Some(target) = next {
        let page = admin.get(&target).await.expect(200).json();
        all.extend(page["data"].as_array().unwrap().clone());
        next = page["next"].as_str().map(str::to_owned);
        assert!(all.len() <= 3, "{all:?}");
    }
    let expected =
        [row("one", "services", &id), row("two", "services", &id), row("two", "routes", &route_id)];
    assert_eq!(all.len(), 3);
    assert!(expected.iter().all(|row| all.contains(row)), "{all:?}");

    admin.patch("/services/a", &json!({ "tags": ["three"] })).await.expect(200);
    assert_eq!(admin.get("/tags/one").await.expect(200).json()["data"], json!([]));
    admin.delete("/routes/r").await.expect(204);
    assert_eq!(admin.get("/tags/two").await.expect(200).json()["data"], json!([]));
    assert_eq!(admin.get("/tags/a%00b").await.expect(200).json()["data"], json!([]));
}

/// Entities of different kinds may have one id: a page that ends between them leaves none out.
async fn tags_of_entities_with_one_id_are_all_listed(admin: &Admin) {
    let id = "00000000-0000-4000-8000-00000000000b";
    let body = |fields: Value| {
        let mut body = json!({ "id": id, "tags": ["one", "two"] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    admin.post("/services", &body(json!({ "host": "x" }))).await.expect(201);
    admin.post("/routes", &body(json!({ "paths": ["/"] }))).await.expect(201);
    for (target, expected) in [("/tags?size=1", 4), ("/tags/one?size=1", 2)] {
        let (mut found, mut next) = (BTreeSet::new(), Some(target.to_owned()));
        while let Some(target) = next {
            let page = admin.get(&target).await.expect(200).json();
            next = page["next"].as_str().map(str::to_owned);
            let row = &page["data"][0];
            assert!(found.insert(format!("{} {}", row["tag"], row["entity_name"])), "{page}");
        }
        assert_eq!(found.len(), expected, "{target}: {found:?}");
    }
}

async fn bad_queries(admin: &Admin) {
    for (query, code) in [
        ("size=0", 9),
        ("size=1001", 9),
        ("size=x", 9),
        ("offset=x", 7),
        ("offset=AAAA", 7),
        ("size=1&size=2", 9),
        ("offset=AAAA&offset=AAAA", 7),
        ("tags=a&tags=b", 11),
        ("tags=", 11),
        ("tags=a,b/c", 11),
        ("tags=%ff", 11),
    ] {
        let answer = admin.get(&format!("/services?{query}")).await.expect(400).json();
        assert_eq!(answer["code"], code, "{query}: {answer}");
        assert_eq!(answer.get("options").is_some(), code == 11, "{query}: {answer}");
        assert!(answer.get("fields").is_none(), "{query}: {answer}");
    }
    let twice = admin.get("/routes?size=1&size=2").await.json();
    assert_eq!(twice["message"], "size must be a number");
    let size = admin.get("/routes?size=0").await.json();
    assert_eq!(size["message"], "size must be an integer between 1 and 1000");
}
