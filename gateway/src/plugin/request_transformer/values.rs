//! The values that templates find in a request, and how much they may become.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::header::HOST;
use model::template::{Rendered, Scope, Template, Values};

use crate::error::RequestFailure;
use crate::plugin::Exchange;
use crate::plugin::content::Arguments;

/// The most bytes of all that is rendered for one request: a configuration may name one long value many times.
const RENDERED: usize = 128 << 10;

/// The values of a request.
pub(super) struct RequestValues<'e, 'r> {
    exchange: &'e Exchange<'r>,
    arguments: OnceCell<Arguments>,
}

impl<'e, 'r> RequestValues<'e, 'r> {
    pub(super) fn new(exchange: &'e Exchange<'r>) -> Self {
        Self { exchange, arguments: OnceCell::new() }
    }

    /// Hyphens of names may be written as underscores.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let headers = self.exchange.headers();
        let found = headers.get(name).or_else(|| headers.get(name.replace('_', "-")));
        let found = found.map(|value| Cow::Borrowed(value.as_bytes()));
        // HTTP/2 has it apart from the fields.
        found.or_else(|| match self.exchange.sent_authority() {
            Some(authority) if HOST == *name.to_ascii_lowercase() => {
                Some(Cow::Owned(authority.into_owned().into_bytes()))
            }
            _ => None,
        })
    }

    /// Of too many arguments there are none: the request is refused where they are changed.
    fn arguments(&self) -> &Arguments {
        let query = || self.exchange.query().map(Arguments::parse);
        self.arguments.get_or_init(|| query().and_then(Result::ok).unwrap_or_default())
    }
}

impl Values for RequestValues<'_, '_> {
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, [u8]>> {
        match scope {
            Scope::Headers => self.header(name),
            Scope::QueryParams => self.arguments().first(name.as_bytes()).map(Cow::Borrowed),
            Scope::UriCaptures => self.exchange.uri_capture(name).map(|text| Cow::Borrowed(text.as_bytes())),
            Scope::Shared => None,
        }
    }
}

/// How many bytes may still be rendered for a request.
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: RENDERED }
    }
}

impl Budget {
    /// Takes a number of bytes.
    ///
    /// # Errors
    /// When there are not so many left.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), RequestFailure> {
        self.left = self.left.checked_sub(bytes).ok_or(RequestFailure::HeaderTooLarge)?;
        Ok(())
    }

    /// Renders a template.
    ///
    /// # Errors
    /// When there are not enough bytes left.
    pub(super) fn render(
        &mut self,
        template: &Template,
        values: &dyn Values,
    ) -> Result<Vec<u8>, RequestFailure> {
        let mut text = Vec::new();
        for piece in template.render(values) {
            let piece: &[u8] = match &piece {
                Rendered::Text(text) => text.as_bytes(),
                Rendered::Value(value) => value,
            };
            self.take(piece.len())?;
            text.extend_from_slice(piece);
        }
        Ok(text)
    }
}
