//! Encoding of values for all stores that keep them in columns: JSON is encoded once, times are nanoseconds since 1970. Decoding
//! returns exactly the encoded value; otherwise the fold of an order's events would differ from its row (I4).

use std::{borrow::Cow, sync::Arc};

use dabba_domain::{
    RestaurantId, Timestamp,
    ids::Id,
    order::{Event, OrderDetails, RecordedEvent, RefundState, ReviewReason, UnknownEvent},
    task::{Task, TaskKind, TaskSubject, TaskSubjectKind},
    text::{Slug, read_stored},
};
use serde::{Deserialize, Serialize};
use serde_json::{error::Category, value::RawValue};
use uuid::Uuid;

use crate::{
    Change, Commit, NewTask, RecordedTaskFailure, Resource, StoreError, TaskFailure, WebhookSettings,
};

/// Version of the format in which this program writes an order, its row and its events. Increase it when the format gains
/// something without which an older program must not decide: a new type of event, a new meaning of a member. Each write of an order
/// states it in the column `format`, which holds the highest version of the order's events.
///
/// Version 2 adds the terms of version 2, whose refunds of lines a program of version 1 would compute by another rule, and
/// the parts of an address, which programs of version 1 cannot read.
pub const ORDER_FORMAT: u32 = 2;

/// Version of the format in which this program writes a restaurant: settings, menu, pause, closure. Increase it when
/// the format gains something without which an older program must not price or replace. Each write of settings, a menu, a pause
/// or a closure states it in the restaurant's column `format`, which holds the highest version of these parts.
///
/// Version 2 adds taxes, fees and delivery zones. A program of version 1 would charge none of them, and would refuse no
/// address.
pub const RESTAURANT_FORMAT: u32 = 2;

/// Version of the format in which this program writes the settings of a webhook endpoint. Increase it when the format gains
/// something without which an older program must not deliver or change. Each write of an endpoint states it in the column `format`.
pub const WEBHOOK_FORMAT: u32 = 1;

/// Version of the rule by which this program computes the fingerprint of a request. Increase it when an equal request gets
/// another fingerprint than before. A new member that is not serialized when absent does not change the fingerprints of earlier
/// requests, so it needs no new version. The column `fingerprint_version` of a record holds it.
pub const FINGERPRINT_VERSION: u32 = 1;

/// Returns one of the versions above as its column stores it.
pub fn stored_version(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// Returns the error for a record that a newer version wrote and that this version needs but does not understand.
pub fn written_by_newer(what: impl std::fmt::Display) -> StoreError {
    StoreError::WrittenByNewer(format!("{what} was written by a newer version of Dabba: upgrade this server"))
}

/// A [`Commit`] whose slow work that needs no database is done.
pub struct EncodedCommit {
    /// The commit.
    pub commit: Arc<Commit>,
    /// Time of the decision.
    pub at_ns: i64,
    /// The encoded change.
    pub change: Option<EncodedChange>,
    /// Columns of the commit's tasks, in the commit's order.
    pub tasks: Vec<EncodedTask>,
}

/// Columns of a task that need encoding.
pub struct EncodedTask {
    /// Time at which the task is due.
    pub run_at_ns: i64,
    /// Content of the task in addition to its subject, as JSON.
    pub payload: Option<String>,
}

impl EncodedTask {
    /// Encodes a task that no order's commit writes. A task that must not be written in this way, and a time that the store
    /// cannot represent, are [`StoreError::Corrupt`].
    pub fn outside_order(task: &NewTask) -> Result<Self, StoreError> {
        task.check_outside_order()?;
        Self::encode(task)
    }

    fn encode(task: &NewTask) -> Result<Self, StoreError> {
        Ok(Self { run_at_ns: exact_nanoseconds(task.run_at)?, payload: content_of(&task.task)? })
    }
}

/// Columns of a [`Change`] that need encoding.
pub struct EncodedChange {
    /// Version of the format of the order and its events, [`ORDER_FORMAT`].
    pub format: i32,
    /// Details of the order, for its row and its first event. Only for a new order.
    pub details: Option<String>,
    /// How the order ended early, as JSON; `None` if it did not.
    pub closure: Option<String>,
    /// Refunds of the order, as JSON; `None` if there are none.
    pub refunds: Option<String>,
    /// Deadline for the restaurant's acceptance.
    pub acceptance_deadline_ns: Option<i64>,
    /// Time at which the food is expected to be ready.
    pub ready_by_ns: Option<i64>,
    /// Time at which the order was placed.
    pub placed_at_ns: i64,
    /// Time of the order's latest event.
    pub updated_at_ns: i64,
    /// Columns of the events, in order.
    pub events: Vec<EncodedEvent>,
}

/// Columns of an event.
pub struct EncodedEvent {
    /// Name of the event.
    pub name: &'static str,
    /// Content of the event; see [`EncodedChange::data_of`].
    data: EventData,
    /// The actor, as JSON.
    pub actor: String,
    /// Time of the event.
    pub at_ns: i64,
}

/// Content of an event.
enum EventData {
    /// The change's `details`. They are large, so they are encoded once and shared.
    Details,
    /// This JSON; `None` for an event without content.
    Json(Option<String>),
}

impl EncodedCommit {
    /// Checks a commit and encodes its JSON. An invalid commit, and a time that the store cannot represent, are
    /// [`StoreError::Corrupt`].
    pub fn new(commit: impl Into<Arc<Commit>>) -> Result<Self, StoreError> {
        let commit = commit.into();
        commit.check()?;
        Self::encode(commit)
    }

    fn encode(commit: Arc<Commit>) -> Result<Self, StoreError> {
        let change = commit.change.as_ref().map(EncodedChange::new).transpose()?;
        let tasks = commit.tasks.iter().map(EncodedTask::encode).collect::<Result<_, StoreError>>()?;
        Ok(Self { at_ns: exact_nanoseconds(commit.at)?, change, tasks, commit })
    }
}

impl EncodedChange {
    fn new(change: &Change) -> Result<Self, StoreError> {
        let Change { order, events } = change;
        let is_new = events.iter().any(|recorded| matches!(recorded.event, Event::Placed(_)));
        Ok(Self {
            format: stored_version(ORDER_FORMAT),
            details: is_new.then(|| to_json(&order.details)).transpose()?,
            refunds: (!order.refunds.is_empty()).then(|| to_json(&order.refunds)).transpose()?,
            closure: order.closure.as_ref().map(to_json).transpose()?,
            acceptance_deadline_ns: order.acceptance_deadline.map(exact_nanoseconds).transpose()?,
            ready_by_ns: order.ready_by.map(exact_nanoseconds).transpose()?,
            placed_at_ns: exact_nanoseconds(order.placed_at)?,
            updated_at_ns: exact_nanoseconds(order.updated_at)?,
            events: events.iter().map(EncodedEvent::new).collect::<Result<_, _>>()?,
        })
    }

    /// Returns the content of one of this change's events as JSON; `None` for an event without content.
    pub fn data_of<'a>(&'a self, event: &'a EncodedEvent) -> Option<&'a str> {
        match &event.data {
            EventData::Details => self.details.as_deref(),
            EventData::Json(json) => json.as_deref(),
        }
    }
}

impl EncodedEvent {
    fn new(recorded: &RecordedEvent) -> Result<Self, StoreError> {
        let data = match &recorded.event {
            Event::Placed(_) => EventData::Details,
            event => EventData::Json(content_of(event)?),
        };
        let name = recorded.event.known_name().ok_or_else(|| {
            let name = recorded.event.name();
            StoreError::Corrupt(format!(
                "{name} is an event of a newer version of Dabba; this version cannot write it"
            ))
        })?;
        Ok(Self { name, data, actor: to_json(&recorded.actor)?, at_ns: exact_nanoseconds(recorded.at)? })
    }
}

/// Returns the content of an event or a task without its name, which has its own column.
fn content_of<T: Serialize>(value: &T) -> Result<Option<String>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Tagged<'json> {
        #[serde(borrow, alias = "payload")]
        data: Option<&'json RawValue>,
    }
    let json = to_json(value)?;
    let tagged: Tagged<'_> = serde_json::from_str(&json).map_err(corrupt)?;
    // An event with empty content is stored without content, as before the event could have any.
    Ok(tagged.data.map(RawValue::get).filter(|data| *data != "{}").map(str::to_owned))
}

/// Returns the task with this name and content. No error contains a part of the content, which may be a payment token.
pub fn decode_task(kind: &str, payload: Option<&str>) -> Result<Task, StoreError> {
    let name = to_json(&kind)?;
    let json = match payload {
        Some(payload) => format!(r#"{{"kind":{name},"payload":{payload}}}"#),
        None => format!(r#"{{"kind":{name}}}"#),
    };
    decode_json(&json).map_err(|error| {
        if error.classify() != Category::Data {
            return StoreError::Corrupt("the content is not JSON".to_owned());
        }
        if kind == TaskKind::Review.as_str() && payload.is_some_and(has_unknown_reason) {
            return written_by_newer("the reason of the review");
        }
        StoreError::Corrupt(format!("the content is not that of a task of the kind {kind}"))
    })
}

/// Returns whether the content of a review contains a reason of a type that only a newer version of Dabba knows.
fn has_unknown_reason(payload: &str) -> bool {
    let content = serde_json::from_str::<serde_json::Value>(payload);
    content.is_ok_and(|content| {
        let name = content.pointer("/reason/type").and_then(serde_json::Value::as_str);
        name.is_some_and(|name| !ReviewReason::is_known(name))
    })
}

/// Returns the subject of a task from the name of its kind and its id.
pub fn decode_task_subject(kind: &str, id: Uuid) -> Result<TaskSubject, StoreError> {
    let kind = TaskSubjectKind::from_name(kind)
        .ok_or_else(|| written_by_newer(format_args!("a task about the {kind} {id}")))?;
    Ok(TaskSubject::stored(kind, id))
}

/// Returns the refunds of an order from their JSON.
pub fn decode_refunds(json: Option<&str>) -> Result<Vec<RefundState>, StoreError> {
    json.map_or(Ok(Vec::new()), |json| decode_json(json).map_err(corrupt))
}

/// Returns the event with this name and content. An event with a name that this program does not know is [`Event::Unknown`].
pub fn decode_event(name: &str, data: Option<&str>) -> Result<Event, StoreError> {
    if !Event::is_known(name) {
        let data = data.map(serde_json::from_str).transpose().map_err(corrupt)?;
        return Ok(Event::Unknown(UnknownEvent { name: name.into(), data }));
    }
    // The name comes from a column, so it must be escaped for JSON.
    let name_json = to_json(&name)?;
    match data {
        // The `placed` event is large; this arm avoids the copy of the arm below.
        Some(details) if name == "placed" => Ok(Event::Placed(decode_details(details)?)),
        Some(data) => decode_json(&format!(r#"{{"type":{name_json},"data":{data}}}"#)).map_err(corrupt),
        // The `delivered` event is the only known event with optional content.
        None if name == "delivered" => Ok(Event::delivered()),
        None => decode_json(&format!(r#"{{"type":{name_json}}}"#)).map_err(corrupt),
    }
}

/// Like [`decode_event`], for an order that a newer version wrote: an event whose name is known but whose content is not is also
/// [`Event::Unknown`].
pub fn decode_event_of_newer(name: &str, data: Option<&str>) -> Result<Event, StoreError> {
    decode_event(name, data).or_else(|_| {
        let data = data.map(serde_json::from_str).transpose().map_err(corrupt)?;
        Ok(Event::Unknown(UnknownEvent { name: name.into(), data }))
    })
}

/// Returns the details of an order from their JSON.
pub fn decode_details(json: &str) -> Result<Arc<OrderDetails>, StoreError> {
    decode_json(json).map(Arc::new).map_err(corrupt)
}

/// Stored form of a task's failure, an element of a list.
#[derive(serde::Serialize, serde::Deserialize)]
struct TaskFailureDocument<'a> {
    attempt: u32,
    at_ns: i64,
    error: Cow<'a, str>,
}

/// Returns a task's failure as JSON, to be appended to the task's list.
pub fn encode_task_failure(attempt: u32, failure: &TaskFailure) -> Result<String, StoreError> {
    let at_ns = exact_nanoseconds(failure.at)?;
    to_json(&TaskFailureDocument { attempt, at_ns, error: failure.error.as_str().into() })
}

/// Returns the failures in a task's list.
pub fn decode_task_failures(json: &str) -> Result<Vec<RecordedTaskFailure>, StoreError> {
    let documents: Vec<TaskFailureDocument<'_>> = serde_json::from_str(json).map_err(corrupt)?;
    let decode = |document: TaskFailureDocument<'_>| {
        let failure = TaskFailure { at: timestamp_of(document.at_ns)?, error: document.error.into_owned() };
        Ok(RecordedTaskFailure { attempt: document.attempt, failure })
    };
    documents.into_iter().map(decode).collect()
}

/// Stored form of a claim's resource, in addition to its id. An order has none, so that the row of an order's claim keeps the
/// form that it had before other resources had keys.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StoredResource {
    Restaurant,
    Stock {
        item: Slug,
        remaining: u32,
    },
    Account,
    ApiKey,
    WebhookEndpoint,
    #[serde(other)]
    Unknown,
}

/// Returns the id of a claim's resource, and the stored form of the rest as JSON.
pub fn encode_resource(resource: &Resource) -> Result<(Uuid, Option<String>), StoreError> {
    let (id, stored) = match resource {
        Resource::Order(id) => return Ok((id.uuid(), None)),
        Resource::Restaurant(id) => (id.uuid(), StoredResource::Restaurant),
        Resource::Stock { restaurant_id, item, remaining } => {
            (restaurant_id.uuid(), StoredResource::Stock { item: item.clone(), remaining: *remaining })
        }
        Resource::Account(id) => (id.uuid(), StoredResource::Account),
        Resource::ApiKey(id) => (id.uuid(), StoredResource::ApiKey),
        Resource::WebhookEndpoint(id) => (id.uuid(), StoredResource::WebhookEndpoint),
        Resource::Unknown => {
            return Err(StoreError::Corrupt("a claim refers to an unknown kind of resource".to_owned()));
        }
    };
    Ok((id, Some(serde_json::to_string(&stored).map_err(corrupt)?)))
}

/// Returns the resource from its id and the stored form of the rest.
pub fn decode_resource(id: Uuid, json: Option<&str>) -> Result<Resource, StoreError> {
    fn id_of<K>(uuid: Uuid) -> Result<Id<K>, StoreError> {
        Id::from_uuid(uuid).map_err(corrupt)
    }
    let Some(json) = json else { return Ok(Resource::Order(id_of(id)?)) };
    Ok(match serde_json::from_str(json).map_err(corrupt)? {
        StoredResource::Restaurant => Resource::Restaurant(id_of(id)?),
        StoredResource::Stock { item, remaining } => {
            let restaurant_id: RestaurantId = id_of(id)?;
            Resource::Stock { restaurant_id, item, remaining }
        }
        StoredResource::Account => Resource::Account(id_of(id)?),
        StoredResource::ApiKey => Resource::ApiKey(id_of(id)?),
        StoredResource::WebhookEndpoint => Resource::WebhookEndpoint(id_of(id)?),
        StoredResource::Unknown => Resource::Unknown,
    })
}

/// Returns the settings of a webhook endpoint as JSON.
pub fn encode_webhook_settings(settings: &WebhookSettings) -> Result<String, StoreError> {
    to_json(settings)
}

/// Returns the settings of a webhook endpoint from their JSON.
pub fn decode_webhook_settings(json: &str) -> Result<WebhookSettings, StoreError> {
    decode_json(json).map_err(corrupt)
}

/// Returns a time as nanoseconds for storage. Storage must return the exact time, so this function refuses a time outside the
/// years 1677 to 2262, which 64 bits of nanoseconds cannot hold.
pub fn exact_nanoseconds(at: Timestamp) -> Result<i64, StoreError> {
    i64::try_from(at.as_nanosecond())
        .map_err(|_| StoreError::Corrupt(format!("{at} is outside the years 1677 to 2262")))
}

/// Returns a time as nanoseconds for comparisons: a time out of range becomes the nearest time in range.
pub fn clamped_nanoseconds(at: Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

/// Returns the time that was stored as these nanoseconds.
pub fn timestamp_of(nanoseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map_err(corrupt)
}

/// Parses a stored document. Texts are returned as stored, even if they violate the current rules for input.
pub fn decode_json<'json, T: Deserialize<'json>>(json: &'json str) -> Result<T, serde_json::Error> {
    read_stored(|| serde_json::from_str(json))
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(corrupt)
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    use dabba_domain::order::{Closure, ExpiryReason, RefundBearer, RefundNumber};

    use super::*;

    #[test]
    fn stored_times_keep_every_nanosecond() {
        for nanoseconds in [i64::MIN, -1, 0, 1, 1_790_000_000_123_456_789, i64::MAX] {
            let at = timestamp_of(nanoseconds).unwrap();
            assert_eq!(exact_nanoseconds(at).unwrap(), nanoseconds);
            assert_eq!(clamped_nanoseconds(at), nanoseconds);
        }
    }

    /// Proves that data from before card payments is readable: an expired order had then waited for its restaurant.
    #[test]
    fn data_from_before_card_payments_is_readable() {
        let expired = decode_event("expired", Some(r#"{"stock_returned":true}"#)).unwrap();
        assert_eq!(expired, Event::Expired { waited_for: ExpiryReason::Restaurant, stock_returned: true });
        let closure: Closure = serde_json::from_str(r#"{"how":"expired"}"#).unwrap();
        assert_eq!(closure, Closure::Expired { waited_for: ExpiryReason::Restaurant });
        let old = r#"{"amount":5,"reason":"late"}"#;
        let Event::Refunded(refund) = decode_event("refunded", Some(old)).unwrap() else { panic!() };
        assert_eq!((refund.number, refund.borne_by), (RefundNumber::MIN, RefundBearer::Restaurant));
        assert_eq!(decode_refunds(None).unwrap(), []);
        assert_eq!(decode_task("expire_unaccepted", None).unwrap(), Task::ExpireUnaccepted);
    }

    /// Proves that an event of a newer version is passed on as stored, whatever its content, and that a known event must be
    /// readable.
    #[test]
    fn an_event_of_a_newer_version_is_passed_on() {
        for data in [None, Some(r#"{"ready_by":"soon","more":[1,{"x":null}]}"#), Some("7"), Some("null")] {
            let event = decode_event("held_back", data).unwrap();
            assert_eq!(event.name(), "held_back");
            let shown = serde_json::to_value(&event).unwrap();
            let data = data.map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap());
            assert_eq!(shown.get("type").unwrap(), "held_back");
            assert_eq!(shown.get("data").cloned(), data);
        }
        assert!(decode_event("accepted", Some(r#"{"ready_by":"soon"}"#)).is_err());
        for name in Event::NAMES {
            assert!(!matches!(decode_event(name, None), Ok(Event::Unknown(_))), "{name}");
        }
    }

    #[test]
    fn invalid_tasks_are_refused() {
        for (kind, payload) in [
            ("dance", None),
            ("authorize_payment", None),
            ("authorize_payment", Some(r#"{"token":"not a token"}"#)),
            ("refund_payment", Some(r#"{"number":0}"#)),
            (r#"capture_payment","x":""#, None),
            ("capture_payment", Some("{")),
            ("capture_payment", Some(r#"{"x":1}"#)),
            ("review", Some(r#"{"reason":{"type":7}}"#)),
            ("review", Some(r#"{"reason":{"type":"refund_failed","number":0}}"#)),
            ("review", Some(r#"{"reason":{"type":"novel"}"#)),
        ] {
            assert!(matches!(decode_task(kind, payload), Err(StoreError::Corrupt(_))), "{kind}");
        }
        assert!(decode_refunds(Some("{}")).is_err());
    }

    /// Proves that a review with a reason that only a newer version knows is not reported as damage.
    #[test]
    fn a_review_of_a_newer_version_is_no_damage() {
        let refused = decode_task("review", Some(r#"{"reason":{"type":"novel","since":1}}"#));
        assert!(matches!(refused, Err(StoreError::WrittenByNewer(_))), "{refused:?}");
    }

    /// Proves that the error for a damaged task contains no payment token.
    #[test]
    fn the_error_of_a_damaged_task_contains_no_content() {
        for payload in [r#"{"token":["tok_secret"]}"#, r#""tok_secret""#, r#"{"token":"tok_secret"#] {
            let error = decode_task("authorize_payment", Some(payload)).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn times_out_of_range_are_refused_for_storage() {
        assert!(exact_nanoseconds(Timestamp::MAX).is_err());
        assert!(exact_nanoseconds(Timestamp::MIN).is_err());
        assert_eq!(clamped_nanoseconds(Timestamp::MAX), i64::MAX);
        assert_eq!(clamped_nanoseconds(Timestamp::MIN), i64::MIN);
    }
}
