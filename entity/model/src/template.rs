//! Texts with expressions, as `Bearer $(headers['x-token'] or query_params.token)`: the part of Kong's templates
//! that needs no programming language.
//!
//! ```text
//! template   = (text | "$(" expression ")")*
//! expression = joined ("or" joined)*
//! joined     = value (".." value)*
//! value      = string | number | lookup | "(" expression ")"
//! lookup     = scope ("." name | "[" (string | number) "]")
//! scope      = "headers" | "query_params" | "uri_captures" | "shared"
//! ```
//!
//! A string is quoted by `'` or `"`, and a backslash in it precedes a quote or a backslash. `$('$(x)')` is the text
//! `$(x)`. A lookup that finds nothing is an empty text, and `or` goes on to the next value; it does not for an
//! empty text that was found.

mod parse;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// The most expressions and texts in one template, and values in one expression.
const PARTS: usize = 64;
/// The most parentheses within each other.
const DEPTH: usize = 8;

/// A text with expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Expression(Expression),
}

/// What stands between `$(` and `)`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Text(String),
    Lookup(Scope, String),
    /// The first that there is.
    Either(Vec<Expression>),
    /// All of them, one after the other.
    Joined(Vec<Expression>),
}

/// Where a value is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The fields of the request's header.
    Headers,
    /// The arguments of its query.
    QueryParams,
    /// What the expression of the route's path has captured, by name or by number.
    UriCaptures,
    /// What Kong's plugins share within one request. Nothing here writes it.
    Shared,
}

/// The values of one request.
pub trait Values {
    /// The first value of this name.
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// A piece of a rendered template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered<'a> {
    /// What the author of the template wrote outside of expressions.
    Text(&'a str),
    /// The value of an expression, which may be what a client sent.
    Value(Cow<'a, [u8]>),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// An expression that has another form, or too many parts.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::template(text).map(|parts| Self { parts })
    }

    /// The text, if there is no expression in it.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Renders it: all pieces in their order.
    pub fn render<'a>(&'a self, values: &'a dyn Values) -> impl Iterator<Item = Rendered<'a>> {
        self.parts.iter().map(|part| match part {
            Part::Text(text) => Rendered::Text(text),
            Part::Expression(expression) => Rendered::Value(expression.value(values).unwrap_or_default()),
        })
    }
}

impl Expression {
    fn value<'a>(&'a self, values: &'a dyn Values) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
            Self::Lookup(scope, name) => values.value(*scope, name),
            Self::Either(choices) => choices.iter().find_map(|choice| choice.value(values)),
            Self::Joined(parts) => {
                let found = parts.iter().filter_map(|part| part.value(values));
                Some(Cow::Owned(found.fold(Vec::new(), |mut joined, part| {
                    joined.extend_from_slice(&part);
                    joined
                })))
            }
        }
    }
}
