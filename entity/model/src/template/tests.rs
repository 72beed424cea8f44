//! Templates as they are parsed and rendered.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::*;

/// Values by `scope.name`.
struct Table(BTreeMap<&'static str, &'static str>);

impl Values for Table {
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, [u8]>> {
        let scope = match scope {
            Scope::Headers => "headers",
            Scope::QueryParams => "query_params",
            Scope::UriCaptures => "uri_captures",
            Scope::Shared => "shared",
        };
        self.0.get(format!("{scope}.{name}").as_str()).map(|value| Cow::Borrowed(value.as_bytes()))
    }
}

fn values() -> Table {
    Table(BTreeMap::from([
        ("headers.x-user", "ada"),
        ("headers.host", "a.test"),
        ("query_params.q", "1 2"),
        ("query_params.empty", ""),
        ("uri_captures.1", "first"),
        ("uri_captures.id", "7"),
    ]))
}

fn rendered(text: &str) -> String {
    let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let values = values();
    let mut out = Vec::new();
    for piece in template.render(&values) {
        match piece {
            Rendered::Text(text) => out.extend_from_slice(text.as_bytes()),
            Rendered::Value(value) => out.extend_from_slice(&value),
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn templates_are_rendered() {
    for (text, wanted) in [
        ("", ""),
        ("plain", "plain"),
        ("5$ and $", "5$ and $"),
        ("$(headers['x-user'])", "ada"),
        ("$(headers[\"x-user\"])", "ada"),
        ("a-$( headers . host )-b", "a-a.test-b"),
        ("$(query_params.q)", "1 2"),
        ("$(query_params.none)", ""),
        ("$(query_params.none or 'none')", "none"),
        ("$(query_params.empty or 'none')", ""),
        ("$(query_params.a or query_params.b or query_params.q)", "1 2"),
        ("/$(uri_captures[1])/$(uri_captures['id'])/$(uri_captures.id)", "/first/7/7"),
        ("$('Basic ' .. headers['x-user'])", "Basic ada"),
        ("$('a' .. query_params.none .. 'b')", "ab"),
        ("$('<' .. (query_params.none or 'x') .. '>')", "<x>"),
        ("$(query_params.none or 'x' .. 'y')", "xy"),
        ("$('$(x)')", "$(x)"),
        ("$('a)b')$(')')", "a)b)"),
        (r#"$('it\'s \\ \"so\"')"#, "it's \\ \"so\""),
        ("$(1 .. 2)", "12"),
        ("$(shared.user or 'nobody')", "nobody"),
        ("$(headers['order'] or 'x')", "x"),
        ("\u{fc}$(headers.host)\u{fc}", "\u{fc}a.test\u{fc}"),
    ] {
        assert_eq!(rendered(text), wanted, "{text}");
    }
}

#[test]
fn texts_without_expressions_are_literal() {
    assert_eq!(Template::parse("a$b").unwrap().literal(), Some("a$b"));
    assert_eq!(Template::parse("").unwrap().literal(), Some(""));
    assert_eq!(Template::parse("a$(headers.b)").unwrap().literal(), None);
}

#[test]
fn other_forms_are_refused_with_a_reason() {
    let names = "expected one of: headers, query_params, uri_captures, shared";
    for (text, reason) in [
        ("$()", "expected a value at character 3".to_owned()),
        ("$(", "expected a value at character 3".to_owned()),
        ("ab$(headers.x", "expected ')' at character 14".to_owned()),
        ("$(headers)", "expected '.' or '[' at character 10".to_owned()),
        ("$(headers.)", "expected a name at character 11".to_owned()),
        ("$(headers[x])", "expected a string or a number at character 11".to_owned()),
        ("$(headers['x')", "expected ']' at character 14".to_owned()),
        ("$(headers['x)", "expected a closed string at character 11".to_owned()),
        ("$(os.execute('x'))", format!("unknown name 'os', {names}")),
        ("$(string.upper(headers.x))", format!("unknown name 'string', {names}")),
        ("$(headers.x and 'y')", "expected ')' at character 13".to_owned()),
        ("$(headers.x + 1)", "expected ')' at character 13".to_owned()),
        ("$(not headers.x)", format!("unknown name 'not', {names}")),
        (r"$('\n')", "a backslash precedes a quote or a backslash alone".to_owned()),
        ("$('a' or)", "expected a value at character 9".to_owned()),
    ] {
        assert_eq!(Template::parse(text).unwrap_err().to_string(), reason, "{text}");
    }
}

#[test]
fn templates_are_bounded() {
    let nested = |depth| format!("$({}'x'{})", "(".repeat(depth), ")".repeat(depth));
    assert!(Template::parse(&nested(DEPTH)).is_ok());
    assert!(Template::parse(&nested(DEPTH + 1)).is_err());
    assert!(Template::parse(&nested(100_000)).is_err());
    assert!(Template::parse(&"$('x')".repeat(PARTS)).is_ok());
    assert!(Template::parse(&"$('x')".repeat(PARTS + 1)).is_err());
    assert!(Template::parse(&format!("$('x'{})", " .. 'x'".repeat(PARTS))).is_err());
    assert!(Template::parse(&format!("$('x'{})", " or 'x'".repeat(PARTS))).is_err());
}
