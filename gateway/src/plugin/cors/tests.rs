//! Which fields the answer has, by configuration and request.

use http::HeaderMap;
use serde_json::{Value, json};

use super::*;

/// The fields of an answer, sorted, one a line.
fn lines(fields: &AnswerFields) -> Vec<String> {
    let line = |(name, value): (&[u8], &[u8])| {
        let name = String::from_utf8_lossy(name).replace("Access-Control-", "");
        format!("{name}: {}", String::from_utf8_lossy(value))
    };
    let mut lines: Vec<String> = fields.iter().map(line).collect();
    lines.sort();
    lines
}

fn compiled(config: Value) -> Cors {
    let config: Config = serde_json::from_value(config).unwrap();
    let terms = InstanceTerms::default();
    Plugin::compile(&config, &terms).unwrap()
}

fn request(origin: Option<&str>) -> HeaderMap {
    origin.map(|origin| (ORIGIN, origin.parse().unwrap())).into_iter().collect()
}

fn answered(config: Value, origin: Option<&str>) -> Vec<String> {
    let mut fields = AnswerFields::default();
    fields.append("access-control-allow-origin", "https://upstream.test");
    compiled(config).write_answer(&request(origin), &mut fields);
    lines(&fields)
}

#[test]
fn answers_name_the_origin() {
    let list = json!([
        "https://a.test",
        "http://b.test:8080",
        "c.test",
        "http://p.test/",
        "http://q.test:80/path",
        r"(.*\.)?d\.test",
        r"https://e\d\.test(:\d+)?"
    ]);
    let of_list = |origin: &'static str| [format!("Allow-Origin: {origin}"), "Vary: Origin".to_owned()];
    let none = vec!["Vary: Origin".to_owned()];
    for (origins, origin, wanted) in [
        (json!(null), Some("https://a.test"), vec!["Allow-Origin: *".to_owned()]),
        (json!([]), None, vec!["Allow-Origin: *".to_owned()]),
        (json!(["*"]), Some("https://a.test"), vec!["Allow-Origin: *".to_owned()]),
        (json!(["https://a.test"]), Some("https://b.test"), of_list("https://a.test").to_vec()),
        (json!(["https://a.test"]), None, of_list("https://a.test").to_vec()),
        (json!(["https://a.test", "*"]), Some("https://b.test"), of_list("*").to_vec()),
        (list.clone(), Some("https://a.test"), of_list("https://a.test").to_vec()),
        (list.clone(), Some("HTTPS://A.test:443"), of_list("https://a.test").to_vec()),
        (list.clone(), Some("http://a.test"), none.clone()),
        (list.clone(), Some("https://a.test:8443"), none.clone()),
        (list.clone(), Some("http://b.test:8080"), of_list("http://b.test:8080").to_vec()),
        (list.clone(), Some("http://b.test"), none.clone()),
        (list.clone(), Some("https://c.test"), none.clone()),
        (list.clone(), Some("http://p.test"), of_list("http://p.test").to_vec()),
        (list.clone(), Some("http://q.test"), of_list("http://q.test").to_vec()),
        (list.clone(), Some("https://d.test:1"), of_list("https://d.test:1").to_vec()),
        (list.clone(), Some("http://x.y.d.test"), of_list("http://x.y.d.test").to_vec()),
        (list.clone(), Some("https://d.test.evil.test"), none.clone()),
        (list.clone(), Some("https://evild.test"), none.clone()),
        (list.clone(), Some("https://e1.test"), of_list("https://e1.test").to_vec()),
        (list.clone(), Some("https://e1.test:90"), of_list("https://e1.test:90").to_vec()),
        (list.clone(), Some("http://e1.test"), none.clone()),
        (list.clone(), Some("null"), none.clone()),
        (list.clone(), Some("https://e1.test/path"), none.clone()),
        (list.clone(), None, none.clone()),
        (json!(["a|https://b.test"]), Some("https://b.test.evil.test"), none),
        (json!([r".*\[::1\]"]), Some("http://[::1]:80"), of_list("http://[::1]").to_vec()),
    ] {
        assert_eq!(answered(json!({ "origins": origins }), origin), wanted, "{origins} {origin:?}");
    }
}

#[test]
fn answers_say_whether_credentials_may_be_sent() {
    let with = |origins: Value, origin| answered(json!({ "origins": origins, "credentials": true }), origin);
    let all = ["Allow-Credentials: true", "Allow-Origin: https://b.test", "Vary: Origin"];
    assert_eq!(with(json!(["*"]), Some("https://b.test")), all);
    assert_eq!(with(json!(["*"]), None), ["Allow-Origin: *"]);
    assert_eq!(with(json!(["https://b.test"]), None), all);
    let list = json!(["https://a.test", "https://b.test"]);
    assert_eq!(with(list.clone(), Some("https://b.test")), all);
    assert_eq!(with(list, Some("https://c.test")), ["Allow-Credentials: true", "Vary: Origin"]);
}

#[test]
fn answers_expose_headers_and_keep_other_fields() {
    let config =
        json!({ "exposed_headers": ["X-A", "X-B"], "origins": ["https://a.test", "https://b.test"] });
    let mut fields = AnswerFields::default();
    for (name, value) in
        [("vary", "Accept-Encoding"), ("Access-Control-Expose-Headers", "x"), ("x-other", "1")]
    {
        fields.append(name, value);
    }
    compiled(config.clone()).write_answer(&request(Some("https://a.test")), &mut fields);
    let wanted = [
        "Allow-Origin: https://a.test",
        "Expose-Headers: X-A,X-B",
        "Vary: Origin",
        "vary: Accept-Encoding",
        "x-other: 1",
    ];
    assert_eq!(lines(&fields), wanted);
    let mut fields = AnswerFields::default();
    fields.append("Vary", "accept, ORIGIN");
    compiled(config).write_answer(&request(Some("https://a.test")), &mut fields);
    assert_eq!(fields.get_all("vary").count(), 1);
}

#[test]
fn answers_without_an_origin_may_stay_as_they_are() {
    let config = |origins| json!({ "allow_origin_absent": false, "origins": origins });
    assert_eq!(
        answered(config(json!(["*"])), None),
        ["Allow-Origin: https://upstream.test"
            .to_lowercase()
            .replace("allow-origin", "access-control-allow-origin")]
    );
    assert_eq!(answered(config(json!(["*"])), Some("https://a.test")), ["Allow-Origin: *"]);
}

#[test]
fn preflights_have_an_origin_and_a_method() {
    for (method, origin, asked, is_it) in [
        (Method::OPTIONS, Some("https://a.test"), true, true),
        (Method::OPTIONS, Some(""), true, false),
        (Method::OPTIONS, None, true, false),
        (Method::OPTIONS, Some("https://a.test"), false, false),
        (Method::GET, Some("https://a.test"), true, false),
    ] {
        let mut headers = request(origin);
        if asked {
            headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        }
        assert_eq!(is_preflight(&method, &headers), is_it, "{method} {origin:?} {asked}");
    }
}

#[test]
fn preflights_are_answered() {
    let methods = "Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";
    let asked =
        [("access-control-request-headers", "x-a, x-b"), ("access-control-request-private-network", "true")];
    for (config, with, wanted) in [
        (json!({}), &asked[..0], vec![methods, "Allow-Origin: *"]),
        (json!({}), &asked[..], vec!["Allow-Headers: x-a, x-b", methods, "Allow-Origin: *"]),
        (
            json!({ "headers": ["X-C", "X-D"], "methods": ["GET", "PUT"], "max_age": 3600, "private_network": true }),
            &asked[..],
            vec![
                "Allow-Headers: X-C,X-D",
                "Allow-Methods: GET,PUT",
                "Allow-Origin: *",
                "Allow-Private-Network: true",
                "Max-Age: 3600",
            ],
        ),
        (json!({ "private_network": true }), &asked[..0], vec![methods, "Allow-Origin: *"]),
        (
            json!({ "origins": ["https://b.test", "https://c.test"], "exposed_headers": ["X-A"] }),
            &asked[..0],
            vec![methods, "Vary: Origin"],
        ),
        (
            json!({ "origins": ["https://a.test", "https://c.test"], "credentials": true }),
            &asked[..0],
            vec!["Allow-Credentials: true", methods, "Allow-Origin: https://a.test", "Vary: Origin"],
        ),
    ] {
        let mut headers = request(Some("https://a.test"));
        headers
            .extend(with.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())));
        let mut fields = AnswerFields::default();
        compiled(config.clone()).write_preflight(&headers, &mut fields);
        assert_eq!(lines(&fields), wanted, "{config}");
    }
}

#[test]
fn long_origins_match_nothing() {
    let config = json!({ "origins": [".*", "x"] });
    let long = format!("https://{}.test", "a".repeat(1000));
    assert_eq!(answered(config.clone(), Some(&long)), ["Vary: Origin"]);
    let short = format!("https://{}.test", "a".repeat(100));
    assert_eq!(answered(config, Some(&short)).len(), 2);
}
