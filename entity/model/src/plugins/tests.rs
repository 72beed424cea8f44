//! Reads configurations in tests as the Admin API does.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::violations::Violations;
use crate::{Common, Input, described, kind};

/// The violations of a plugin with this configuration, each as `path: message`.
pub(crate) fn broken(name: &str, config: &Value) -> Vec<String> {
    let violations = read(name, config).err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

/// What the Admin API shows of this configuration.
///
/// # Panics
/// When it breaks a rule.
#[track_caller]
pub(crate) fn view(name: &str, config: &Value) -> Value {
    let bytes = read(name, config).unwrap();
    described(kind::PLUGIN).unwrap().show(&bytes).unwrap().remove("config").unwrap()
}

fn read(name: &str, config: &Value) -> Result<Vec<u8>, Violations> {
    let plugins = described(kind::PLUGIN).unwrap();
    let body = json!({ "name": name, "config": config });
    let mut input = Input { fields: body.as_object().unwrap().clone(), form: false };
    let mut violations = Violations::default();
    plugins.imply(None, &mut input, &mut violations);
    let common = Common { id: Uuid::nil(), created_at: 0, updated_at: 0, tags: None };
    plugins.read(input, &common, violations).map(|content| content.bytes)
}
