//! Requests for endpoints, and their validation. All problems of a request are listed.

use dabba_domain::{Problems, RestaurantId, entry_count, one_of, order::Event, quoted, whole_number};
use dabba_store::{WebhookContentType, WebhookPayload};
use serde::Serialize;

use super::{MAX_OVERLAP_SECONDS, MAX_WEBHOOK_BATCH, MAX_WEBHOOK_CONCURRENCY};
use crate::Egress;

/// Data of a new endpoint. The URL may contain a secret of its owner.
#[derive(Clone, Serialize)]
pub struct WebhookRequest {
    /// The restaurant that owns the endpoint; `None` for the platform.
    pub restaurant_id: Option<RestaurantId>,
    /// URL to which events are sent.
    pub url: String,
    /// Short names of the types of events; `None` for all types.
    pub types: Option<Vec<String>>,
    /// Content of a delivery.
    pub payload: WebhookPayload,
    /// Content type of a delivery.
    pub content_type: WebhookContentType,
    /// Maximum number of concurrent deliveries.
    pub concurrency: u32,
    /// Maximum number of events in a delivery.
    pub batch: u32,
}

/// Changes of an endpoint. Absent members stay unchanged.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct WebhookPatch {
    /// URL to which events are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Short names of the types of events; the inner `None` for all types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Option<Vec<String>>>,
    /// Content of a delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<WebhookPayload>,
    /// Content type of a delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<WebhookContentType>,
    /// Maximum number of concurrent deliveries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Maximum number of events in a delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// `false` disables the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Returns a URL in its normalized form.
pub(super) fn check_url(problems: &mut Problems, egress: &dyn Egress, url: &str) -> Option<String> {
    problems.check("/url", egress.check_url(url)).map(|url| url.as_str().to_owned())
}

/// Returns the names of types in the order of the documentation; empty for all types.
pub(super) fn check_types(problems: &mut Problems, types: Option<Vec<String>>) -> Vec<String> {
    let Some(types) = types else { return Vec::new() };
    if types.is_empty() {
        problems.add("/types", entry_count(1, Event::NAMES.len(), 0));
    }
    for (index, name) in types.iter().enumerate() {
        let pointer = || format!("/types/{index}");
        if !Event::NAMES.contains(&name.as_str()) {
            problems.add(pointer(), one_of(Event::NAMES.join(", "), name));
        } else if types[..index].contains(name) {
            problems.add(pointer(), format!("repeats {}; remove the repetition", quoted(name)));
        }
        if problems.is_cut() {
            break;
        }
    }
    let is_named = |known: &&&str| types.iter().any(|name| name == **known);
    Event::NAMES.iter().filter(is_named).map(|name| (*name).to_owned()).collect()
}

pub(super) fn check_concurrency(problems: &mut Problems, concurrency: u32) {
    check_range(problems, "/concurrency", concurrency, (1, MAX_WEBHOOK_CONCURRENCY));
}

pub(super) fn check_batch(problems: &mut Problems, batch: u32) {
    check_range(problems, "/batch", batch, (1, MAX_WEBHOOK_BATCH));
}

pub(super) fn check_overlap(problems: &mut Problems, seconds: u32) {
    check_range(problems, "/overlap_seconds", seconds, (0, MAX_OVERLAP_SECONDS));
}

fn check_range(problems: &mut Problems, pointer: &str, number: u32, (min, max): (u32, u32)) {
    if !(min..=max).contains(&number) {
        problems.add(pointer, format!("must be {}, not {number}", whole_number(min, max)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that every problem of a list of types is reported at its place, and that the result has the documented
    /// order.
    #[test]
    fn types_are_checked() {
        let checked = |names: &[&str]| {
            let mut problems = Problems::new();
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let types = check_types(&mut problems, Some(names));
            let pointers = serde_json::to_value(&problems).unwrap();
            let pointers = pointers.as_array().unwrap().iter();
            (
                types,
                pointers.map(|problem| problem["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(checked(&["accepted", "placed"]), (vec!["placed".into(), "accepted".into()], vec![]));
        assert_eq!(checked(&[]).1, ["/types"]);
        assert_eq!(checked(&["placed", "eaten", "placed"]).1, ["/types/1", "/types/2"]);
        assert_eq!(check_types(&mut Problems::new(), None), Vec::<String>::new());
    }
}
