//! request-transformer: changes a request on its way to the upstream.
//!
//! All values are rendered before anything is changed, so that they see the request as it came to the plugin.

mod body;
mod compiled;
mod fields;
mod lists;
mod path;
#[cfg(test)]
mod tests;
mod values;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use model::plugins::RequestTransformer as Config;
use model::template::Template;

use self::body::{BodyEdits, BodyValues};
use self::compiled::HeaderTerm;
use self::fields::RequestFields;
use self::values::{Budget, RequestValues};
use super::content::{Arguments, MediaType, TooManyEntries, media_type};
use super::edits::Edits;
use super::{Exchange, InstanceTerms, Outcome, Phases, Plugin, Reply, Step, Unusable};
use crate::error::RequestFailure;
use crate::message::FieldName;

/// The compiled plugin.
#[derive(Debug)]
pub(super) struct RequestTransformer {
    path: Option<Template>,
    method: Option<Method>,
    headers: Edits<FieldName, HeaderTerm>,
    body: Option<Box<BodyEdits>>,
    query: Edits<Vec<u8>, Template>,
    /// The most bytes of a body that is changed.
    longest_body: usize,
}

/// What the expressions have become for one request.
struct Rendered {
    path: Option<path::Rendered>,
    headers: Vec<HeaderValue>,
    body: BodyValues,
    query: Vec<Vec<u8>>,
}

impl Plugin for RequestTransformer {
    type Config = Config;

    const PHASES: Phases = Phases::ACCESS;

    fn compile(config: &Config, _terms: &InstanceTerms) -> Result<Self, Unusable> {
        compiled::compile(config)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Step<'a> {
        let rendered = match self.render(exchange) {
            Ok(rendered) => rendered,
            Err(failure) => return Step::reply(Reply::failure(failure)),
        };
        if self.body.is_some() || self.moves_form(exchange.headers()) {
            return Step::wait(self.change_with_body(exchange, rendered));
        }
        Step::Done(self.change(exchange, rendered))
    }
}

impl RequestTransformer {
    fn render(&self, exchange: &Exchange<'_>) -> Result<Rendered, RequestFailure> {
        let values = RequestValues::new(exchange);
        let mut budget = Budget::default();
        let path = self.path.as_ref().map(|path| path::render(path, &values, &mut budget)).transpose()?;
        let headers = self.headers.values().map(|term| term.render(&values, &mut budget));
        let headers = headers.collect::<Result<_, _>>()?;
        let body = self.body.as_ref().map(|body| body.render(&values, &mut budget)).transpose()?;
        let query =
            self.query.values().map(|value| budget.render(value, &values)).collect::<Result<_, _>>()?;
        Ok(Rendered { path, headers, body: body.unwrap_or_default(), query })
    }

    /// Changes everything but the body.
    fn change(&self, exchange: &mut Exchange<'_>, rendered: Rendered) -> Outcome {
        change_path(exchange, rendered.path);
        self.change_method(exchange);
        self.change_headers(exchange, rendered.headers)?;
        self.change_query(exchange, rendered.query)
    }

    /// Changes everything, once the body is there.
    async fn change_with_body(&self, exchange: &mut Exchange<'_>, rendered: Rendered) -> Outcome {
        change_path(exchange, rendered.path);
        if self.moves_form(exchange.headers()) {
            let form = exchange.body(self.longest_body).await?;
            move_form(exchange, &form)?;
        }
        self.change_method(exchange);
        self.change_headers(exchange, rendered.headers)?;
        if let Some(edits) = self.body.as_ref().filter(|edits| edits.concern(exchange.headers())) {
            let body = exchange.body(self.longest_body).await?;
            let changed = edits.apply(exchange.headers(), &body, &rendered.body).map_err(too_many)?;
            if let Some(changed) = changed {
                exchange.set_body(Bytes::from(changed));
            }
        }
        self.change_query(exchange, rendered.query)
    }

    fn change_method(&self, exchange: &mut Exchange<'_>) {
        if let Some(method) = &self.method {
            exchange.set_method(method.clone());
        }
    }

    fn change_headers(&self, exchange: &mut Exchange<'_>, values: Vec<HeaderValue>) -> Outcome {
        if self.headers.is_empty() {
            return Ok(());
        }
        let changed = self.headers.apply(values, &mut RequestFields::new(exchange));
        changed.map(drop).map_err(too_many)
    }

    fn change_query(&self, exchange: &mut Exchange<'_>, values: Vec<Vec<u8>>) -> Outcome {
        if self.query.is_empty() {
            return Ok(());
        }
        let mut arguments = Arguments::parse(exchange.query().unwrap_or_default()).map_err(too_many)?;
        // A query in which nothing changes stays as it was written.
        if self.query.apply(values, &mut arguments).map_err(too_many)? {
            exchange.set_query((!arguments.is_empty()).then(|| arguments.encode()));
        }
        Ok(())
    }

    /// Whether the arguments of a form move to the query: the new method usually comes without a body.
    fn moves_form(&self, headers: &HeaderMap) -> bool {
        let bodiless = [Method::GET, Method::HEAD, Method::TRACE];
        self.method.as_ref().is_some_and(|method| bodiless.contains(method))
            && type_of(headers) == Some(MediaType::Form)
    }
}

/// The type of a body that can be changed.
fn type_of(headers: &HeaderMap) -> Option<MediaType> {
    headers.get(CONTENT_TYPE).and_then(|own| media_type(own.as_bytes()))
}

fn change_path(exchange: &mut Exchange<'_>, rendered: Option<path::Rendered>) {
    let Some(path::Rendered { path, query }) = rendered else { return };
    exchange.set_upstream_path(path);
    if let Some(mut query) = query {
        if let Some(own) = exchange.query() {
            query.push(b'&');
            query.extend_from_slice(own);
        }
        exchange.set_query(Some(query));
    }
}

/// Adds the arguments of a form to the query.
fn move_form(exchange: &mut Exchange<'_>, form: &[u8]) -> Outcome {
    let form = Arguments::parse(form).map_err(too_many)?;
    if form.is_empty() {
        return Ok(());
    }
    let mut arguments = Arguments::parse(exchange.query().unwrap_or_default()).map_err(too_many)?;
    form.iter().for_each(|(name, value)| arguments.append(name, value));
    exchange.set_query(Some(arguments.encode()));
    Ok(())
}

fn too_many(_: TooManyEntries) -> Box<Reply> {
    Box::new(Reply::failure(RequestFailure::BodyTooLarge))
}
