//! Answers of the Admin API for people.

use http::StatusCode;
use node::exit::{Code, ExitError};
use serde_json::Value;

/// The word for files without errors, with what they would change.
pub(super) fn valid(answer: &Value) -> String {
    let mut lines = disagreements(answer);
    lines.push(format!("valid: {}", counts(answer)));
    lines.join("\n")
}

/// One line for each change, and a summary.
pub(super) fn changes(answer: &Value) -> String {
    let list = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<String> = list.iter().map(change).collect();
    let left_out = answer["changes_left_out"].as_u64().unwrap_or_default();
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines.extend(disagreements(answer));
    lines.push(counts(answer));
    lines.join("\n")
}

/// A line for each request that the two orders of routes lead to different routes.
fn disagreements(answer: &Value) -> Vec<String> {
    let list = answer["order_disagreements"].as_array().map(Vec::as_slice).unwrap_or_default();
    let route = |route: &Value| {
        let name = route["name"].as_str().or(route["id"].as_str());
        name.unwrap_or_default().to_owned()
    };
    let line = |found: &Value| {
        let text = |name: &str| found["request"][name].as_str().unwrap_or_default();
        let headers = found["request"]["headers"].as_object().into_iter().flatten();
        let headers: String = headers
            .map(|(name, value)| format!(", {name}: {}", value.as_str().unwrap_or_default()))
            .collect();
        let request = format!("{} {}{}{headers}", text("method"), text("host"), text("path"));
        let (strict, kong3) = (route(&found["strict"]), route(&found["kong3"]));
        printable(&format!("order of routes: {request}: strict takes {strict}, kong3 takes {kong3}"))
    };
    let mut lines: Vec<String> = list.iter().map(line).collect();
    if answer["order_search_bounded"] == true {
        lines.push("order of routes: the search has ended at its bound, there may be more".to_owned());
    }
    lines
}

/// What `sync` did.
pub(super) fn done(answer: &Value) -> String {
    let revision = &answer["revision"];
    match is_empty(answer) {
        true => format!("nothing to change: {}", counts(answer)),
        false => format!("revision {revision}: {}", counts(answer)),
    }
}

/// Whether the answer has no change.
pub(super) fn is_empty(answer: &Value) -> bool {
    ["created", "updated", "deleted"].iter().all(|count| answer[count] == 0)
}

fn counts(answer: &Value) -> String {
    let words = ["created", "updated", "deleted", "unchanged"];
    words.map(|word| format!("{} {word}", answer[word])).join(", ")
}

fn change(change: &Value) -> String {
    let text = |name: &str| change[name].as_str().unwrap_or_default();
    let name = if text("entity_name").is_empty() { text("entity_id") } else { text("entity_name") };
    let fields: Vec<&str> =
        change["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
    format!("{} {} {}{fields}", text("operation"), text("entity_type"), printable(name))
}

/// The failure of a request, with a line for each error of an entity.
pub(super) fn failure(status: StatusCode, answer: &Value) -> ExitError {
    let message = answer["message"].as_str().unwrap_or_default();
    // Other failures are not about the document.
    if ![400, 409].contains(&status.as_u16()) {
        return ExitError::unavailable(printable(&format!("the Admin API answered {status}: {message}")));
    }
    let mut lines = vec!["the configuration is invalid".to_owned()];
    let top = answer["fields"].as_object().into_iter().flatten();
    lines.extend(top.map(|(key, error)| {
        format!("  {key}: {}", error.as_str().map_or_else(|| error.to_string(), str::to_owned))
    }));
    let entities = answer["flattened_errors"].as_array().into_iter().flatten();
    lines.extend(entities.flat_map(entity_errors));
    match answer["unnamed_errors"].as_u64() {
        Some(count) if count > 0 => lines.push(format!("  and {count} more entities")),
        _ => {}
    }
    if lines.len() == 1 {
        lines[0] = format!("the Admin API answered {status}: {message}");
    }
    let lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    ExitError { code: Code::Invalid, message: lines.join("\n") }
}

fn entity_errors(entity: &Value) -> Vec<String> {
    let text = |name: &str| entity[name].as_str();
    let kind = text("entity_type").unwrap_or_default();
    let name = text("entity_name").or(text("entity_id")).unwrap_or("without a name");
    let place = text("entity_path").map(|path| format!(", {path}")).unwrap_or_default();
    let errors = entity["errors"].as_array().into_iter().flatten();
    let line = |error: &Value| {
        let message = error["message"].as_str().unwrap_or_default();
        match error["field"].as_str() {
            Some(field) => format!("  {kind} {name}{place}: {field}: {message}"),
            None => format!("  {kind} {name}{place}: {message}"),
        }
    };
    errors.map(line).collect()
}

/// A text without characters that a terminal obeys.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
