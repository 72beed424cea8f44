//! The types of bodies that are kept.

/// A type of body, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    kind: String,
    subtype: String,
    /// Sorted by name.
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads the value of a Content-Type; `None` when it has no type and subtype.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        if kind.is_empty() || subtype.is_empty() {
            return None;
        }
        let mut parameters: Vec<_> = parts.filter_map(parameter).collect();
        parameters.sort_unstable();
        Some(Self { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), parameters })
    }

    /// Whether a body of this type is one of `range`, in which `*` stands for any. A range without parameters
    /// has bodies with any: Kong's must have none, so that `application/json; charset=utf-8` is none of
    /// `application/json`.
    pub fn is_in(&self, range: &Self) -> bool {
        let fits = |one: &str, other: &str| one == "*" || one == other;
        fits(&range.kind, &self.kind)
            && fits(&range.subtype, &self.subtype)
            && (range.parameters.is_empty() || range.parameters == self.parameters)
    }
}

/// A parameter; its value is compared whatever its case, as that of `charset` is.
fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let value = value.trim().trim_matches('"').to_ascii_lowercase();
    Some((name.trim().to_ascii_lowercase(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_with_ranges() {
        for (body, range, is_in) in [
            ("application/json", "application/json", true),
            ("Application/JSON", "application/json", true),
            ("application/json; charset=utf-8", "application/json", true),
            ("application/json", "application/json; charset=utf-8", false),
            ("application/json;charset=UTF-8", "application/json; charset=\"utf-8\"", true),
            ("application/json; charset=latin1", "application/json; charset=utf-8", false),
            ("application/json; charset=utf-8; v=1", "application/json; charset=utf-8", false),
            ("application/json; v=1; charset=utf-8", "application/json; charset=utf-8; v=1", true),
            ("text/html", "text/*", true),
            ("text/html", "*/*", true),
            ("image/png", "text/*", false),
            ("application/jsonx", "application/json", false),
            ("*/*", "text/plain", false),
        ] {
            let [body, range] = [body, range].map(|text| MediaType::parse(text).unwrap());
            assert_eq!(body.is_in(&range), is_in, "{body:?} {range:?}");
        }
        for wrong in ["", "text", "/", "text/", "/html", ";charset=x"] {
            assert_eq!(MediaType::parse(wrong), None, "{wrong}");
        }
    }
}
