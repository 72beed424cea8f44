//! Parses templates.

use super::{DEPTH, Expression, PARTS, Part, Scope, TemplateError};

/// Parses a template.
pub(super) fn template(text: &str) -> Result<Vec<Part>, TemplateError> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("$(") {
        if at > 0 {
            parts.push(Part::Text(rest[..at].to_owned()));
        }
        let mut reader = Reader { whole: text, rest: &rest[at + 2..] };
        let expression = reader.expression(0)?;
        reader.expect(')')?;
        parts.push(Part::Expression(expression));
        rest = reader.rest;
        if parts.len() > PARTS {
            return Err(TemplateError(format!("a template has at most {PARTS} parts")));
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// What is left of a template, within an expression.
struct Reader<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn expression(&mut self, depth: usize) -> Result<Expression, TemplateError> {
        if depth > DEPTH {
            return Err(TemplateError(format!("parentheses stand at most {DEPTH} times within each other")));
        }
        let mut choices = vec![self.joined(depth)?];
        while self.skip_word("or") {
            choices.push(self.joined(depth)?);
            bounded(&choices)?;
        }
        Ok(one_or(choices, Expression::Either))
    }

    fn joined(&mut self, depth: usize) -> Result<Expression, TemplateError> {
        let mut parts = vec![self.value(depth)?];
        while self.skip("..") {
            parts.push(self.value(depth)?);
            bounded(&parts)?;
        }
        Ok(one_or(parts, Expression::Joined))
    }

    fn value(&mut self, depth: usize) -> Result<Expression, TemplateError> {
        self.skip_blanks();
        match self.rest.chars().next() {
            Some('\'' | '"') => self.string().map(Expression::Text),
            Some('0'..='9') => Ok(Expression::Text(self.digits())),
            Some('(') => {
                self.skip("(");
                let inner = self.expression(depth + 1)?;
                self.expect(')')?;
                Ok(inner)
            }
            Some(first) if is_name_start(first) => self.lookup(),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn lookup(&mut self) -> Result<Expression, TemplateError> {
        let name = self.name();
        let scope = match name.as_str() {
            "headers" => Scope::Headers,
            "query_params" => Scope::QueryParams,
            "uri_captures" => Scope::UriCaptures,
            "shared" => Scope::Shared,
            _ => {
                return Err(TemplateError(format!(
                    "unknown name '{name}', expected one of: headers, query_params, uri_captures, shared"
                )));
            }
        };
        if self.skip("[") {
            self.skip_blanks();
            let key = match self.rest.chars().next() {
                Some('\'' | '"') => self.string()?,
                Some('0'..='9') => self.digits(),
                _ => return Err(self.unexpected("a string or a number")),
            };
            self.expect(']')?;
            return Ok(Expression::Lookup(scope, key));
        }
        // Two points join.
        if !self.rest.starts_with("..") && self.skip(".") {
            self.skip_blanks();
            if self.rest.chars().next().is_some_and(is_name_start) {
                return Ok(Expression::Lookup(scope, self.name()));
            }
            return Err(self.unexpected("a name"));
        }
        Err(self.unexpected("'.' or '['"))
    }

    fn string(&mut self) -> Result<String, TemplateError> {
        let mut chars = self.rest.chars();
        let quote = chars.next();
        let mut text = String::new();
        loop {
            match chars.next() {
                Some('\\') => match chars.next() {
                    Some(escaped @ ('\\' | '\'' | '"')) => text.push(escaped),
                    _ => {
                        return Err(TemplateError(
                            "a backslash precedes a quote or a backslash alone".to_owned(),
                        ));
                    }
                },
                next if next == quote => break,
                Some(next) => text.push(next),
                None => return Err(self.unexpected("a closed string")),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }

    fn digits(&mut self) -> String {
        self.take(|next| next.is_ascii_digit())
    }

    fn name(&mut self) -> String {
        self.take(|next| next.is_ascii_alphanumeric() || next == '_')
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|next| !wanted(next)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn skip(&mut self, text: &str) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Skips a word that no other character of a name follows.
    fn skip_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let follows = self.rest.strip_prefix(word).and_then(|rest| rest.chars().next());
        let ends = follows.is_none_or(|next| !next.is_ascii_alphanumeric() && next != '_');
        ends && self.skip(word)
    }

    fn expect(&mut self, wanted: char) -> Result<(), TemplateError> {
        self.skip_blanks();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.unexpected(&format!("'{wanted}'"))),
        }
    }

    /// The error at this place. Places are counted in characters from 1.
    fn unexpected(&self, wanted: &str) -> TemplateError {
        let before = &self.whole[..self.whole.len() - self.rest.len()];
        TemplateError(format!("expected {wanted} at character {}", before.chars().count() + 1))
    }
}

fn bounded(values: &[Expression]) -> Result<(), TemplateError> {
    if values.len() > PARTS {
        return Err(TemplateError(format!("an expression has at most {PARTS} values")));
    }
    Ok(())
}

fn one_or(mut values: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match (values.pop(), values.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            values.extend(last);
            many(values)
        }
    }
}

fn is_name_start(first: char) -> bool {
    first.is_ascii_alphabetic() || first == '_'
}
