//! Compiles the edits of a JSON body.

use model::plugins::ResponseTransformer as Config;
use model::plugins::edits::pair;
use model::plugins::response_transformer::{JsonType, ResponseValues};
use serde_json::value::{RawValue, to_raw_value};

use crate::plugin::content::Path;
use crate::plugin::edits::Edits;

/// Compiles the edits of a configuration. A value that is no number where it should be is left out.
pub(super) fn compile(config: &Config) -> Edits<Path, Box<RawValue>> {
    let path = |name: &str| Path::new(name, !config.dots_in_keys);
    let both = |entry: &String| {
        let (old, new) = pair(entry).filter(|(_, new)| !new.is_empty())?;
        Some((path(old), path(new)))
    };
    let values = |values: &ResponseValues| {
        let types = values.json_types.iter().copied().map(Some).chain(std::iter::repeat(None));
        let typed = values.json.iter().zip(types).filter_map(|(entry, json_type)| {
            let (name, value) = pair(entry).filter(|(_, value)| !value.is_empty())?;
            Some((path(name), typed(value, json_type.unwrap_or(JsonType::String))?))
        });
        typed.collect()
    };
    Edits {
        remove: config
            .remove
            .json
            .iter()
            .filter_map(|entry| pair(entry))
            .map(|(name, _)| path(name))
            .collect(),
        rename: config.rename.json.iter().filter_map(both).collect(),
        replace: values(&config.replace),
        add: values(&config.add),
        append: values(&config.append),
    }
}

/// A text as a value of a type. `None` when it is no number.
fn typed(text: &str, json_type: JsonType) -> Option<Box<RawValue>> {
    match json_type {
        JsonType::String => to_raw_value(text).ok(),
        // Kong's cast: whatever is not true is false.
        JsonType::Boolean => to_raw_value(&(text == "true")).ok(),
        JsonType::Number => {
            let text = text.trim();
            // As it is written, if that is a number of JSON.
            let written = serde_json::from_str::<serde_json::Number>(text).ok();
            let written = written.and_then(|_| RawValue::from_string(text.to_owned()).ok());
            let parsed = || text.parse::<f64>().ok().filter(|number| number.is_finite());
            written.or_else(|| to_raw_value(&parsed()?).ok())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values_of_their_type() {
        for (text, json_type, value) in [
            ("a\"\\/\n", JsonType::String, Some(r#""a\"\\/\n""#)),
            ("5", JsonType::String, Some("\"5\"")),
            ("true", JsonType::Boolean, Some("true")),
            ("false", JsonType::Boolean, Some("false")),
            ("1", JsonType::Boolean, Some("false")),
            ("5", JsonType::Number, Some("5")),
            ("-1.50", JsonType::Number, Some("-1.50")),
            ("1e3", JsonType::Number, Some("1e3")),
            (" 7 ", JsonType::Number, Some("7")),
            ("+7", JsonType::Number, Some("7.0")),
            (".5", JsonType::Number, Some("0.5")),
            ("inf", JsonType::Number, None),
            ("5 apples", JsonType::Number, None),
            ("", JsonType::Number, None),
        ] {
            assert_eq!(typed(text, json_type).map(|raw| raw.get().to_owned()).as_deref(), value, "{text:?}");
        }
    }
}
