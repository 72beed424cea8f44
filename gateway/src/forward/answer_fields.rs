//! The fields of an upstream's answer, as the client gets them.

use http::header::DATE;

use super::{balanced, fields};
use crate::context::Context;
use crate::message::{FieldLines, FieldSink};
use crate::names;
use crate::plugin::Answer;
use crate::respond::milliseconds;
use crate::upstream::Response;

/// Writes the fields of an answer, as plugins left them, and the gateway's own.
pub(super) fn write_fields(
    sink: &mut dyn FieldSink,
    answer: &Response,
    edited: Option<&Answer>,
    context: &Context,
    is_tls: bool,
) -> bool {
    let has_date = match edited {
        Some(edited) => {
            edited.fields.iter().for_each(|(name, value)| sink.received(name, value));
            edited.fields.has("date")
        }
        None => write_unedited(sink, answer, context, is_tls),
    };
    sink.fixed(&names::VIA, names::VIA_VALUE);
    sink.unique(&names::REQUEST_ID, context.request_id.as_bytes());
    sink.known(&names::PROXY_LATENCY, &milliseconds(context.before_upstream()));
    let waited = context.upstream.waited.unwrap_or_default();
    sink.known(&names::UPSTREAM_LATENCY, &milliseconds(waited));
    has_date
}

/// Writes the fields of an answer at which no plugin looks, and those that plugins have set before it came.
fn write_unedited(sink: &mut dyn FieldSink, answer: &Response, context: &Context, is_tls: bool) -> bool {
    let set = context.plugins.as_deref().map(|running| running.answer_fields());
    let Some(set) = set.filter(|set| !set.is_empty()) else {
        return write_upstream_fields(sink, answer, context, is_tls);
    };
    let has_date = write_upstream_fields(&mut Without { sink, set }, answer, context, is_tls);
    sink.lines(set);
    has_date || set.has(DATE.as_str().as_bytes())
}

/// Writes the fields of an answer, and the cookie of the upstream's balancer.
pub(super) fn write_upstream_fields(
    sink: &mut dyn FieldSink,
    answer: &Response,
    context: &Context,
    is_tls: bool,
) -> bool {
    let cookie = balanced::new_cookie(context);
    let own = cookie.as_ref().map(|(terms, _)| &*terms.name);
    let has_date = fields::write_answer(sink, &answer.fields, own);
    if let Some((terms, value)) = &cookie {
        balanced::write_cookie(sink, terms, value, is_tls);
    }
    has_date
}

/// Leaves out the fields that are set in another place.
struct Without<'s> {
    sink: &'s mut dyn FieldSink,
    set: &'s FieldLines,
}

impl FieldSink for Without<'_> {
    fn known(&mut self, name: &'static names::Name, value: &[u8]) {
        self.received(name.written.as_bytes(), value);
    }

    fn received(&mut self, name: &[u8], value: &[u8]) {
        if !self.set.has(name) {
            self.sink.received(name, value);
        }
    }
}
