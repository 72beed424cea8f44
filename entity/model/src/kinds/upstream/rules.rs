//! The rules between the fields of an upstream.

use serde_json::{Value, json};

use super::{Algorithm, HashInput, Upstream};
use crate::schema;
use crate::types::Word;
use crate::violations::{FieldErrors, Violations};

const MISSING: &str = "required field missing";

/// Pairs of fields that must not hold the same text, also when neither is used.
const DISTINCT: [[&str; 2]; 3] = [
    ["hash_on_header", "hash_fallback_header"],
    ["hash_on_query_arg", "hash_fallback_query_arg"],
    ["hash_on_uri_capture", "hash_fallback_uri_capture"],
];

/// The field, an input that it may hold, and the field that this input needs.
const NEEDS: [(&str, HashInput, &str); 8] = [
    ("hash_on", HashInput::Header, "hash_on_header"),
    ("hash_fallback", HashInput::Header, "hash_fallback_header"),
    ("hash_on", HashInput::Cookie, "hash_on_cookie"),
    ("hash_fallback", HashInput::Cookie, "hash_on_cookie"),
    ("hash_on", HashInput::QueryArg, "hash_on_query_arg"),
    ("hash_fallback", HashInput::QueryArg, "hash_fallback_query_arg"),
    ("hash_on", HashInput::UriCapture, "hash_on_uri_capture"),
    ("hash_fallback", HashInput::UriCapture, "hash_fallback_uri_capture"),
];

/// The inputs that restrict what may be hashed instead.
const RESTRICTING: [HashInput; 5] =
    [HashInput::None, HashInput::Cookie, HashInput::Consumer, HashInput::Ip, HashInput::Path];

impl Upstream {
    /// Checks that each input has the name that it needs, and that the second input differs from the first.
    pub(super) fn check_inputs(&self, violations: &mut Violations) {
        for (field, input, needed) in NEEDS {
            if self.input(field) == input && self.text(needed).is_none() {
                conditional(violations, field, needed, MISSING);
            }
        }
        if self.algorithm == Algorithm::StickySessions && self.sticky_sessions_cookie.is_none() {
            conditional(violations, "algorithm", "sticky_sessions_cookie", MISSING);
        }
        if let Some(allowed) = fallbacks(self.hash_on)
            && !allowed.contains(&self.hash_fallback)
        {
            let allowed: Vec<_> = allowed.iter().map(|input| input.as_str()).collect();
            let message = format!("expected one of: {}", allowed.join(", "));
            conditional(violations, "hash_on", "hash_fallback", &message);
        }
    }

    pub(super) fn check_names(&self, violations: &mut Violations) {
        for [one, other] in DISTINCT {
            if self.text(one).is_some() && self.text(one) == self.text(other) {
                violations
                    .entity(format!("values of these fields must be distinct: '{one}', '{other}'"));
            }
        }
    }

    /// One threshold protects the targets, the other ignores health: they contradict each other.
    pub(super) fn check_policy(&self, violations: &mut Violations) {
        if !self.policy.panic_threshold.is_zero() && !self.healthchecks.threshold.is_zero() {
            let message = "cannot be set together with healthchecks.threshold";
            let nested = [("panic_threshold".to_owned(), FieldErrors::from(message))].into();
            violations.at("policy", FieldErrors::Nested(nested));
        }
    }

    /// The rules in the words of a schema.
    pub(super) fn described_rules() -> Vec<Value> {
        let required = json!({ "required": true });
        let needed = NEEDS.iter().map(|(field, input, needed)| {
            schema::conditional(field, &json!({ "eq": input.as_str() }), needed, &required)
        });
        let sticky = json!({ "eq": Algorithm::StickySessions.as_str() });
        let sticky = schema::conditional("algorithm", &sticky, "sticky_sessions_cookie", &required);
        let restricted = RESTRICTING.iter().filter_map(|input| {
            let allowed: Vec<_> = fallbacks(*input)?.iter().map(|input| input.as_str()).collect();
            let matching = json!({ "eq": input.as_str() });
            Some(schema::conditional("hash_on", &matching, "hash_fallback", &json!({ "one_of": allowed })))
        });
        let distinct = DISTINCT.iter().map(|pair| json!({ "distinct": pair }));
        needed.chain([sticky]).chain(restricted).chain(distinct).collect()
    }

    fn input(&self, field: &str) -> HashInput {
        if field == "hash_on" { self.hash_on } else { self.hash_fallback }
    }

    fn text(&self, field: &str) -> Option<&str> {
        match field {
            "hash_on_header" => self.hash_on_header.as_deref(),
            "hash_fallback_header" => self.hash_fallback_header.as_deref(),
            "hash_on_cookie" => self.hash_on_cookie.as_deref(),
            "hash_on_query_arg" => self.hash_on_query_arg.as_deref(),
            "hash_fallback_query_arg" => self.hash_fallback_query_arg.as_deref(),
            "hash_on_uri_capture" => self.hash_on_uri_capture.as_deref(),
            "hash_fallback_uri_capture" => self.hash_fallback_uri_capture.as_deref(),
            _ => None,
        }
    }
}

/// What may be hashed instead of `input`; `None` when anything may.
fn fallbacks(input: HashInput) -> Option<Vec<HashInput>> {
    match input {
        HashInput::None | HashInput::Cookie => Some(vec![HashInput::None]),
        HashInput::Consumer | HashInput::Ip | HashInput::Path => {
            Some(HashInput::ALL.iter().copied().filter(|other| *other != input).collect())
        }
        HashInput::Header | HashInput::QueryArg | HashInput::UriCapture => None,
    }
}

/// Adds a violation of a field, given the value of another one.
fn conditional(violations: &mut Violations, given: &str, field: &str, message: &str) {
    violations.entity(format!("failed conditional validation given value of field '{given}'"));
    violations.field(field, message);
}
