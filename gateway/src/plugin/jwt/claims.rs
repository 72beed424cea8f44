//! The claims about the time in which a token is valid, and about whom it is for.

use serde_json::{Map, Value};

/// What a token must state about a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is not looked at.
    Ignored,
    /// If it is there, it must hold.
    IfPresent,
    /// It must be there and hold.
    Required,
}

/// What a token must state about the times in which it is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeRules {
    pub(super) exp: Rule,
    pub(super) nbf: Rule,
    /// The longest time until it expires, in seconds.
    pub(super) maximum_expiration: Option<f64>,
}

/// The claims that do not hold, each with the reason.
pub(super) type Broken = Vec<(&'static str, &'static str)>;

impl TimeRules {
    /// Checks the claims at a time in seconds since 1970.
    ///
    /// # Errors
    /// The claims that do not hold.
    pub(super) fn check(&self, claims: &Map<String, Value>, now: f64) -> Result<(), Broken> {
        let mut broken = Vec::new();
        let exp = number(claims, "exp", self.exp, &mut broken);
        let nbf = number(claims, "nbf", self.nbf, &mut broken);
        if exp.is_some_and(|exp| exp <= now) {
            broken.push(("exp", "token expired"));
        }
        if nbf.is_some_and(|nbf| nbf > now) {
            broken.push(("nbf", "token not valid yet"));
        }
        if broken.is_empty()
            && let Some((exp, longest)) = exp.zip(self.maximum_expiration)
            && exp - now > longest
        {
            broken.push(("exp", "exceeds maximum allowed expiration"));
        }
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    }
}

fn number(claims: &Map<String, Value>, name: &'static str, rule: Rule, broken: &mut Broken) -> Option<f64> {
    let value = claims.get(name).filter(|value| !value.is_null());
    match (rule, value) {
        (Rule::Ignored, _) | (Rule::IfPresent, None) => None,
        (_, value) => {
            let number = value.and_then(Value::as_f64);
            if number.is_none() {
                broken.push((name, "must be a number"));
            }
            number
        }
    }
}

/// Whether the claim `aud`, a text or a list of texts, names one of these audiences.
pub(super) fn is_for(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    let is_one = |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|one| one == text));
    match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().any(is_one),
        Some(one) => is_one(one),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: f64 = 1000.0;

    fn claims(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn times() {
        use Rule::{IfPresent, Ignored, Required};
        let expired = ("exp", "token expired");
        let early = ("nbf", "token not valid yet");
        let no_exp = ("exp", "must be a number");
        for (exp, nbf, value, expected) in [
            (Ignored, Ignored, json!({ "exp": 1, "nbf": 2000 }), vec![]),
            (IfPresent, IfPresent, json!({}), vec![]),
            (IfPresent, IfPresent, json!({ "exp": null }), vec![]),
            (IfPresent, IfPresent, json!({ "exp": 1, "nbf": 2000 }), vec![expired, early]),
            (IfPresent, IfPresent, json!({ "exp": "2000" }), vec![no_exp]),
            (Required, Ignored, json!({}), vec![no_exp]),
            (Required, Ignored, json!({ "exp": "2000" }), vec![no_exp]),
            (Required, Ignored, json!({ "exp": 1000 }), vec![expired]),
            (Required, Ignored, json!({ "exp": 1000.5 }), vec![]),
            (Required, Required, json!({ "exp": 1001, "nbf": 1000 }), vec![]),
            (Required, Required, json!({ "exp": 1001, "nbf": 1000.5 }), vec![early]),
            (
                Required,
                Required,
                json!({ "exp": -1, "nbf": true }),
                vec![("nbf", "must be a number"), expired],
            ),
        ] {
            let rules = TimeRules { exp, nbf, maximum_expiration: None };
            let broken = rules.check(&claims(&value), NOW).err().unwrap_or_default();
            assert_eq!(broken, expected, "{value}");
        }
    }

    #[test]
    fn maximum_expiration() {
        let rules = TimeRules { exp: Rule::Required, nbf: Rule::Ignored, maximum_expiration: Some(60.0) };
        let check = |exp: f64| rules.check(&claims(&json!({ "exp": exp })), NOW);
        assert_eq!(check(1060.0), Ok(()));
        assert_eq!(check(1061.0), Err(vec![("exp", "exceeds maximum allowed expiration")]));
        assert_eq!(check(1e300), Err(vec![("exp", "exceeds maximum allowed expiration")]));
        assert_eq!(check(1000.0), Err(vec![("exp", "token expired")]));
    }

    #[test]
    fn audiences() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        for (value, expected) in [
            (json!({ "aud": "a" }), true),
            (json!({ "aud": ["x", "b"] }), true),
            (json!({ "aud": ["x"] }), false),
            (json!({ "aud": "A" }), false),
            (json!({ "aud": [["a"]] }), false),
            (json!({ "aud": null }), false),
            (json!({}), false),
        ] {
            assert_eq!(is_for(&claims(&value), &wanted), expected, "{value}");
        }
    }
}
