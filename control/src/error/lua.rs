//! Violations as the messages of Kong have them: those of a field within a record within a record, or of an
//! element of a list within a record, are written as a table of Lua, over several lines.

use std::fmt::Write;

use model::{FieldErrors, Violations};

/// `schema violation (host: required field missing)`, or `2 schema violations (…; …)`.
pub(super) fn message(violations: &Violations) -> String {
    let mut texts: Vec<String> = violations.entity.clone();
    for (name, errors) in &violations.fields {
        match errors {
            FieldErrors::Whole(message) => texts.push(format!("{name}: {message}")),
            FieldErrors::Elements(elements) => {
                let text = |(index, errors): (&usize, &_)| format!("{name}.{}: {}", index + 1, value(errors));
                texts.extend(elements.iter().map(text));
            }
            FieldErrors::Nested(fields) => {
                texts.extend(
                    fields.iter().map(|(inner, errors)| format!("{name}.{inner}: {}", value(errors))),
                );
            }
        }
    }
    match &texts[..] {
        [one] => format!("schema violation ({one})"),
        several => format!("{} schema violations ({})", several.len(), several.join("; ")),
    }
}

fn value(errors: &FieldErrors) -> String {
    match errors {
        FieldErrors::Whole(message) => message.clone(),
        errors => table(errors, ""),
    }
}

/// A table; `outer` is the indentation of the line in which it begins.
fn table(errors: &FieldErrors, outer: &str) -> String {
    let indent = format!("{outer}  ");
    let entry = |key: String, errors: &FieldErrors| match errors {
        FieldErrors::Whole(message) => format!("{indent}{key}{}", quoted(message)),
        errors => format!("{indent}{key}{}", table(errors, &indent)),
    };
    let entries: Vec<String> = match errors {
        FieldErrors::Whole(message) => return quoted(message),
        FieldErrors::Elements(elements) => {
            // Elements without a gap before them have no key.
            let key = |at: usize, index: usize| {
                if at == index { String::new() } else { format!("[{}] = ", index + 1) }
            };
            elements.iter().enumerate().map(|(at, (index, errors))| entry(key(at, *index), errors)).collect()
        }
        FieldErrors::Nested(fields) => {
            let key = |name: &str| match is_identifier(name) {
                true => format!("{name} = "),
                false => format!("[{}] = ", quoted(name)),
            };
            fields.iter().map(|(name, errors)| entry(key(name), errors)).collect()
        }
    };
    format!("{{\n{}\n{outer}}}", entries.join(",\n"))
}

fn is_identifier(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.chars().all(allowed)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '\n' => quoted.extend(['\\', c]),
            // Writing to a string never fails.
            c if c.is_control() => write!(quoted, "\\{}", u32::from(c)).unwrap_or_default(),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(paths: &[(&str, &str)]) -> Violations {
        let mut violations = Violations::default();
        paths.iter().for_each(|(path, message)| violations.at_path(path, *message));
        violations
    }

    #[test]
    fn messages() {
        for (paths, expected) in [
            (&[("host", "a")][..], "schema violation (host: a)"),
            (&[("b", "x"), ("a.c", "y")], "2 schema violations (a.c: y; b: x)"),
            (&[("config.redis.host", "a")], "schema violation (config.redis: {\n  host = \"a\"\n})"),
            (
                &[("config.redis.host", "a"), ("config.redis.b-c", "say \"x\"")],
                "schema violation (config.redis: {\n  [\"b-c\"] = \"say \\\"x\\\"\",\n  host = \"a\"\n})",
            ),
            (&[("a.b.c.d", "x")], "schema violation (a.b: {\n  c = {\n    d = \"x\"\n  }\n})"),
        ] {
            assert_eq!(message(&violations(paths)), expected);
        }
    }

    #[test]
    fn lists_have_keys_after_a_gap() {
        let mut violations = Violations::default();
        violations.entity("e");
        violations.element("tags", 1, "x");
        let list = FieldErrors::Elements([(0, "a".into()), (1, "b".into()), (3, "d".into())].into());
        violations.at("config", FieldErrors::Nested([("names".to_owned(), list)].into()));
        let expected =
            "3 schema violations (e; config.names: {\n  \"a\",\n  \"b\",\n  [4] = \"d\"\n}; tags.2: x)";
        assert_eq!(message(&violations), expected);
    }
}
