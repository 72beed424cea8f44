use super::*;

fn refused(text: &str, format: Format) -> String {
    match read_over(text, format, &[], &[]) {
        Err(error) => error.to_string(),
        Ok(difference) => panic!("accepted: {difference:?}"),
    }
}

fn in_service(field: &str) -> String {
    format!("{{\"_format_version\":\"3.0\",\"services\":[{{{field}}}]}}")
}

#[test]
fn json_is_bounded() {
    let deep = in_service(&format!("\"host\":{}{}", "[".repeat(100), "]".repeat(100)));
    assert!(refused(&deep, Format::Json).contains("at most 16 levels"), "{}", refused(&deep, Format::Json));
    let deeper = in_service(&format!("\"host\":{}", "[".repeat(1_000_000)));
    assert!(refused(&deeper, Format::Json).contains("at most 16 levels"));
    let deepest = "[".repeat(1_000_000);
    refused(&deepest, Format::Json);
    let skipped = format!("{{\"_ignore\":{}}}", "[".repeat(1_000_000));
    refused(&skipped, Format::Json);
    let many = in_service(&format!("\"tags\":[{}\"\"]", "\"\",".repeat(1_300_000)));
    assert!(refused(&many, Format::Json).contains("at most 100000 values"));
    let long_key = in_service(&format!("\"{}\":1", "n".repeat(1 << 20)));
    assert!(refused(&long_key, Format::Json).contains("bytes of a field's name"));
    let long_name = in_service(&format!("\"host\":\"a\",\"name\":\"{}\"", "n".repeat(1 << 20)));
    let told = refused(&long_name, Format::Json);
    assert!(told.contains("length must be at most 1024 bytes") && told.len() < 1000, "{}", told.len());
    let nested = "\"routes\":[{\"service\":{},\"x\":";
    refused(&in_service(&nested.repeat(50)), Format::Json);
}

#[test]
fn yaml_is_bounded() {
    let aliases = "_format_version: \"3.0\"\n_comment:\n- &a [x,x,x,x,x,x,x,x,x]\n";
    let mut bomb = aliases.to_owned();
    for level in 1..9 {
        let (outer, inner) = ((b'a' + level) as char, (b'a' + level - 1) as char);
        let list = vec![format!("*{inner}"); 9].join(",");
        bomb.push_str(&format!("- &{outer} [{list}]\n"));
    }
    let begun = tokio::time::Instant::now();
    refused(&bomb, Format::Yaml);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    refused(&"[".repeat(100_000), Format::Yaml);
    refused(&format!("_format_version: \"3.0\"\n_ignore: {}", "[".repeat(100_000)), Format::Yaml);
    refused(&format!("_format_version: \"3.0\"\n_ignore: {}", "- ".repeat(100_000)), Format::Yaml);
    refused("_format_version: \"3.0\"\n---\n_format_version: \"3.0\"\n", Format::Yaml);
    refused("_format_version: \"3.0\"\nservices: !secret [a]\n", Format::Yaml);
}

#[test]
fn memory_is_bounded() {
    let services: Vec<Value> =
        (0..2000).map(|number| json!({ "name": format!("s{number}"), "host": "a" })).collect();
    let nested: Vec<Value> = (0..2000).map(|_| json!({})).collect();
    for document in [
        json!({ "_format_version": "3.0", "services": services }),
        json!({ "_format_version": "3.0", "services": [{ "name": "a", "host": "a", "routes": nested }] }),
    ] {
        let mut current = Current::new(Selection::default());
        let mut budget = Budget::new(100_000);
        let options = ReadOptions { now: NOW * 1000, read: &read_entity, hash: &hash_secret };
        let read = read(document.to_string().as_bytes(), Format::Json, &options, &mut current, &mut budget);
        assert!(matches!(read, Err(ReadError::TooLarge(100_000))), "{read:?}");
    }
}
