//! Checks of texts by rules that a schema cannot express.

use std::fmt;

use dabba_domain::{
    AccountId, ExternalId,
    order::PaymentToken,
    restaurant::{ClockTime, check_country, check_currency, check_time_zone},
    text::{ExternalCode, Name, Note, Phone, Slug},
};
use dabba_engine::{EgressUrlError, MAX_TARGET_URL_LENGTH};
use dabba_web::schema::quoted;
use serde::de::DeserializeOwned;

/// Checks a text by the type that reads it. The arguments are the schema, its member, and the text. Returns `None` for a text
/// without a type of its own.
pub(super) fn check(schema: &str, member: &str, text: &str) -> Option<Result<(), String>> {
    let checked = match (schema, member) {
        ("Name", _) => Name::new(text).map(drop).map_err(|error| error.to_string()),
        ("Note", _) => Note::new(text).map(drop).map_err(|error| error.to_string()),
        ("ExternalCode", _) => ExternalCode::new(text).map(drop).map_err(|error| error.to_string()),
        ("Phone", _) => Phone::new(text).map(drop).map_err(|error| error.to_string()),
        ("Slug", _) => with_value(Slug::new(text), text),
        ("PaymentToken", _) => PaymentToken::new(text).map(drop).map_err(|error| error.to_string()),
        ("ClockTime", _) => read::<ClockTime>(text),
        ("Currency", _) => with_value(check_currency(text), text),
        ("SettingsDocument", "external_id") => {
            ExternalId::new(text).map(drop).map_err(|error| error.to_string())
        }
        ("SettingsDocument", "time_zone") => with_value(check_time_zone(text), text),
        ("SettingsDocument" | "Address" | "QuoteAddress", "country") => with_value(check_country(text), text),
        ("Registration", "email") => dabba_engine::check_email(text).map_err(|error| error.to_string()),
        // The engine checks the rest of the URL, by the operator's settings.
        ("WebhookEndpointRequest" | "WebhookEndpointPatch", "url") => match text.len() {
            0 => Err(EgressUrlError::Malformed.to_string()),
            1..=MAX_TARGET_URL_LENGTH => Ok(()),
            _ => Err(EgressUrlError::TooLong.to_string()),
        },
        // All kinds of ids have the same form.
        (schema, "") if schema.ends_with("Id") => {
            let id = text.parse::<AccountId>().map(drop);
            id.map_err(|_| format!("must be a UUID of version 7, not {}", quoted(text)))
        }
        _ => return None,
    };
    Some(checked)
}

fn with_value<T, E: fmt::Display>(checked: Result<T, E>, text: &str) -> Result<(), String> {
    checked.map(drop).map_err(|error| format!("{error}, not {}", quoted(text)))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<(), String> {
    with_value(serde_json::from_value::<T>(text.into()), text)
}
