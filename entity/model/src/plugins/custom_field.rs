//! Fields that an operator adds to the entries of a log, or removes: `custom_fields_by_lua`.
//!
//! Kong runs Lua for each. Gibbon runs no code of a configuration: it knows the programs that return a constant, a
//! part of the request or its answer, or nothing, and refuses all others when they are written.

use std::collections::BTreeMap;

use crate::check::text;

/// The most fields.
pub(super) const MOST: usize = 100;
/// The most bytes of a name, and of a program.
pub(super) const LONGEST: usize = 1024;
/// The most parts of a name.
const MOST_PARTS: usize = 8;

/// The value of a field that an operator adds to the entries of a log.
#[derive(Clone, Debug, PartialEq)]
pub enum CustomField {
    /// The field is removed.
    Remove,
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// The first field of the request with this name.
    RequestHeader(String),
    /// The first field of the answer with this name.
    AnswerHeader(String),
    /// The first argument of the query with this name.
    QueryArgument(String),
    /// The method.
    Method,
    /// The path as the client sent it.
    Path,
    /// The host.
    Host,
    /// The client's address.
    ClientAddress,
    /// The status of the answer.
    Status,
    /// The id of the request.
    RequestId,
    /// The id of the consumer.
    ConsumerId,
    /// The username of the consumer.
    ConsumerUsername,
    /// The custom id of the consumer.
    ConsumerCustomId,
}

/// The functions that take a name.
type WithName = fn(String) -> CustomField;

const LOOK_UPS: [(&str, CustomField); 11] = [
    ("kong.request.get_method()", CustomField::Method),
    ("kong.request.get_path()", CustomField::Path),
    ("kong.request.get_host()", CustomField::Host),
    ("kong.request.get_id()", CustomField::RequestId),
    ("kong.client.get_ip()", CustomField::ClientAddress),
    ("kong.client.get_forwarded_ip()", CustomField::ClientAddress),
    ("kong.response.get_status()", CustomField::Status),
    ("kong.client.get_consumer().id", CustomField::ConsumerId),
    ("kong.client.get_consumer().username", CustomField::ConsumerUsername),
    ("kong.client.get_consumer().custom_id", CustomField::ConsumerCustomId),
    ("nil", CustomField::Remove),
];

const NAMED: [(&str, WithName); 3] = [
    ("kong.request.get_header", CustomField::RequestHeader),
    ("kong.response.get_header", CustomField::AnswerHeader),
    ("kong.request.get_query_arg", CustomField::QueryArgument),
];

impl CustomField {
    /// Reads a program.
    ///
    /// # Errors
    /// The message for a program that is not known.
    pub fn parse(program: &str) -> Result<Self, String> {
        let refused = || {
            "Lua is not run: expected return with a constant, nil, or a look-up such as \
             kong.request.get_header(\"name\")"
                .to_owned()
        };
        let program = program.trim().trim_end_matches([';', ' ', '\n']);
        let value = match program.strip_prefix("return") {
            Some("") => return Ok(Self::Remove),
            Some(value) if value.starts_with([' ', '\t', '\n', '"', '\'']) => value.trim(),
            Some(_) | None => return Err(refused()),
        };
        if let Some((_, field)) = LOOK_UPS.iter().find(|(look_up, _)| *look_up == value) {
            return Ok(field.clone());
        }
        if let Some(text) = literal(value) {
            return Ok(Self::Text(text));
        }
        for (function, field) in NAMED {
            let argument = value.strip_prefix(function).map(str::trim);
            let within = |rest: &'_ str| {
                rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).map(str::to_owned)
            };
            let argument = argument.map(|rest| within(rest).unwrap_or_else(|| rest.to_owned()));
            if let Some(name) = argument.and_then(|argument| literal(argument.trim())) {
                return Ok(field(name));
            }
        }
        match value {
            "true" => Ok(Self::Boolean(true)),
            "false" => Ok(Self::Boolean(false)),
            number => {
                let number = number.parse().ok().filter(|number: &f64| number.is_finite());
                number.map(Self::Number).ok_or_else(refused)
            }
        }
    }

    /// The parts of a name: each but the last names an object. A dot after a backslash is part of a name.
    pub fn parts(name: &str) -> Vec<String> {
        let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
        for c in name.chars() {
            match c {
                '\\' if !escaped => escaped = true,
                '.' if !escaped => parts.push(std::mem::take(&mut part)),
                c => {
                    if escaped && c != '.' {
                        part.push('\\');
                    }
                    part.push(c);
                    escaped = false;
                }
            }
        }
        parts.push(part);
        parts
    }
}

/// The text of a string of Lua without escapes.
fn literal(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let text = value.strip_prefix(quote)?.strip_suffix(quote)?;
    (!text.contains([quote, '\\', '\n'])).then(|| text.to_owned())
}

/// Checks a program.
pub(super) fn program(program: &str) -> Result<(), String> {
    text::not_empty(program).and_then(|()| CustomField::parse(program).map(drop))
}

/// Checks the name of a field.
pub(super) fn name(name: &str) -> Result<(), String> {
    let parts = CustomField::parts(name);
    let valid = parts.len() <= MOST_PARTS && parts.iter().all(|part| !part.is_empty());
    if valid { Ok(()) } else { Err(format!("invalid value: {name}")) }
}

/// The fields that a configuration adds, with the parts of their names. Programs that are not known are left out: an
/// older version may have accepted them.
pub fn custom_fields(
    programs: Option<&BTreeMap<String, String>>,
) -> impl Iterator<Item = (Vec<String>, CustomField)> {
    let programs = programs.into_iter().flatten();
    programs.filter_map(|(name, program)| Some((CustomField::parts(name), CustomField::parse(program).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_programs_are_read() {
        let text = |text: &str| CustomField::Text(text.into());
        for (program, field) in [
            ("return 'a b'", text("a b")),
            ("return\"a\"", text("a")),
            ("  return \"\" ; ", text("")),
            ("return 1.5", CustomField::Number(1.5)),
            ("return true", CustomField::Boolean(true)),
            ("return nil", CustomField::Remove),
            ("return", CustomField::Remove),
            ("return kong.request.get_header('X-A')", CustomField::RequestHeader("X-A".into())),
            ("return kong.request.get_header \"X-A\"", CustomField::RequestHeader("X-A".into())),
            ("return kong.response.get_header( 'a' )", CustomField::AnswerHeader("a".into())),
            ("return kong.request.get_query_arg(\"q\")", CustomField::QueryArgument("q".into())),
            ("return kong.client.get_ip()", CustomField::ClientAddress),
            ("return kong.client.get_consumer().username", CustomField::ConsumerUsername),
        ] {
            assert_eq!(CustomField::parse(program), Ok(field), "{program}");
        }
    }

    #[test]
    fn other_programs_are_refused() {
        for program in [
            "os.execute('x')",
            "return os.time()",
            "return 'a' .. 'b'",
            "return 'a\\'b'",
            "returnx",
            "return kong.request.get_header(name)",
            "return inf",
            "local a = 1 return a",
            "return function() end",
        ] {
            assert!(CustomField::parse(program).is_err(), "{program}");
        }
    }

    #[test]
    fn names_are_divided_at_dots() {
        for (name, parts) in
            [("a", &["a"][..]), ("a.b.c", &["a", "b", "c"]), ("a\\.b.c", &["a.b", "c"]), ("a\\b", &["a\\b"])]
        {
            assert_eq!(CustomField::parts(name), parts, "{name}");
        }
        for wrong in ["", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g.h.i"] {
            assert!(super::name(wrong).is_err(), "{wrong}");
        }
    }
}
