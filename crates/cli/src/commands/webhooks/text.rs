//! Texts about webhook endpoints and their deliveries, for people.

use std::fmt::Write as _;

use dabba_sim::printable;
use serde_json::Value;

use crate::output::counted;

/// Returns a text member without control characters; a hyphen if it is absent.
pub(super) fn text_of(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::String(text) => printable(text),
        Value::Null => "-".to_owned(),
        other => printable(&other.to_string()),
    }
}

/// Returns the lines of an endpoint, for a list.
pub(super) fn endpoint_text(endpoint: &Value) -> String {
    let owner = match &endpoint["restaurant_id"] {
        Value::Null => "platform".to_owned(),
        _ => format!("restaurant {}", text_of(endpoint, "restaurant_id")),
    };
    let state = if endpoint["enabled"] == true {
        "enabled".to_owned()
    } else {
        let (at, reason) = (text_of(endpoint, "disabled_at"), text_of(endpoint, "disabled_reason"));
        format!("disabled at {at} ({reason})")
    };
    let types: Vec<_> =
        endpoint["types"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let types = if types.is_empty() { "all types".to_owned() } else { printable(&types.join(" ")) };
    let success = match &endpoint["last_success_at"] {
        Value::Null => "no success recorded yet".to_owned(),
        _ => format!("last success {}", text_of(endpoint, "last_success_at")),
    };
    let mut text = format!(
        "{}  {}\n  {owner}  {state}  {types}  {success}",
        text_of(endpoint, "id"),
        text_of(endpoint, "url")
    );
    let failure = &endpoint["last_failure"];
    if !failure.is_null() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  last failure {}: {}", text_of(failure, "at"), text_of(failure, "error"));
    }
    if endpoint["disabled_not_before"].is_string() {
        let _ = write!(
            text,
            "\n  will be disabled, not before {}, if no delivery succeeds",
            text_of(endpoint, "disabled_not_before")
        );
    }
    text
}

/// Returns what `enable` did, and the lines of the endpoint.
pub(super) fn enabled_text(endpoint: &Value) -> String {
    format!(
        "{} is enabled: it receives the events since it was disabled, and a pause after failures has ended\n{}",
        text_of(endpoint, "id"),
        endpoint_text(endpoint)
    )
}

/// Returns what `replay` did, and the lines of the endpoint. `begin` is where the replay begins, in words.
pub(super) fn replayed_text(endpoint: &Value, begin: &str) -> String {
    let id = text_of(endpoint, "id");
    let condition = if endpoint["enabled"] == true {
        String::new()
    } else {
        format!(", as soon as `dabba webhooks enable {id}` enables it")
    };
    format!(
        "{id} receives the events {} again{condition}; its dead letters are retried\n{}",
        printable(begin),
        endpoint_text(endpoint)
    )
}

/// Returns the line of an attempt, or of a test.
pub(super) fn attempt_text(attempt: &Value) -> String {
    let mut text = text_of(attempt, "at");
    if attempt["order_id"].is_string() {
        let _ =
            write!(text, "  order {} version {}", text_of(attempt, "order_id"), text_of(attempt, "version"));
    }
    let _ = write!(text, "  {} ms  ", text_of(attempt, "duration_ms"));
    if attempt["delivered"] == true {
        let _ = write!(text, "delivered, status {}", text_of(attempt, "status"));
        if let Some(events) = attempt["events"].as_u64() {
            let _ = write!(text, ", {}", counted(events, "event"));
        }
    } else {
        let _ = write!(text, "failed: {}", text_of(attempt, "error"));
    }
    text
}

/// Returns the two lines of an order whose event could not be delivered.
pub(super) fn failure_text(failure: &Value) -> String {
    let next = match (&failure["dead_at"], &failure["next_attempt_at"]) {
        (Value::Null, Value::Null) => "waits".to_owned(),
        (Value::Null, _) => format!("next attempt {}", text_of(failure, "next_attempt_at")),
        _ => format!("dead letter since {}", text_of(failure, "dead_at")),
    };
    format!(
        "order {} version {}  {} since {}  {next}\n  {}",
        text_of(failure, "order_id"),
        text_of(failure, "next_version"),
        counted(failure["attempts"].as_u64().unwrap_or_default(), "failed attempt"),
        text_of(failure, "first_failed_at"),
        text_of(&failure["last_failure"], "error"),
    )
}

/// Returns the lines of an endpoint with all its settings.
pub(super) fn whole_endpoint_text(endpoint: &Value) -> String {
    let mut text = format!(
        "{}\n  payload {}  content type {}  concurrency {}  batch {}\n  created at {} by account {}  enabled at {}",
        endpoint_text(endpoint),
        text_of(endpoint, "payload"),
        text_of(endpoint, "content_type"),
        text_of(endpoint, "concurrency"),
        text_of(endpoint, "batch"),
        text_of(endpoint, "created_at"),
        text_of(endpoint, "created_by"),
        text_of(endpoint, "enabled_at"),
    );
    let secrets = endpoint["secrets"].as_array().into_iter().flatten();
    for until in secrets.map(|secret| &secret["until"]).filter_map(Value::as_str) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  an older secret signs until {}", printable(until));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Proves that an endpoint's lines contain its state, and that no text of a server changes the terminal.
    #[test]
    fn an_endpoint_is_shown_with_its_state() {
        let mut endpoint = json!({"id": "E", "url": "https://h/\u{1b}[2J", "enabled": true});
        assert_eq!(
            endpoint_text(&endpoint),
            "E  https://h/[2J\n  platform  enabled  all types  no success recorded yet"
        );
        endpoint["enabled"] = json!(false);
        endpoint["disabled_reason"] = json!("gone");
        endpoint["disabled_at"] = json!("T1");
        endpoint["restaurant_id"] = json!("R");
        endpoint["types"] = json!(["placed", "accepted"]);
        endpoint["last_success_at"] = json!("T0");
        endpoint["last_failure"] = json!({"at": "T1", "error": "the endpoint responded with 410"});
        assert_eq!(
            endpoint_text(&endpoint),
            "E  https://h/[2J\n  restaurant R  disabled at T1 (gone)  placed accepted  last success T0\n  \
             last failure T1: the endpoint responded with 410"
        );
    }

    /// Proves that `enable` and `replay` say what they did before the endpoint, and what a disabled endpoint needs.
    #[test]
    fn what_was_done_is_said() {
        let mut endpoint = json!({"id": "E", "url": "https://h/", "enabled": true});
        let shown = endpoint_text(&endpoint);
        let enabled = "E is enabled: it receives the events since it was disabled, and a pause after failures has ended";
        assert_eq!(enabled_text(&endpoint), format!("{enabled}\n{shown}"));
        let replayed = "E receives the events since T again; its dead letters are retried";
        assert_eq!(replayed_text(&endpoint, "since T"), format!("{replayed}\n{shown}"));
        endpoint["enabled"] = json!(false);
        let text = replayed_text(&endpoint, "after the cursor C\u{1b}");
        let begin = "E receives the events after the cursor C again, as soon as `dabba webhooks enable E` enables it; ";
        assert!(text.starts_with(begin), "{text}");
    }

    /// Proves that attempts and failures are shown with what happens next.
    #[test]
    fn attempts_and_failures_are_shown() {
        let delivered = json!({"at": "T", "order_id": "O", "version": 2, "duration_ms": 5, "delivered": true,
            "status": 204, "events": 1});
        assert_eq!(attempt_text(&delivered), "T  order O version 2  5 ms  delivered, status 204, 1 event");
        let failed = json!({"at": "T", "duration_ms": 5, "delivered": false, "error": "connect: refused"});
        assert_eq!(attempt_text(&failed), "T  5 ms  failed: connect: refused");
        let mut failure = json!({"order_id": "O", "next_version": 3, "attempts": 2, "first_failed_at": "T1",
            "next_attempt_at": "T2", "last_failure": {"error": "X"}});
        let begin = "order O version 3  2 failed attempts since T1  ";
        assert_eq!(failure_text(&failure), format!("{begin}next attempt T2\n  X"));
        failure["attempts"] = json!(1);
        assert!(failure_text(&failure).contains("  1 failed attempt since "), "{}", failure_text(&failure));
        failure["attempts"] = json!(2);
        failure["dead_at"] = json!("T3");
        assert_eq!(failure_text(&failure), format!("{begin}dead letter since T3\n  X"));
    }

    /// Proves that a single endpoint is shown with its settings and with the ends of its older secrets.
    #[test]
    fn a_whole_endpoint_is_shown() {
        let endpoint = json!({"id": "E", "url": "https://h/", "enabled": true, "payload": "event",
            "content_type": "application/json", "concurrency": 8, "batch": 1, "created_at": "T0", "created_by": "A",
            "enabled_at": "T1", "secrets": [{}, {"until": "T2"}]});
        let text = whole_endpoint_text(&endpoint);
        let settings = "\n  payload event  content type application/json  concurrency 8  batch 1\n";
        assert!(text.starts_with(&endpoint_text(&endpoint)) && text.contains(settings), "{text}");
        let end = "\n  created at T0 by account A  enabled at T1\n  an older secret signs until T2";
        assert!(text.ends_with(end), "{text}");
    }
}
